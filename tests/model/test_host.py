"""Adapters on the encoder: what is computed, what trains, what is left behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterstilts.errors import AdapterError, BackboneError, ConfigError
from adapterstilts.kinds.base import Batch, HeadSpec
from adapterstilts.model import backbone
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.host import Host
from tests.model.conftest import add, disturb, spec_of, states

NAMES = ("seq_bn", "double_seq_bn", "par_bn", "seq_bn_inv", "lora", "ia3", "prefix", "compacter", "unipelt")
PAIR = HeadSpec("classification", ("no", "yes", "maybe"))


@pytest.mark.parametrize("name", ["seq_bn", "double_seq_bn", "par_bn", "seq_bn_inv", "compacter"])
def test_a_zeroed_adapter_equals_the_backbone(host: Host, batch: Batch, name: str) -> None:
    bare = states(host, batch)
    add(host, "a", name)
    assert not torch.allclose(states(host, batch, target="a"), bare, atol=1e-3)
    for tensor in host._adapter_state("a").values():
        tensor.zero_()
    assert torch.allclose(states(host, batch, target="a"), bare, atol=1e-6)


@pytest.mark.parametrize("name", ["lora", "ia3", "par_bn"])
def test_these_begin_as_the_backbone(host: Host, batch: Batch, name: str) -> None:
    bare = states(host, batch)
    host.add_adapter("a", spec_of(name), seed=1)
    assert torch.allclose(states(host, batch, target="a"), bare, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_gives_the_same_outputs(host: Host, batch: Batch, tmp_path: Path, name: str) -> None:
    add(host, "a", name)
    host.add_head("a", PAIR, seed=1)
    host.activate(ActiveAdapters(target="a", head="a"), train=False)
    before = host.forward(batch, "a")
    host.save_adapter("a", tmp_path / "x")
    host.save_head("a", tmp_path / "x")
    spec = host.adapter_spec("a")
    host.reset()
    host.load_adapter(tmp_path / "x", "b-2")
    host.load_head(tmp_path / "x", "c_3", PAIR)
    host.activate(ActiveAdapters(target="b-2", head="c_3"), train=False)
    assert torch.equal(host.forward(batch, "c_3"), before)
    assert host.adapter_spec("b-2") == spec


def test_saving_twice_gives_the_same_bytes_and_no_path_of_this_machine(host: Host, tmp_path: Path) -> None:
    add(host, "a", "unipelt")
    for folder in ("x", "y"):
        host.save_adapter("a", tmp_path / folder)
    written = load_file(tmp_path / "x" / "adapter.safetensors")
    host.activate(ActiveAdapters(target="a"), train=True)
    parameters = host.trainable()  # the model also names every prefix once for each layer
    assert len(written) == len(parameters) == len({id(parameter) for parameter in parameters.values()})
    files = sorted(path.name for path in (tmp_path / "x").iterdir())
    assert files == ["adapter.json", "adapter.safetensors", "adapter_config.json"]
    for name in files:
        data = (tmp_path / "x" / name).read_bytes()
        assert data == (tmp_path / "y" / name).read_bytes()
        assert str(host.files.folder.parent).encode() not in data


@pytest.mark.parametrize("name", NAMES)
def test_fresh_weights_depend_on_the_seed_alone(host: Host, name: str) -> None:
    host.add_adapter("first", spec_of(name), seed=3)
    torch.rand(5)
    before = torch.get_rng_state()
    host.add_adapter("other", spec_of(name), seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    host.add_adapter("third", spec_of(name), seed=4)
    same, third = host._digests(["first", "other"]), host._digests(["third"])
    assert same[0] == same[1]
    assert (third[0] == same[0]) == (name == "ia3")  # which begins with ones


def test_fresh_heads_depend_on_the_seed_alone(host: Host) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        host.add_head(name, PAIR, seed)
    weights = {name: host.model.heads[name].state_dict()["1.weight"] for name in "abc"}
    assert torch.equal(weights["a"], weights["b"]) and not torch.equal(weights["a"], weights["c"])


def trained(host: Host, setup: ActiveAdapters) -> set[str]:
    """Which modules, of those called a, b, l and heads h, k, have trainable parameters."""
    host.activate(setup, train=True)
    names = host.trainable()
    assert list(names) == sorted(names) and host.model.active_head == setup.head
    marks = {"a": "adapters.a.", "b": "adapters.b.", "l": "adapters.l.", "h": "heads.h.", "k": "heads.k."}
    marks["fusion"] = "adapter_fusion_layer"
    found = {short for short, mark in marks.items() if any(mark in name for name in names)}
    others = [name for name in names if not any(mark in name for mark in marks.values())]
    assert not others
    return found


def test_exactly_the_setups_own_part_trains(host: Host) -> None:
    for name in "ab":
        add(host, name)
    add(host, "l", "seq_bn_inv")
    for name in "hk":
        host.add_head(name, PAIR, seed=1)
    host.add_fusion(("a", "b"), seed=1)
    assert trained(host, ActiveAdapters(target="b", head="h")) == {"b", "h"}
    assert trained(host, ActiveAdapters(below=("a",), target="b", head="k")) == {"b", "k"}
    assert trained(host, ActiveAdapters(language="l", below=("a",), target="b", head="k")) == {"b", "k"}
    assert trained(host, ActiveAdapters(fused=("a", "b"), head="h")) == {"fusion", "h"}
    assert trained(host, ActiveAdapters(below=("a",), head="h")) == {"h"}
    host.add_head("b", PAIR, seed=1)  # the library would take the head of the target's name
    assert trained(host, ActiveAdapters(target="b", head="h")) == {"b", "h"}
    host.activate(ActiveAdapters(target="b", head="h"), train=False)
    assert not host.trainable() and not host.model.training
    with pytest.raises(AdapterError, match="nothing would train"):
        host.activate(ActiveAdapters(below=("a",)), train=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_changes_the_target_and_nothing_else(host: Host, batch: Batch, name: str) -> None:
    add(host, "l", "seq_bn_inv")
    add(host, "a", name)
    host.add_head("h", PAIR, seed=1)
    host.add_head("k", PAIR, seed=1)
    language = None if name in ("par_bn", "seq_bn_inv") else "l"
    host.activate(ActiveAdapters(language=language, target="a", head="h"), train=True)
    before = {key: value.clone() for key, value in host.model.state_dict().items()}
    optimizer = torch.optim.SGD(host.trainable().values(), lr=1.0)
    host.forward(batch, "h").square().sum().backward()
    assert all(parameter.grad is not None for parameter in host.trainable().values())
    optimizer.step()
    changed = {
        k for k, v in host.model.state_dict().items() if not torch.equal(v, before[k]) and ".pool." not in k
    }
    assert changed and changed <= set(host.trainable())
    assert any("heads.h." in key for key in changed)
    assert any("heads" not in key for key in changed)


def test_a_stack_runs_both_and_a_language_adapter_below(host: Host, batch: Batch) -> None:
    add(host, "a", seed=1)
    add(host, "b", seed=2)
    add(host, "l", "seq_bn_inv", seed=3)
    b, a = states(host, batch, target="b"), states(host, batch, target="a")
    stack = states(host, batch, below=("a",), target="b")
    assert not torch.allclose(stack, b, atol=1e-3) and not torch.allclose(stack, a, atol=1e-3)
    over = states(host, batch, language="l", below=("a",), target="b")
    assert not torch.allclose(over, stack, atol=1e-3)
    for key, tensor in host._adapter_state("l").items():
        if "invertible" not in key:
            tensor.zero_()
    only_invertible = states(host, batch, language="l", target="b")
    assert not torch.allclose(only_invertible, b, atol=1e-3)


def test_dropout_is_off_in_the_encoder_but_on_in_heads_and_adapters(host: Host, batch: Batch) -> None:
    host.add_adapter("a", spec_of("seq_bn"), seed=1)
    host.activate(ActiveAdapters(target="a"), train=True)
    assert torch.equal(host.hidden_states(batch, -1), host.hidden_states(batch, -1))
    host.add_adapter("d", spec_of("seq_bn", dropout=0.5), seed=1)
    disturb(host, "d", 1)
    host.activate(ActiveAdapters(target="d"), train=True)
    assert not torch.equal(host.hidden_states(batch, -1), host.hidden_states(batch, -1))
    host.add_head("h", PAIR, seed=1)
    host.activate(ActiveAdapters(target="a", head="h"), train=True)
    assert not torch.equal(host.forward(batch, "h"), host.forward(batch, "h"))
    assert torch.equal(host.hidden_states(batch, -1), host.hidden_states(batch, -1))


def test_dropout_can_be_kept(tiny_backbone: Path, batch: Batch) -> None:
    kept = Host(backbone.BackboneFiles.locate(str(tiny_backbone)), dropout=True)
    kept.add_adapter("a", spec_of("seq_bn"), seed=1)
    kept.activate(ActiveAdapters(target="a"), train=True)
    assert not torch.equal(kept.hidden_states(batch, -1), kept.hidden_states(batch, -1))
    kept.use_training_attention(enabled=True)
    assert not torch.equal(kept.hidden_states(batch, -1), kept.hidden_states(batch, -1))


@pytest.mark.parametrize("name", NAMES)
def test_both_kinds_of_attention_agree(host: Host, batch: Batch, name: str) -> None:
    add(host, "a", name)
    fused = states(host, batch, target="a")
    host.use_training_attention(enabled=True)
    kinds = {type(layer.attention.self).__name__ for layer in host.model.base_model.encoder.layer}
    plain = states(host, batch, target="a")
    host.use_training_attention(enabled=False)
    assert kinds == {"BertSelfAttentionWithAdapters"}
    assert torch.allclose(plain, fused, atol=1e-5)
    assert torch.equal(states(host, batch, target="a"), fused)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "unipelt"])
def test_padding_has_no_effect(host: Host, batch: Batch, name: str) -> None:
    add(host, "a", name)
    length = int(batch["attention_mask"][1].sum())
    alone = {key: value[1:, :length] for key, value in batch.items()}
    together = states(host, batch, target="a")[1:, :length]
    assert torch.allclose(states(host, alone, target="a"), together, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "labels", "shape"),
    [
        ("classification", 3, (2, 3)),
        ("tagging", 5, (2, None, 5)),
        ("span", 0, (2, None, 2)),
        ("choice", 0, (2,)),
    ],
)
def test_logits_have_the_shape_of_their_kind(
    host: Host, batch: Batch, kind: str, labels: int, shape: tuple[int | None, ...], tmp_path: Path
) -> None:
    head = HeadSpec(kind, tuple(f"l{n}" for n in range(labels)))  # type: ignore[arg-type]
    host.add_head("h", head, seed=1)
    host.activate(ActiveAdapters(head="h"), train=False)
    logits = host.forward(batch, "h")
    length = batch["input_ids"].shape[1]
    assert logits.shape == tuple(length if size is None else size for size in shape)
    host.save_head("h", tmp_path)
    host.load_head(tmp_path, "again", head)
    host.activate(ActiveAdapters(head="again"), train=False)
    assert torch.equal(host.forward(batch, "again"), logits)


def test_a_choice_head_takes_any_number_of_choices(host: Host, batch: Batch) -> None:
    host.add_head("h", HeadSpec("choice"), seed=1)
    host.activate(ActiveAdapters(head="h"), train=False)
    five = {key: value[[0, 1, 0, 1, 0]] for key, value in batch.items()}
    two, scores = host.forward(batch, "h"), host.forward(five, "h")
    assert scores.shape == (5,) and torch.allclose(scores, two[[0, 1, 0, 1, 0]], atol=1e-6)


def test_hidden_layers(host: Host, batch: Batch) -> None:
    host.activate(ActiveAdapters(), train=False)
    inner = host.model.base_model(**batch, output_hidden_states=True).hidden_states
    for layer, expected in ((0, inner[0]), (1, inner[1]), (2, inner[2]), (-1, inner[2]), (-3, inner[0])):
        assert torch.equal(host.hidden_states(batch, layer), expected)
    assert len(host.model.base_model.encoder.layer) == 2
    for layer in (3, -4):
        with pytest.raises(BackboneError, match="layers 0 to 2"):
            host.hidden_states(batch, layer)


def test_reset_leaves_the_bare_backbone(host: Host, batch: Batch) -> None:
    bare, names = states(host, batch), set(host.model.state_dict())
    for name in NAMES:
        host.add_adapter(name, spec_of(name), seed=1)
    for name in ("x", "y"):
        add(host, name)
    host.add_fusion(("x", "y"), seed=1)
    host.add_head("x", PAIR, seed=1)
    host.activate(ActiveAdapters(fused=("x", "y"), head="x"), train=True)
    host.reset()
    assert set(host.model.state_dict()) == names
    assert torch.equal(host.hidden_states(batch, -1), bare)
    assert not host.trainable()


def test_removing_one_adapter_keeps_the_others(host: Host, batch: Batch) -> None:
    add(host, "a", seed=1)
    add(host, "b", seed=2)
    host.add_fusion(("a", "b"), seed=1)
    b = states(host, batch, target="b")
    host.remove("a")
    assert torch.equal(states(host, batch, target="b"), b)
    with pytest.raises(AdapterError, match="no adapter 'a' is loaded"):
        host.activate(ActiveAdapters(fused=("a", "b")), train=False)


def test_one_adapters_configuration_does_not_change_anothers(host: Host, tmp_path: Path) -> None:
    host.add_adapter("plain", spec_of("seq_bn", reduction_factor=8), seed=1)
    host.add_adapter("phm", spec_of("seq_bn", reduction_factor=8, phm_layer=True), seed=1)
    host.save_adapter("plain", tmp_path)  # the library's hash of the two configurations is the same
    assert '"phm_layer": false' in (tmp_path / "adapter_config.json").read_text("utf-8")


def test_names_and_layers_that_cannot_be(host: Host) -> None:
    for name in ("a.b", "a,b", "", "a b"):
        with pytest.raises(AdapterError, match="not a valid adapter or head name"):
            host.add_adapter(name, spec_of("seq_bn"), seed=1)
    with pytest.raises(ConfigError, match="layers 0 to 1"):
        host.add_adapter("a", spec_of("seq_bn", leave_out=[7]), seed=1)
    with pytest.raises(ConfigError, match="does not fit"):
        host.add_adapter("a", spec_of("compacter", reduction_factor=32), seed=1)
    with pytest.raises(ConfigError, match="does not fit"):
        host.add_adapter("a", spec_of("seq_bn", reduction_factor={"0": 8}), seed=1)  # no default
    host.add_adapter("a", spec_of("seq_bn"), seed=1)  # nothing stayed behind
    with pytest.raises(AdapterError, match="loaded already"):
        host.add_adapter("a", spec_of("seq_bn"), seed=1)


def test_integer_keys_of_a_reduction_factor_map(host: Host) -> None:
    host.add_adapter("a", spec_of("seq_bn", reduction_factor={1: 8, "default": 2}), seed=1)
    sizes = {
        key.split(".")[3]: len(v)
        for key, v in host._neutral_state("a").items()
        if key.endswith("adapter_down.0.bias")
    }
    assert sizes == {"0": 16, "1": 4}


def test_arrangements_in_which_an_adapter_has_no_effect(host: Host) -> None:
    for name, config in (
        ("p", "par_bn"),
        ("q", "par_bn"),
        ("l", "lora"),
        ("m", "lora"),
        ("i", "seq_bn_inv"),
        ("b", "seq_bn"),
    ):
        add(host, name, config)
    for setup, message in (
        (ActiveAdapters(below=("p",), target="q"), "parallel"),
        (ActiveAdapters(below=("b",), target="p"), "parallel"),
        (ActiveAdapters(below=("l",), target="m"), "a LoRA takes the output of another"),
        (ActiveAdapters(below=("b",), target="i"), "bottom of a stack"),
        (ActiveAdapters(fused=("b", "i"), target="l"), "replaces the target"),
        (ActiveAdapters(target="b", head="none"), "no head 'none'"),
        (ActiveAdapters(fused=("b", "p")), "sequential bottlenecks"),
    ):
        with pytest.raises(AdapterError, match=message):
            host.activate(setup, train=False)


def test_the_library_does_lose_them(host: Host, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why `rules` refuses these: should a later version be right, the rule can go."""
    for name, config, seed in (("p", "par_bn", 1), ("q", "par_bn", 2), ("l", "lora", 3)):
        add(host, name, config, seed)
    host.add_adapter("m", spec_of("lora"), seed=4)  # fresh: adds nothing by itself
    bare, q = states(host, batch), states(host, batch, target="q")
    monkeypatch.setattr("adapterstilts.model.compatibility._check_stack", lambda stack: None)
    assert torch.equal(states(host, batch, below=("p",), target="q"), q)
    assert torch.allclose(states(host, batch, below=("l",), target="m"), bare, atol=1e-6)


