"""Reads SQuAD's JSON: articles of paragraphs of questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adapterstilts.data import converters
from adapterstilts.data.converters import MalformedError, MisplacedError
from adapterstilts.data.items import Item, located
from adapterstilts.data.text import _file_lines, parse_json
from adapterstilts.errors import DataError
from adapterstilts.tasks.spec import Task

LONGEST_JSON = 1 << 30  # bytes of one line of a whole JSON file: SQuAD's release is a single line


def read_squad(path: Path, task: Task, language: str) -> Iterator[Item]:
    """SQuAD's JSON, version 1.1 or 2.0: articles of paragraphs of questions.

    XTREME's TyDiQA files number the questions of each article, so that ids repeat within a file: later ones
    are told apart when rows are collected. The same question twice is an error. Machine translation loses
    the place of some answers: in a language that the task itself has not, such questions are skipped.
    """
    keys: set[tuple[str, str, str]] = set()
    for place, paragraph in paragraphs(path):
        try:
            yield from _items(paragraph, task, language, keys)
        except MalformedError as error:
            raise located(error, place, None) from None
    if not keys:
        raise DataError("the file holds no question", path)


def paragraphs(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields the paragraphs of a file in SQuAD's form, in order, each with its place in the file.

    Raises:
        DataError: The file is not in SQuAD's format.
    """
    place = str(path)
    try:
        for number, article in enumerate(listed(_json_file(path), "data"), start=1):
            place = f"{path}, article {number}"
            if isinstance(article.get("title"), str) and article["title"]:
                place += f" ({article['title'][:60]})"
            for index, paragraph in enumerate(listed(article, "paragraphs"), start=1):
                yield f"{place}, paragraph {index}", paragraph
    except MalformedError as error:
        raise located(error, place, None) from None


def listed(value: Any, name: str) -> list[Any]:
    """Returns the list of objects under `name`.

    Raises:
        MalformedError: The list is missing.
    """
    items = value.get(name) if isinstance(value, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise MalformedError(f"not in SQuAD's form: '{name}' should be a list of objects")
    return items


# What releases have in a question beside its answers.
QUESTION = frozenset("id question title context is_impossible plausible_answers".split())


def answers_of(question: Mapping[str, Any], task: Task) -> list[tuple[str, int]]:
    """Returns the texts and offsets of a question's answers.

    Raises:
        MalformedError: The answers are missing or malformed.
    """
    impossible = question.get("is_impossible")
    if not isinstance(impossible, bool | None):
        raise MalformedError(
            f"question {converters.shown(question.get('id'))}: 'is_impossible' should be true or false, "
            f"not {converters.shown(impossible)}"
        )
    if impossible and not question.get("answers"):
        return []
    if impossible:
        raise MalformedError(
            f"question {converters.shown(question.get('id'))} is marked as impossible, but has answers"
        )
    if converters.raw_label(question, ("answers",), QUESTION) is None:
        if task.hidden:
            return []
        raise MalformedError(f"question {question.get('id')} has no 'answers'", hidden=True)
    answers = []
    for answer in listed(question, "answers"):
        start = answer.get("answer_start")
        if type(start) is not int:
            raise MalformedError(
                f"question {converters.shown(question.get('id'))}: 'answer_start' should be a number, "
                f"not {converters.shown(start)}"
            )
        answers.append((converters.text_of(answer, "text"), start))
    return answers


def _items(
    paragraph: Mapping[str, Any], task: Task, language: str, keys: set[tuple[str, str, str]]
) -> Iterator[Item]:
    """Yields the questions of a paragraph; empty if translation lost the place of the answer."""
    context = converters.text_of(paragraph, "context")
    for question in listed(paragraph, "qas"):
        answers = answers_of(question, task)
        try:
            row = converters.question_row({"context": context, **question}, task, answers)
        except MisplacedError:
            if language in task.languages:
                raise
            yield ()
            continue
        key = (row.id, row.question, row.context)
        if key in keys:
            raise MalformedError(f"question {row.id} occurs twice in the file")
        keys.add(key)
        yield (row,)


def _json_file(path: Path) -> Any:
    """Returns the value of a JSON file.

    Raises:
        DataError: Not JSON; the line is named.
    """
    text = "\n".join(line for _, line, _ in _file_lines(path, LONGEST_JSON))
    if not text.strip():
        raise DataError("the file is empty", path)
    return parse_json(text, path, None)
