"""The leak guard: refuses to score items that a run, or one that it was built on, was trained on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from adapterstilts.data.item_digests import Digests, Part, digests_of, items, parts, too_many
from adapterstilts.data.load import DataLocation, Loaded, load
from adapterstilts.errors import DataError, StiltsError
from adapterstilts.run.lineage import History, history
from adapterstilts.store import Run, Store
from adapterstilts.tasks.spec import Split, Task


@dataclass(frozen=True)
class Leak:
    """What one evaluation shares with what its run was trained on.

    Attributes:
        items: Number of evaluated items that were trained on, themselves or (`translated` of them) in another
            language.
        examples: Number of evaluated items; 0 if nothing can leak (retrieval: no pairs are trained on).
        example: the text of one.
        unchecked: what could not be checked and why; empty if everything was.
    """

    items: int = 0
    translated: int = 0
    examples: int = 0
    example: str = ""
    unchecked: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for people; empty if there is nothing to say."""
        found = f"{self.items} of {self.examples} items were trained on" if self.items else ""
        if self.translated:
            found += f" ({self.translated} of them in another language)"
        return "; ".join(part for part in (found, *self.unchecked) if part)

    def as_metric(self) -> dict[str, int]:
        """What stands among the metrics of an evaluation; nothing where nothing leaked."""
        return {"leaked": self.items} if self.items else {}

    def as_json(self) -> dict[str, Any]:
        """The attributes as JSON values."""
        return {**asdict(self), "unchecked": list(self.unchecked)}


class _Side(NamedTuple):
    """The items of one language, by their ids, in row order, and whether each was trained on."""

    ids: Sequence[str]
    prints: Digests
    known: npt.NDArray[np.bool_]
    parts: frozenset[Part]


class _Counterparts(NamedTuple):
    """What the other languages tell: ids of the items trained on there, what was read, what was not."""

    ids: frozenset[str] = frozenset()
    parts: frozenset[Part] = frozenset()
    unchecked: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeakGuard:
    """Compares evaluations of one run on one target with what the run was trained on.

    Attributes:
        split, where: what is evaluated; its other languages are looked for there too.
        allowed: leaks are reported, not refused.
    """

    store: Store
    run: Run
    target: Task
    split: Split
    location: DataLocation
    allowed: bool = False

    def check(self, language: str, loaded: Loaded) -> Leak:
        """Compares the rows of one language.

        Rows that only chose the step (development rows) do not count as trained on: scores on development
        sets are what is published. Items of parallel releases are found by their counterparts too, in all
        languages at hand.

        Raises:
            DataError: more items were trained on than recur by chance, or any where rows of the same file
                were; and that is not allowed.
        """
        own = self._side_of(loaded)
        if not own.ids:
            return Leak()
        others = self._others(language, own, loaded.origin["limit"])
        translated = np.array([each in others.ids for each in own.ids]) & ~own.known
        leaked = own.known | translated
        example = " / ".join(items(loaded.rows)[int(leaked.argmax())].texts) if leaked.any() else ""
        unchecked = self._trained.unknown + others.unchecked
        leak = Leak(int(leaked.sum()), int(translated.sum()), len(leaked), example[:120], unchecked)
        if not self.allowed and self._refused(leak, own.parts | others.parts):
            raise self._refusal(leak, language)
        return leak

    def _refused(self, leak: Leak, read: frozenset[Part]) -> bool:
        """Chance has no part in rows of one file that were trained on and are evaluated."""
        same_rows = any(part.meets(other) for part in read for other in self._trained.parts)
        return leak.items > 0 if same_rows else too_many(leak.items, leak.examples, self.target.kind)

    def _refusal(self, leak: Leak, language: str) -> DataError:
        how = f" ({leak.translated} of them in another language)" if leak.translated else ""
        return DataError(
            f"{leak.items} of the {leak.examples} items of {self.target.name} in '{language}' were trained "
            f"on by {self.run.id} or a run that it was built on{how}, such as: {leak.example!r}. "
            "Their scores would not be of new text: evaluate other rows (--eval-file FILE#first-last), "
            "or insist with --allow-leak, and the result will say so"
        )

    @cached_property
    def _trained(self) -> History:
        return history(self.store, self.run)

    @cached_property
    def _sides(self) -> dict[str, _Side | None]:
        """What was read of other languages, so that each is read once; None where there is nothing."""
        return {}

    def _side_of(self, loaded: Loaded) -> _Side:
        found = items(loaded.rows)
        prints = digests_of(item.texts for item in found)
        known = np.isin(prints, self._trained.items)
        if self.target.symmetric:
            known |= np.isin(digests_of(item.texts[::-1] for item in found), self._trained.items)
        return _Side([item.id for item in found], prints, known, parts(loaded.origin))

    def _others(self, language: str, own: _Side, limit: int | None) -> _Counterparts:
        """Which items were trained on in another language; and what hindered the comparison."""
        if self.target.parallel is None or not len(self._trained.items):
            return _Counterparts()
        if limit is None:
            self._sides[language] = own
        whole = self._side(language, language)
        compared: dict[str, _Side] = {}
        ids: set[str] = set()
        for code in self.target.languages:
            side = self._side(code, language) if code != language else None
            names = side and whole and self._names(side, whole)
            if side and names:
                compared[code] = side
                ids.update(compress(names, side.known))
        read = frozenset[Part]().union(*(side.parts for side in compared.values()))
        return _Counterparts(frozenset(ids), read, _unchecked(language, compared))

    def _side(self, code: str, evaluated: str) -> _Side | None:
        """The items in one language; None where they are not at hand."""
        if code not in self._sides:
            task = self.target
            if task.form == "lareqa":  # which would read the files of all languages for each of them
                task = task.model_copy(update={"form": "squad"})
            try:
                loaded = load(task, self.split, code, self._place(code, evaluated), hidden=True)
            except StiltsError:
                self._sides[code] = None
            else:
                self._sides[code] = self._side_of(loaded)
        return self._sides[code]

    def _names(self, side: _Side, own: _Side) -> Sequence[str]:
        """The ids of one language's items in another; none where the items do not correspond."""
        if np.array_equal(side.prints, own.prints):
            return ()  # rows of no language's own were read twice
        if self.target.parallel == "order":
            return own.ids if len(side.ids) == len(own.ids) else ()
        return () if set(side.ids).isdisjoint(own.ids) else side.ids

    def _place(self, code: str, evaluated: str) -> DataLocation:
        """Where a language is: of one language's explicit file, the file whose name has the other's code.

        The Hub is asked for English only.
        """
        codes = self.target.folder.codes if self.target.folder else {}
        changed: dict[str, Any] = {}
        if code not in (evaluated, "en") and not self.target.bundled:
            changed["source"] = "folder"
        if self.location.file is not None and "{lang}" not in self.location.file:
            file, mine, other = (
                Path(self.location.file),
                codes.get(evaluated, evaluated),
                codes.get(code, code),
            )
            changed["file"] = str(file.with_name(re.sub(rf"(?<![a-z]){mine}(?![a-z])", other, file.name)))
        return self.location.model_copy(update=changed)


def _unchecked(language: str, compared: dict[str, _Side]) -> tuple[str, ...]:
    if not compared:
        return ("only exact duplicates were checked: no other language of these items is at hand",)
    if language != "en" and "en" not in compared:
        return ("the English side, which is not at hand, was not compared",)
    return ()
