"""The leak guard: refuses to score items that a run, or one that it was built on, was trained on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from adapterstilts.data.leaks import Digests, digests, item_text, read_items, too_many
from adapterstilts.data.rows import Row
from adapterstilts.data.source import Loaded, Where, load
from adapterstilts.errors import DataError, StiltsError, StoreError
from adapterstilts.store import Run, Store
from adapterstilts.tasks.spec import Split, Task


@dataclass(frozen=True)
class Leak:
    """What one evaluation shares with what its run was trained on.

    Attributes:
        items: how many evaluated items were trained on, themselves or (`translated` of them) in English.
        of: how many were evaluated; 0 where nothing can leak (retrieval: no pair of texts was trained on).
        example: the text of one.
        unchecked: what could not be checked and why; empty if everything was.
    """

    items: int = 0
    translated: int = 0
    of: int = 0
    example: str = ""
    unchecked: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for people; empty if there is nothing to say."""
        found = f"{self.items} of {self.of} items were trained on" if self.items else ""
        if self.translated:
            found += f" ({self.translated} of them in English)"
        return "; ".join(part for part in (found, *self.unchecked) if part)

    def as_json(self) -> dict[str, Any]:
        """The attributes as JSON values."""
        return {**asdict(self), "unchecked": list(self.unchecked)}


@dataclass(frozen=True)
class Guard:
    """Compares evaluations of one run on one target with what the run was trained on.

    Attributes:
        split, where: what is evaluated; the English side of a translated file is looked for there too.
        allowed: leaks are reported, not refused.
    """

    store: Store
    run: Run
    target: Task
    split: Split
    where: Where
    allowed: bool = False

    def check(self, language: str, loaded: Loaded) -> Leak:
        """Compares the rows of one language.

        Rows that only chose the step (development rows) do not count as trained on: scores on development
        sets are what is published. Items of parallel releases are found by their English counterparts too.

        Raises:
            DataError: more items were trained on than recur by chance, and that is not allowed.
        """
        evaluated = digests(loaded.rows)
        if not len(evaluated):
            return Leak()
        trained, unchecked = self._trained
        same = np.isin(evaluated, trained)
        english, why_not = self._english(language, loaded) if len(trained) else (same, ())
        translated = english & ~same
        leaked = same | translated
        example = " / ".join(item_text(loaded.rows[int(leaked.argmax())])) if leaked.any() else ""
        leak = Leak(
            int(leaked.sum()), int(translated.sum()), len(evaluated), example[:120], unchecked + why_not
        )
        if not self.allowed and too_many(leak.items, leak.of, self.target.kind):
            raise self._refusal(leak, language)
        return leak

    def _refusal(self, leak: Leak, language: str) -> DataError:
        how = f" ({leak.translated} of them as their English originals)" if leak.translated else ""
        return DataError(
            f"{leak.items} of the {leak.of} items of {self.target.name} in '{language}' were trained on by "
            f"{self.run.id} or a run that it was built on{how}, such as: {leak.example!r}. "
            "Their scores would not be of new text: evaluate other rows (--eval-file FILE#first-last), "
            "or insist with --allow-leak, and the result will say so"
        )

    @cached_property
    def _trained(self) -> tuple[Digests, tuple[str, ...]]:
        """What the run and all that it was built on trained on, and which of them do not say."""
        parts = list(_ancestry(self.store, self.run))
        silent = tuple(
            f"what {name} was trained on could not be checked" for name, found in parts if found is None
        )
        known = [found for _, found in parts if found is not None]
        return np.unique(np.concatenate(known)) if known else digests(()), silent

    def _english(self, language: str, loaded: Loaded) -> tuple[Any, tuple[str, ...]]:
        """Which rows are translations of trained English ones; and what hindered the comparison."""
        nothing = np.zeros(len(loaded.rows), bool)
        if language == "en" or self.target.parallel is None:
            return nothing, ()
        try:
            originals = self._originals(language, loaded)
        except StiltsError:
            originals = {}
        if not originals:
            return nothing, ("only exact duplicates were checked: the English side is not at hand",)
        found = [n for n, row in enumerate(loaded.rows) if row.id in originals]
        nothing[found] = np.isin(digests(originals[loaded.rows[n].id] for n in found), self._trained[0])
        return nothing, ()

    def _originals(self, language: str, loaded: Loaded) -> Mapping[str, Row]:
        """Row id -> its English counterpart; empty if the two sides do not correspond."""
        where = self._place_of_english(language)
        if where.file is not None and where.file == self.where.file and "{lang}" not in where.file:
            return {}  # its name tells no language, so that no English one can be derived from it
        english = load(self.target, self.split, "en", where)
        if self.target.parallel == "id":
            return {row.id: row for row in english.rows}
        rows: Sequence[Row] = loaded.rows
        if loaded.origin["limit"] is not None:
            rows = load(self.target, self.split, language, self.where).rows
        if (
            len(rows) != len(english.rows) or rows == english.rows
        ):  # rows of no language's own were read twice
            return {}
        return {row.id: original for row, original in zip(rows, english.rows, strict=True)}

    def _place_of_english(self, language: str) -> Where:
        """Of one language's explicit file, the file whose name has `en` for its code."""
        file = self.where.file
        if file is None or "{lang}" in file:
            return self.where
        code = self.target.folder.codes.get(language, language) if self.target.folder else language
        name = re.sub(rf"(?<![a-z]){code}(?![a-z])", "en", Path(file).name)
        return self.where.model_copy(update={"file": str(Path(file).with_name(name))})


def _ancestry(store: Store, run: Run) -> Iterator[tuple[str, Digests | None]]:
    """The run and every run that it was built on, by name, each with what it trained on."""
    yield run.id, read_items(run.path)
    for key in run.job.get("composition", {}).get("sources", ()):
        source = _source(store, run, key)
        if source is None:
            yield f"the run {key[:12]}, which is gone,", None
        else:
            yield from _ancestry(store, source)


def _source(store: Store, run: Run, key: str) -> Run | None:
    """A run by its key, from the store or from beside the run that was built on it."""
    for place in (store, Store(run.path.parent)):
        try:
            found = place.get(key)
        except StoreError:  # damaged
            continue
        if found:
            return found
    return None
