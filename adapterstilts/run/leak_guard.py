"""The leak guard: refuses to score items that a run, or a run that it was built on, was trained on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import compress
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from adapterstilts.data.item_digests import Digests, Part, digests_of, items, parts
from adapterstilts.data.load import DataLocation, Loaded, load
from adapterstilts.errors import DataError, StiltsError
from adapterstilts.kinds.spec import SPECS
from adapterstilts.run.lineage import History
from adapterstilts.store import Run, Store
from adapterstilts.tasks.spec import Split, Task


@dataclass(frozen=True)
class Leak:
    """The overlap of one evaluation with the training data of its run.

    Attributes:
        items: Number of evaluated items that were trained on, themselves or (`translated` of them) in another
            language.
        translated: Number of those that were trained on in another language only.
        examples: Number of evaluated items; 0 if nothing can leak (retrieval: no pairs are trained on).
        example: Text of one leaked item.
        unchecked: Reasons why something could not be checked; empty if everything was.
    """

    items: int = 0
    translated: int = 0
    examples: int = 0
    example: str = ""
    unchecked: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for people; empty if there is nothing to report."""
        text = f"{self.items} of {self.examples} items were trained on" if self.items else ""
        if self.translated:
            text += f" ({self.translated} of them in another language)"
        return "; ".join(part for part in (text, *self.unchecked) if part)

    def as_metric(self) -> dict[str, int]:
        """Returns the entry among the metrics of an evaluation; empty without a leak."""
        return {"leaked": self.items} if self.items else {}

    def as_json(self) -> dict[str, Any]:
        """Returns the attributes as JSON values."""
        return {**asdict(self), "unchecked": list(self.unchecked)}


class _Items(NamedTuple):
    """The items of one language in row order.

    Attributes:
        ids: Ids of the rows, equal across parallel languages.
        digests: Digests of the texts.
        trained: Whether each item was trained on [items].
        parts: Rows of files that they were read from.
    """

    ids: Sequence[str]
    digests: Digests
    trained: npt.NDArray[np.bool_]
    parts: frozenset[Part]


