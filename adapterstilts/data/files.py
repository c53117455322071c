"""Reads release files: one reader for each form that a task entry can name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from adapterstilts.data import records
from adapterstilts.data.records import MalformedError, Record
from adapterstilts.data.rows import RetrievalRow, Row, TaggedRow
from adapterstilts.data.text import csv_records, json_file, json_lines, numbered_lines
from adapterstilts.errors import DataError
from adapterstilts.tasks.spec import Task

Item = tuple[Row, ...]  # the rows of one record: none where it has no gold label, two in retrieval
Reader = Callable[[Path, Task, str], Iterator[Item]]
RowFunction = Callable[[Record, Task, str], Row | None]


class HiddenLabelsError(DataError):
    """A file that is handed out without its labels."""


def read(path: Path, task: Task, language: str) -> Iterator[Item]:
    """The records of a release file, in file order, checked one by one.

    Args:
        language: our code; a file of several languages is filtered by it.

    Yields:
        The canonical rows of each record. Ids are the release's where it has them, else the number of the
        record in its file (from 1).

    Raises:
        DataError: what is wrong, with file and line.
    """
    return READERS[task.form](path, task, language)


def _error(error: MalformedError, path: Path, line: int | None) -> DataError:
    return (HiddenLabelsError if error.hidden else DataError)(str(error), path, line)


def _rows(
    numbered: Iterator[tuple[int, Record]], path: Path, task: Task, language: str, row_of: RowFunction
) -> Iterator[Item]:
    """Rows of flat records; those that name another language are passed over."""
    number = 0
    for line, record in numbered:
        if record.get("language", language) != language:
            continue
        number += 1
        try:
            row = row_of(record, task, str(number))
        except MalformedError as error:
            raise _error(error, path, line) from None
        yield () if row is None else (row,)


def read_pair(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Sentence pairs: three tab-separated columns (XTREME), a table with a header (GLUE), or JSON lines.

    Fields are never quoted: a quote character is text. XTREME's script writes fields that hold one with CSV
    quoting, and its own loader reads them as they stand; so does this one.
    """
    first = next(numbered_lines(path))[1]
    if first.startswith("{") and "\t" not in first:
        return _rows(json_lines(path), path, task, language, records.pair_row)
    header = first.split("\t")
    if not (set(header) & set(records.FIRST) and set(header) & set(records.SECOND)):
        return _rows(_plain_pairs(path), path, task, language, records.pair_row)
    return _rows(_table(path, header), path, task, language, records.pair_row)


def _plain_pairs(path: Path) -> Iterator[tuple[int, Record]]:
    for number, line in numbered_lines(path):
        fields = line.split("\t")
        if len(fields) == 2:
            raise HiddenLabelsError(
                "two columns, not 3 (sentence, sentence, label): a file without its labels, "
                "as XTREME hands out its test data", path, number,
            )  # fmt: skip
        if len(fields) != 3:
            raise DataError(
                f"{len(fields)} tab-separated columns, not 3 (sentence, sentence, label)", path, number
            )
        yield number, dict(zip(("sentence1", "sentence2", "label"), fields, strict=True))


def _table(path: Path, header: list[str]) -> Iterator[tuple[int, Record]]:
    lines = numbered_lines(path)
    next(lines)
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) != len(header):
            message = f"{len(fields)} tab-separated columns where the header has {len(header)}"
            raise DataError(message, path, number)
        yield number, dict(zip(header, fields, strict=True))


def read_token_tag(path: Path, task: Task, language: str) -> Iterator[Item]:
    """A token, a tab and its tag on each line, an empty line between sentences.

    The raw PAN-X release puts the language before each token (`en:Paris`): that is taken off. Tokens of only
    zero-width characters are tokens: they have a tag and count in the score.
    """
    numbers = count(1)
    prefix: str | None = None
    for sentence in _sentences(path):
        tokens, tags = [], []
        for line, text in sentence:
            token, tag = _columns(text, path, line)
            try:
                tags.append(records.label_of(tag, task, "tag"))
            except MalformedError as error:
                raise _error(error, path, line) from None
            tokens.append(token)
        if prefix is None:
            raw = f"{language}:"
            prefix = raw if all(token.startswith(raw) for token in tokens) else ""
        tokens = [
            _without(prefix, token, path, line) for token, (line, _) in zip(tokens, sentence, strict=True)
        ]
        yield (TaggedRow(str(next(numbers)), tuple(tokens), tuple(tags)),)


def _sentences(path: Path) -> Iterator[list[tuple[int, str]]]:
    sentence: list[tuple[int, str]] = []
    for number, line in numbered_lines(path):
        if line:
            sentence.append((number, line))
        elif sentence:
            yield sentence
            sentence = []
    yield sentence


def _columns(text: str, path: Path, line: int) -> tuple[str, str]:
    fields = text.split("\t")
    if len(fields) == 1:
        raise HiddenLabelsError(
            f"no tag after {text!r} (token, tab, tag): a file without its tags, "
            "as XTREME hands out its test data", path, line,
        )  # fmt: skip
    if len(fields) != 2:
        raise DataError(f"{len(fields)} tab-separated columns, not 2 (token, tag)", path, line)
    return fields[0], fields[1]


def _without(prefix: str, token: str, path: Path, line: int) -> str:
    if not token.startswith(prefix):
        raise DataError(
            f"the token {token!r} lacks the prefix '{prefix}' of the file's other tokens", path, line
        )
    return token.removeprefix(prefix)


