"""Turns one record of a release into a canonical row: the same for its files and for its copy on the Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from reprlib import Repr
from typing import Any

from adapterstilts.data.characters import is_text
from adapterstilts.data.rows import Answer, ChoiceRow, PairRow, QuestionRow, TaggedRow
from adapterstilts.tasks.spec import Task

Record = Mapping[str, Any]

# Column names of a pair in releases, the preferred one first
FIRST = ("sentence1", "premise", "question1", "sentence_A", "context")
SECOND = ("sentence2", "hypothesis", "hypo", "question2", "sentence_B")
LABEL = ("gold_label", "label", "is_duplicate", "entailment_judgment")
PAIR_ID = ("pairID", "pair_ID", "uid", "id")

# Columns of releases, other than the label's. A record with any other column and no label column is refused:
# the label may be in that column.
PAIR_COLUMNS = frozenset((*FIRST, *SECOND, *PAIR_ID)).union(
    "index idx promptID captionID genre sentence1_parse sentence2_parse sentence1_binary_parse "
    "sentence2_binary_parse sentence1_tokenized sentence2_tokenized match reason tag emturk language "
    "relatedness_score model_label lang Language Lang qid1 qid2 original".split()
)
HELLASWAG_COLUMNS = frozenset(
    "ind activity_label ctx ctx_a ctx_b endings split split_type source_id dataset".split()
)
COSMOSQA_COLUMNS = frozenset("id context question answer0 answer1 answer2 answer3".split())
CSQA_COLUMNS = frozenset("id question choices question_concept".split())
SIQA_COLUMNS = frozenset(
    "context question answerA answerB answerC promptDim promptQuestionFocus charge".split()
)
COPA_COLUMNS = frozenset("premise choice1 choice2 question idx changed".split())

# Names that only a header has, in small letters.
HEADER_NAMES = frozenset(
    "sentence sentence1 sentence2 sentence_a sentence_b premise hypothesis hypo question1 question2 "
    "text text1 text2 text_a text_b label labels gold gold_label target class".split()
)
OFFSET = re.compile(r"-?[0-9]{1,12}")  # offset of an answer, as text
LANGUAGE = ("language", "lang", "Language", "Lang")  # columns with the language of a record

NO_GOLD = "-"  # MultiNLI and SNLI: the annotators did not agree; the release says to skip such pairs
OTHER = "<other>"  # a label too rare to be one of a label set that is read off the training data
CAUSE_OR_EFFECT = {"cause": "What was the cause?", "effect": "What happened as a result?"}


class MalformedError(ValueError):
    """A malformed record; the reader adds file and line.

    Attributes:
        hidden: Whether the label is missing, as in a release's test data.
    """

    def __init__(self, message: str, hidden: bool = False):
        super().__init__(message)
        self.hidden = hidden


class MisplacedError(MalformedError):
    """An answer that is not at its offset in the context."""


class EmptyError(MalformedError):
    """A record without text."""


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def shown(value: object) -> str:
    """Returns a value for a message, cut to a readable length. Numbers and null are spelled as in JSON."""
    return json.dumps(value) if value is None or type(value) in (bool, float) else _SHORT.repr(value)


def listed(names: Iterable[object]) -> str:
    """Column names for a message, at most 20 of them."""
    texts = [str(name)[:60] for name in names]
    return ", ".join(texts[:20]) + (f" and {len(texts) - 20} more" if len(texts) > 20 else "") or "none"


def spell(value: object) -> object:
    """JSON's spelling of a number, true, false or null; any other value as it is."""
    return json.dumps(value) if value is None or type(value) in (bool, int, float) else value


def spelling(value: object) -> str:
    """Returns a value as text to compare or show; numbers are spelled as in JSON."""
    spelled = spell(value)
    return spelled if isinstance(spelled, str) else shown(value)


def pick(record: Record, names: Sequence[str]) -> str | None:
    """Returns the first of the names that the record has."""
    if not isinstance(record, Mapping):
        raise MalformedError(f"expected an object with '{names[0]}', not {shown(record)}")
    return next((name for name in names if name in record), None)


def language_of(record: Record) -> str | None:
    """Returns the language in a record's language column. None without such a column."""
    name = pick(record, LANGUAGE)
    return None if name is None else spelling(record[name])


