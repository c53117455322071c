"""Reads release files: one reader for each form that a task entry can name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from adapterstilts.data import converters
from adapterstilts.data.ccg import read_ccg
from adapterstilts.data.converters import EmptyError, MalformedError, Record
from adapterstilts.data.file_bytes import is_parquet
from adapterstilts.data.hub import READERS as HUB_READERS
from adapterstilts.data.items import HiddenLabelsError, Item, NoRowError, Reader, located
from adapterstilts.data.mewslix import read_mewslix
from adapterstilts.data.parquet import parquet_records
from adapterstilts.data.plain_text import read_lines
from adapterstilts.data.retrieval_files import read_bucc, read_lareqa, read_tatoeba
from adapterstilts.data.rows import PairRow, Row
from adapterstilts.data.squad import read_squad
from adapterstilts.data.table_columns import passed_over, table_rows, unlisted
from adapterstilts.data.text import continued_records, csv_records, json_lines, numbered_lines, tsv_records
from adapterstilts.data.token_tags import read_token_tag
from adapterstilts.errors import DataError
from adapterstilts.tasks.spec import Task

RowFunction = Callable[[Record, Task, str], Row | None]


def read(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Reads the records of a release file, in file order, checked one by one.

    Args:
        language: Our code; a file of several languages is filtered by it.

    Yields:
        The canonical rows of each record. Ids are the release's where it has them, else the number of the
        record in its file (from 1).

    Raises:
        DataError: The file is not valid; the message has file and line.
    """
    if is_parquet(path) and task.form != "table":
        return _read_parquet(path, task, language)
    return READERS[task.form](path, task, language)


def _code(task: Task, language: str) -> str:
    """Returns the language as the task's files spell it."""
    return task.folder.codes.get(language, language) if task.folder else language


def _no_row(path: Path, task: Task, language: str, skipped: Counter[str]) -> NoRowError:
    """Returns the error for a valid file without a row to read, with counts of the skipped rows."""
    if not skipped:
        return NoRowError(f"no labelled row of {task.name} in '{language}': a header alone", path)
    counts = ", ".join(f"{value} ({rows})" for value, rows in skipped.most_common(8))
    more = ", …" if len(skipped) > 8 else ""
    return NoRowError(
        f"no labelled row of {task.name} in '{language}' among {skipped.total()}: {counts}{more}",
        path,
    )


def _rows(
    numbered: Iterator[tuple[int, Record]], path: Path, task: Task, language: str, row_of: RowFunction
) -> Iterator[Item]:
    """Yields rows of flat records; records in another language are skipped."""
    number = 0
    skipped = Counter[str]()
    for line, record in numbered:
        spoken = converters.language_of(record)
        if spoken is not None and spoken.casefold() not in (language, _code(task, language).casefold()):
            skipped[f"language {spoken}"] += 1
            yield from unlisted(record, task)
            continue
        number += 1
        try:
            row = row_of(record, task, str(number))
        except MalformedError as error:
            if not isinstance(error, EmptyError) or language in task.languages:
                raise located(error, path, line) from None
            row = None  # machine translation failed on some pairs of PAWS-X's training data
        yield () if row is None else (row,)
    if not number:
        raise _no_row(path, task, language, skipped)


