"""Our metrics on the same predictions and labels as the official scripts (parity/README.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapterstilts.data.rows import Answer, ChoiceRow, PairRow, QuestionRow, RetrievalRow, TaggedRow
from adapterstilts.kinds.bootstrap import f1_rates
from adapterstilts.kinds.registry import default_encoding, kind_of
from adapterstilts.kinds.retrieval import _average_precision
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Task

FOLDER = Path(__file__).parent / "parity"
CASES = json.loads((FOLDER / "cases.json").read_text("utf-8"))
GOLDEN = json.loads((FOLDER / "golden.json").read_text("utf-8"))
NAMES = {"exact_match": "em"}  # theirs -> ours
EXACT = {"abs": 1e-6, "rel": 0}


def answered(files: dict[str, Any]) -> tuple[list[dict[str, Any]], list[QuestionRow]]:
    """Predictions and rows from SQuAD's JSON."""
    questions = files["labels"]["data"][0]["paragraphs"][0]["qas"]
    rows = [
        QuestionRow(each["id"], "", "", tuple(Answer(answer["text"], 0) for answer in each["answers"]))
        for each in questions
    ]
    return [{"id": row.id, "text": files["predictions"][row.id]} for row in rows], rows


def tagged(files: dict[str, str]) -> tuple[list[dict[str, Any]], list[TaggedRow]]:
    gold, found = (
        [sentence.split() for sentence in files[side].split("\n\n")] for side in ("labels", "predictions")
    )
    rows = [TaggedRow(str(n), ("a",) * len(tags), tuple(tags)) for n, tags in enumerate(gold)]
    return [{"id": str(n), "tags": tags} for n, tags in enumerate(found)], rows


def labelled(files: dict[str, str], task: Task) -> tuple[list[dict[str, Any]], list[PairRow]]:
    gold, found = (
        [task.label_names.get(label, label) for label in files[side].split()]
        for side in ("labels", "predictions")
    )
    rows = [PairRow(str(n), "", "", label) for n, label in enumerate(gold)]
    return [{"id": str(n), "label": label} for n, label in enumerate(found)], rows


def chosen(files: dict[str, str]) -> tuple[list[dict[str, Any]], list[ChoiceRow]]:
    gold, found = (
        [json.loads(line)["label"] for line in files[side].splitlines()] for side in ("labels", "predictions")
    )
    rows = [ChoiceRow(str(n), "", ("", ""), label) for n, label in enumerate(gold)]
    return [{"id": str(n), "choice": choice} for n, choice in enumerate(found)], rows


READERS = {"sequence": labelled, "tagging": tagged, "span": answered, "choice": chosen}


def scores(version: str, name: str) -> Iterator[tuple[str, dict[str, float]]]:
    """Our metrics of each language of a task."""
    task = get_task(name)
    read = READERS[task.kind]
    for language, files in CASES[version][name].items():
        predictions, rows = read(files, task) if task.kind == "sequence" else read(files)
        yield language, kind_of(task).score(predictions, rows, task, language)


TASKS = [
    ("xtreme", "xnli"), ("xtreme", "pawsx"), ("xtreme", "panx"), ("xtreme", "udpos"), ("xtreme", "xquad"),
    ("xtreme", "mlqa"), ("xtreme", "tydiqa"), ("xtreme-r", "xcopa"),
]  # fmt: skip


@pytest.mark.parametrize(("version", "name"), TASKS, ids=lambda value: value)
def test_every_metric_of_every_language_is_the_official_one(version: str, name: str) -> None:
    theirs = GOLDEN[version][name]
    found = dict(scores(version, name))
    metrics = [metric for metric in theirs if not metric.startswith("avg_")]
    assert metrics
    for metric in metrics:
        assert {code: each[NAMES.get(metric, metric)] for code, each in found.items()} == pytest.approx(
            theirs[metric], **EXACT
        )
    headline = sum(each["score"] for each in found.values()) / len(found)  # QA: the mean of EM and F1
    assert headline == pytest.approx(theirs["avg_metric"], **EXACT)


