"""Resolves the commit of a Hub dataset, from the Hub or from a lock file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from adapterstilts.errors import ConfigError, MissingDataError
from adapterstilts.paths import expanded
from adapterstilts.tasks.spec import HubSource, Task
from adapterstilts.values import Value

LOCK_FILE = Path("adapterstilts.lock.json")
LOCK_VARIABLE = "ADAPTERSTILTS_LOCK"
COMMIT = re.compile(r"[0-9a-f]{40}")


class Lock(Value):
    """The content of a lock file.

    Attributes:
        commits: Dataset (`repo`, or `repo@revision` where the entry reads another branch) -> commit.
    """

    version: int = 1
    commits: Mapping[str, str]

    @staticmethod
    def read(path: Path) -> Lock:
        """Reads and checks a lock file.

        Raises:
            ConfigError: The file is not a valid lock file.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"the lock file {path} cannot be read ({error}): write it again") from None
        if not isinstance(data, dict):
            raise ConfigError(f"the lock file {path} is not a JSON object: write it again")
        lock = Lock.parse(data, f"lock file {path}")
        if lock.version != 1:
            raise ConfigError(
                f"the lock file {path} is of version {lock.version}; this program reads version 1"
            )
        for name, commit in lock.commits.items():
            if not COMMIT.fullmatch(commit):
                raise ConfigError(
                    f"the lock file {path}: {name} has '{commit}', which is not a commit (40 hex digits)"
                )
        return lock

    @staticmethod
    def write(path: Path, commits: Mapping[str, str]) -> None:
        """Writes a lock file, whole or not at all."""
        content = json.dumps({"version": 1, "commits": dict(sorted(commits.items()))}, indent=2)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_text(content + "\n", encoding="utf-8")
        os.replace(beside, path)


@dataclass(frozen=True)
class Resolved:
    """Commits of a set of datasets.

    Attributes:
        commits: Dataset -> commit.
        failed: Dataset -> reason of the failure.
    """

    commits: Mapping[str, str]
    failed: Mapping[str, str]

    @staticmethod
    def of(tasks: Iterable[Task]) -> Resolved:
        """Resolves the commit of every Hub dataset of the tasks, each once."""
        sources = {_dataset_of(task.hub): task.hub for task in tasks if task.hub}
        commits, failed = {}, {}
        for name, source in sorted(sources.items()):
            try:
                commits[name] = resolve(source.repo, source.commit or source.revision)
            except MissingDataError as error:
                failed[name] = str(error)
        return Resolved(commits, failed)


def resolve(repo: str, revision: str | None) -> str:
    """Returns the current commit of a branch or tag (the main branch for None).

    Raises:
        MissingDataError: The Hub cannot be reached, or has no such dataset or revision.
    """
    if revision and COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi

    try:
        sha = HfApi().dataset_info(repo, revision=revision, timeout=20).sha
    except (OSError, ValueError) as error:
        raise unreachable(repo, error) from None
    if sha is None:
        raise MissingDataError(f"the Hub reports no commit of {repo}")
    return str(sha)


def unreachable(repo: str, error: Exception) -> MissingDataError:
    """Returns a one-line error for a library's error on a Hub dataset."""
    name = type(error).__name__
    if "Connection" in name or "Timeout" in name:  # several libraries, all with long messages
        return MissingDataError(f"cannot reach the Hub to read {repo} ({name})")
    reason = (str(error).strip().splitlines() or [""])[0][:200]
    return MissingDataError(f"the Hub dataset {repo} cannot be read ({name}: {reason})")


def _dataset_of(source: HubSource) -> str:
    """Returns the dataset's name in a lock file."""
    return f"{source.repo}@{source.revision}" if source.revision else source.repo


def locked(source: HubSource) -> str | None:
    """Returns the dataset's commit in the lock file. None without a lock file or an entry.

    Raises:
        ConfigError: The lock file does not exist or is not valid.
    """
    path = _lock_file()
    return Lock.read(path).commits.get(_dataset_of(source)) if path else None


def _lock_file() -> Path | None:
    """Returns the lock file: ADAPTERSTILTS_LOCK, or else the one in the current folder, if it exists.

    Raises:
        ConfigError: ADAPTERSTILTS_LOCK names a file that is not there.
    """
    setting = os.environ.get(LOCK_VARIABLE)
    path = expanded(setting) if setting else LOCK_FILE
    if path.is_file():
        return path
    if setting:
        raise ConfigError(
            f"the lock file {path} (from {LOCK_VARIABLE}) does not exist: run adapterstilts tasks lock"
        )
    return None