def row_id_of(record: Record, names: Sequence[str], number: str) -> str:
    """Returns the id under the first of the names, or the record's number."""
    name = pick(record, names)
    value = None if name is None else record[name]
    if value is not None and not isinstance(value, str | int | float):
        raise MalformedError(f"the id should be text or a number, not {shown(value)}")
    return number if value is None else str(value)


def raw_label(record: Record, names: Sequence[str], columns: Collection[str]) -> Any:
    """Returns the value of the record's label column. None without a label.

    Args:
        columns: The other columns of the form.

    Raises:
        MalformedError: No label column, but columns that nothing reads: one of them may be the label; or
            several label columns with different values.
    """
    first = pick(record, names)
    if first is not None:
        labels = {name: record[name] for name in names if name in record}
        if any(label != record[first] for label in labels.values()):
            spelled = ", ".join(f"{name} {shown(label)}" for name, label in labels.items())
            raise MalformedError(f"several columns for the label, which differ: {spelled}")
        return record[first]
    unread = [str(column) for column in record if column not in columns]
    if unread:
        expected = "label" if "label" in names else names[0]
        raise MalformedError(no_label_column(expected, record, unread))
    return None


def no_label_column(name: str, record: Record, unread: Sequence[str]) -> str:
    """Returns the message for a record without a label column but with unread columns."""
    return (
        f"no column '{name}' for the label (it has: {listed(record)}; not read: "
        f"{listed(unread)}). Rename the column that holds the label to '{name}'; if the labels are "
        f"hidden, remove what is not read, or add an empty column '{name}'"
    )


def text_of(record: Record, *names: str) -> str:
    """Returns the text under the first of the names that the record has.

    Raises:
        MalformedError: The field is missing, or not text that UTF-8 can represent.
    """
    name = pick(record, names)
    if name is None:
        raise MalformedError(f"no field '{names[0]}' (it has: {listed(record)})")
    value = record[name]
    if not isinstance(value, str):
        raise MalformedError(f"field '{name}' should be text, not {shown(value)}")
    if not is_text(value):
        raise MalformedError(f"field '{name}' holds half of a surrogate pair")
    return value


def _only_text(record: Record, names: Sequence[str]) -> str:
    """Returns the text under one of the names.

    Raises:
        MalformedError: See `text_of`; or two of the columns hold different texts.
    """
    values = {name: record[name] for name in names if name in record}
    if any(value != next(iter(values.values())) for value in values.values()):
        raise MalformedError(
            f"the columns {' and '.join(values)} hold different texts, but only one of them can be read: "
            "remove the others"
        )
    return text_of(record, *names)


def _is_hidden(raw: object, task: Task, field: str = "label") -> bool:
    """Whether the record has no label.

    Raises:
        MalformedError: The label is missing, or present although the task is read without labels.
    """
    none = raw is None or raw == ""
    if none and not task.hidden:
        raise MalformedError(
            f"no {field}: data without labels can be neither trained on nor scored", hidden=True
        )
    if task.hidden and not none:
        raise MalformedError(f"{field} {shown(raw)}, though other records have none", hidden=True)
    return none


def label_of(raw: object, task: Task, field: str = "label") -> str | None:
    """Returns the task's label for a spelling in the release. None if labels are hidden.

    Spelling is exact; a number, true or false is spelled as in JSON. Until an open label set is known, every
    label is valid; then labels outside it become `OTHER`.

    Raises:
        MalformedError: A label that the task does not have, or see `_is_hidden`.
    """
    if _is_hidden(raw, task, field):
        return None
    spelled = spell(raw)
    if isinstance(spelled, str):
        label = task.label_names.get(spelled, spelled)
        if label in task.labels or (task.open_labels and not task.labels):
            return label
        if task.open_labels:
            return OTHER
    labels = ", ".join((*task.labels, *task.label_names))
    raise MalformedError(f"{field} {shown(raw)} is not one of {task.name}'s: {labels}")


