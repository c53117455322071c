"""The verb `tasks lock`: pins every Hub dataset to the commit that the Hub resolves now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapterstilts.cli.console import AsJson, note, print_json, table

if TYPE_CHECKING:
    from adapterstilts.data.lock import Resolved


def lock(
    out: Annotated[Path, typer.Option(help="Path of the lock file.")] = Path("adapterstilts.lock.json"),
    as_json: AsJson = False,
) -> None:
    """Write the commits that the Hub resolves for every dataset into a lock file.

    Later runs in this folder read these commits; ADAPTERSTILTS_LOCK specifies another lock file. If a dataset
    cannot be reached, its commit in the file does not change, and the exit code is 2.

    Example: adapterstilts tasks lock
    """
    from adapterstilts.data.lock import Lock, Resolved
    from adapterstilts.errors import MissingDataError
    from adapterstilts.tasks.registry import all_tasks

    before = Lock.read(out).commits if out.is_file() else {}
    resolved = Resolved.of(all_tasks().values())
    for name, reason in resolved.failed.items():
        note(f"{name}: {reason}" + ("; its commit stays as it was" if name in before else ""))
    if resolved.commits:
        commits = {**before, **resolved.commits}
        Lock.write(out, commits)
        if as_json:
            print_json({"file": str(out), "commits": commits, "failed": dict(resolved.failed)})
        else:
            rows = [
                (name, commit, _state(name, resolved, before)) for name, commit in sorted(commits.items())
            ]
            table(("dataset", "commit", ""), rows)
    if resolved.failed:
        total = len(resolved.commits) + len(resolved.failed)
        written = "the others are written" if resolved.commits else "nothing is written"
        raise MissingDataError(
            f"{len(resolved.failed)} of {total} datasets could not be resolved; {written} in {out}"
        )


def _state(name: str, resolved: Resolved, before: Mapping[str, str]) -> str:
    if name not in resolved.commits:
        return "kept"
    return (
        "new" if name not in before else "as it was" if before[name] == resolved.commits[name] else "changed"
    )