def test_token_types_that_the_encoder_does_not_tell_apart(
    tiny_xlmr: Path, batch: Batch, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_xlmr, tmp_path / "one-type"))  # as XLM-R is published
    weights = load_file(folder / "model.safetensors")
    key = "embeddings.token_type_embeddings.weight"
    save_file(
        {**weights, key: weights[key][:1].clone()}, folder / "model.safetensors", metadata={"format": "pt"}
    )
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "type_vocab_size": 1}), "utf-8")
    host = Host(backbone.BackboneFiles.locate(str(folder)))
    second = {**batch, "token_type_ids": torch.ones_like(batch["token_type_ids"])}
    assert torch.equal(host.hidden_states(second, -1), host.hidden_states(batch, -1))


def test_an_xlmr_encoder_works_too(tiny_xlmr: Path, batch: Batch, tmp_path: Path) -> None:
    host = Host(backbone.BackboneFiles.locate(str(tiny_xlmr)))
    for name in NAMES:
        add(host, name, name)
        before = states(host, batch, target=name)
        host.save_adapter(name, tmp_path / name)
        host.load_adapter(tmp_path / name, "again")
        assert torch.equal(states(host, batch, target="again"), before)
        host.use_training_attention(enabled=True)
        assert torch.allclose(states(host, batch, target="again"), before, atol=1e-5)
        host.use_training_attention(enabled=False)
        host.reset()