def _read_pair(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Sentence pairs: three tab-separated columns (XTREME), a table with a header (GLUE), or JSON lines.

    Of five columns (XTREME's translated training data) the first two hold the originals.

    Fields are never quoted: a quote character is text. XTREME's script writes fields that hold one with CSV
    quoting, and its own loader reads them unchanged; so does this one.
    """
    line = next(numbered_lines(path))[1]
    if line.lstrip().startswith(("{", "[")) and "\t" not in line:
        return _rows(json_lines(path), path, task, language, converters.pair_row)
    header = line.split("\t")
    if not (set(header) & set(converters.FIRST) and set(header) & set(converters.SECOND)):
        return _rows(_plain_pairs(path, task), path, task, language, _plain_pair)
    return _rows(tsv_records(path), path, task, language, converters.pair_row)


def _read_qqp(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Quora Question Pairs in GLUE's form, a table with a header, or its JSON lines.

    Questions with a line end in them are broken over lines in its first release: they are joined again.
    """
    line = next(numbered_lines(path))[1]
    if "\t" not in line or not set(line.split("\t")) & set(converters.FIRST):
        return _read_pair(path, task, language)
    return _rows(continued_records(path), path, task, language, converters.pair_row)


def _plain_pairs(path: Path, task: Task) -> Iterator[tuple[int, Record]]:
    columns = 0  # number in the labelled lines so far
    for number, line in numbered_lines(path):
        fields = line.split("\t")
        _check_plain(fields, path, number, task)
        if len(fields) == 2 and task.hidden:
            yield number, dict(zip(("sentence1", "sentence2"), fields, strict=True))
            continue
        if len(fields) == 2:
            raise HiddenLabelsError(
                "two columns, not 3 (sentence, sentence, label): a file without its labels, "
                "like XTREME's test files", path, number,
            )  # fmt: skip
        if len(fields) not in (3, 5):
            raise DataError(
                f"{len(fields)} tab-separated columns, not 3 (sentence, sentence, label) or 5 "
                "(two originals, their translations, label)", path, number,
            )  # fmt: skip
        if columns and len(fields) != columns:
            raise DataError(
                f"{len(fields)} tab-separated columns but earlier lines have {columns}", path, number
            )
        columns = len(fields)
        record = dict(zip(("sentence1", "sentence2", "label"), fields[-3:], strict=True))
        yield number, {**record, "original": tuple(fields[:-3])}


def _check_plain(fields: Sequence[str], path: Path, number: int, task: Task) -> None:
    """Rejects a header of other names, CSV, and a sentence with its label instead of two sentences."""
    names = [field for field in fields if field.strip().casefold() in converters.HEADER_NAMES]
    labelled = fields[-1] in task.labels or fields[-1] in task.label_names
    if number == 1 and names and not labelled:
        raise DataError(
            f"a header of the columns {converters.listed(fields)}: the sentences' columns are named "
            f"{' or '.join(converters.FIRST[:2])} and {' or '.join(converters.SECOND[:2])}", path, number,
        )  # fmt: skip
    columns = fields[0].split(",") if len(fields) == 1 else []
    if number == 1 and {*converters.FIRST, *converters.SECOND}.intersection(columns):
        raise DataError(f"CSV ({fields[0][:60]}), but columns must be separated by tabs: save it as TSV or "
            "JSON lines", path, number)  # fmt: skip
    if len(fields) == 2 and labelled:
        raise DataError(
            f"two columns, the second of which is the label {converters.shown(fields[1])}: {task.name} needs "
            "3 (sentence, sentence, label)", path, number,
        )  # fmt: skip


def _plain_pair(record: Record, task: Task, number: str) -> PairRow | None:
    row = converters.pair_row(record, task, number)
    return row and replace(row, original=record.get("original") or None)


def _read_hellaswag(path: Path, task: Task, language: str) -> Iterator[Item]:
    """HellaSwag's JSON lines."""
    return _rows(json_lines(path), path, task, language, converters.CHOICE_ROWS["hellaswag"])


def _read_cosmosqa(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Cosmos QA's CSV (quoted, with a header), or its JSON lines."""
    line = next(numbered_lines(path))[1]
    numbered = json_lines(path) if line.lstrip().startswith(("{", "[")) else csv_records(path)
    return _rows(numbered, path, task, language, converters.CHOICE_ROWS["cosmosqa"])


def _read_csqa(path: Path, task: Task, language: str) -> Iterator[Item]:
    """CommonsenseQA's JSON lines; the nested form of its first release is unfolded."""
    return _rows(
        ((line, _unfold(record)) for line, record in json_lines(path)),
        path,
        task,
        language,
        converters.CHOICE_ROWS["csqa"],
    )


def _unfold(record: Record) -> Record:
    """`{"question": {"stem": ..., "choices": [{"label": ..., "text": ...}]}}` as the flat form."""
    nested = record.get("question")
    if not isinstance(nested, dict) or not isinstance(nested.get("choices"), list):
        return record
    choices = [choice for choice in nested["choices"] if isinstance(choice, dict)]
    columns = {name: [choice.get(name) for choice in choices] for name in ("label", "text")}
    return {**record, "question": nested.get("stem"), "choices": columns}


def _read_siqa(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Social IQa's JSON lines, with the answer in them or in `<name>-labels.lst` beside them."""
    return _rows(_with_labels(path), path, task, language, converters.CHOICE_ROWS["siqa"])


def _with_labels(path: Path) -> Iterator[tuple[int, Record]]:
    beside = path.with_name(f"{path.name.removesuffix('.gz').removesuffix('.jsonl')}-labels.lst")
    if not beside.is_file():
        yield from json_lines(path)
        return
    labels = [line for _, line in numbered_lines(beside)]
    records = list(json_lines(path))
    if len(labels) != len(records):
        raise DataError(f"{len(records)} records, but {beside} has {len(labels)} labels", path)
    for (line, record), label in zip(records, labels, strict=True):
        if converters.spell(record.get("label", label)) != label:
            message = f"label {converters.shown(record['label'])}, but {beside} has {converters.shown(label)}"
            raise DataError(message, path, line)
        yield line, {**record, "label": label}


def _read_copa(path: Path, task: Task, language: str) -> Iterator[Item]:
    """COPA's and XCOPA's JSON lines; XTREME-R's download sets all labels of its test files to 0."""
    records = list(json_lines(path))
    blanked = len(records) >= 100 and all(record.get("label") == 0 for _, record in records)
    if blanked and task.hidden:
        records = [(line, {**record, "label": None}) for line, record in records]
    elif blanked:
        raise HiddenLabelsError(
            f"all {len(records)} labels are 0, as in XTREME-R's test files: use the original files",
            path,
        )
    return _rows(iter(records), path, task, language, converters.CHOICE_ROWS["copa"])


def _read_table(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Reads the table of a custom task; rows of other splits and languages are skipped."""
    assert task.table is not None
    code = _code(task, language)
    number = 0
    skipped = Counter[str]()
    records_of = TABLES["parquet" if is_parquet(path) else task.table.format]
    for line, record in records_of(path):
        try:
            item = table_rows(record, task, code, str(number + 1))
        except MalformedError as error:
            raise located(error, path, line) from None
        if item is None:
            skipped[str(passed_over(record, task, code))] += 1
            yield from unlisted(record, task)
            continue
        number += 1
        yield item
    if not number:
        raise _no_row(path, task, language, skipped)


# The reader of a Parquet file, by the form that the task's text files have: that of the data set's Hub copy.
PARQUET_FORMS = {
    "pair": "pair",
    "qqp": "pair",
    "token-tag": "tagged",
    "squad": "question",
    "tatoeba": "translation",
    "lines": "text",
    **{form: form for form in ("hellaswag", "cosmosqa", "csqa", "siqa", "copa")},
}


def _read_parquet(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Reads a Parquet file with the columns that data sets of this form have on the Hub."""
    if task.form not in PARQUET_FORMS:
        raise DataError(f"a Parquet file, but {task.name} is read from its release's own files", path)
    row_of = HUB_READERS[PARQUET_FORMS[task.form]]
    if task.hub and task.hub.reader == "pair_or_no_gold":
        row_of = HUB_READERS[task.hub.reader]
    code = _code(task, language)
    number = 0
    skipped = Counter[str]()
    for position, record in parquet_records(path):
        try:
            item = row_of(record, task, code, str(number + 1))
        except MalformedError as error:
            raise located(error, path, position) from None
        if item is None:
            skipped[f"language {converters.language_of(record)}"] += 1
            yield from unlisted(record, task)
            continue
        number += 1
        yield item
    if not number:
        raise _no_row(path, task, language, skipped)


TABLES: Mapping[str, Callable[[Path], Iterator[tuple[int, Record]]]] = {
    "tsv": tsv_records,
    "csv": csv_records,
    "jsonl": json_lines,
    "parquet": parquet_records,
}

READERS: Mapping[str, Reader] = {
    "pair": _read_pair,
    "qqp": _read_qqp,
    "ccg": read_ccg,
    "token-tag": read_token_tag,
    "squad": read_squad,
    "hellaswag": _read_hellaswag,
    "cosmosqa": _read_cosmosqa,
    "csqa": _read_csqa,
    "siqa": _read_siqa,
    "copa": _read_copa,
    "tatoeba": read_tatoeba,
    "bucc": read_bucc,
    "lareqa": read_lareqa,
    "mewslix": read_mewslix,
    "lines": read_lines,
    "table": _read_table,
}
