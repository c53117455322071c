"""LoRA adapters written for PEFT and read from it: PEFT itself computes the same, both ways."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from adapterstilts.errors import AdapterError
from adapterstilts.hub.lora_tensors import form_of
from adapterstilts.hub.peft_export import ADAPTER, CONFIG, export
from adapterstilts.hub.peft_import import _PeftAdapter, read
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.model import backbone
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.host import Host
from adapterstilts.store import Run
from tests.hub.loras import EVERYTHING, HEADS, disturb, lora_run, of_host, of_plain, of_run

PAIR = HEADS["sentence"]


@pytest.fixture(scope="module")
def hosts(tiny_backbone: Path, tiny_xlmr: Path) -> dict[str, Host]:
    folders = {"bert": tiny_backbone, "xlm-roberta": tiny_xlmr}
    return {name: Host(backbone.BackboneFiles.locate(str(folder))) for name, folder in folders.items()}


@pytest.fixture
def bert(hosts: dict[str, Host]) -> Host:
    return hosts["bert"]


def plain(host: Host, auto: str, **settings: Any) -> Any:
    loader = getattr(transformers, auto)
    return loader.from_pretrained(host.files.folder, **settings)


@pytest.mark.parametrize("model_type", ["bert", "xlm-roberta"])
@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("settings", [{}, EVERYTHING, {"leave_out": [1]}], ids=["few", "many", "below"])
def test_peft_gives_the_runs_logits(
    hosts: dict[str, Host], tmp_path: Path, kind: str, model_type: str, settings: dict[str, Any]
) -> None:
    host, head = hosts[model_type], HEADS[kind]
    run = lora_run(host, tmp_path / "run", head, **settings)
    export(run, host.files, tmp_path / "out")
    form = form_of(head.kind if head else None, model_type)
    labels = {"num_labels": len(head.labels)} if head and head.labels else {}
    model = peft.PeftModel.from_pretrained(plain(host, form.auto, **labels), tmp_path / "out")
    assert torch.allclose(of_plain(model, host), of_run(host, run), atol=1e-5)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [CONFIG, ADAPTER]
    written = json.loads((tmp_path / "out" / CONFIG).read_text())
    assert written.keys() <= {field.name for field in fields(peft.LoraConfig)}
    assert str(host.files.folder.parent) not in str(written)


@pytest.mark.parametrize("kind", HEADS)
def test_what_was_exported_reads_back_as_it_was(bert: Host, tmp_path: Path, kind: str) -> None:
    run = lora_run(bert, tmp_path / "run", HEADS[kind], **EVERYTHING)
    spec, before = bert.adapter_spec("target"), bert._neutral_state("target")
    export(run, bert.files, tmp_path / "out")
    found = read(tmp_path / "out", bert.files)
    assert found.spec.config == spec.config
    assert found.weights.keys() == before.keys()
    assert all(torch.equal(found.weights[name], before[name]) for name in before)
    assert (found.head and found.head.kind) == (HEADS[kind] and HEADS[kind].kind)


def test_of_several_heads_one_is_named(bert: Host, tmp_path: Path) -> None:
    run = lora_run(bert, tmp_path / "run", PAIR, HEADS["span"])
    with pytest.raises(
        AdapterError, match="has several heads \\(task0, task1\\): pass one of them with --task"
    ):
        export(run, bert.files, tmp_path / "out")
    with pytest.raises(AdapterError, match="has no head for task2; it has: task0, task1"):
        export(run, bert.files, tmp_path / "out", "task2")
    export(run, bert.files, tmp_path / "out", "task1")
    model = peft.PeftModel.from_pretrained(plain(bert, "AutoModelForQuestionAnswering"), tmp_path / "out")
    assert torch.allclose(of_plain(model, bert), of_run(bert, run, "task1"), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"below": ["b"]}, "a stack of adapters"),
        ({"fused": ["b", "c"], "target": None}, "a fusion of several adapters"),
        ({"language": "l"}, "an adapter on top of a language adapter"),
        ({"target": None}, "the bare backbone"),
    ],
)
def test_a_composition_is_refused(bert: Host, tmp_path: Path, change: dict[str, Any], what: str) -> None:
    run = lora_run(bert, tmp_path / "run", PAIR)
    path = tmp_path / "run" / "active_adapters.json"
    described = json.loads(path.read_text())
    described["adapters"].update(change)
    path.write_text(json.dumps(described))
    with pytest.raises(AdapterError, match=f"single-made is {what}: only a single LoRA.*--config lora"):
        export(run, bert.files, tmp_path / "out")


@pytest.mark.parametrize(
    ("config", "settings", "what"),
    [
        ("seq_bn", {}, "method 'bottleneck'"),
        ("ia3", {}, "method 'ia3'"),
        ("lora", {"use_gating": True}, "a LoRA with gates"),
        ("unipelt", {"prefix_tuning.bottleneck_size": 8}, "method 'union'"),
    ],
)
def test_another_method_is_refused(
    bert: Host, tmp_path: Path, config: str, settings: dict[str, Any], what: str
) -> None:
    run = lora_run(bert, tmp_path / "run", PAIR, config=config, **settings)
    with pytest.raises(AdapterError, match=what):
        export(run, bert.files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# From PEFT

Saved = Callable[..., tuple[Path, torch.Tensor]]


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """Makes an adapter with PEFT itself, saves it, and gives the folder and what it computes."""

    def make(
        host: Host, auto: str, task: str | None, labels: int = 3, **settings: Any
    ) -> tuple[Path, torch.Tensor]:
        config = peft.LoraConfig(task_type=task, **{"r": 4, "lora_alpha": 6, "lora_dropout": 0.1, **settings})
        model = peft.get_peft_model(plain(host, auto, num_labels=labels), config)
        named = dict(model.named_parameters())
        disturb({name: named[name] for name in named if named[name].requires_grad})
        model.save_pretrained(tmp_path / "saved")
        return tmp_path / "saved", of_plain(model, host)

    return make


def of_foreign(host: Host, found: _PeftAdapter) -> torch.Tensor:
    host.reset()
    host.place_adapter("t", found.spec, found.weights)
    if found.head:
        host.place_head("t", found.head, found.head_weights)
    return of_host(host, ActiveAdapters(target="t", head="t" if found.head else None))


SENTENCE, TAGS = "AutoModelForSequenceClassification", "AutoModelForTokenClassification"
SPAN, CHOICE = "AutoModelForQuestionAnswering", "AutoModelForMultipleChoice"
LOWEST = ["layer.0.attention.self.query", "layer.0.attention.self.value"]
CASES: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "default": (SENTENCE, "SEQ_CLS", {}),
    "own pooler": (SENTENCE, "SEQ_CLS", {"modules_to_save": ["pooler"], "target_modules": ["key", "query"]}),
    "feed-forward": (TAGS, "TOKEN_CLS", {"target_modules": ["intermediate.dense"]}),
    "pattern": (TAGS, "TOKEN_CLS", {"target_modules": r".*\.1\.(output\.dense|attention\.self\.value)"}),
    "rank-stabilised": (SPAN, "QUESTION_ANS", {"labels": 2, "use_rslora": True}),
    "one layer": (
        SPAN, "QUESTION_ANS", {"labels": 2, "target_modules": ["query"], "layers_to_transform": [1]},
    ),
    "choice": (CHOICE, None, {"modules_to_save": ["classifier"], "target_modules": ["value"]}),
    "no head": ("AutoModel", "FEATURE_EXTRACTION", {"target_modules": ["query", "key", "value"]}),
    "left out": (
        "AutoModel", None, {"target_modules": ["query", "value"], "exclude_modules": LOWEST},
    ),
    "started otherwise": ("AutoModel", None, {"target_modules": ["query"], "init_lora_weights": "gaussian"}),
}  # fmt: skip


@pytest.mark.parametrize("model_type", ["bert", "xlm-roberta"])
@pytest.mark.parametrize("case", CASES)
def test_what_peft_saved_computes_the_same_here(
    hosts: dict[str, Host], saved: Saved, case: str, model_type: str
) -> None:
    auto, task, settings = CASES[case]
    host = hosts[model_type]
    folder, expected = saved(host, auto, task, **settings)
    found = read(folder, host.files)
    assert torch.allclose(of_foreign(host, found), expected, atol=1e-5)
    headless = auto == "AutoModel"
    assert (found.head is None) == headless and (found.headless == "the file has none") == headless
    if found.head and found.head.labels:
        assert found.head.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    host.reset()


def test_saved_in_our_form_it_loads_again(bert: Host, saved: Saved, tmp_path: Path) -> None:
    folder, expected = saved(bert, SENTENCE, "SEQ_CLS")
    of_foreign(bert, read(folder, bert.files))
    head = bert._heads["t"]
    bert.save_adapter("t", tmp_path / "a")
    bert.save_head("t", tmp_path / "h")
    bert.reset()
    bert.load_adapter(tmp_path / "a", "b")
    bert.load_head(tmp_path / "h", "b", head)
    assert torch.allclose(of_host(bert, ActiveAdapters(target="b", head="b")), expected, atol=1e-5)


def test_half_precision_is_taken(bert: Host, saved: Saved) -> None:
    folder, _ = saved(bert, "AutoModel", None, target_modules=["query"])
    half = {name: tensor.bfloat16() for name, tensor in load_file(folder / ADAPTER).items()}
    save_file(half, folder / ADAPTER)
    model = peft.PeftModel.from_pretrained(plain(bert, "AutoModel"), folder)
    assert torch.allclose(of_foreign(bert, read(folder, bert.files)), of_plain(model, bert), atol=1e-5)


def test_a_pooler_that_the_backbone_lacks_leaves_the_head_out(
    bert: Host, saved: Saved, tmp_path: Path
) -> None:
    folder, _ = saved(bert, SENTENCE, "SEQ_CLS")
    bare = tmp_path / "bare"
    shutil.copytree(bert.files.folder, bare)
    kept = {k: v for k, v in load_file(bare / "model.safetensors").items() if not k.startswith("pooler.")}
    save_file(kept, bare / "model.safetensors", metadata={"format": "pt"})
    found = read(folder, backbone.BackboneFiles.locate(str(bare)))
    assert found.head is None and "requires the pooler" in str(found.headless)


def test_a_regressions_head_is_left_out(hosts: dict[str, Host], saved: Saved) -> None:
    folder, _ = saved(hosts["xlm-roberta"], SENTENCE, "SEQ_CLS", labels=1)
    found = read(folder, hosts["xlm-roberta"].files)
    assert found.headless == "a classification head with 1 outputs is not supported"


@pytest.fixture
def usual(bert: Host, saved: Saved) -> Path:
    return saved(bert, SENTENCE, "SEQ_CLS", modules_to_save=["pooler"])[0]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("peft_type", "IA3", "PEFT's method IA3"),
        ("use_dora", True, "use_dora: True.*merge_and_unload"),
        ("rank_pattern", {"query": 8}, "rank_pattern"),
        ("alpha_pattern", {"query": 8}, "alpha_pattern"),
        ("bias", "lora_only", "bias: lora_only"),
        ("fan_in_fan_out", True, "fan_in_fan_out"),
        ("lora_bias", True, "lora_bias"),
        ("trainable_token_indices", [3], "trainable_token_indices"),
        ("megatron_config", {"x": 1}, "megatron_config"),
        ("layer_replication", [[0, 1]], "layer_replication"),
        ("target_parameters", ["x"], "target_parameters"),
        ("alora_invocation_tokens", [1], "alora_invocation_tokens"),
        ("a_key_of_tomorrow", 0.5, "a_key_of_tomorrow: 0.5"),
        ("init_lora_weights", "pissa", "init_lora_weights: pissa"),
        ("modules_to_save", ["embeddings"], "modules_to_save: embeddings"),
        ("layers_pattern", "h", "layers_pattern"),
        ("target_modules", ["query"], "value.lora_A.weight is not among its target_modules"),
        ("target_modules", ["query", "value", "key"], "key.lora_A.weight is missing"),
        ("target_modules", "all-linear", "is missing"),
        ("target_modules", None, "target_modules are missing or malformed"),
        ("layers_to_transform", [0], "layer.1.*is not among its target_modules"),
        ("exclude_modules", ["query"], "query.*is not among its target_modules"),
        ("exclude_modules", 3, "exclude_modules: should be a list"),
        ("r", 8, r"the shape \(4, 32\), not \(8, 32\)"),
        ("r", "many", "not "),
        ("lora_alpha", -1, "lora_alpha: should be a number from 0"),
        ("lora_alpha", None, "alpha"),
        ("modules_to_save", 3, "malformed"),
        ("task_type", ["x"], "task_type: should be a text"),
        ("task_type", "TOKEN_CLS", "not part of a BertForTokenClassification"),
    ],
)
def test_a_setting_without_counterpart_is_refused(
    bert: Host, usual: Path, key: str, value: object, said: str
) -> None:
    config = json.loads((usual / CONFIG).read_text())
    (usual / CONFIG).write_text(json.dumps({**config, key: value}))
    with pytest.raises(AdapterError, match=said):
        read(usual, bert.files)


QUERY = "base_model.model.bert.encoder.layer.0.attention.self.query"
CLASSIFIER = "base_model.model.classifier.weight"


@pytest.mark.parametrize(
    ("name", "tensor", "said"),
    [
        (f"{QUERY}.lora_A.weight", None, "query.lora_A.weight is missing"),
        (f"{QUERY}.lora_B.weight", torch.zeros(64, 4), r"the shape \(64, 4\), not \(32, 4\)"),
        (f"{QUERY}.lora_B.weight", torch.full((32, 4), torch.nan), "query.lora_B.weight holds NaN"),
        (f"{QUERY}.lora_B.weight", torch.zeros(32, 4, dtype=torch.int8), "of type 'I8'"),
        (f"{QUERY}.lora_magnitude_vector", torch.ones(32), "lora_magnitude_vector is not supported"),
        (f"{QUERY}.lora_B.bias", torch.ones(32), "lora_B.bias is not supported"),
        (f"{QUERY}.bias", torch.ones(32), "query.bias is not supported"),
        (QUERY.replace("bert", "roberta") + ".lora_A.weight", torch.ones(4, 32), "another type of model"),
        (QUERY.replace("bert.", "") + ".lora_A.weight", torch.ones(4, 32), "is not supported"),
        (
            QUERY.replace("layer.0", "layer.7") + ".lora_A.weight",
            torch.ones(4, 32),
            "layer.7.*adapters cannot change",
        ),
        (
            "base_model.model.bert.encoder.layer.0.attention.output.dense.lora_A.weight",
            torch.ones(4, 32),
            "changes encoder.layer.0.attention.output.dense, .*merge_and_unload",
        ),
        ("base_model.model.bert.pooler.dense.lora_A.weight", torch.ones(4, 32), "changes pooler.dense"),
        (CLASSIFIER, None, "tensor classifier.weight of its head is missing"),
        (CLASSIFIER, torch.ones(3, 16), "has the shape"),
        ("base_model.model.qa_outputs.weight", torch.ones(2, 32), "qa_outputs.weight is not part of a Bert"),
        ("weight", torch.ones(2), "its tensor weight belongs to another type"),
    ],
)
def test_a_tensor_without_place_is_refused(
    bert: Host, usual: Path, name: str, tensor: torch.Tensor | None, said: str
) -> None:
    state = load_file(usual / ADAPTER)
    changed = {**state, name: tensor} if tensor is not None else {k: v for k, v in state.items() if k != name}
    save_file(changed, usual / ADAPTER)
    with pytest.raises(AdapterError, match=said):
        read(usual, bert.files)


def test_uneven_layers_are_refused(bert: Host, saved: Saved) -> None:
    targets = ["layer.0.attention.self.query", "layer.1.attention.self.query", "layer.1.attention.self.value"]
    folder, _ = saved(bert, "AutoModel", None, target_modules=targets)
    with pytest.raises(AdapterError, match=r"but in layer 0 only attention.self.query.*merge_and_unload"):
        read(folder, bert.files)


def test_a_missing_head_that_was_promised_is_refused(bert: Host, usual: Path) -> None:
    state = {name: tensor for name, tensor in load_file(usual / ADAPTER).items() if "lora" in name}
    save_file(state, usual / ADAPTER)
    with pytest.raises(AdapterError, match="tensors of its head are missing"):
        read(usual, bert.files)


def test_pickles_and_what_is_no_adapter_are_refused(bert: Host, usual: Path, tmp_path: Path) -> None:
    (usual / ADAPTER).rename(usual / "adapter_model.bin")
    with pytest.raises(AdapterError, match=r"adapter_model.bin, a pickle.*save it again with PEFT"):
        read(usual, bert.files)
    (usual / CONFIG).write_text("[" * 5)
    with pytest.raises(AdapterError, match="damaged"):
        read(usual, bert.files)
    (usual / CONFIG).write_text("{}")
    with pytest.raises(AdapterError, match="no 'peft_type'"):
        read(usual, bert.files)
    with pytest.raises(AdapterError, match="has no adapter_config"):
        read(tmp_path, bert.files)


def test_another_backbone_is_refused(bert: Host, usual: Path, tiny_xlmr: Path, deeper_backbone: Path) -> None:
    with pytest.raises(AdapterError, match="another type of model"):
        read(usual, backbone.BackboneFiles.locate(str(tiny_xlmr)))
    with pytest.raises(AdapterError, match=r"layer.2.attention.self.query.lora_A.weight is missing"):
        read(usual, backbone.BackboneFiles.locate(str(deeper_backbone)))
    config = json.loads((usual / CONFIG).read_text())
    named = replace(bert.files, name="mbert", commit="1" * 40)
    for name, fine in (("bert-base-multilingual-cased", True), ("google-bert/bert-base-uncased", False)):
        (usual / CONFIG).write_text(json.dumps({**config, "base_model_name_or_path": name}))
        if fine:
            read(usual, named)
        else:
            with pytest.raises(AdapterError, match="trained on google-bert/bert-base-uncased, not"):
                read(usual, named)


def test_the_backbones_hub_id_and_commit_are_named(bert: Host, tmp_path: Path) -> None:
    run: Run = lora_run(bert, tmp_path / "run", HeadSpec("span"))
    export(run, replace(bert.files, name="mbert", commit="1" * 40), tmp_path / "out")
    written = json.loads((tmp_path / "out" / CONFIG).read_text())
    assert written["base_model_name_or_path"] == "google-bert/bert-base-multilingual-cased"
    assert written["revision"] == "1" * 40
