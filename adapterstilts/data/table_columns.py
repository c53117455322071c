"""Turns one record of a table into a canonical row, by the columns of a custom task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adapterstilts.data.converters import (
    EmptyError,
    MalformedError,
    Record,
    answers_of,
    index_of,
    label_of,
    language_of,
    listed,
    no_label_column,
    question_row,
    row_id_of,
    shown,
    spell,
    spelling,
    tagged_row,
    text_of,
)
from adapterstilts.data.items import Unlisted
from adapterstilts.data.rows import ChoiceRow, PairRow, QuestionRow, Row, TaggedRow
from adapterstilts.kinds.spec import RowForm
from adapterstilts.tasks.spec import GOLD, Split, Table, Task


def of_split(task: Task, split: Split | None) -> Task:
    """Returns the task with only the row conditions of one split. None removes all conditions."""
    if task.table is None:
        return task
    conditions = {name: values for name, values in task.table.filter.items() if name == split}
    return task.model_copy(update={"table": task.table.model_copy(update={"filter": conditions})})


def table_rows(record: Record, task: Task, code: str, number: str) -> tuple[Row] | None:
    """Converts a record to its row. None for a record of another split or language.

    Args:
        code: The evaluated language as the table spells it.
        number: The row's id where the table has none.

    Raises:
        MalformedError: A column is missing, or a value is not valid.
    """
    table = task.table
    assert table is not None
    _check_gold(record, table)
    if task.hidden:
        record = {**dict.fromkeys(str(table.columns.get(field)) for field in GOLD), **record}
    if passed_over(record, task, code):
        return None
    fields = {field: _field(record, field, column) for field, column in table.columns.items()}
    return (ROWS[task.kind_spec.rows](fields, task, row_id_of(fields, ("id",), number)),)


def passed_over(record: Record, task: Task, code: str) -> str | None:
    """Returns the value by which a record is skipped (another split or language). None if it is read."""
    table = task.table
    assert table is not None
    if elsewhere := _elsewhere(record, table):
        return elsewhere
    language = table.columns.get("language")
    if language is None:
        return None
    text = spelling(_field(record, "language", language))
    return None if text.casefold() == code.casefold() else f"language {text}"


def _elsewhere(record: Record, table: Table) -> str | None:
    """Returns the value that puts a record into another split. None for this split."""
    for conditions in table.filter.values():
        for column, value in conditions.items():
            if (text := spelling(_value(record, column, "filter"))) != value:
                return f"{column} {text}"
    return None


def unlisted(record: Record, task: Task) -> tuple[Unlisted, ...]:
    """Returns an item for a record in a language that the task does not list; else an empty tuple."""
    codes = {**(task.hub.codes if task.hub else {}), **(task.folder.codes if task.folder else {})}
    listed_codes = {codes.get(language, language).casefold() for language in task.languages}
    if task.table is None:
        language = language_of(record)
        listed_codes |= {code.casefold() for code in task.languages}
    elif "language" not in task.table.columns or _elsewhere(record, task.table):
        return ()
    else:
        language = spelling(_field(record, "language", task.table.columns["language"]))
    return () if language is None or language.casefold() in listed_codes else (Unlisted(language),)


def _check_gold(record: Record, table: Table) -> None:
    """Rejects a record without the label column if an unread column may be it."""
    gold = [column for field in GOLD for column in _names(table.columns.get(field))]
    missing = [column for column in gold if column not in record]
    if missing:
        read = {column for columns in table.columns.values() for column in _names(columns)}
        read |= {column for conditions in table.filter.values() for column in conditions}
        if unread := [str(column) for column in record if column not in read]:
            raise MalformedError(no_label_column(missing[0], record, unread))


def _names(columns: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return () if columns is None else (columns,) if isinstance(columns, str) else columns


def _field(record: Record, field: str, column: str | tuple[str, ...]) -> Any:
    if isinstance(column, str):
        return _value(record, column, field)
    values = [_value(record, name, field) for name in column]
    return values if field == "choices" else " ".join(text_of({field: value}, field) for value in values)


def _value(record: Record, column: str, field: str) -> Any:
    if column not in record:
        raise MalformedError(
            f"no column '{column}', which the task names for '{field}' (it has: {listed(record)})",
            hidden=field in GOLD,
        )
    return record[column]


def _pair(fields: Record, task: Task, row_id: str) -> PairRow:
    first, second = text_of(fields, "first"), text_of(fields, "second") if "second" in fields else None
    if not first.strip() and not (second or "").strip():
        raise EmptyError("contains no text")
    return PairRow(row_id, first, second, label_of(fields["label"], task))


def _tagged(fields: Record, task: Task, row_id: str) -> TaggedRow:
    tokens = [text_of({"tokens": token}, "tokens") for token in _list(fields, "tokens")]
    untagged = task.hidden and not fields["tags"]
    return tagged_row(tokens, [None] * len(tokens) if untagged else _list(fields, "tags"), task, row_id)


def _list(fields: Record, name: str) -> list[Any]:
    """Returns a list, or the parts of a text split at spaces."""
    value = fields[name]
    if value is None or value == "":
        raise MalformedError(f"no {name}", hidden=name in GOLD)
    parts = [part for part in value.split(" ") if part] if isinstance(value, str) else value
    if not isinstance(parts, list):
        raise MalformedError(f"'{name}' should be a list, or texts with spaces between, not {shown(value)}")
    return parts


def _question(fields: Record, task: Task, row_id: str) -> QuestionRow:
    return question_row({**fields, "id": row_id}, task, _answers(fields, task))


def _answers(fields: Record, task: Task) -> list[tuple[str, int]]:
    """Answers with their offsets, from SQuAD's object or from one column each; none where they are hidden."""
    columns = {"text": fields.get("answer"), "answer_start": fields.get("start")}
    return answers_of(fields.get("answers", columns), task)


def _choice(fields: Record, task: Task, row_id: str) -> ChoiceRow:
    choices = fields["choices"]
    if not isinstance(choices, list) or len(choices) < 2:
        raise MalformedError(f"'choices' should be a list of two or more texts, not {shown(choices)}")
    texts = tuple(text_of({"choices": choice}, "choices") for choice in choices)
    blank = next((n for n, text in enumerate(texts) if not text.strip()), None)
    if blank is not None:
        raise MalformedError(f"number {blank} (from 0) of the choices is empty")
    spelled = spell(fields["label"])
    label = task.label_names.get(spelled, spelled) if isinstance(spelled, str) else spelled
    label = None if fields["label"] is None else label
    numbers = [str(number) for number in range(len(texts))]
    return ChoiceRow(row_id, text_of(fields, "prompt"), texts, index_of(label, numbers, task))


ROWS: Mapping[RowForm, Callable[[Record, Task, str], Row]] = {
    "pair": _pair,
    "tagged": _tagged,
    "question": _question,
    "choice": _choice,
}
