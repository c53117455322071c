"""Reads datasets of the Hub that are stored as data files; no dataset's own code is ever run."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from huggingface_hub import hf_hub_url
from huggingface_hub.utils import build_hf_headers, get_session

from adapterstilts.data import converters
from adapterstilts.data.converters import MalformedError, Record
from adapterstilts.data.items import Item
from adapterstilts.data.lock import locked, resolve, unreachable
from adapterstilts.data.parquet import spelled
from adapterstilts.data.retrieval_files import aligned_texts
from adapterstilts.data.rows import Row, TextRow
from adapterstilts.data.table_columns import table_rows, unlisted
from adapterstilts.errors import ConfigError, DataError, MissingDataError
from adapterstilts.tasks.spec import HubSource, Split, Task
from adapterstilts.yaml_lines import YAMLError, read_text

if TYPE_CHECKING:
    from datasets import Dataset

LARGEST = 2**20  # bytes
MOST_BREAKS = 100  # line breaks in a row: the Hub client's search takes the square of them
SECONDS = 20  # until a file of metadata must have arrived
CARD, SETTINGS = "README.md", ".huggingface.yaml"  # both are read as YAML by `datasets`
BEGIN = re.compile(r"\s*---[\r\n]+")
END = re.compile(r"[\r\n]---(?:\r\n|\n|\Z)")
BREAKS = re.compile(rf"[\r\n]{{{MOST_BREAKS + 1}}}")

TAGS = ("ner_tags", "pos_tags", "tags", "upos")  # the columns that hold a sentence's tags

RowsFunction = Callable[[Record, Task, str, str], Item | None]

REACH = 16  # characters that stripped white space can have moved an answer by; the longest seen is 4


@dataclass(frozen=True)
class _HubItems:
    """The records of one split and language, and where they came from.

    Attributes:
        origin: Repo, config, split and the resolved commit.
    """

    items: Iterator[Item]
    origin: Mapping[str, Any]


def read_hub(task: Task, split: Split, language: str, revision: str | None = None) -> _HubItems:
    """Opens a task's Hub dataset at a resolved commit: the lock file's, where there is one that has it.

    Args:
        revision: Commit, tag or branch before all else.

    Raises:
        MissingDataError: The dataset is not available, or does not have the split or language.
        DataError: Its columns or records are not what they were.
    """
    source = task.hub
    if source is None or split not in source.splits:
        raise MissingDataError(f"no Hub dataset holds labelled {split} data of {task.name}")
    if source.languages and language not in source.languages:
        raise MissingDataError(f"the Hub dataset {source.repo} has no {task.name} data in '{language}'")
    code = source.codes.get(language, language)
    config = source.config and source.config.replace("{lang}", code)
    commit = resolve(source.repo, revision or locked(source) or source.commit or source.revision)
    dataset = _open(source.repo, config, source.splits[split], commit)
    name = f"{source.repo} ({config or 'default'}, {source.splits[split]}) at {commit[:12]}"
    _check_columns(source, dataset, name)
    origin = {"repo": source.repo, "config": config, "split": source.splits[split], "commit": commit}
    return _HubItems(_items(dataset, task, code, name, READERS[source.reader]), origin)


def _open(repo: str, config: str | None, split: str, commit: str) -> Dataset:
    from datasets import load_dataset_builder
    from datasets.exceptions import DatasetsError

    _check_metadata(repo, commit)
    try:
        builder = load_dataset_builder(repo, config, revision=commit)
        if builder.hash != commit:  # whatever goes wrong, the library then takes what was read before
            raise MissingDataError(
                f"the Hub did not return {repo} at {commit[:12]}: the Hub or that commit cannot "
                f"be read (the cached commit {builder.hash[:12]} is not used in its place)"
            )
        builder.download_and_prepare()
        return builder.as_dataset(split=split)
    except (OSError, ValueError, RuntimeError, DatasetsError, YAMLError) as error:
        raise unreachable(repo, error) from None


def _check_columns(source: HubSource, dataset: Dataset, name: str) -> None:
    missing = [column for column in source.columns if column not in dataset.column_names]
    if missing:
        raise DataError(
            f"no column {', '.join(missing)} (it has: {', '.join(dataset.column_names)}): "
            "the dataset has changed; pass an earlier commit with --data-revision",
            name,
        )


def _items(dataset: Dataset, task: Task, code: str, name: str, rows_of: RowsFunction) -> Iterator[Item]:
    classes = {
        column: names for column, feature in dataset.features.items() if (names := _class_names(feature))
    }
    number = 0
    for position, record in enumerate(dataset, start=1):
        fields = {column: spelled(value, classes.get(column)) for column, value in record.items()}
        try:
            rows = rows_of(fields, task, code, str(number + 1))
        except MalformedError as error:
            raise DataError(f"record {position}: {error}", name) from None
        if rows is None:
            yield from unlisted(fields, task)
        else:
            number += 1
            yield rows


def _class_names(feature: Any) -> list[str] | None:
    """Returns the class names of a column of class labels, or of lists of them."""
    return getattr(getattr(feature, "feature", feature), "names", None)


def _flat(row_of: Callable[[Record, Task, str], Row | None]) -> RowsFunction:
    """For records that become one row; records in another language are skipped."""

    def rows_of(record: Record, task: Task, code: str, number: str) -> Item | None:
        language = converters.language_of(record)
        if language is not None and language.casefold() != code.casefold():
            return None
        row = row_of(record, task, number)
        return () if row is None else (row,)

    return rows_of


def _pair_or_no_gold(record: Record, task: Task, code: str, number: str) -> Item | None:
    """Reads SNLI: a missing label marks a pair without gold label, which the release says to skip."""
    pair = {**record, "label": converters.NO_GOLD} if record.get("label") is None else record
    return PAIR(pair, task, code, number)


def _tagged(record: Record, task: Task, code: str, number: str) -> Item:
    tokens = record.get("tokens")
    column = converters.pick(record, TAGS)
    tags = record[column] if column else None
    if not isinstance(tokens, list) or not isinstance(tags, list):
        raise MalformedError(
            f"'tokens' and one of {', '.join(TAGS)} should be lists (it has: {converters.listed(record)})"
        )
    texts = [converters.text_of({"tokens": token}, "tokens") for token in tokens]
    return (converters.tagged_row(texts, tags, task, number),)


def _question(record: Record, task: Task, code: str, number: str) -> Item:
    return (converters.question_row(record, task, converters.answers_of(record.get("answers"), task)),)


def _stripped_question(record: Record, task: Task, code: str, number: str) -> Item:
    """google/xtreme has contexts and answers without outer white space, but the offsets of the originals."""
    context, pairs = converters.text_of(record, "context"), converters.answers_of(record.get("answers"), task)
    placed = [(text, _nearest(context, text, start)) for text, start in pairs]
    return (converters.question_row(record, task, placed),)


def _nearest(context: str, text: str, start: int) -> int:
    """Returns the offset of the text nearest to `start`, or `start` itself if it is not nearby."""
    around = sorted(range(max(0, start - REACH), start + REACH + 1), key=lambda place: abs(place - start))
    return next((place for place in around if context.startswith(text, place)), start)


def _tydiqa(record: Record, task: Task, code: str, number: str) -> Item | None:
    """Reads TyDiQA: one table has all languages, and an id begins with the language's English name."""
    if not converters.text_of(record, "id").startswith(f"{code}-"):
        return None
    return _stripped_question(record, task, code, number)