@pytest.mark.parametrize("name", ["panx", "udpos"])
def test_token_accuracy_by_counting(name: str) -> None:
    for language, ours in scores("xtreme", name):
        gold, found = (CASES["xtreme"][name][language][side].split() for side in ("labels", "predictions"))
        right = sum(a == b for a, b in zip(gold, found, strict=True))
        assert ours["accuracy"] == pytest.approx(100 * right / len(gold), **EXACT)


def test_squad_2() -> None:
    task = get_task("squad_v2")
    predictions, rows = answered(CASES["squad_v2"])
    ours = kind_of(task).score(predictions, rows, task, "en")
    theirs = GOLDEN["squad_v2"]
    assert (ours["em"], ours["f1"]) == pytest.approx((theirs["exact"], theirs["f1"]), **EXACT)


def test_bucc_f1() -> None:
    for language, files in CASES["xtreme"]["bucc2018"].items():
        gold, found = (set(files[side].splitlines()) for side in ("labels", "predictions"))
        ours = f1_rates(*(np.float64(len(each)) for each in (gold & found, found, gold)))
        theirs = {metric: GOLDEN["xtreme"]["bucc2018"][metric][language] for metric in ours}
        assert ours == pytest.approx(theirs, **EXACT)


def test_map20() -> None:
    cases = CASES["lareqa"]
    found = [
        _average_precision([str(n) for n in case["ranked"]], [str(n) for n in case["targets"]], 20)
        for case in cases
    ]
    assert 100 * sum(found) / len(found) == pytest.approx(GOLDEN["lareqa"], **EXACT)


def test_mewslix() -> None:
    task = get_task("mewslix")
    theirs = GOLDEN["xtreme-r"]["mewslix"]["map@20"]
    for language, files in CASES["xtreme-r"]["mewslix"].items():
        rows = [RetrievalRow(row_id, "", "query", tuple(gold)) for row_id, gold in files["labels"].items()]
        predictions = [
            {"id": row_id, "neighbours": [{"id": entity, "score": 0.0} for entity in ranked]}
            for row_id, ranked in files["predictions"].items()
        ]
        ours = kind_of(task).score(predictions, rows, task, language)
        assert ours["score"] == pytest.approx(theirs[language], **EXACT)


def test_mining_finds_the_official_pairs_and_threshold() -> None:
    case, theirs = CASES["mining"], GOLDEN["mining"]
    task = get_task("bucc2018")
    gold: dict[str, list[str]] = {}
    for source, target in case["gold"]:
        gold.setdefault(source, []).append(target)
    rows = [
        RetrievalRow(row_id, text, side, tuple(gold.get(row_id, ())))
        for name, side in (("source", "query"), ("target", "candidate"))
        for row_id, text in zip(case[name]["ids"], case[name]["texts"], strict=True)
    ]
    vectors = [
        np.array(vector, np.float32) for name in ("source", "target") for vector in case[name]["vectors"]
    ]
    kind = kind_of(task)
    predictions = kind.decode(vectors, [], rows, task, default_encoding("mining", {}))
    ours = kind.score(predictions, rows, task, "de")
    assert ours["threshold"] == pytest.approx(theirs["best-threshold"], abs=1e-5)
    names = {"f1": "F1", "precision": "precision", "recall": "recall"}
    assert {name: ours[name] for name in names} == pytest.approx(
        {name: theirs[official] for name, official in names.items()}, **EXACT
    )
    found = {
        (each["id"], each["candidate"]) for each in predictions if each.get("score", 0) >= ours["threshold"]
    }
    assert found == {tuple(pair) for pair in theirs["pairs"]}


def test_tatoeba_is_scored_officially_from_english_to_the_other_language() -> None:
    task = get_task("tatoeba")
    theirs = GOLDEN["xtreme"]["tatoeba"]["accuracy"]
    for language, files in CASES["xtreme"]["tatoeba"].items():
        found = dict(zip(files["labels"].split(), files["predictions"].split(), strict=True))
        rows = [RetrievalRow(row_id, "", "query", (f"en-{row_id}",)) for row_id in found]
        nobody = [{"id": "", "score": 0.0}]
        predictions = [{"id": row.id, "neighbours": nobody, "reverse": found[row.id]} for row in rows]
        ours = kind_of(task).score(predictions, rows, task, language)
        assert ours["reverse"] == pytest.approx(theirs[language], **EXACT)
