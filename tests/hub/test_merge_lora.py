"""LoRA adapters folded into their backbone: plain transformers computes the same, without adapters."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from adapterstilts.errors import AdapterError, ConfigError, StoreError
from adapterstilts.hub.lora_tensors import form_of
from adapterstilts.hub.merge_lora import merge_run
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.model import backbone
from adapterstilts.model.host import Host
from adapterstilts.store.scratch import PREFIX
from tests.hub.loras import EVERYTHING, HEADS, TEXTS, lora_run, of_plain, of_run


@pytest.fixture(scope="module")
def hosts(tiny_backbone: Path, tiny_xlmr: Path) -> dict[str, Host]:
    folders = {"bert": tiny_backbone, "xlm-roberta": tiny_xlmr}
    return {name: Host(backbone.BackboneFiles.locate(str(folder))) for name, folder in folders.items()}


@pytest.mark.parametrize("model_type", ["bert", "xlm-roberta"])
@pytest.mark.parametrize("kind", HEADS)
def test_transformers_gives_the_runs_logits(
    hosts: dict[str, Host], tmp_path: Path, kind: str, model_type: str
) -> None:
    host, head = hosts[model_type], HEADS[kind]
    run = lora_run(host, tmp_path / "run", head, **EVERYTHING)
    (tmp_path / "deep" / f"{PREFIX}killed").mkdir(parents=True)
    merged = merge_run(run, host.files, tmp_path / "deep" / "out")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"], "no leftovers of a killed merge"
    assert merged.auto == form_of(head.kind if head else None, model_type).auto
    loader = getattr(transformers, merged.auto)
    model, info = loader.from_pretrained(merged.folder, output_loading_info=True)
    assert not (info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"])
    assert torch.allclose(of_plain(model, host), of_run(host, run), atol=1e-5)
    if head and head.labels:
        assert tuple(model.config.id2label.values()) == head.labels == merged.labels
        assert model.config.label2id[head.labels[1]] == 1
    assert model.config.architectures == [type(model).__name__]
    tokenizer = transformers.AutoTokenizer.from_pretrained(merged.folder)
    assert tokenizer(TEXTS).input_ids == host.tokenizer(TEXTS).input_ids
    config = (merged.folder / "config.json").read_text()
    assert str(host.files.folder.parent) not in config and str(tmp_path) not in config
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert merged.size == sum(path.stat().st_size for path in merged.folder.iterdir())


def test_it_is_a_backbone_on_which_a_lora_can_be_merged_again(hosts: dict[str, Host], tmp_path: Path) -> None:
    host = hosts["bert"]
    first = merge_run(lora_run(host, tmp_path / "a", HEADS["sentence"]), host.files, tmp_path / "first")
    files = backbone.BackboneFiles.locate(str(first.folder))
    assert files.fingerprint != host.files.fingerprint
    again = Host(files)
    tags = HeadSpec("tagging", ("O", "B", "I", "E", "S"))  # five labels, over a checkpoint with three
    run = lora_run(again, tmp_path / "b", tags)
    second = merge_run(run, files, tmp_path / "second")
    spans = merge_run(lora_run(again, tmp_path / "c", HEADS["span"]), files, tmp_path / "third")
    assert "maybe" not in (spans.folder / "config.json").read_text()
    model = transformers.AutoModelForTokenClassification.from_pretrained(second.folder)
    assert model.config.problem_type is None
    assert torch.allclose(of_plain(model, again), of_run(again, run), atol=1e-5)


def test_no_pooler_is_made_up(hosts: dict[str, Host], tmp_path: Path) -> None:
    host, bare = hosts["xlm-roberta"], tmp_path / "bare"
    bare.mkdir()
    for path in host.files.folder.iterdir():
        (bare / path.name).write_bytes(path.read_bytes())
    kept = {
        f"roberta.{name}": tensor  # as a checkpoint with a head for masked subwords has them
        for name, tensor in load_file(bare / "model.safetensors").items()
        if not name.startswith("pooler.")
    }
    save_file(kept, bare / "model.safetensors", metadata={"format": "pt"})
    own = Host(backbone.BackboneFiles.locate(str(bare)))
    run = lora_run(own, tmp_path / "run", None)
    merged = merge_run(run, own.files, tmp_path / "out")
    assert not any("pooler" in name for name in load_file(merged.folder / "model.safetensors"))
    model = transformers.AutoModel.from_pretrained(merged.folder)
    assert torch.allclose(of_plain(model, own), of_run(own, run), atol=1e-5)


def test_what_is_no_lora_is_refused(hosts: dict[str, Host], tmp_path: Path) -> None:
    host = hosts["bert"]
    run = lora_run(host, tmp_path / "run", HEADS["span"], config="seq_bn")
    with pytest.raises(AdapterError, match=r"method 'bottleneck'.*merged into its backbone"):
        merge_run(run, host.files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_adapter_of_another_backbone_is_refused(hosts: dict[str, Host], tmp_path: Path) -> None:
    run = lora_run(hosts["bert"], tmp_path / "run", HEADS["span"])
    with pytest.raises(AdapterError, match="another backbone"):
        merge_run(run, hosts["xlm-roberta"].files, tmp_path / "out")


def test_a_folder_in_use_is_refused(hosts: dict[str, Host], tmp_path: Path) -> None:
    host = hosts["bert"]
    run = lora_run(host, tmp_path / "run", HEADS["span"])
    out = tmp_path / "out"
    out.mkdir()
    merge_run(run, host.files, out)  # an empty one is fine
    with pytest.raises(ConfigError, match="exists and is not empty"):
        merge_run(run, host.files, out)
    with pytest.raises(ConfigError, match="exists and is not empty"):
        merge_run(run, host.files, out / "config.json")


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StoreError),
        (OSError(errno.EIO, "broken"), OSError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_failure_leaves_nothing(
    hosts: dict[str, Host],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    raised: type[BaseException],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    host = hosts["bert"]
    run = lora_run(host, tmp_path / "run", HEADS["span"])
    monkeypatch.setattr("adapterstilts.hub.merge_lora.save_file", fail)
    with pytest.raises(raised):
        merge_run(run, host.files, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def program(*arguments: str, code: int = 0) -> Result:
    from adapterstilts.cli.app import app

    found = CliRunner().invoke(app, list(arguments))
    assert found.exit_code == code, (found.output, found.exception)
    return found


def test_the_verb_merges_a_trained_run(
    tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ADAPTERSTILTS_DATA", "ADAPTERSTILTS_STORE", "ADAPTERSTILTS_BACKBONE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    quick = ("--limit", "40", "--max-steps", "2", "--backbone", str(tiny_backbone))
    program("train-adapter", "mini_nli", *quick, "--config", "lora")
    program("evaluate", "single-mini_nli", "--languages", "de", "--backbone", str(tiny_backbone))
    told = json.loads(program("merge", "single-mini_nli", "--out", "nli", "--json").stdout)
    assert told["auto"] == "AutoModelForSequenceClassification"
    assert told["folder"] == "nli" and len(told["labels"]) == 3 and told["run"].startswith("single-mini_nli")
    again = program("merge", "single-mini_nli", "--out", "nli", code=2)
    assert "not empty" in again.stderr
    assert "is an evaluation" in program("merge", "eval-mini_nli", "--out", "x", code=2).stderr
    said = program("merge", "single-mini_nli", "--task", "mini_nli", "--out", "other").stderr
    assert said.startswith("written: other (") and "AutoModelForSequenceClassification" in said
    retrieval = program("merge", "single-mini_nli", "--task", "mini_qa", "--out", "x", code=2)
    assert "no head for mini_qa" in retrieval.stderr.replace("\n", " ")
    quick = ("--limit", "40", "--max-steps", "2", "--backbone", "nli")
    program("train-adapter", "mini_qa", *quick)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "nli", "other"]
