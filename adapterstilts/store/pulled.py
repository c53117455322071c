"""The origin of runs that were pulled from the Hub."""

from __future__ import annotations

import json
from typing import NamedTuple

from adapterstilts.errors import DamagedError
from adapterstilts.store.files import ORIGIN
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
    path = run.path / ORIGIN
    if run.job["type"] != "train" or not path.is_file():
        return None
    try:
        pulled = json.loads(path.read_bytes()).get("pulled")
        if pulled is None:
            return None
        repo, commit = pulled["repo"], pulled["commit"]
        if isinstance(repo, str) and isinstance(commit, str):
            return Pulled(repo, commit)
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError):
        pass
    raise DamagedError(
        f"run {run.id} is damaged: {ORIGIN} does not name the repository that it was pulled from", run.id
    )
