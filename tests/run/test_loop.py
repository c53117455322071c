"""The training loop on a tiny encoder: learns, repeats bit for bit, keeps the best step."""

import json
import os
import signal
import threading

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from adapterstilts import TrainingOptions, compose, evaluate, train_adapter
from adapterstilts.composition import Average, Fuse, Sequential, Single, Stack, make
from adapterstilts.errors import AdapterError, ConfigError, StoreError
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.model.host import Host
from adapterstilts.run.loop import Interrupted, learning_rate

QUICK = {"max_steps": 12, "batch_size": 8, "dev_rows": 30}
EXACT = {**QUICK, "precision": "fp32"}


def options_for(backbone, store):
    return TrainingOptions(
        backbone=str(backbone), store=store, source="bundled", limit=96, hyperparameters=QUICK
    )


@pytest.fixture(scope="module")
def options(tiny_backbone, tmp_path_factory):
    """Settings with a store that the tests share: the same job trains once."""
    return options_for(tiny_backbone, tmp_path_factory.mktemp("runs"))


@pytest.fixture
def own_options(tiny_backbone, tmp_path):
    """The same with a store of the test's own, for tests that change a run or how it is trained."""
    return options_for(tiny_backbone, tmp_path / "runs")


def weights(run):
    return {path.relative_to(run.path): load_file(path) for path in sorted(run.path.rglob("*.safetensors"))}


def test_warmup_rises_and_decays_linearly():
    hyperparameters = Hyperparameters(learning_rate=1.0, warmup=0.2)
    rates = [learning_rate(step, 10, hyperparameters) for step in range(10)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])


def test_same_seed_same_bytes_other_seed_other_bytes(options, tmp_path):
    first = train_adapter("mini_nli", options)
    again = train_adapter("mini_nli", options.model_copy(update={"store": tmp_path / "again"}))
    other = train_adapter("mini_nli", options.model_copy(update={"seed": 2}))
    files = list(first.path.rglob("*.safetensors"))
    assert files and first.key == again.key != other.key
    for path in files:
        same = again.path / path.relative_to(first.path)
        assert path.read_bytes() == same.read_bytes()
        assert path.read_bytes() != (other.path / path.relative_to(first.path)).read_bytes()


def test_loss_falls_and_the_log_is_json_lines(options):
    hyperparameters = {"epochs": 15, "batch_size": 8, "learning_rate": 3e-3, "holdout": 0.0}
    run = train_adapter(
        "mini_ner", options.model_copy(update={"hyperparameters": hyperparameters, "limit": 64})
    )
    log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in log if "loss" in line]
    assert np.mean(losses[-3:]) < 0.7 * losses[0]
    assert log[-1]["seconds"] > 0


def test_a_finished_job_is_not_computed_again(own_options):
    first = train_adapter("mini_nli", own_options)
    written = (first.path / "manifest.json").stat().st_mtime_ns
    assert (train_adapter("mini_nli", own_options).path / "manifest.json").stat().st_mtime_ns == written


def test_best_step_is_kept(options):
    hyperparameters = {**QUICK, "max_steps": 20, "eval_every": 4, "learning_rate": 5e-2}
    run = train_adapter("mini_nli", options.model_copy(update={"hyperparameters": hyperparameters}))
    log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    scores = {line["step"]: line["dev"]["score"] for line in log if "dev" in line}
    assert list(scores) == [4, 8, 12, 16, 20]
    assert run.metrics["dev"]["score"] == max(scores.values())
    assert run.metrics["best_step"] == min(
        step for step, score in scores.items() if score == max(scores.values())
    )


def test_patience_stops_early(options):
    hyperparameters = {**QUICK, "max_steps": 60, "eval_every": 1, "patience": 3, "learning_rate": 1e-9}
    run = train_adapter("mini_nli", options.model_copy(update={"hyperparameters": hyperparameters}))
    assert run.metrics["steps"] == run.metrics["best_step"] + 3


def test_a_training_says_so_where_its_epochs_end_before_its_steps(options, capsys):
    hyperparameters = {"epochs": 1, "max_steps": 80, "batch_size": 8, "holdout": 0.0}
    run = train_adapter(
        "mini_nli", options.model_copy(update={"hyperparameters": hyperparameters, "limit": 16})
    )
    assert run.metrics["steps"] == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "training ends after 2 steps, before max_steps 80: its epochs (1) end first" in said
    exact = {**hyperparameters, "epochs": 50, "max_steps": 2}
    train_adapter("mini_nli", options.model_copy(update={"hyperparameters": exact, "limit": 16}))
    assert "before max_steps" not in capsys.readouterr().err


def test_accumulation_gives_the_same_steps(own_options, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.nn.Dropout, "forward", lambda self, tensor: tensor)
    whole = train_adapter("mini_nli", own_options.model_copy(update={"hyperparameters": EXACT}))
    halves = {**EXACT, "accumulation": 2}
    parts = train_adapter(
        "mini_nli", own_options.model_copy(update={"hyperparameters": halves, "store": tmp_path / "2"})
    )
    for path, tensors in weights(whole).items():
        for name, value in weights(parts)[path].items():
            np.testing.assert_allclose(value, tensors[name], atol=2e-5, err_msg=f"{path} {name}")


