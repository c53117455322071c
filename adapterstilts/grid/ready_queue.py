"""In which order the requests of a grid are made: as planned, but each after those that it needs."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from adapterstilts.grid.job_spec import JobSpec


class ReadyQueue:
    """The requests that are left, and which of them comes next."""

    def __init__(self, requests: Iterable[JobSpec], done: Iterable[str], lost: Iterable[str]):
        """Takes what is left.

        Args:
            requests: all of a grid, the most important one first.
            done, lost: digests of those that have a result, or never will.
        """
        finished, gone = set(done), set(lost)
        self._left = {
            request.digest: (number, request)
            for number, request in enumerate(requests)
            if request.digest not in finished and request.digest not in gone
        }
        self._missing: dict[str, int] = {}  # digest -> how many results it still waits for
        self._waiting: dict[str, list[str]] = {}  # digest -> those that need it
        self._ready: list[tuple[int, str]] = []
        for digest, (number, request) in self._left.items():
            missing = set(request.needs) - finished
            self._missing[digest] = len(missing)
            for need in missing:
                self._waiting.setdefault(need, []).append(digest)
            if not missing:
                self._ready.append((number, digest))
        for digest in gone:
            self.lose(digest)

    def __len__(self) -> int:
        """How many are neither done nor lost."""
        return len(self._left)

    def next(self) -> JobSpec | None:
        """The first request that can be made now; None if all that are left wait for another one."""
        while self._ready:
            _, digest = heapq.heappop(self._ready)
            if digest in self._left:
                return self._left[digest][1]
        return None

    def again(self, request: JobSpec) -> None:
        """Puts a request back that could not be made this time."""
        self._push(request.digest)

    def finish(self, digest: str) -> None:
        """A result is there: what waited only for it can be made."""
        self._left.pop(digest, None)
        for name in self._waiting.pop(digest, ()):
            self._missing[name] -= 1
            if name in self._left and not self._missing[name]:
                self._push(name)

    def lose(self, digest: str) -> None:
        """There will be no result, nor any of what needs it."""
        self._left.pop(digest, None)
        for name in self._waiting.pop(digest, ()):
            if name in self._left:
                self.lose(name)

    def _push(self, digest: str) -> None:
        heapq.heappush(self._ready, (self._left[digest][0], digest))
