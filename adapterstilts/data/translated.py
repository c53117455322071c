"""Loads training data that was translated from English: what is trained on beside it, or instead of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adapterstilts.data.fingerprint import fingerprint
from adapterstilts.data.load import DataLocation, Loaded, collect
from adapterstilts.errors import ConfigError
from adapterstilts.tasks.spec import Task

UNNAMED = "translated"  # stands for the language of a file whose language was not said


def load_translated(
    task: Task, languages: Sequence[str], location: DataLocation, limit: int | None = None, seed: int = 1
) -> Loaded:
    """The rows of all languages in order, their ids led by the language.

    The origin says whether all came with their originals.

    Args:
        languages: what replaces `{lang}` in `where.file`; of one file, its language or nothing.
        limit: at most this many rows of each language.

    Raises:
        ConfigError: languages are missing, or named without `{lang}` in the file.
        DataError, MissingDataError: as `load`.
    """
    template = str(location.file)
    if "{lang}" in template and not languages:
        raise ConfigError(f"{template}: say which languages to read with --translated-languages (de,fr)")
    if "{lang}" not in template and len(languages) > 1:
        raise ConfigError(
            f"{template} is one file, but {len(languages)} languages are named: put {{lang}} into it"
        )
    english = task.model_copy(update={"languages": ("en",)})  # in all others it is a translation
    rows, origins = [], []
    for language in languages or (UNNAMED,):
        found = collect(english, "train", language, location, limit, seed)
        rows += [replace(row, id=f"{language}/{row.id}") for row in found.rows]
        origins.append({"language": language, **found.origin})
    known = all(getattr(row, "original", None) for row in rows)
    origin = {"kind": "translated", "originals": known, "parts": origins}
    return Loaded(tuple(rows), origin, fingerprint(rows))
