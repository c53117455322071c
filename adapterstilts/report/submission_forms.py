"""Predictions as the text of the files that XTREME's `evaluate.py` reads: one form per kind of task."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapterstilts.data.rows import RetrievalRow, Row
from adapterstilts.errors import MissingDataError
from adapterstilts.kinds.base import Prediction
from adapterstilts.kinds.spec import SubmissionFormat
from adapterstilts.tasks.spec import Task

# How XTREME's files spell labels where they are not ours.
SPELLINGS: Mapping[str, Mapping[str, str]] = {"pawsx": {"different": "0", "paraphrase": "1"}}
REPEATED = re.compile(r"#\d+$")  # what `data/load.py` adds to an id that repeats


@dataclass(frozen=True)
class Answers:
    """The predictions of one target in one language.

    Attributes:
        metrics: of the evaluation that made them.
        rows: what they are predictions for; None where that is not at hand.
    """

    task: Task
    predictions: Sequence[Prediction]
    metrics: Mapping[str, Any]
    rows: Sequence[Row] | None


Form = tuple[str, Callable[[Answers], str]]


def suffix(task: Task) -> str:
    """The ending of the target's files."""
    return _form(task)[0]


def text_of(answers: Answers) -> str:
    """The file's text.

    Raises:
        MissingDataError: the evaluation does not hold what the file needs, or its rows are not at hand.
    """
    return _form(answers.task)[1](answers)


def _form(task: Task) -> Form:
    if task.metric == "map20":
        return RANKED
    assert task.kind_spec.submission_format is not None
    return FORMS[task.kind_spec.submission_format]


def _lines(values: Iterable[object]) -> str:
    return "".join(f"{value}\n" for value in values)


def _labels(answers: Answers) -> str:
    """A label a line."""
    spelled = SPELLINGS.get(answers.task.name, {})
    return _lines(spelled.get(each["label"], each["label"]) for each in answers.predictions)


def _tags(answers: Answers) -> str:
    """A tag a line, an empty line between sentences."""
    return "\n".join(_lines(each["tags"]) for each in answers.predictions)


def _answers(answers: Answers) -> str:
    """`{question id: answer}`; where questions share an id, XTREME reads one answer for all: the first."""
    found: dict[str, str] = {}
    for each in answers.predictions:
        plain = REPEATED.sub("", each["id"])
        found.setdefault(plain if plain in found else each["id"], each["text"])
    return json.dumps(found, ensure_ascii=False, indent=1) + "\n"


def _choices(answers: Answers) -> str:
    """`{"label": index}` a line."""
    return _lines(json.dumps({"label": each["choice"]}) for each in answers.predictions)


def _pairs(answers: Answers) -> str:
    """The ids of each pair whose margin reaches the threshold, tab-separated."""
    given = next((each["threshold"] for each in answers.predictions if "threshold" in each), None)
    threshold = answers.metrics.get("threshold", given)
    if threshold is None:
        raise MissingDataError("without labels the threshold must be given: --encoding threshold=1.05")
    found = [each for each in answers.predictions if each.get("score", threshold - 1) >= threshold]
    return _lines(f"{each['id']}\t{each['candidate']}" for each in found)


def _indices(answers: Answers) -> str:
    """For each English sentence the place of its nearest in the other file, counted from 0.

    XTREME's copy of the English side is sorted, and its script searches for the English sentences, not among
    them.
    """
    if answers.rows is None:
        raise MissingDataError("the sentences are not at hand, by which the file is sorted")
    if any("reverse" not in each for each in answers.predictions):
        raise MissingDataError("the evaluation has no search for the English sentences: repeat it")
    places = {each["id"]: place for place, each in enumerate(answers.predictions)}
    english = [row.text for row in answers.rows if isinstance(row, RetrievalRow) and row.side == "candidate"]
    order = sorted(range(len(english)), key=lambda n: english[n].strip())
    return _lines(places[answers.predictions[n]["reverse"]] for n in order)


def _ranked(answers: Answers) -> str:
    """`{query id: [candidate ids, best first]}`."""
    found = {each["id"]: [near["id"] for near in each["neighbours"]] for each in answers.predictions}
    return json.dumps(found, ensure_ascii=False) + "\n"


# Ending and text of the files
FORMS: Mapping[SubmissionFormat, Form] = {
    "labels": ("tsv", _labels),
    "tags": ("tsv", _tags),
    "answers": ("json", _answers),
    "choices": ("jsonl", _choices),
    "pairs": ("tsv", _pairs),
    "positions": ("tsv", _indices),
}
RANKED: Form = ("json", _ranked)
