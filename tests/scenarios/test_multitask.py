"""Several tasks in one adapter, text mixed in, and language adapters: trained, used, and refused."""

import json
import random

import numpy as np
import pytest
from safetensors.numpy import load_file

from adapterstilts import Options, compose, evaluate, predict, predicted_kind, train_adapter
from adapterstilts.data.rows import PairRow
from adapterstilts.errors import AdapterError, ConfigError, MissingDataError, StoreError
from adapterstilts.hyperparameters import hyperparameters_for
from adapterstilts.tasks.multitask import NINE, join_names, split_name

QUICK = {"max_steps": 12, "batch_size": 8, "dev_rows": 30}
THREE = "mini_nli+mini_qa+mini_ner"
WORDS = "the cat saw Anna in green house and a big dog went to Berlin because it was not red".split()


@pytest.fixture(scope="module")
def options(tiny_backbone, tmp_path_factory):
    store = tmp_path_factory.mktemp("runs")
    return Options(backbone=str(tiny_backbone), store=store, limit=60, hyperparameters=QUICK)


@pytest.fixture(scope="module")
def three(options):
    return train_adapter(THREE, options)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A template of text files in two languages."""
    folder = tmp_path_factory.mktemp("text")
    for language in ("sw", "de"):
        lines = [" ".join(random.Random(f"{language}{n}").choices(WORDS, k=12)) for n in range(80)]
        (folder / f"{language}.txt").write_text("\n\n".join(lines), encoding="utf-8")
    return str(folder / "{lang}.txt")


def given(options, **changes):
    return Options(**{**options.model_dump(exclude_unset=True), **changes})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_names_of_several_tasks():
    assert split_name("multitask") == NINE and len(NINE) == 9
    assert split_name("multitask+mlm") == (*NINE, "mlm")
    assert join_names(reversed((*NINE, "mlm"))) == "multitask+mlm"
    assert join_names(["mlm", "qqp", "mnli"]) == "mnli+qqp+mlm" and join_names(["mlm"]) == "mlm"


def test_one_adapter_with_a_head_for_each_task(three):
    assert three.id.startswith("single-mini_ner+mini_nli+mini_qa-")
    assert names(three.path / "adapters") == ["multitask"]
    assert names(three.path / "heads") == ["mini_ner", "mini_nli", "mini_qa"]
    assert sorted(three.job.encoding) == ["mini_ner", "mini_nli", "mini_qa"]
    assert three.job.encoding["mini_qa"]["max_length"] == 384
    assert three.training.hyperparameters.task_cap == 100_000


def test_the_order_of_the_names_does_not_matter(three, options):
    assert train_adapter("mini_qa+mini_ner+mini_nli", options).key == three.key


def test_the_best_step_is_by_the_mean_of_the_scores(three, options):
    dev = three.metrics["dev"]
    assert dev["score"] == pytest.approx(np.mean([dev[task]["score"] for task in THREE.split("+")]), abs=1e-5)
    log = [json.loads(line) for line in (three.path / "log.jsonl").read_text().splitlines()]
    assert max(line["dev"]["score"] for line in log if "dev" in line) == dev["score"]


def test_each_target_is_answered_by_its_own_head(three, options):
    evaluations = evaluate(three.id, languages=["en"], options=given(options, limit=30), split="dev")
    found = {each.task: each for each in evaluations}
    assert set(found) == {"mini_nli", "mini_qa", "mini_ner"}
    for task, evaluation in found.items():
        own = three.metrics["dev"][task]
        assert {name: evaluation.runs["en"].metrics[name] for name in own} == own


def test_a_target_that_no_task_trains_is_refused(three, options):
    with pytest.raises(ConfigError, match="has no head for mini_paraphrase"):
        evaluate(three.id, "mini_paraphrase", ["de"], options)
    assert 0 <= evaluate(three.id, "mini_retrieval", ["de"], options)[0].scores["de"] <= 100


def test_predicting_wants_the_task(three, options):
    rows = [PairRow("1", "the cat saw Anna", "Anna saw the cat", None)]
    with pytest.raises(ConfigError, match="--task NAME"):
        predicted_kind(three.id, options)
    assert predicted_kind(three.id, options, "mini_nli") == "sequence"
    (found,) = predict(three.id, rows, options, task="mini_nli")
    assert found["label"] in ("entailment", "neutral", "contradiction")


def test_it_is_a_source_like_any_other(three, options):
    frozen = given(options, hyperparameters={**QUICK, "max_steps": 1, "learning_rate": 1e-12})
    start = compose("mini_paraphrase", "sequential", [three.id], frozen)
    before = load_file(three.path / "adapters/multitask/adapter.safetensors")
    after = load_file(start.path / "adapters/mini_paraphrase/adapter.safetensors")
    renamed = {name.replace("mini_paraphrase", "multitask"): value for name, value in after.items()}
    for name, value in before.items():
        np.testing.assert_allclose(renamed[name], value, atol=1e-6)
    quick = given(options, hyperparameters={**QUICK, "max_steps": 2})
    for kind in ("stack", "fuse", "average"):
        sources = [three.id] if kind == "stack" else [three.id, train_adapter("mini_nli", quick).id]
        assert compose("mini_paraphrase", kind, sources, quick).metrics["steps"] == 2


def test_several_tasks_can_start_from_an_adapter(three, options):
    short = given(options, hyperparameters={**QUICK, "max_steps": 1})
    again = compose("mini_nli+mini_ner", "sequential", [three.id], short)
    assert names(again.path / "heads") == ["mini_ner", "mini_nli"]


def test_all_tasks_without_data_are_named_at_once(options, tmp_path):
    with pytest.raises(MissingDataError, match=f"missing of {', '.join(NINE)}"):
        train_adapter("multitask", given(options, data_dir=tmp_path, source="folder", limit=None))
    with pytest.raises(
        MissingDataError, match=r"missing of csqa, qqp\. To leave them out: train-adapter mini_nli\."
    ):
        train_adapter("mini_nli+qqp+csqa", given(options, data_dir=tmp_path))


@pytest.mark.parametrize(
    ("target", "changes", "message"),
    [
        (THREE, {"train_file": "x.tsv"}, "x.tsv is one task's file, but 3 tasks"),
        ("mini_nli+tatoeba", {}, "tatoeba has no training data"),
        ("mini_nli+mini_nlx", {}, "unknown task 'mini_nlx'"),
        (
            "mini_nli",
            {"hyperparameters": {"temperature": 2.0}},
            "temperature has an effect only when several",
        ),
        (THREE, {"hyperparameters": {"mlm_ratio": 0.5}}, "mlm_ratio has an effect only with --mlm"),
        ("mini_nli", {"mlm_languages": ("sw",)}, "which text is in these languages"),
        ("mini_nli", {"mlm": "a.txt"}, "of which languages is the text"),
        ("mlm", {"mlm": "a.txt", "mlm_languages": ("sw", "de")}, "one file, but several languages"),
        ("mlm", {"mlm": "{lang}.txt", "mlm_languages": ("xx",)}, "unknown language of mlm 'xx'"),
    ],
)
def test_what_does_not_fit_is_refused(options, target, changes, message):
    with pytest.raises(ConfigError, match=message):
        train_adapter(target, given(options, **changes))


def test_a_text_that_is_not_there_is_named(options, tmp_path):
    with pytest.raises(MissingDataError, match=r"there is no file .*sw\.txt"):
        train_adapter("mlm", given(options, mlm=str(tmp_path / "{lang}.txt"), mlm_languages=("sw",)))


def test_defaults_of_several_tasks_stand_in_the_recipe_of_several_only():
    assert "task_cap" not in hyperparameters_for(["span"], {}).model_dump()
    assert hyperparameters_for(["span", "mlm"], {}).model_dump()["mlm_ratio"] == 0.5
    assert hyperparameters_for(["span", "choice"], {}).temperature == 2.0


def test_text_is_mixed_in(options, text, capsys):
    mixed = given(options, mlm=text, mlm_languages=("sw", "de"))
    run = train_adapter("mini_nli", mixed)
    assert "comes without a head for masked subwords" in capsys.readouterr().err
    assert run.training.task == "mini_nli+mlm" and run.training.languages == ("de", "sw")
    assert names(run.path / "adapters") == ["mini_nli"] and (run.path / "head").is_dir()
    assert set(run.metrics["dev"]) >= {"accuracy", "score"}, "one task: its own metrics"
    assert train_adapter("mini_nli", given(options)).key != run.key
    assert evaluate(run.id, languages=["de"], options=given(options))[0].scores["de"] >= 0
    assert {"de", "sw"} == set(json.loads((run.path / "origin.json").read_text())["data"]["mlm"]["train"])


@pytest.fixture(scope="module")
def swahili(options, text):
    return train_adapter("mlm", given(options, mlm=text, mlm_languages=("sw",)))


def test_a_language_adapter_keeps_no_head(swahili):
    assert swahili.id.startswith("single-mlm-sw-")
    assert names(swahili.path / "adapters") == ["mlm"]
    assert not (swahili.path / "head").exists() and not (swahili.path / "heads").exists()
    assert swahili.training.adapter["inv_adapter"] == "nice"
    assert set(swahili.metrics["dev"]) >= {"accuracy", "perplexity"}


def test_text_of_its_own_for_development(options, text):
    run = train_adapter("mlm", given(options, mlm=text, mlm_languages=("de",), eval_file=text + "#1-9"))
    assert run.training.data["dev"] and run.metrics["dev"]["perplexity"] > 1


def test_language_adapters_go_by_run_and_are_exchanged_per_language(options, text, swahili):
    german = train_adapter("mlm", given(options, mlm=text, mlm_languages=("de",)))
    over = given(options, language_adapter=german.id)
    run = train_adapter("mini_nli", over)
    assert run.job.language_adapter
    same = ("single-mlm-{lang}-", str(swahili.path), str(swahili.path / "adapters/mlm"))
    found = [given(options, language_adapter=reference) for reference in same]
    keys = {evaluate(run.id, languages=["sw"], options=each)[0].runs["sw"].key for each in found}
    assert len(keys) == 1
    assert evaluate(run.id, languages=["sw"], options=given(options))[0].runs["sw"].key not in keys


def test_what_is_no_language_adapter_is_refused(options, swahili):
    with pytest.raises(StoreError, match="no run 'single-mlm-hi'"):
        train_adapter("mini_nli", given(options, language_adapter="single-mlm-hi"))
    over = train_adapter("mini_nli", given(options, language_adapter=swahili.id))
    with pytest.raises(AdapterError, match="lies over a language adapter itself"):
        train_adapter("mini_ner", given(options, language_adapter=over.id))
    with pytest.raises(ConfigError, match="trains no target"):
        evaluate(swahili.id, options=options)
    with pytest.raises(ConfigError, match="plain text is trained on"):
        evaluate(swahili.id, "mlm", options=options)