def index_of(raw: object, names: Sequence[str], task: Task, field: str = "label") -> int | None:
    """Returns the index (from 0) of the gold choice in `names`. None if labels are hidden.

    Raises:
        MalformedError: The value is not one of the names; see also `_is_hidden`.
    """
    if _is_hidden(raw, task, field):
        return None
    spelled = spell(raw)
    if not isinstance(spelled, str) or spelled not in names:
        raise MalformedError(f"{field} {shown(raw)} is not one of: {', '.join(names)}")
    return names.index(spelled)


def pair_row(record: Record, task: Task, number: str) -> PairRow | None:
    """Converts a pair of sentences. None if the release marks it as without gold label.

    Raises:
        EmptyError: Neither sentence has any text.
        MalformedError: A sentence or the label is not as it should be.
    """
    raw = raw_label(record, LABEL, PAIR_COLUMNS)
    if raw == NO_GOLD and NO_GOLD not in (*task.labels, *task.label_names):
        return None
    row_id = row_id_of(record, PAIR_ID, number)
    first, second = _only_text(record, FIRST), _only_text(record, SECOND)
    if not first.strip() and not second.strip():
        raise EmptyError("both texts are empty")
    return PairRow(row_id, first, second, label_of(raw, task))


def tagged_row(tokens: Sequence[str], tags: Sequence[object], task: Task, number: str) -> TaggedRow:
    """Converts a tokenised sentence with a tag for each token, or without tags if labels are hidden."""
    if len(tokens) != len(tags):
        raise MalformedError(f"{len(tokens)} tokens but {len(tags)} tags")
    if not tokens:
        raise MalformedError("a sentence without tokens")
    labels = [label_of(tag, task, "tag") for tag in tags]
    return TaggedRow(number, tuple(tokens), tuple(tag for tag in labels if tag is not None) or None)


def question_row(record: Record, task: Task, answers: Sequence[tuple[str, int]]) -> QuestionRow:
    """Converts a question with its gold answers, each checked against its place in the context.

    Raises:
        MalformedError: An answer that is not at its offset, none where the task always has one, or
            blanked ones (XTREME replaces hidden answers by an empty text at 0).
    """
    row_id, context = text_of(record, "id"), text_of(record, "context")
    if task.hidden:
        if any(text for text, _ in answers):
            raise MalformedError(f"question {row_id} has an answer, though others have none", hidden=True)
        return QuestionRow(row_id, text_of(record, "question"), context, None)
    if any(text == "" for text, _ in answers):
        raise MalformedError(
            f"question {row_id}: its answer is blanked, so the labels of this file are hidden "
            "(XTREME blanks its test files): take the labelled file of the original release",
            hidden=True,
        )
    if not answers and not task.unanswerable:
        raise MalformedError(f"question {row_id} has no answer, but every question of {task.name} has one")
    for text, start in answers:
        if start < 0 or not context.startswith(text, start):
            raise MisplacedError(
                f"question {row_id}: the answer {text!r} is not at character {start} of its context"
            )
    gold = tuple(Answer(text, start) for text, start in answers)
    return QuestionRow(row_id, text_of(record, "question"), context, gold)


def answers_of(value: object, task: Task) -> list[tuple[str, int]]:
    """Answers with their offsets, from an object with 'text' and 'answer_start': lists, or one of each.

    Raises:
        MalformedError: The value has another structure; see also `_is_hidden`.
    """
    if not isinstance(value, Mapping) or not {"text", "answer_start"} <= value.keys():
        if value is None:
            _is_hidden(None, task, "answer")
            return []
        raise MalformedError(
            f"'answers' should be an object with the lists 'text' and 'answer_start', not {shown(value)}"
        )
    texts, starts = value["text"], value["answer_start"]
    if not isinstance(texts, list) and not isinstance(starts, list):
        texts, starts = [texts], [starts]
    if not isinstance(texts, list) or not isinstance(starts, list):
        raise MalformedError("'text' and 'answer_start' should be two lists of one length, or one of each")
    if len(texts) != len(starts):
        raise MalformedError(f"{len(texts)} answers but {len(starts)} places")
    if (texts, starts) in (([None], [None]), ([""], [""])):
        _is_hidden(None, task, "answer")
        return []
    return [
        (text_of({"answer": text}, "answer"), _offset(start))
        for text, start in zip(texts, starts, strict=True)
    ]


