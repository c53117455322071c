"""A results folder at a URL. A run without its manifest does not count, so the manifest is uploaded last."""

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


class RemoteFile(NamedTuple):
    """A file at the URL: its size in bytes, and a text that changes whenever the file does."""

    size: int
    version: str


class Remote:
    """The files below a URL that fsspec knows (s3://, gs://, file:// …); names are relative to it."""

    def __init__(self, url: str):
        """Connects to the file system of the URL; no file is read.

        Raises:
            ConfigError: The URL's protocol is unknown, read-only, or needs a missing package, or
                its server was not found.
        """
        self.url = url.rstrip("/")
        try:
            self._fs, self._root = fsspec.url_to_fs(self.url)
        except (ImportError, ValueError, OSError) as error:
            raise ConfigError(f"{url} cannot be opened: {error}") from error
        if {"http", "https"}.intersection(self._fs.protocol):
            raise ConfigError(f"{url} cannot be opened: HTTP servers can neither list nor write files")

    def files(self) -> dict[str, RemoteFile]:
        """Returns all files by name."""
        with self._named_errors():
            self._fs.invalidate_cache()  # fsspec remembers listings, and other machines write here
            entries = self._fs.find(self._root, detail=True)
        start = len(self._root.rstrip("/")) + 1
        return {
            path[start:]: RemoteFile(int(info["size"]), hashlib.sha256(str(info).encode()).hexdigest()[:16])
            for path, info in entries.items()
        }

    def read(self, name: str) -> bytes | None:
        """Returns the bytes of a file; None if it was not found."""
        with self._named_errors():
            try:
                return bytes(self._fs.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def download(self, paths: Mapping[str, Path], temporary: Path) -> None:
        """Downloads files; each appears under its path completely or not at all.

        Args:
            paths: Path of each file by its name at the URL.
            temporary: Folder on the same disk, for incomplete files.
        """
        temporary.mkdir(parents=True, exist_ok=True)
        with self._named_errors(), tempfile.TemporaryDirectory(dir=temporary, prefix=".get-") as folder:
            parts = [f"{folder}/{number}" for number in range(len(paths))]
            if parts:
                self._fs.get([self._path(name) for name in paths], parts)
            for part, path in zip(parts, paths.values(), strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                os.replace(part, path)

    def upload(self, path: Path, name: str) -> None:
        """Uploads a file, in place of one of that name."""
        with self._named_errors():
            self._fs.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
            self._fs.put_file(str(path), self._path(name))

    def remove(self, name: str) -> None:
        """Removes a file if it exists."""
        with self._named_errors():
            try:
                self._fs.rm_file(self._path(name))
            except FileNotFoundError:
                return

    def holds(self, run: Path) -> bool:
        """Whether a run with this manifest is at the URL, and every file has its size."""
        if self.read(f"{run.name}/{MANIFEST}") != (run / MANIFEST).read_bytes():
            return False
        return self.sizes(run.name) == {name: info.st_size for name, info in stats_in(run).items()}

    def sizes(self, run: str) -> dict[str, int]:
        """Returns the sizes in bytes of a run's files, whether the run is complete or not."""
        with self._named_errors():
            self._fs.invalidate_cache()
            entries = self._fs.find(self._path(run), detail=True)
        start = len(self._path(run)) + 1
        return {path[start:]: int(info["size"]) for path, info in entries.items()}

    def publish(self, run: Path) -> None:
        """Uploads a finished run in place of one of that name."""
        # Without its manifest a run does not count: an interrupted upload leaves no half-replaced run.
        self.remove(f"{run.name}/{MANIFEST}")
        files = stats_in(run)
        for name in self.sizes(run.name).keys() - files.keys():
            self.remove(f"{run.name}/{name}")
        for name in [*(name for name in files if name != MANIFEST), MANIFEST]:
            self.upload(run / name, f"{run.name}/{name}")

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turns an error of the file system into one that names the URL."""
        try:
            yield
        except OSError as error:
            raise StoreError(f"{self.url}: {error or type(error).__name__}") from error
