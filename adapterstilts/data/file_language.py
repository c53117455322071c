"""Infers the language of a file from its name, by the file names of the data set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from adapterstilts.data.converters import LANGUAGE
from adapterstilts.data.file_bytes import is_parquet
from adapterstilts.data.text import numbered_lines
from adapterstilts.errors import ConfigError, DataError
from adapterstilts.tasks.plain_text import codes_in_name
from adapterstilts.tasks.spec import FolderSource, Task

TELLING = (
    8  # literal characters of a name that begins with the code: `{lang}_*-ud-dev.conllu`, not `{lang}.json`
)


def languages_of_file(file: str, task: Task) -> tuple[str, ...]:
    """Returns the language of an explicit file if its name is one of the data set's file names.

    Raises:
        ConfigError: The name fits files of several languages.
    """
    path = PurePosixPath(Path(file).as_posix())
    languages = dict.fromkeys(
        language
        for source in (task.folder, task.bundled)
        if source is not None
        for language, pattern in _patterns(source, task)
        if path.match(pattern)
    )
    if len(languages) > 1:
        raise ConfigError(
            f"{file}: its name fits files of several languages ({', '.join(languages)}): "
            "pass --languages CODE"
        )
    return tuple(languages)


def _patterns(source: FolderSource, task: Task) -> Iterator[tuple[str, str]]:
    """Each language with the ends of the paths that its files have."""
    names = [part for group in source.files.values() for name in group for part in _path(name).split("+")]
    for name in names:
        if "{lang}" in name:
            for language in task.languages:
                yield language, _tail(name).replace("{lang}", source.codes.get(language, language))
        else:
            for language in codes_in_name(name, task.languages):
                yield language, PurePosixPath(name).name


def _path(template: str) -> str:
    """Returns the template without its slice."""
    return re.sub(r"#[0-9]+-[0-9]+$", "", template)


def _tail(template: str) -> str:
    """Returns the end of a template, beginning with the folder or file name that contains the code.

    If the name has little more than the code, the end begins a folder earlier: `it.json` alone is no Italian.
    """
    parts = PurePosixPath(template).parts
    first = next(n for n, part in enumerate(parts) if "{lang}" in part)
    literal = re.sub(r"\{lang\}|\*", "", parts[first])
    begins = parts[first].startswith("{lang}") and len(literal) < TELLING
    return "/".join(parts[max(0, first - 1) :]) if begins else "/".join(parts[first:])


def holds_several(task: Task) -> bool:
    """Whether one file of the task can hold rows of several languages, each of which names its own."""
    if task.table is not None:
        return "language" in task.table.columns
    return task.form in ("pair", "qqp", "mewslix")


def names_language(path: Path, task: Task) -> bool:
    """Whether the rows of a file of pairs name their language; of other forms `holds_several` is enough."""
    if task.form not in ("pair", "qqp") or is_parquet(path):
        return True
    try:
        first = next(numbered_lines(path))[1]
    except DataError:  # `load` says what is wrong with it
        return True
    if first.lstrip().startswith("{"):
        return any(f'"{name}"' in first for name in LANGUAGE)
    return any(name in first.split("\t") for name in LANGUAGE)
