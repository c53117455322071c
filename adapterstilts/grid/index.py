"""A table of very many small JSON files, in one file that can always be made again from them.

Reading a million records takes minutes where they do not fit into the system's memory. Files are replaced
here, never edited: in a folder with the time that it had, nothing changed; in any other, a file with the
size, time and number that it had when it was read need not be read again.
"""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from adapterstilts.errors import StoreError

PARTS = tuple(f"{number:02x}" for number in range(256))
SETTLED = 2_000_000_000  # ns; a file written later than that may change once more with the same time
PATIENCE = 60.0  # seconds to wait for another process that brings the table up to date

Row = tuple[Any, ...]


class Index:
    """The files `folder/ab/ab….json` as rows.

    Args:
        file: the SQLite file that holds the table.
        folder: has a folder for each two first digits of the files' names.
        columns: of a row, beside its name.
        read: a row from a file's name; None where there is nothing to be read.
    """

    def __init__(self, file: Path, folder: Path, columns: Sequence[str], read: Callable[[str], Row | None]):
        self._file, self._folder = file, folder
        self._columns, self._read = tuple(columns), read
        self._schema = zlib.crc32(" ".join(columns).encode()) >> 1  # SQLite keeps it with a sign

    def refresh(self) -> bool:
        """Brings the table up to date.

        Returns:
            Whether it is; not where it cannot be kept, as in a folder that is read-only.
        """
        try:
            self._update()
        except sqlite3.OperationalError:  # read-only, full, locked
            return False
        except sqlite3.DatabaseError:  # no such table any more
            self._remove()
            try:
                self._update()
            except sqlite3.Error:
                return False
        return True

    def select(self, columns: Sequence[str], rest: str = "") -> Iterator[Row]:
        """These columns of the rows as they were found last.

        Args:
            columns: `name`, the columns of the table, or sums of them.
            rest: of the statement in SQL, as `WHERE run = ''`.

        Raises:
            StoreError: the table is damaged; it is removed.
        """
        try:
            with closing(self._open()) as base:
                yield from base.execute(f"SELECT {', '.join(columns)} FROM files {rest}")
        except sqlite3.DatabaseError as error:
            self._remove()
            raise StoreError(
                f"the index {self._file} was damaged ({error}) and is removed: give the same command again, "
                "and it is made anew from the results"
            ) from error

    def _remove(self) -> None:
        for end in ("-journal", ""):
            Path(f"{self._file}{end}").unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, timeout=PATIENCE, isolation_level=None)

    def _update(self) -> None:
        settled = time.time_ns() - SETTLED
        with closing(self._open()) as base:
            base.execute("BEGIN IMMEDIATE")
            if base.execute("PRAGMA user_version").fetchone()[0] != self._schema:
                self._create(base)
            for part in PARTS:
                self._update_part(base, part, settled)
            base.execute("COMMIT")

    def _create(self, base: sqlite3.Connection) -> None:
        base.execute("DROP TABLE IF EXISTS files")
        base.execute("DROP TABLE IF EXISTS folders")
        base.execute("CREATE TABLE folders (name PRIMARY KEY, time)")
        base.execute(
            f"CREATE TABLE files (name PRIMARY KEY, stamp, {', '.join(self._columns)}) WITHOUT ROWID"
        )
        base.execute(f"PRAGMA user_version = {self._schema}")

    def _update_part(self, base: sqlite3.Connection, part: str, settled: int) -> None:
        """Reads the files of one folder that are new or changed.

        Args:
            settled: nanoseconds since the epoch; what was written later is looked at again the next time.
        """
        folder = f"{self._folder}/{part}"
        changed = _time(folder)
        if base.execute("SELECT 1 FROM folders WHERE name = ? AND time = ?", (part, changed)).fetchone():
            return
        known = dict(
            base.execute("SELECT name, stamp FROM files WHERE name >= ? AND name < ?", (part, part + "g"))
        )
        rows = []
        for name, info in _files(folder):
            stamp = f"{info.st_mtime_ns} {info.st_size} {info.st_ino}"
            if known.get(name) == stamp:
                del known[name]
            elif row := self._read(name):
                known.pop(name, None)
                rows.append((name, stamp if info.st_mtime_ns < settled else "", *row))
        base.executemany("DELETE FROM files WHERE name = ?", [(name,) for name in known])
        marks = ", ".join("?" * (2 + len(self._columns)))
        base.executemany(f"INSERT OR REPLACE INTO files VALUES ({marks})", rows)
        seen = changed if changed < settled else -1
        base.execute("INSERT OR REPLACE INTO folders VALUES (?, ?)", (part, seen))


def _time(folder: str) -> int:
    """When a name in a folder was changed last, in nanoseconds since the epoch; 0 where there is none."""
    try:
        return os.stat(folder).st_mtime_ns
    except FileNotFoundError:
        return 0


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """The names of the JSON files in a folder, without their ends; none where there is no such folder."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and not entry.name.startswith("."):
                with suppress(FileNotFoundError):  # removed meanwhile
                    yield entry.name[:-5], entry.stat()
