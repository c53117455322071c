"""Offsets of subwords, repaired so that every visible character belongs to a subword."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adapterstilts.data.characters import joins
from adapterstilts.kinds.base import Ints


def repaired(text: str, offsets: Ints) -> Ints:
    """Returns offsets [n, 2] in which each hole is assigned to a neighbouring subword.

    Tokenizers leave holes: a normaliser that composes `e` and an accent reports the `e` alone, byte-level
    ones may begin one character late, and some drop control characters. A subword that has no character even
    so (a mark for a space) gets an empty span where the next subword begins.
    """
    # Nearly all texts have no holes, so two vectorised checks precede the slow repair.
    if not len(offsets) or _is_seamless(text, offsets):
        return offsets
    real = offsets[:, 1] > offsets[:, 0]
    ends = np.maximum.accumulate(np.where(real, offsets[:, 1], 0))
    previous = np.append(0, ends)  # end of all earlier subwords; the extra entry is the end of the text's
    begins = np.append(np.where(real, offsets[:, 0], 0), len(text))
    places = np.append(np.flatnonzero(real), len(offsets))
    gaps = places[begins[places] > previous[places]]
    holes = [at for at in gaps if not text[previous[at] : begins[at]].isspace()]
    if real.all() and not holes:
        return offsets
    repair = _Repair(text, offsets.copy(), real.copy())
    for at in holes:
        repair.fill(int(previous[at]), int(begins[at]), int(at))
    return repair.result()


def _is_seamless(text: str, offsets: Ints) -> bool:
    """Whether no subword is empty and at most a single space lies between two: the usual case."""
    if offsets[0, 0] or offsets[-1, 1] != len(text) or (offsets[:, 1] <= offsets[:, 0]).any():
        return False
    between = offsets[1:, 0] - offsets[:-1, 1]
    at = offsets[:-1, 1][between == 1]
    # As UTF-32, so that a character is one number whatever its plane; half surrogates must not raise.
    spaces = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)[at] == ord(" ")
    return bool((between <= 1).all() and spaces.all())


@dataclass
class _Repair:
    """The offsets of one text while they are repaired.

    Attributes:
        real: Whether each subword has a character.
    """

    text: str
    offsets: Ints
    real: np.typing.NDArray[np.bool_]

    def fill(self, start: int, end: int, right: int) -> None:
        """Assigns the hole [start, end) before subword `right` to its neighbours.

        Combining marks belong to the character before them. Subwords reported empty inside the hole take the
        text that ends at their place. The rest goes to the neighbour that no space separates it from, and
        text that touches both goes to the later one, as a space would.
        """
        subword = self._previous(right)
        stop = start
        while subword >= 0 and stop < end and joins(self.text, stop):
            stop += 1
        self._extend_left(subword, start, stop)
        start = self._fill_empty(subword, right, stop, end)
        self._fill_sides(right, start, end)

    def result(self) -> Ints:
        """Returns the offsets; empty subwords are placed where the next subword begins."""
        begin = int(self.offsets[self.real, 1].max(initial=0))
        for at in range(len(self.real) - 1, -1, -1):
            if self.real[at]:
                begin = int(self.offsets[at, 0])
            else:
                self.offsets[at] = begin
        return self.offsets

    def _previous(self, right: int) -> int:
        """Returns the nearest subword with a character before `right`, -1 if there is none."""
        return int(np.max(np.flatnonzero(self.real[:right]), initial=-1))

    def _fill_empty(self, subword: int, right: int, start: int, end: int) -> int:
        """Assigns text to empty subwords between the neighbours; returns where the rest begins."""
        for at in range(subword + 1, right):
            place = int(self.offsets[at, 0])
            part = self.text[start:place] if start < place <= end else ""
            if part.strip():
                begin = start + len(part) - len(part.lstrip())
                self.offsets[at] = begin, begin + len(part.strip())
                self.real[at] = True
                start = place
        return start

    def _fill_sides(self, right: int, start: int, end: int) -> None:
        rest = self.text[start:end]
        head, tail = rest.split(None, 1)[:1], rest.rsplit(None, 1)[-1:]
        # An empty subword may have become real, so the neighbour is looked up again.
        subword = self._previous(right)
        touches_left = subword >= 0 and bool(rest) and not rest[0].isspace()
        touches_right = right < len(self.real) and bool(rest) and not rest[-1].isspace()
        if touches_right:
            self._extend_right(right, end, end - len(tail[0]))
        if touches_left and not (touches_right and len(tail[0]) == len(rest)):
            self._extend_left(subword, start, start + len(head[0]))

    def _extend_left(self, subword: int, end: int, stop: int) -> None:
        """Moves the end of the subwords up to `subword` that end at `end`."""
        # Several subwords can share a character (byte-level vocabularies), so all of them move.
        while subword >= 0 and stop > end and (not self.real[subword] or self.offsets[subword, 1] == end):
            self.offsets[subword, 1] = stop if self.real[subword] else self.offsets[subword, 1]
            subword -= 1

    def _extend_right(self, subword: int, begin: int, start: int) -> None:
        """Moves the begin of the subwords from `subword` that begin at `begin`."""
        while subword < len(self.real) and (not self.real[subword] or self.offsets[subword, 0] == begin):
            self.offsets[subword, 0] = start if self.real[subword] else self.offsets[subword, 0]
            subword += 1
