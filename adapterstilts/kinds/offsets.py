"""Offsets of subwords, so repaired that every visible character belongs to a subword."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adapterstilts.data.characters import joins
from adapterstilts.kinds.base import Ints


def repaired(text: str, offsets: Ints) -> Ints:
    """The offsets [n, 2] with each hole given to the subword beside it, and none empty that covers a hole.

    Tokenizers leave holes: a normaliser that composes `e` and an accent reports the `e` alone, byte-level
    ones may begin one character late, others drop control characters. A subword that still has no character
    (a mark for a space) gets an empty span where the next subword begins.
    """
    if not len(offsets) or _seamless(text, offsets):
        return offsets
    real = offsets[:, 1] > offsets[:, 0]
    ends = np.maximum.accumulate(np.where(real, offsets[:, 1], 0))
    before = np.append(0, ends)  # where the subwords so far end; the last entry is the end of all of them
    begins = np.append(np.where(real, offsets[:, 0], 0), len(text))
    places = np.append(np.flatnonzero(real), len(offsets))
    gaps = places[begins[places] > before[places]]
    holes = [at for at in gaps if not text[before[at] : begins[at]].isspace()]
    if real.all() and not holes:
        return offsets
    repair = _Repair(text, offsets.copy(), real.copy())
    for at in holes:
        repair.fill(int(before[at]), int(begins[at]), int(at))
    return repair.finished()


def _seamless(text: str, offsets: Ints) -> bool:
    """Whether nothing but single spaces lies between the subwords, and none is empty: the usual case."""
    if offsets[0, 0] or offsets[-1, 1] != len(text) or (offsets[:, 1] <= offsets[:, 0]).any():
        return False
    between = offsets[1:, 0] - offsets[:-1, 1]
    at = offsets[:-1, 1][between == 1]
    spaces = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)[at] == ord(" ")
    return bool((between <= 1).all() and spaces.all())


@dataclass
class _Repair:
    """The offsets of one text on their way; `real` marks subwords that have a character."""

    text: str
    offsets: Ints
    real: np.typing.NDArray[np.bool_]

    def fill(self, start: int, end: int, right: int) -> None:
        """Gives the hole [start, end) before subword `right` to its neighbours.

        Marks go to the character before them. Subwords reported empty inside the hole take what ends there.
        Of the rest, what a space separates from one neighbour goes to the other; what touches both goes to
        the later one, as a space would.
        """
        left = int(np.max(np.flatnonzero(self.real[:right]), initial=-1))
        stop = start
        while left >= 0 and stop < end and joins(self.text, stop):
            stop += 1
        self._extend_left(left, start, stop)
        start = self._to_empty(left, right, stop, end)
        self._to_sides(left, right, start, end)

    def finished(self) -> Ints:
        """The offsets, those of empty subwords set to where the next subword begins."""
        after = int(self.offsets[self.real, 1].max(initial=0))
        for at in range(len(self.real) - 1, -1, -1):
            if self.real[at]:
                after = int(self.offsets[at, 0])
            else:
                self.offsets[at] = after
        return self.offsets

    def _to_empty(self, left: int, right: int, start: int, end: int) -> int:
        """Lets empty subwords between the neighbours take their part; returns where the rest begins."""
        for at in range(left + 1, right):
            place = int(self.offsets[at, 0])
            part = self.text[start:place] if start < place <= end else ""
            if part.strip():
                begin = start + len(part) - len(part.lstrip())
                self.offsets[at] = begin, begin + len(part.strip())
                self.real[at] = True
                start = place
        return start

    def _to_sides(self, left: int, right: int, start: int, end: int) -> None:
        rest = self.text[start:end]
        before, after = rest.split(None, 1)[:1], rest.rsplit(None, 1)[-1:]
        left = int(np.max(np.flatnonzero(self.real[:right]), initial=-1))
        touches_left = left >= 0 and bool(rest) and not rest[0].isspace()
        touches_right = right < len(self.real) and bool(rest) and not rest[-1].isspace()
        if touches_right:
            self._extend_right(right, end, end - len(after[0]))
        if touches_left and not (touches_right and len(after[0]) == len(rest)):
            self._extend_left(left, start, start + len(before[0]))

    def _extend_left(self, left: int, end: int, stop: int) -> None:
        """Moves the end of the subwords up to `left` that end at `end`."""
        while left >= 0 and stop > end and (not self.real[left] or self.offsets[left, 1] == end):
            self.offsets[left, 1] = stop if self.real[left] else self.offsets[left, 1]
            left -= 1

    def _extend_right(self, right: int, begin: int, start: int) -> None:
        """Moves the begin of the subwords from `right` on that begin at `begin`."""
        while right < len(self.real) and (not self.real[right] or self.offsets[right, 0] == begin):
            self.offsets[right, 0] = start if self.real[right] else self.offsets[right, 0]
            right += 1
