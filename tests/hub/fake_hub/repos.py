"""What a Hub holds: repositories with commits and branches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

LARGE = (".safetensors", ".parquet", ".bin", ".pt", ".arrow")  # kept in large file storage
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def is_large(path: str, size: int) -> bool:
    """Whether the Hub wants a file in large file storage."""
    return size > 0 and (path.endswith(LARGE) or size > 10_000_000)


@dataclass(frozen=True)
class File:
    """A file's content, and the size that listings tell."""

    content: bytes
    large: bool
    listed: int

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def oid(self) -> str:
        """The hash of git's blob."""
        return hashlib.sha1(f"blob {len(self.content)}\0".encode() + self.content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.oid


Files = Mapping[str, File]


@dataclass(frozen=True)
class Commit:
    """One state of a repository; its id is a hash of all that is in it."""

    oid: str
    title: str
    number: int
    files: Files

    @property
    def date(self) -> str:
        """A minute for each commit, so that dates are the same every time."""
        return (EPOCH + timedelta(minutes=self.number)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@dataclass
class Repo:
    """A repository of the kind `models` or `datasets`."""

    kind: str
    id: str
    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.id.partition("/")[0]

    def commit(self, files: Files, title: str, branch: str = "main") -> Commit:
        """A new commit with exactly these files at the head of the branch."""
        content = {path: [file.sha256, file.listed] for path, file in files.items()}
        said = [self.kind, self.id, self.branches.get(branch), title, content]
        oid = hashlib.sha1(json.dumps(said, sort_keys=True).encode()).hexdigest()
        made = Commit(oid, title, len(self.commits), dict(sorted(files.items())))
        self.commits[oid] = made
        self.branches[branch] = oid
        return made

    def at(self, revision: str) -> Commit | None:
        """The commit of a branch or of its own id."""
        return self.commits.get(self.branches.get(revision, revision))

    def split(self, rest: str) -> tuple[str, str]:
        """Revision and path of `revision/path`, where branches may have slashes in their names."""
        known = (each for each in (*self.branches, *self.commits) if f"{rest}/".startswith(f"{each}/"))
        revision = max(known, key=len, default=rest.partition("/")[0])
        return revision, rest[len(revision) + 1 :]