def read_squad(path: Path, task: Task, language: str) -> Iterator[Item]:
    """SQuAD's JSON, version 1.1 or 2.0: articles of paragraphs of questions.

    XTREME's TyDiQA files number the questions of each article, so that ids repeat within a file: later ones
    are told apart when rows are collected. The same question twice is an error.
    """
    seen: set[tuple[str, str, str]] = set()
    try:
        for record, answers in _questions(json_file(path), task):
            row = records.question_row(record, task, answers)
            key = (row.id, row.question, row.context)
            if key in seen:
                raise MalformedError(f"question {row.id} stands in the file twice")
            seen.add(key)
            yield (row,)
    except MalformedError as error:
        raise _error(error, path, None) from None
    if not seen:
        raise DataError("the file holds no question", path)


def _questions(value: Any, task: Task) -> Iterator[tuple[Record, list[tuple[str, int]]]]:
    for article in _list(value, "data"):
        for paragraph in _list(article, "paragraphs"):
            for question in _list(paragraph, "qas"):
                record = {"context": records.text_of(paragraph, "context"), **question}
                yield record, [] if question.get("is_impossible") is True else _answers(question)


def _list(value: Any, name: str) -> list[Any]:
    """The list under `name`, of objects."""
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise MalformedError(f"not in SQuAD's form: '{name}' should be a list of objects")
    return found


def _answers(question: Mapping[str, Any]) -> list[tuple[str, int]]:
    if "answers" not in question:
        raise MalformedError(f"question {question.get('id')} comes without 'answers'", hidden=True)
    answers = []
    for answer in _list(question, "answers"):
        start = answer.get("answer_start")
        if type(start) is not int:
            raise MalformedError(
                f"question {question.get('id')}: 'answer_start' should be a number, not {start!r}"
            )
        answers.append((records.text_of(answer, "text"), start))
    return answers


def read_hellaswag(path: Path, task: Task, language: str) -> Iterator[Item]:
    """HellaSwag's JSON lines."""
    return _rows(json_lines(path), path, task, language, records.hellaswag_row)


def read_cosmosqa(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Cosmos QA's CSV (quoted, with a header), or its JSON lines."""
    first = next(numbered_lines(path))[1]
    found = json_lines(path) if first.startswith("{") else csv_records(path)
    return _rows(found, path, task, language, records.cosmosqa_row)


def read_csqa(path: Path, task: Task, language: str) -> Iterator[Item]:
    """CommonsenseQA's JSON lines; the nested form of its first release is unfolded."""
    return _rows(
        ((line, _unfold(record)) for line, record in json_lines(path)), path, task, language, records.csqa_row
    )


def _unfold(record: Record) -> Record:
    """`{"question": {"stem": ..., "choices": [{"label": ..., "text": ...}]}}` as the flat form."""
    nested = record.get("question")
    if not isinstance(nested, dict) or not isinstance(nested.get("choices"), list):
        return record
    choices = [each for each in nested["choices"] if isinstance(each, dict)]
    columns = {name: [each.get(name) for each in choices] for name in ("label", "text")}
    return {**record, "question": nested.get("stem"), "choices": columns}


def read_siqa(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Social IQa's JSON lines, with the answer in them or in `<name>-labels.lst` beside them."""
    return _rows(_with_labels(path), path, task, language, records.siqa_row)


def _with_labels(path: Path) -> Iterator[tuple[int, Record]]:
    beside = path.with_name(f"{path.stem}-labels.lst")
    if not beside.is_file():
        yield from json_lines(path)
        return
    labels = [line for _, line in numbered_lines(beside)]
    found = list(json_lines(path))
    if len(labels) != len(found):
        raise DataError(f"{len(found)} records, but {beside} has {len(labels)} labels", path)
    for (line, record), label in zip(found, labels, strict=True):
        yield line, {"label": label, **record}


def read_copa(path: Path, task: Task, language: str) -> Iterator[Item]:
    """COPA's and XCOPA's JSON lines."""
    return _rows(json_lines(path), path, task, language, records.copa_row)


def read_tatoeba(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Two files aligned by line: `path` has the queries, its companion the candidates.

    The companion's ending is what follows the last hyphen of the name: `tatoeba.deu-eng.deu` goes with
    `tatoeba.deu-eng.eng`.

    Yields:
        For each line the query and its gold candidate.
    """
    other = path.with_suffix("." + path.stem.rpartition("-")[2])
    if other == path or not other.is_file():
        raise DataError(f"the aligned file with the other side, {other}, is not there", path)
    queries, candidates = list(numbered_lines(path)), list(numbered_lines(other))
    if len(queries) != len(candidates):
        raise DataError(
            f"{len(queries)} lines, but {other} has {len(candidates)}: they are not aligned", path
        )
    for (number, query), (_, candidate) in zip(queries, candidates, strict=True):
        for file, text in ((path, query), (other, candidate)):
            if not text.strip():
                raise DataError("an empty sentence", file, number)
        yield aligned_texts(str(number), query, candidate)


def aligned_texts(number: str, query: str, candidate: str) -> Item:
    """The two rows of one aligned pair: the query, and its gold candidate in English."""
    gold = f"en-{number}"
    return RetrievalRow(number, query, "query", (gold,)), RetrievalRow(gold, candidate, "candidate")


READERS: Mapping[str, Reader] = {
    "pair": read_pair,
    "token-tag": read_token_tag,
    "squad": read_squad,
    "hellaswag": read_hellaswag,
    "cosmosqa": read_cosmosqa,
    "csqa": read_csqa,
    "siqa": read_siqa,
    "copa": read_copa,
    "tatoeba": read_tatoeba,
}