def _offset(value: object) -> int:
    """Returns an offset in characters, which may be spelled as text."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e12:
        return int(value)
    if isinstance(value, str) and OFFSET.fullmatch(value.strip()):
        return int(value)
    raise MalformedError(f"the place of an answer should be a whole number of characters, not {shown(value)}")


def _hellaswag_row(record: Record, task: Task, number: str) -> ChoiceRow:
    """HellaSwag: which of four endings continues the context."""
    endings = _texts(record.get("endings"), 4, "endings")
    label = index_of(raw_label(record, ("label",), HELLASWAG_COLUMNS), ("0", "1", "2", "3"), task)
    return ChoiceRow(row_id_of(record, ("ind",), number), text_of(record, "ctx"), endings, label)


def _cosmosqa_row(record: Record, task: Task, number: str) -> ChoiceRow:
    """Cosmos QA: a context and a question, four answers."""
    prompt = f"{text_of(record, 'context')} {text_of(record, 'question')}"
    answers = tuple(text_of(record, f"answer{n}") for n in range(4))
    label = index_of(raw_label(record, ("label",), COSMOSQA_COLUMNS), ("0", "1", "2", "3"), task)
    return ChoiceRow(row_id_of(record, ("id",), number), prompt, answers, label)


def _csqa_row(record: Record, task: Task, number: str) -> ChoiceRow:
    """CommonsenseQA: a question, five answers with letters."""
    choices = record.get("choices")
    if not isinstance(choices, dict):
        raise MalformedError("field 'choices' should be an object with 'label' and 'text'")
    letters = _texts(choices.get("label"), 5, "choices.label")
    answers = _texts(choices.get("text"), 5, "choices.text")
    label = index_of(raw_label(record, ("answerKey",), CSQA_COLUMNS), letters, task, "answerKey")
    return ChoiceRow(row_id_of(record, ("id",), number), text_of(record, "question"), answers, label)


def _siqa_row(record: Record, task: Task, number: str) -> ChoiceRow:
    """Social IQa: a context and a question, three answers; `correct` is a letter, `label` a number from 1."""
    prompt = f"{text_of(record, 'context')} {text_of(record, 'question')}"
    answers = tuple(text_of(record, f"answer{letter}") for letter in "ABC")
    labels = [index_of(record["correct"], ("A", "B", "C"), task, "correct")] if "correct" in record else []
    if not labels or "label" in record:
        labels.append(index_of(raw_label(record, ("label",), SIQA_COLUMNS), ("1", "2", "3"), task))
    if labels[0] != labels[-1]:
        raise MalformedError(f"label {shown(record['label'])} is not the answer {shown(record['correct'])}")
    label = labels[0]
    return ChoiceRow(number, prompt, answers, label)


def _copa_row(record: Record, task: Task, number: str) -> ChoiceRow:
    """COPA and XCOPA: which of two sentences is the cause, or the effect, of the premise."""
    # The question is in English for every language: XCOPA has only the English words "cause" and "effect"
    question = text_of(record, "question")
    if question not in CAUSE_OR_EFFECT:
        raise MalformedError(f"question {shown(question)} is not one of: {', '.join(CAUSE_OR_EFFECT)}")
    choices = (text_of(record, "choice1"), text_of(record, "choice2"))
    label = index_of(raw_label(record, ("label",), COPA_COLUMNS), ("0", "1"), task)
    prompt = f"{text_of(record, 'premise')} {CAUSE_OR_EFFECT[question]}"
    return ChoiceRow(row_id_of(record, ("idx",), number), prompt, choices, label)


def _texts(value: object, count: int, field: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) != count or not all(isinstance(text, str) for text in value):
        raise MalformedError(f"field '{field}' should be a list of {count} texts")
    return tuple(text_of({field: text}, field) for text in value)


# The reader of a multiple-choice record by release, for files and for copies on the Hub
CHOICE_ROWS: Mapping[str, Callable[[Record, Task, str], ChoiceRow]] = {
    "hellaswag": _hellaswag_row,
    "cosmosqa": _cosmosqa_row,
    "csqa": _csqa_row,
    "siqa": _siqa_row,
    "copa": _copa_row,
}