def test_an_interrupt_saves_and_the_same_command_goes_on(options, tmp_path, capsys):
    whole = train_adapter("mini_nli", options)
    store = tmp_path / "interrupted"
    again = options.model_copy(update={"store": store, "checkpoint_steps": 1})

    def interrupt():
        while not list(store.glob(".work/*/checkpoint.safetensors")):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(Interrupted, match="stopped at step"):
        train_adapter("mini_nli", again)
    assert "stopping: a checkpoint is written" in capsys.readouterr().err
    resumed = train_adapter("mini_nli", again)
    assert weights(resumed).keys() == weights(whole).keys()
    for path in whole.path.rglob("*.safetensors"):
        assert path.read_bytes() == (resumed.path / path.relative_to(whole.path)).read_bytes()


def test_stack_and_fuse_leave_their_sources_as_they_were(options):
    ids = [train_adapter(name, options).id for name in ("mini_nli", "mini_ner")]
    for kind, sources in (("stack", ids[:1]), ("fuse", ids)):
        run = compose("mini_paraphrase", make(kind, sources), options)
        for source in sources:
            original = next((options.store / source / "adapters").iterdir())
            (copy,) = [
                path
                for path in (run.path / "adapters").iterdir()
                if path.name.startswith(original.name + "_")
            ]
            for file in original.iterdir():
                assert file.read_bytes() == (copy / file.name).read_bytes()


def test_fusion_records_its_attention_per_layer(options):
    ids = [train_adapter(name, options).id for name in ("mini_nli", "mini_ner", "mini_qa")]
    attention = compose("mini_paraphrase", Fuse(*ids), options).metrics["fusion_attention"]
    assert len(attention) == 2
    assert all(len(layer) == 3 and sum(layer) == pytest.approx(1, abs=1e-4) for layer in attention)


def test_sequential_starts_from_the_source(options):
    source = train_adapter("mini_nli", options)
    frozen = {**QUICK, "max_steps": 1, "learning_rate": 1e-12}
    run = compose(
        "mini_paraphrase", Sequential(source.id), options.model_copy(update={"hyperparameters": frozen})
    )
    before = load_file(next((source.path / "adapters").rglob("*.safetensors")))
    after = load_file(next((run.path / "adapters").rglob("*.safetensors")))
    assert [value.shape for value in before.values()] == [value.shape for value in after.values()]
    for (_, old), (_, new) in zip(sorted(before.items()), sorted(after.items()), strict=True):
        np.testing.assert_allclose(old, new, atol=1e-6)


def test_short_memory_in_an_evaluation_makes_batches_smaller(options, tmp_path, monkeypatch, capsys):
    run = train_adapter("mini_nli", options)
    whole = evaluate(run.id, "mini_nli", ["de"], options)[0].runs["de"]
    real = Host.forward

    def scarce(host, batch, head):
        if len(batch["input_ids"]) > 10:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 MiB")
        return real(host, batch, head)

    monkeypatch.setattr(Host, "forward", scarce)
    elsewhere = options.model_copy(update={"store": tmp_path / "elsewhere"})
    parts = evaluate(str(run.path), "mini_nli", ["de"], elsewhere)[0].runs["de"]
    assert "evaluated in 2 parts" in capsys.readouterr().err
    assert parts.metrics == pytest.approx(whole.metrics)
    monkeypatch.setattr(Host, "forward", lambda *_: (_ for _ in ()).throw(MemoryError("no")))
    with pytest.raises(MemoryError):
        evaluate(str(run.path), "mini_nli", ["sw"], elsewhere)


def test_a_retrieval_target_trains_nothing(options, capsys):
    ids = [train_adapter(name, options).id for name in ("mini_nli", "mini_ner")]
    with pytest.raises(ConfigError, match="has no training data"):
        compose("mini_retrieval", Fuse(*ids), options)
    merged = compose("mini_retrieval", Average(*ids), options)
    bare = compose("mini_retrieval", Single(), options)
    assert "nothing trains mini_retrieval: " in capsys.readouterr().err  # and so a recipe has no effect
    other_seed = options.model_copy(update={"seed": 7})
    assert compose("mini_retrieval", Single(), other_seed).key == bare.key, "nothing is random here"
    scores = [evaluate(each.id, "mini_retrieval", ["de"], options)[0].scores["de"] for each in (merged, bare)]
    assert all(0 <= score <= 100 for score in scores)


def test_a_stack_is_not_a_source(options):
    source = train_adapter("mini_nli", options)
    stacked = compose("mini_paraphrase", Stack(source.id), options)
    with pytest.raises(AdapterError, match="is a stack, not a single adapter"):
        compose("mini_paraphrase", Sequential(stacked.id), options)


def test_an_adapter_of_another_backbone_is_refused(options, deeper_backbone):
    source = train_adapter("mini_nli", options)
    deep = options.model_copy(update={"backbone": str(deeper_backbone)})
    with pytest.raises(AdapterError, match="another backbone"):
        compose("mini_paraphrase", Sequential(source.id), deep)


def test_a_tampered_adapter_is_refused(own_options):
    source = train_adapter("mini_nli", own_options)
    file = next((source.path / "adapters").rglob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(StoreError, match="SHA-256"):
        compose("mini_paraphrase", Sequential(source.id), own_options)


def test_a_kind_without_the_head_is_refused(options):
    source = train_adapter("mini_nli", options)
    with pytest.raises(ConfigError, match="has no head for mini_ner"):
        evaluate(source.id, "mini_ner", ["de"], options)


def test_one_more_language_computes_one(own_options):
    run = train_adapter("mini_nli", own_options)
    evaluate(run.id, languages=["de"], options=own_options)
    before = set(own_options.store.iterdir())
    found = evaluate(run.id, languages=["de", "sw"], options=own_options)[0]
    assert len(set(own_options.store.iterdir()) - before) == 1
    assert list(found.scores) == ["de", "sw"]
