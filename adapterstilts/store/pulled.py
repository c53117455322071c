"""The origin of runs that were pulled from the Hub."""

from __future__ import annotations

from typing import NamedTuple

from adapterstilts.job import TrainJob
from adapterstilts.store.origin import read_origin
from adapterstilts.store.runs import Run

COMMIT_SHOWN = 12  # hex digits of a commit in tables and messages


class Pulled(NamedTuple):
    """The repository on the Hub that a run was pulled from, and its commit (hex)."""

    repo: str
    commit: str

    def __str__(self) -> str:
        """For tables and reports: `owner/name@0123456789ab`."""
        return f"{self.repo}@{self.commit[:COMMIT_SHOWN]}"


def pulled_from(run: Run) -> Pulled | None:
    """The repository that a run was pulled from; None for a run that was trained or evaluated here.

    Evaluations are never pulled: pass the run that was evaluated.

    Raises:
        DamagedError: The run's `origin.json` is malformed.
    """
    pulled = read_origin(run.path).get("pulled") if isinstance(run.job, TrainJob) else None
    return pulled and Pulled(pulled["repo"], pulled["commit"])
