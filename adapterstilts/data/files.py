"""Reads release files: one reader for each form that a task entry can name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

from adapterstilts.data import records
from adapterstilts.data.ccg import read_ccg
from adapterstilts.data.conllu import is_conllu, read_conllu
from adapterstilts.data.items import HiddenLabelsError, Item, Reader, located
from adapterstilts.data.mewslix import read_mewslix
from adapterstilts.data.records import EmptyError, MalformedError, Record
from adapterstilts.data.retrieval_files import read_bucc, read_lareqa, read_tatoeba
from adapterstilts.data.rows import PairRow, Row, TaggedRow, TextRow
from adapterstilts.data.squad import read_squad
from adapterstilts.data.table import table_rows
from adapterstilts.data.text import continued_records, csv_records, json_lines, numbered_lines, tsv_records
from adapterstilts.errors import DataError
from adapterstilts.tasks.spec import Task

RowFunction = Callable[[Record, Task, str], Row | None]


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
            if not isinstance(error, EmptyError) or language in task.languages:
                raise located(error, path, line) from None
            row = None  # machine translation failed on some pairs of PAWS-X's training data
        yield () if row is None else (row,)


def read_pair(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Sentence pairs: three tab-separated columns (XTREME), a table with a header (GLUE), or JSON lines.

    Of five columns (XTREME's translated training data) the first two hold the originals.

    Fields are never quoted: a quote character is text. XTREME's script writes fields that hold one with CSV
    quoting, and its own loader reads them as they stand; so does this one.
    """
    first = next(numbered_lines(path))[1]
    if first.startswith("{") and "\t" not in first:
        return _rows(json_lines(path), path, task, language, records.pair_row)
    header = first.split("\t")
    if not (set(header) & set(records.FIRST) and set(header) & set(records.SECOND)):
        return _rows(_plain_pairs(path, task), path, task, language, _plain_pair)
    return _rows(tsv_records(path), path, task, language, records.pair_row)


def read_qqp(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Quora Question Pairs in GLUE's form, a table with a header, or its JSON lines.

    Questions with a line end in them are broken over lines in its first release: they are joined again.
    """
    first = next(numbered_lines(path))[1]
    if "\t" not in first or not set(first.split("\t")) & set(records.FIRST):
        return read_pair(path, task, language)
    return _rows(continued_records(path), path, task, language, records.pair_row)


def _plain_pairs(path: Path, task: Task) -> Iterator[tuple[int, Record]]:
    for number, line in numbered_lines(path):
        fields = line.split("\t")
        if len(fields) == 2 and task.hidden:
            yield number, dict(zip(("sentence1", "sentence2"), fields, strict=True))
            continue
        if len(fields) == 2:
            raise HiddenLabelsError(
                "two columns, not 3 (sentence, sentence, label): a file without its labels, "
                "as XTREME hands out its test data", path, number,
            )  # fmt: skip
        if len(fields) not in (3, 5):
            raise DataError(
                f"{len(fields)} tab-separated columns, not 3 (sentence, sentence, label) or 5 "
                "(two originals, their translations, label)", path, number,
            )  # fmt: skip
        record = dict(zip(("sentence1", "sentence2", "label"), fields[-3:], strict=True))
        yield number, {**record, "original": tuple(fields[:-3])}


def _plain_pair(record: Record, task: Task, number: str) -> PairRow | None:
    row = records.pair_row(record, task, number)
    return row and replace(row, original=record.get("original") or None)


def read_token_tag(path: Path, task: Task, language: str) -> Iterator[Item]:
    """A token, a tab and its tag on each line, an empty line between sentences.

    The raw PAN-X release puts the language before each token (`en:Paris`): that is taken off. Tokens of only
    zero-width characters are tokens: they have a tag and count in the score.
    A file in CoNLL-U, the form of Universal Dependencies' releases, is told by its content.
    """
    if is_conllu(path):
        return read_conllu(path, task, language)
    return _token_tags(path, task, language)


def _token_tags(path: Path, task: Task, language: str) -> Iterator[Item]:
    numbers = count(1)
    prefix: str | None = None
    for sentence in _sentences(path):
        tokens, tags = [], list[str]()
        for line, text in sentence:
            token, given = _columns(text, path, line, task)
            try:
                tag = records.label_of(given, task, "tag")
                tags += [] if tag is None else [tag]
            except MalformedError as error:
                raise located(error, path, line) from None
            tokens.append(token)
        if prefix is None:
            raw = f"{language}:"
            prefix = raw if all(token.startswith(raw) for token in tokens) else ""
        tokens = [
            _without(prefix, token, path, line) for token, (line, _) in zip(tokens, sentence, strict=True)
        ]
        yield (TaggedRow(str(next(numbers)), tuple(tokens), tuple(tags) or None),)


def _sentences(path: Path) -> Iterator[list[tuple[int, str]]]:
    sentence: list[tuple[int, str]] = []
    for number, line in numbered_lines(path):
        if line:
            sentence.append((number, line))
        elif sentence:
            yield sentence
            sentence = []
    yield sentence


def _columns(text: str, path: Path, line: int, task: Task) -> tuple[str, str]:
    fields = text.split("\t")
    if len(fields) == 1 and task.hidden:
        return text, ""
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
    """COPA's and XCOPA's JSON lines; XTREME-R's download sets all labels of its test files to 0."""
    found = list(json_lines(path))
    blanked = len(found) >= 100 and all(record.get("label") == 0 for _, record in found)
    if blanked and task.hidden:
        found = [(line, {**record, "label": None}) for line, record in found]
    elif blanked:
        raise HiddenLabelsError(
            f"all {len(found)} labels are 0, as in the test files of XTREME-R's download: take the originals",
            path,
        )
    return _rows(iter(found), path, task, language, records.copa_row)


def read_lines(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Plain text, a row for each line that is not blank."""
    for number, line in numbered_lines(path):
        if line.strip():
            yield (TextRow(str(number), line.strip()),)


def read_table(path: Path, task: Task, language: str) -> Iterator[Item]:
    """A table whose columns a task of one's own names; rows of other splits and languages are passed over."""
    assert task.table is not None
    code = task.folder.codes.get(language, language) if task.folder else language
    number = 0
    for line, record in TABLES[task.table.format](path):
        try:
            item = table_rows(record, task, code, str(number + 1))
        except MalformedError as error:
            raise located(error, path, line) from None
        if item is not None:
            number += 1
            yield item


TABLES = {"tsv": tsv_records, "csv": csv_records, "jsonl": json_lines}

READERS: Mapping[str, Reader] = {
    "pair": read_pair,
    "qqp": read_qqp,
    "ccg": read_ccg,
    "token-tag": read_token_tag,
    "squad": read_squad,
    "hellaswag": read_hellaswag,
    "cosmosqa": read_cosmosqa,
    "csqa": read_csqa,
    "siqa": read_siqa,
    "copa": read_copa,
    "tatoeba": read_tatoeba,
    "bucc": read_bucc,
    "lareqa": read_lareqa,
    "mewslix": read_mewslix,
    "lines": read_lines,
    "table": read_table,
}
