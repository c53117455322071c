"""The server of these tests, driven by the real client: what later tests rely on."""

from __future__ import annotations

import threading
from pathlib import Path

import huggingface_hub.constants
import pytest
import requests
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub.fake_hub.cutter import Cutter
from tests.hub.fake_hub.server import Hub

CARD = """---
license: cc-by-nc-4.0
language: [en, de]
library_name: adapter-transformers
tags: [adapter-transformers, bert]
datasets: [nyu-mll/multi_nli]
base_model: me/tiny-bert
---
# An adapter
"""
REPO = "me/adapter"


@pytest.fixture
def api(hub: Hub, me: Path) -> HfApi:
    """The client of `me`."""
    return HfApi(endpoint=hub.url, token="hf_token_of_me")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is uploaded: a card, a small file in a folder, an empty one, and a large one."""
    made = tmp_path / "adapter"
    (made / "head").mkdir(parents=True)
    (made / "README.md").write_text(CARD, "utf-8")
    (made / "head" / "config.json").write_text("{}", "utf-8")
    (made / "empty.txt").touch()
    (made / "adapter.safetensors").write_bytes(bytes(range(256)) * 400)
    return made


def upload(api: HfApi, folder: Path, **more: str) -> str:
    api.create_repo(REPO, exist_ok=True)
    return str(api.upload_folder(repo_id=REPO, folder_path=folder, **more).oid)


def fetch(api: HfApi, cache: Path, path: str = "adapter.safetensors", **more: str) -> bytes:
    return Path(api.hf_hub_download(REPO, path, cache_dir=cache, **more)).read_bytes()


def test_what_is_uploaded_twice_makes_one_commit(hub: Hub, api: HfApi, folder: Path) -> None:
    first = upload(api, folder)
    assert upload(api, folder) == first
    assert len(hub.repos["models", REPO].commits) == 2  # with the one that makes the repository
    assert hub.files("models", REPO)["adapter.safetensors"] == (folder / "adapter.safetensors").read_bytes()
    (folder / "head" / "config.json").write_text('{"a": 1}', "utf-8")
    assert upload(api, folder) != first
    assert len(hub.calls("PUT", "/large/")) == 1


def test_repositories_and_users(hub: Hub, api: HfApi, folder: Path) -> None:
    upload(api, folder)
    assert api.whoami()["name"] == "me"
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(REPO)
    with pytest.raises(HfHubHTTPError, match="401"):
        api.create_repo("me/other", token="hf_wrong")
    you = HfApi(endpoint=hub.url, token="hf_token_of_you")
    for refused in (lambda: you.create_repo("me/third"), lambda: you.delete_file("empty.txt", REPO)):
        with pytest.raises(HfHubHTTPError, match="403"):
            refused()
    assert set(hub.repos) == {("models", REPO)}


def test_a_private_repository_is_its_owners_alone(hub: Hub, api: HfApi) -> None:
    api.create_repo("me/secret", private=True)
    assert api.model_info("me/secret").private
    for token in ("hf_token_of_you", False):
        with pytest.raises(RepositoryNotFoundError):
            api.model_info("me/secret", token=token)
    assert [each.id for each in api.list_models(author="me")] == ["me/secret"]
    assert list(api.list_models(author="me", token=False)) == []


def test_what_is_told_of_files(api: HfApi, folder: Path) -> None:
    commit = upload(api, folder)
    told = api.model_info(REPO, files_metadata=True)
    large = next(each for each in told.siblings or [] if each.lfs)
    assert (told.sha, large.rfilename, large.size) == (commit, "adapter.safetensors", 102400)
    top = {each.path for each in api.list_repo_tree(REPO)}
    assert top == {".gitattributes", "README.md", "adapter.safetensors", "empty.txt", "head"}
    assert "head/config.json" in {each.path for each in api.list_repo_tree(REPO, recursive=True)}
    assert [each.path for each in api.get_paths_info(REPO, ["head", "README.md"])] == ["head", "README.md"]
    assert api.file_exists(REPO, "empty.txt") and not api.file_exists(REPO, "config.json")


def test_what_is_not_there(api: HfApi, folder: Path, tmp_path: Path) -> None:
    upload(api, folder)
    with pytest.raises(EntryNotFoundError):
        fetch(api, tmp_path / "cache", "nothing.json")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="v9")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("me/nothing")


def test_adapters_are_found_by_their_tags(api: HfApi, folder: Path) -> None:
    upload(api, folder)
    api.create_repo("me/other")
    for words in ("adapter-transformers", "base_model:me/tiny-bert", "dataset:nyu-mll/multi_nli", "de"):
        assert [each.id for each in api.list_models(filter=words)] == [REPO]
    assert [each.id for each in api.list_models(search="other")] == ["me/other"]
    found = next(iter(api.list_models(search="adapter", cardData=True, limit=1)))
    assert found.card_data is not None and found.card_data["license"] == "cc-by-nc-4.0"


def test_branches(hub: Hub, api: HfApi, folder: Path, tmp_path: Path) -> None:
    api.create_repo(REPO)
    api.create_branch(REPO, branch="refs/convert/parquet")
    api.create_branch(REPO, branch="v1")
    commit = upload(api, folder, revision="v1")
    assert fetch(api, tmp_path / "cache", revision="v1") == (folder / "adapter.safetensors").read_bytes()
    refs = api.list_repo_refs(REPO)
    assert {each.name: each.target_commit for each in refs.branches}["v1"] == commit
    assert [each.ref for each in refs.converts] == ["refs/convert/parquet"]
    with pytest.raises(EntryNotFoundError):
        fetch(api, tmp_path / "cache")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("license: [", "YAML metadata is not valid"),
        ("license: my-own", "license"),
        ("base_model: /tmp/tiny", "base_model"),
        ("model-index: [{name: a, results: [{task: {type: t}, metrics: []}]}]", "dataset.type"),
    ],
)
def test_a_broken_card_is_refused(hub: Hub, api: HfApi, folder: Path, line: str, told: str) -> None:
    upload(api, folder)
    (folder / "README.md").write_text(f"---\n{line}\n---\n", "utf-8")
    with pytest.raises(ValueError, match=told):
        upload(api, folder)
    assert hub.files("models", REPO)["README.md"] == CARD.encode()


def test_of_concurrent_commits_one_is_refused(api: HfApi, folder: Path) -> None:
    start = api.model_info(REPO).sha if api.repo_exists(REPO) else upload(api, folder)
    outcomes: list[str] = []

    def write(n: int) -> None:
        try:
            api.upload_file(
                path_or_fileobj=b"%d" % n, path_in_repo="who.txt", repo_id=REPO, parent_commit=start
            )
            outcomes.append("done")
        except HfHubHTTPError as error:
            outcomes.append(str(error.response.status_code))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(outcomes) == ["412", "412", "done"]


def test_a_download_goes_on_where_it_was_cut(hub: Hub, api: HfApi, folder: Path, tmp_path: Path) -> None:
    """The client keeps whole chunks of 10 MiB."""
    chunk = huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE
    content = bytes(range(250)) * (chunk // 200)
    (folder / "adapter.safetensors").write_bytes(content)
    upload(api, folder)
    hub.stop("adapter.safetensors", after=chunk + 40_000)
    with pytest.raises(requests.RequestException):
        fetch(api, tmp_path / "cache")
    assert fetch(api, tmp_path / "cache") == content
    assert hub.calls("GET", "safetensors")[-1].headers["range"] == f"bytes={chunk}-"


def test_faults_pass(hub: Hub, api: HfApi, folder: Path) -> None:
    upload(api, folder)
    hub.fail(method="GET", path=f"/api/models/{REPO}", status=503, times=2, headers={"Retry-After": "0"})
    for _ in range(2):
        with pytest.raises(HfHubHTTPError, match="503"):
            api.model_info(REPO)
    hub.slow(f"/api/models/{REPO}", seconds=1, times=1)
    with pytest.raises(requests.Timeout):
        api.model_info(REPO, timeout=0.2)
    assert api.model_info(REPO).id == REPO


def test_a_cut_upload_changes_nothing(
    hub: Hub, api: HfApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The large file has arrived when the commit, in which the other files are, is cut."""
    (folder / "notes.txt").write_bytes(b"x" * 400_000)
    with Cutter(hub.port, after=200_000) as cutter:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", cutter.url)
        cut = HfApi(endpoint=cutter.url, token="hf_token_of_me")
        with pytest.raises(requests.ConnectionError):
            upload(cut, folder)
        assert (cutter.cuts, len(hub.stored)) == (1, 1)
        assert list(hub.files("models", REPO)) == [".gitattributes"]
        upload(cut, folder)
    assert hub.files("models", REPO)["notes.txt"] == b"x" * 400_000


def test_a_large_file_that_is_cut_is_sent_again(
    hub: Hub, api: HfApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Cutter(hub.port, after=50_000) as cutter:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", cutter.url)
        upload(HfApi(endpoint=cutter.url, token="hf_token_of_me"), folder)
        assert cutter.cuts == 1
    assert hub.files("models", REPO)["adapter.safetensors"] == (folder / "adapter.safetensors").read_bytes()


def test_a_hostile_repository(hub: Hub, api: HfApi) -> None:
    hub.put("models", "you/bad", {"../x": b"1", "a.bin": b"22"}, listed_sizes={"a.bin": 10**12})
    told = api.model_info("you/bad", files_metadata=True)
    assert {each.rfilename: each.size for each in told.siblings or []} == {"../x": 1, "a.bin": 10**12}
