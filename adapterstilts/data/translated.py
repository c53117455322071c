"""Loads training data translated from English, used in addition to the original data or instead of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adapterstilts.data.fingerprint import fingerprint
from adapterstilts.data.load import DataLocation, Loaded, find_data
from adapterstilts.errors import ConfigError
from adapterstilts.tasks.spec import Task

UNNAMED = "translated"  # replaces the language of a file whose language was not specified


def load_translated(
    task: Task, languages: Sequence[str], location: DataLocation, limit: int | None = None, seed: int = 1
) -> Loaded:
    """Loads the rows of all languages in order; the language becomes a prefix of each row's id.

    The origin records whether all rows have their originals.

    Args:
        languages: Codes that replace `{lang}` in `location.file`. For a single file, its language or nothing.
        limit: Maximum number of rows in each language.

    Raises:
        ConfigError: Languages are missing, or passed although the file has no `{lang}`.
        DataError: The data is not valid; see `DataIndex.load`.
        MissingDataError: No data was found; see `DataIndex.load`.
    """
    template = str(location.file)
    if "{lang}" in template and not languages:
        raise ConfigError(
            f"{template}: pass the languages to read with --translated-languages (such as de,fr)"
        )
    if "{lang}" not in template and len(languages) > 1:
        raise ConfigError(
            f"{template} is one file, but {len(languages)} languages were passed: write {{lang}} in place of "
            "the language code"
        )
    # The data is English; in every other language it is a translation
    index = find_data(task.model_copy(update={"languages": ("en",)}), location)
    rows, origins = [], []
    for language in languages or (UNNAMED,):
        loaded = index.load_any_language("train", language, limit, seed)
        rows += [replace(row, id=f"{language}/{row.id}") for row in loaded.rows]
        origins.append({"language": language, **loaded.origin})
    originals = all(getattr(row, "original", None) for row in rows)
    origin = {"kind": "translated", "originals": originals, "parts": origins}
    return Loaded(tuple(rows), origin, fingerprint(rows))
