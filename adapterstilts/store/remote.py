"""A results folder at a URL: of a run the manifest is uploaded last, and without it nothing counts."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import fsspec

from adapterstilts.errors import ConfigError, StoreError
from adapterstilts.store.files import MANIFEST, stats_in


class There(NamedTuple):
    """A file at the URL: its size in bytes, and a text that changes whenever the file does."""

    size: int
    version: str


class Remote:
    """The files below a URL that fsspec knows (s3://, gs://, file:// …); names are relative to it."""

    def __init__(self, url: str):
        """Opens it; nothing is read.

        Raises:
            ConfigError: the URL is of no known kind, or of one that can hold no results; a package that it
                needs is not installed; its server is not there.
        """
        self.url = url.rstrip("/")
        try:
            self._fs, self._root = fsspec.url_to_fs(self.url)
        except (ImportError, ValueError, OSError) as error:
            raise ConfigError(f"{url} cannot be opened: {error}") from error
        if {"http", "https"}.intersection(self._fs.protocol):
            raise ConfigError(f"{url} cannot be opened: over HTTP nothing can be listed or written")

    def files(self) -> dict[str, There]:
        """All files."""
        with self._trouble():
            self._fs.invalidate_cache()
            found = self._fs.find(self._root, detail=True)
        start = len(self._root.rstrip("/")) + 1
        return {
            path[start:]: There(int(info["size"]), hashlib.sha256(str(info).encode()).hexdigest()[:16])
            for path, info in found.items()
        }

    def read(self, name: str) -> bytes | None:
        """The bytes of a file; None where there is none."""
        with self._trouble():
            try:
                return bytes(self._fs.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def download(self, wanted: Mapping[str, Path], near: Path) -> None:
        """Puts files where they are wanted, each whole or not at all.

        Args:
            wanted: name -> path.
            near: a folder on the same disk, for what is not whole yet.
        """
        near.mkdir(parents=True, exist_ok=True)
        with self._trouble(), tempfile.TemporaryDirectory(dir=near, prefix=".get-") as folder:
            parts = [f"{folder}/{number}" for number in range(len(wanted))]
            if parts:
                self._fs.get([self._path(name) for name in wanted], parts)
            for part, path in zip(parts, wanted.values(), strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(part, path)

    def upload(self, path: Path, name: str) -> None:
        """Replaces a file."""
        with self._trouble():
            self._fs.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
            self._fs.put_file(str(path), self._path(name))

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        with self._trouble():
            try:
                self._fs.rm_file(self._path(name))
            except FileNotFoundError:
                return

    def holds(self, run: Path) -> bool:
        """Whether a run is there with this manifest, every file in its size."""
        if self.read(f"{run.name}/{MANIFEST}") != (run / MANIFEST).read_bytes():
            return False
        return self.sizes(run.name) == {name: info.st_size for name, info in stats_in(run).items()}

    def sizes(self, run: str) -> dict[str, int]:
        """The files of a run, whole or not, with their sizes in bytes."""
        with self._trouble():
            self._fs.invalidate_cache()
            found = self._fs.find(self._path(run), detail=True)
        start = len(self._path(run)) + 1
        return {path[start:]: int(info["size"]) for path, info in found.items()}

    def publish(self, run: Path) -> None:
        """Uploads a finished run in place of what is there; while that lasts, nothing of that name counts."""
        self.remove(f"{run.name}/{MANIFEST}")
        files = stats_in(run)
        for name in self.sizes(run.name).keys() - files.keys():
            self.remove(f"{run.name}/{name}")
        for name in [*(name for name in files if name != MANIFEST), MANIFEST]:
            self.upload(run / name, f"{run.name}/{name}")

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        """Says of an error where it came from."""
        try:
            yield
        except OSError as error:
            raise StoreError(f"{self.url}: {error or type(error).__name__}") from error
