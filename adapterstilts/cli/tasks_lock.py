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
    out: Annotated[Path, typer.Option(help="Where the lock file is written.")] = Path(
        "adapterstilts.lock.json"
    ),
    as_json: AsJson = False,
) -> None:
    """Write the commits that the Hub resolves for every dataset into a lock file.

    Later runs in this folder read those commits; ADAPTERSTILTS_LOCK names a lock file elsewhere. Of a
    dataset that cannot be reached, the commit that the file already has is kept, and the exit code is 2.

    Example: adapterstilts tasks lock
    """
    from adapterstilts.data.lock import read_lock, resolve_all, write_lock
    from adapterstilts.errors import MissingDataError
    from adapterstilts.tasks.registry import all_tasks

    before = read_lock(out).commits if out.is_file() else {}
    found = resolve_all(all_tasks().values())
    for name, reason in found.failed.items():
        note(f"{name}: {reason}" + ("; its commit stays as it was" if name in before else ""))
    if found.commits:
        commits = {**before, **found.commits}
        write_lock(out, commits)
        if as_json:
            print_json({"file": str(out), "commits": commits, "failed": dict(found.failed)})
        else:
            rows = [(name, commit, _state(name, found, before)) for name, commit in sorted(commits.items())]
            table(("dataset", "commit", ""), rows)
    if found.failed:
        total = len(found.commits) + len(found.failed)
        written = "the others stand" if found.commits else "nothing is written"
        raise MissingDataError(
            f"{len(found.failed)} of {total} datasets could not be resolved; {written} in {out}"
        )


def _state(name: str, found: Resolved, before: Mapping[str, str]) -> str:
    if name not in found.commits:
        return "kept"
    return "new" if name not in before else "as it was" if before[name] == found.commits[name] else "changed"
