"""Reads plain text, a row for each line; files that hold something else are refused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from adapterstilts.data.conllu import is_conllu
from adapterstilts.data.items import Item
from adapterstilts.data.rows import TextRow
from adapterstilts.data.text import numbered_lines, parse_json
from adapterstilts.errors import DataError
from adapterstilts.tasks.spec import Task

SAMPLE = 1000  # lines from which the form of a whole file is inferred
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".conllu")
MARKUP = re.compile(r"<(\?xml|doc|mediawiki)\b")


def read_lines(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Plain text, a row for each line that is not blank.

    Raises:
        DataError: The file holds JSON, a table or markup, whose names and signs would be read as text.
    """
    form = _other_form(path)
    if form:
        raise DataError(f"{form}, not plain text: extract the text, one sentence or paragraph a line", path)
    for number, line in numbered_lines(path):
        if line.strip():
            yield (TextRow(str(number), line.strip()),)


def _other_form(path: Path) -> str | None:
    """Returns the format of a file by its name or first lines. None for plain text."""
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    if ending in TABLES:
        return f"a {ending} file"
    lines = [line.strip() for _, line in islice(numbered_lines(path), SAMPLE) if line.strip()]
    first = lines[0] if lines else ""
    if MARKUP.match(first):
        return f"markup ({first[:60]!r})"
    if first in ("{", "[") or _is_json(first):
        return f"JSON ({first[:60]!r})"
    if is_conllu(path):
        return "CoNLL-U"
    ((columns, count),) = Counter(line.count("\t") + 1 for line in lines).most_common(1) or [(1, 0)]
    return f"{columns} tab-separated columns" if columns > 1 and 2 * count > len(lines) else None


def _is_json(line: str) -> bool:
    """Whether a line is a JSON object, or a list that holds one; other lists may be text in brackets."""
    if not line.startswith(("{", "[{")):
        return False
    try:
        parse_json(line, "", None)
    except DataError:
        return False
    return True
