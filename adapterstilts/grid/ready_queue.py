"""Order of a grid's jobs: as planned, but each job after those whose results it needs."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from adapterstilts.grid.job_spec import JobSpec


class ReadyQueue:
    """The open jobs of a grid, and which of them can run next."""

    def __init__(self, jobs: Iterable[JobSpec], finished: Iterable[str], failed: Iterable[str]):
        """Queues the open jobs.

        Args:
            jobs: All jobs of a grid, the most important one first.
            finished: Digests of the jobs that have a result.
            failed: Digests of the jobs that will have none.
        """
        finished, failed = set(finished), set(failed)
        self._open = {
            job.digest: (priority, job)
            for priority, job in enumerate(jobs)
            if job.digest not in finished and job.digest not in failed
        }
        self._missing: dict[str, int] = {}  # digest -> number of results that the job still waits for
        self._dependents: dict[str, list[str]] = {}  # digest -> jobs that need its result
        self._ready: list[tuple[int, str]] = []
        for digest, (priority, job) in self._open.items():
            missing = set(job.needs) - finished
            self._missing[digest] = len(missing)
            for need in missing:
                self._dependents.setdefault(need, []).append(digest)
            if not missing:
                # Jobs come in priority order, so appending keeps the list a valid heap.
                self._ready.append((priority, digest))
        for digest in failed:
            self.mark_failed(digest)

    def __len__(self) -> int:
        """Number of open jobs: neither finished, nor failed, nor blocked."""
        return len(self._open)

    def next_job(self) -> JobSpec | None:
        """Removes the ready job of the highest priority; None if all open jobs wait for others."""
        while self._ready:
            _, digest = heapq.heappop(self._ready)
            # A failure elsewhere may have blocked the job after it became ready.
            if digest in self._open:
                return self._open[digest][1]
        return None

    def put_back(self, job: JobSpec) -> None:
        """Makes a job ready again that could not run this time."""
        self._push(job.digest)

    def mark_finished(self, digest: str) -> None:
        """Records a result; jobs that waited only for it become ready."""
        self._open.pop(digest, None)
        for dependent in self._dependents.pop(digest, ()):
            self._missing[dependent] -= 1
            if dependent in self._open and not self._missing[dependent]:
                self._push(dependent)

    def mark_failed(self, digest: str) -> None:
        """Drops a job that will have no result, and with it all jobs that need it."""
        self._open.pop(digest, None)
        for dependent in self._dependents.pop(digest, ()):
            if dependent in self._open:
                self.mark_failed(dependent)

    def _push(self, digest: str) -> None:
        heapq.heappush(self._ready, (self._open[digest][0], digest))
