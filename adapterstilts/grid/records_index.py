"""A table of very many small JSON files, in one file that can always be made again from them.

Reading a million records takes minutes where they do not fit into the system's memory. Files are replaced
here, never edited: in a folder with the time that it had, nothing changed; in any other, a file with the
size, time and number that it had when it was read need not be read again. Times are those of the last change
of any kind (ctime), which no program can set, not even one that copies a store.
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

PARTS = tuple(f"{number:02x}" for number in range(256))
SETTLED = 2_000_000_000  # ns; a file written later than that may change once more with the same time
PATIENCE = 60.0  # seconds to wait for another process that brings the table up to date
ELSEWHERE = {  # errors that say nothing of the file
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
}

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
        self._kept = True
        self._schema = zlib.crc32(" ".join(columns).encode()) >> 1  # SQLite keeps it with a sign

    def rows(self, columns: Sequence[str], rest: str = "") -> list[Row] | None:
        """These columns of the rows, brought up to date.

        Args:
            columns: `name`, the columns of the table, or sums of them.
            rest: of the statement in SQL, as `WHERE run = ''`.

        Returns:
            None where no table can be kept, as in a folder that is read-only; nor is it tried once more then.
        """
        query = f"SELECT {', '.join(columns)} FROM files {rest}"
        found = self._updated(query) if self._kept else None
        self._kept = found is not None
        return found

    def _updated(self, query: str) -> list[Row] | None:
        for _ in range(2):
            try:
                return self._update(query)
            except (OSError, ValueError, OverflowError):  # something in the folder cannot be read, or kept
                return None
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in ELSEWHERE:
                    return None
            with suppress(OSError):
                self._remove()  # it is damaged, or something else
        return None

    def _remove(self) -> None:
        for end in ("-journal", ""):
            Path(f"{self._file}{end}").unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, timeout=PATIENCE, isolation_level=None)

    def _update(self, query: str) -> list[Row]:
        """Reads what is new, and keeps it before anything is asked: an answer may want a lot of space."""
        settled = time.time_ns() - SETTLED
        with closing(self._open()) as base:
            base.execute("BEGIN IMMEDIATE")
            if base.execute("PRAGMA user_version").fetchone()[0] != self._schema:
                self._create(base)
            for part in PARTS:
                self._update_part(base, part, settled)
            base.execute("COMMIT")
            return base.execute(query).fetchall()

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
            base.execute("SELECT name, stamp FROM files WHERE name >= ? AND name < ?", (part, f"{part}~"))
        )
        rows, whole = [], True
        for name, info in _files(folder):
            stamp = f"{info.st_ctime_ns} {info.st_size} {info.st_ino}"
            if known.get(name) == stamp:
                del known[name]
            elif row := self._read(name):
                known.pop(name, None)
                rows.append((name, stamp if info.st_ctime_ns < settled else "", *row))
            else:
                whole = False  # perhaps it can be read the next time
        base.executemany("DELETE FROM files WHERE name = ?", [(name,) for name in known])
        marks = ", ".join("?" * (2 + len(self._columns)))
        base.executemany(f"INSERT OR REPLACE INTO files VALUES ({marks})", rows)
        seen = changed if whole and changed < settled else -1
        base.execute("INSERT OR REPLACE INTO folders VALUES (?, ?)", (part, seen))


def _time(folder: str) -> int:
    """When a name in a folder was changed last, in nanoseconds since the epoch; 0 where there is none."""
    try:
        return os.stat(folder).st_ctime_ns
    except FileNotFoundError:
        return 0


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """The names of the JSON files in a folder, without their ends; none where there is no such folder."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and not entry.name.startswith("."):
                with suppress(FileNotFoundError):  # removed meanwhile
                    yield entry.name[:-5], entry.stat()
