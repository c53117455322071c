"""A Hub that is busy, slow, away or cut off, and who may write: nothing is left half-done, nothing told."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapterstilts.cli.app import app
from adapterstilts.errors import HubError
from adapterstilts.hub.licence import LICENCES
from adapterstilts.hub.publish import publish
from adapterstilts.hub.pull import pull
from adapterstilts.store import Store
from tests.hub.conftest import Runs
from tests.hub.fake_hub.cutter import Cutter
from tests.hub.fake_hub.server import Hub

TOKEN = "hf_token_of_me"


def test_whose_token(trained: Runs, store: Path, me: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HubError, match="no permission to write: log in"):
        publish(trained["single"].id, "you/theirs", store)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match="refused your token") as error:
        publish(trained["single"].id, "me/one", store)
    assert "hf_wrong" not in str(error.value)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="log in"):
        publish(trained["single"].id, "me/one", store)
    assert hub.repos == {}


def test_a_card_that_the_hub_does_not_take(
    trained: Runs, store: Path, me: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LICENCES, "CC0-1.0", ("no-such-licence", "free"))
    monkeypatch.setattr("adapterstilts.hub.licence.PERMISSIVE", ("no-such-licence",))
    with pytest.raises(HubError, match="refused the card"):
        publish(trained["single"].id, "me/one", store)
    assert set(hub.files("models", "me/one")) <= {".gitattributes"}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_asked_again(status: int, trained: Runs, store: Path, me: Path, hub: Hub) -> None:
    hub.fail("POST", "/commit/", status, times=2, headers={"Retry-After": "0"})
    hub.fail("POST", "/api/repos/create", status, times=1, headers={"Retry-After": "0"})
    publish(trained["single"].id, "me/one", store)
    hub.fail("GET", "", status, times=2, headers={"Retry-After": "0"})
    assert pull("me/one", me).id == trained["single"].id


def test_a_hub_that_stays_busy(trained: Runs, store: Path, me: Path, hub: Hub) -> None:
    hub.fail("POST", "/commit/", 503, times=100, headers={"Retry-After": "0"})
    with pytest.raises(HubError, match="status 503"):
        publish(trained["single"].id, "me/one", store)
    assert set(hub.files("models", "me/one")) <= {".gitattributes"}


def test_a_slow_hub(trained: Runs, store: Path, me: Path, hub: Hub) -> None:
    hub.slow("/commit/|resolve", 0.2)
    publish(trained["single"].id, "me/one", store)
    assert pull("me/one", me).id == trained["single"].id


@pytest.mark.parametrize("after", [2_000, 20_000, 60_000])
def test_a_cut_upload_leaves_nothing_or_everything(
    after: int, trained: Runs, store: Path, me: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Cutter(hub.port, after, times=100) as cutter:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", cutter.url)
        with suppress(HubError):  # the last cuts may be too late to matter
            publish(trained["single"].id, "me/one", store)
    held = hub.repos.get(("models", "me/one"))
    names = set(hub.files("models", "me/one")) - {".gitattributes"} if held else set()
    assert not names or "run/manifest.json" in names
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    publish(trained["single"].id, "me/one", store)
    assert pull("me/one", me).id == trained["single"].id


@pytest.mark.parametrize("file", ["adapter.safetensors", "run/job.json", "run/manifest.json", "README.md"])
def test_a_cut_download_leaves_no_run(file: str, trained: Runs, store: Path, me: Path, hub: Hub) -> None:
    publish(trained["single"].id, "me/one", store)
    hub.stop(f"resolve/.*{file}$", after=100, times=100)
    with pytest.raises(HubError):
        pull("me/one", me)
    assert not list(me.glob("single-*")) and list(Store(me).scan()) == []
    hub.faults.clear()
    assert pull("me/one", me).id == trained["single"].id


def test_of_publishers_at_once_each_commit_is_whole(trained: Runs, store: Path, me: Path, hub: Hub) -> None:
    hub.slow("/commit/", 0.3)
    said: list[str] = []

    def run(name: str) -> None:
        try:
            publish(trained[name].id, "me/one", store)
            said.append("done")
        except HubError as error:
            said.append(str(error))

    threads = [threading.Thread(target=run, args=(name,)) for name in ("single", "qa")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "done" in said
    assert all(each == "done" or "meanwhile" in each or "at this moment" in each for each in said), said
    assert pull("me/one", me).id in (trained["single"].id, trained["qa"].id)


def test_the_token_is_nowhere(
    trained: Runs, store: Path, me: Path, hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is in the requests' header alone: not in the store, the cache, the repository, or in any message."""
    call = CliRunner().invoke
    said = [call(app, ["publish", trained["single"].id, "me/one", "-C", str(store)])]
    said.append(call(app, ["pull", "me/one", "-C", str(me), "--json"]))
    hub.fail("", "", 500, times=1000, headers={"Retry-After": "0"})
    said.append(call(app, ["pull", "me/one@other", "-C", str(me)]))
    hub.faults.clear()
    said.append(call(app, ["publish", trained["single"].id, "you/one", "-C", str(store)]))
    assert [each.exit_code for each in said] == [0, 0, 2, 2], [each.output for each in said]
    texts = [each.output for each in said] + list(capfd.readouterr())
    contents = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    contents += list(hub.files("models", "me/one").values())
    assert TOKEN.encode() not in b"".join(contents) and TOKEN not in "".join(texts)
    assert any(TOKEN in each.headers.get("authorization", "") for each in hub.log), (
        "the test looks for the token"
    )


def test_offline_is_said(trained: Runs, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        publish(trained["single"].id, "me/one", store)


def test_a_hub_that_is_not_there(
    trained: Runs, store: Path, me: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("adapterstilts.hub.client.TRIES", 1)
    with pytest.raises(HubError, match="connection to the Hub failed"):
        publish(trained["single"].id, "me/one", store)
    with pytest.raises(HubError):
        pull("me/one", me)