def _translation(record: Record, task: Task, code: str, number: str) -> Item:
    source, target = (converters.text_of(record, f"{side}_sentence").strip() for side in ("source", "target"))
    if not source or not target:
        raise MalformedError("an empty sentence")
    return aligned_texts(number, source, target)


def _text(record: Record, task: Task, code: str, number: str) -> Item:
    """Reads a text as one row per line, without blank lines."""
    lines = [line.strip() for line in converters.text_of(record, "text").split("\n") if line.strip()]
    return tuple(TextRow(f"{number}.{n}", line) for n, line in enumerate(lines, start=1))


PAIR = _flat(converters.pair_row)

READERS: Mapping[str, RowsFunction] = {
    "pair": PAIR,
    "pair_or_no_gold": _pair_or_no_gold,
    "hellaswag": _flat(converters.CHOICE_ROWS["hellaswag"]),
    "cosmosqa": _flat(converters.CHOICE_ROWS["cosmosqa"]),
    "csqa": _flat(converters.CHOICE_ROWS["csqa"]),
    "siqa": _flat(converters.CHOICE_ROWS["siqa"]),
    "copa": _flat(converters.CHOICE_ROWS["copa"]),
    "tagged": _tagged,
    "question": _question,
    "stripped_question": _stripped_question,
    "tydiqa": _tydiqa,
    "translation": _translation,
    "text": _text,
    "table": table_rows,
}


@functools.lru_cache(maxsize=64)
def _check_metadata(repo: str, commit: str) -> None:
    """Refuses a dataset whose metadata could hang or fill the process that reads it.

    A file that is not found, or a Hub that cannot be reached, is left to whoever reads the dataset.

    Raises:
        MissingDataError: A file is too large, not UTF-8, not YAML within the limits of `yaml_lines`, or has
            front matter that does not end.
    """
    for name in (CARD, SETTINGS):
        content = _content(repo, commit, name)
        if content is None:
            continue
        place = f"{name} at {commit[:12]}"
        try:
            if len(content) > LARGEST:
                raise ConfigError(f"{place}: larger than {LARGEST:,} bytes, the most that is read of it")
            _check(content.decode("utf-8"), name, place)
        except UnicodeDecodeError:
            raise MissingDataError(f"the Hub dataset {repo} cannot be read ({place}: not UTF-8)") from None
        except ConfigError as error:
            raise MissingDataError(f"the Hub dataset {repo} cannot be read ({error})") from None


def _check(text: str, name: str, place: str) -> None:
    first = 0
    if name == CARD:
        begin = BEGIN.match(text)
        if begin is None:
            return
        end = END.search(text, begin.end() - 1)
        if end is None:
            raise ConfigError(f"{place}: it begins with '---', but no line of '---' ends its front matter")
        if BREAKS.search(text, 0, end.start()):
            raise ConfigError(f"{place}: its front matter has more than {MOST_BREAKS} line breaks in a row")
        first, text = text.count("\n", 0, begin.end()), text[begin.end() : end.start()]
    if text.strip():
        read_text(text, place, skipped=first)


def _content(repo: str, commit: str, name: str) -> bytes | None:
    """Returns the file's first bytes, one chunk beyond the limit at most. None if it is not available."""
    url = hf_hub_url(repo, name, repo_type="dataset", revision=commit)
    content = b""
    try:
        with get_session().get(url, headers=build_hf_headers(), stream=True, timeout=SECONDS) as response:
            if response.status_code != 200:
                return None
            for chunk in response.iter_content(2**16):
                content += chunk
                if len(content) > LARGEST:
                    break
    except OSError:  # every error of the connection is one
        return None
    return content