class _Parallel(NamedTuple):
    """The comparison with the other languages of a parallel release.

    Attributes:
        ids: Ids of the items that were trained on there.
        parts: Rows of files that were compared.
        unchecked: Reasons why languages could not be compared.
    """

    ids: frozenset[str] = frozenset()
    parts: frozenset[Part] = frozenset()
    unchecked: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeakGuard:
    """Compares evaluations of one run on one target with the training data of the run.

    Attributes:
        store: Store of the run and of the runs that it was built on.
        run: The evaluated run.
        target: The target.
        split: Evaluated split; the target's other languages are read from it too.
        location: Location of the evaluated data.
        allowed: Whether leaks are reported instead of refused.
    """

    store: Store
    run: Run
    target: Task
    split: Split
    location: DataLocation
    allowed: bool = False

    def check(self, language: str, loaded: Loaded) -> Leak:
        """Compares the rows of one language.

        Development rows, which only chose the best step, do not count as trained on: published scores are
        scores on development sets. Items of parallel releases are also compared in all other languages whose
        data is found.

        Args:
            language: Language of the rows.
            loaded: The evaluated rows.

        Raises:
            DataError: More items were trained on than recur by chance, or any item if rows of the same file
                were; and leaks are not allowed.
        """
        evaluated = self._items_of(loaded)
        if not evaluated.ids:
            return Leak()
        parallel = self._compare_languages(language, evaluated, loaded.origin["limit"])
        translated = np.array([row_id in parallel.ids for row_id in evaluated.ids]) & ~evaluated.trained
        leaked = evaluated.trained | translated
        example = " / ".join(items(loaded.rows)[int(leaked.argmax())].texts) if leaked.any() else ""
        unchecked = self._history.unknown + parallel.unchecked
        leak = Leak(int(leaked.sum()), int(translated.sum()), len(leaked), example[:120], unchecked)
        if not self.allowed and self._is_refused(leak, evaluated.parts | parallel.parts):
            in_others = f" ({leak.translated} of them in another language)" if leak.translated else ""
            raise DataError(
                f"{leak.items} of the {leak.examples} items of {self.target.name} in '{language}' were "
                f"trained on by {self.run.id} or a run that it was built on{in_others}, such as: "
                f"{leak.example!r}. Their scores would not measure new text: evaluate other rows "
                "(--eval-file FILE#first-last), or pass --allow-leak, and the result will report it"
            )
        return leak

    def _is_refused(self, leak: Leak, evaluated: frozenset[Part]) -> bool:
        """Whether the leak is more than chance; rows of one file in training and evaluation never are."""
        same_rows = any(part.meets(trained) for part in evaluated for trained in self._history.parts)
        return leak.items > 0 if same_rows else _too_many(leak.items, leak.examples, self.target.kind)

    @cached_property
    def _history(self) -> History:
        return History.of(self.store, self.run)

    @cached_property
    def _languages(self) -> dict[str, _Items | None]:
        """Items of the languages that were read, so that each is read once; None if there are none."""
        return {}

    def _items_of(self, loaded: Loaded) -> _Items:
        rows = items(loaded.rows)
        digests = digests_of(item.texts for item in rows)
        trained = np.isin(digests, self._history.items)
        if self.target.symmetric:  # a pair of PAWS-X in reverse order is the same item
            trained |= np.isin(digests_of(item.texts[::-1] for item in rows), self._history.items)
        return _Items([item.id for item in rows], digests, trained, parts(loaded.origin))

    def _compare_languages(self, language: str, evaluated: _Items, limit: int | None) -> _Parallel:
        """Returns the items that were trained on in another language of a parallel release."""
        if self.target.parallel is None or not len(self._history.items):
            return _Parallel()
        if limit is None:
            self._languages[language] = evaluated
        # With a limit, only a subsample was loaded: its ids must be matched within the full file.
        complete = self._language(language, language)
        compared: dict[str, _Items] = {}
        ids: set[str] = set()
        for code in self.target.languages:
            translation = self._language(code, language) if code != language else None
            matching = translation and complete and self._matching_ids(translation, complete)
            if translation and matching:
                compared[code] = translation
                ids.update(compress(matching, translation.trained))
        compared_parts = frozenset[Part]().union(*(entry.parts for entry in compared.values()))
        return _Parallel(frozenset(ids), compared_parts, _unchecked(language, compared))

    def _language(self, code: str, evaluated: str) -> _Items | None:
        """Returns the items in one language; None if its data was not found."""
        if code not in self._languages:
            task = self.target
            if task.form == "lareqa":  # its reader would read the files of all languages for each of them
                task = task.model_copy(update={"form": "squad"})
            try:
                loaded = load(task, self.split, code, self._location_of(code, evaluated), hidden=True)
            except StiltsError:
                self._languages[code] = None
            else:
                self._languages[code] = self._items_of(loaded)
        return self._languages[code]

    def _matching_ids(self, translation: _Items, evaluated: _Items) -> Sequence[str]:
        """Returns the ids of the evaluated items in the translation's order; empty if they do not match."""
        if np.array_equal(translation.digests, evaluated.digests):
            return ()  # the same rows were read twice: the file does not depend on the language
        if self.target.parallel == "order":
            return evaluated.ids if len(translation.ids) == len(evaluated.ids) else ()
        return () if set(translation.ids).isdisjoint(evaluated.ids) else translation.ids

    def _location_of(self, code: str, evaluated: str) -> DataLocation:
        """Returns the location of a language's data.

        If the evaluated file is explicit, that is the file whose name has the language's code instead. The
        Hub is only used for English: the check must not download every language.
        """
        codes = self.target.folder.codes if self.target.folder else {}
        changes: dict[str, Any] = {}
        if code not in (evaluated, "en") and not self.target.bundled:
            changes["source"] = "folder"
        if self.location.file is not None and "{lang}" not in self.location.file:
            file = Path(self.location.file)
            pattern = rf"(?<![a-z]){codes.get(evaluated, evaluated)}(?![a-z])"
            changes["file"] = str(file.with_name(re.sub(pattern, codes.get(code, code), file.name)))
        return self.location.model_copy(update=changes)


def _unchecked(language: str, compared: dict[str, _Items]) -> tuple[str, ...]:
    if not compared:
        return ("only exact duplicates were checked: no other language of these items was found",)
    if language != "en" and "en" not in compared:
        return ("the English items were not compared, because they were not found",)
    return ()


def _too_many(leaked: int, size: int, kind: str) -> bool:
    """Whether more of `size` items were trained on than recur by chance.

    Chance is the kind's share of them, and three standard deviations (of a Poisson variable) more.
    """
    expected = SPECS[kind].recurring_share * size
    return leaked > expected + 3 * sqrt(expected)
