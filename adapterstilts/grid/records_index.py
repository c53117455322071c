"""Index of very many records in one SQLite file, which can always be rebuilt from them.

Reading a million records takes minutes if they do not fit into the system's memory. Records are replaced,
never edited in place: a folder with an unchanged time has no changed file, and in other folders only files
whose size, time or inode changed are read again. Times are ctime, which no program can set, not even one that
copies a store.
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
# A file with a younger time (in ns) may change once more within the clock's resolution and keep that time.
SETTLED_AFTER = 2_000_000_000
LOCK_TIMEOUT = 60.0  # seconds to wait for another process that updates the index
# Errors whose cause is not the index file: it is kept, and the records are read instead.
EXTERNAL_ERRORS = {
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


class RecordsIndex:
    """Table of the records `folder/ab/ab….json`, one row per digest."""

    def __init__(
        self, file: Path, folder: Path, columns: Sequence[str], read_row: Callable[[str], Row | None]
    ):
        """Describes the index; the file is created by the first query.

        Args:
            file: SQLite file.
            folder: Folder with one folder for each pair of leading digits of the file names.
            columns: Columns beside the digest.
            read_row: Function that reads the row of a digest; None if it is unreadable.
        """
        self._file, self._folder = file, folder
        self._columns, self._read_row = tuple(columns), read_row
        self._usable = True
        # Another list of columns has another number, so the index of an older form is rebuilt. Shifted, since
        # SQLite stores a signed number.
        self._schema = zlib.crc32(" ".join(columns).encode()) >> 1

    def query(self, columns: Sequence[str], clause: str = "") -> list[Row] | None:
        """Updates the index and queries it.

        Args:
            columns: `digest`, columns of the table, or aggregates of them.
            clause: Rest of the SQL statement, such as `WHERE run = ''`.

        Returns:
            The rows; None if no index can be kept, as in a read-only folder. It is not tried again then.
        """
        statement = f"SELECT {', '.join(columns)} FROM records {clause}"
        rows = self._query_or_rebuild(statement) if self._usable else None
        self._usable = rows is not None
        return rows

    def _query_or_rebuild(self, statement: str) -> list[Row] | None:
        for _ in range(2):
            try:
                return self._update_and_query(statement)
            except (OSError, ValueError, OverflowError):  # unreadable folder, or a value SQLite cannot hold
                return None
            except sqlite3.Error as error:
                # The low byte is the primary code of an extended one.
                if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in EXTERNAL_ERRORS:
                    return None
            # The file is damaged or no database: rebuild it. If removing it fails, the second try fails too.
            with suppress(OSError):
                for suffix in ("-journal", ""):
                    Path(f"{self._file}{suffix}").unlink(missing_ok=True)
        return None

    def _update_and_query(self, statement: str) -> list[Row]:
        settled_before = time.time_ns() - SETTLED_AFTER
        with closing(sqlite3.connect(self._file, timeout=LOCK_TIMEOUT, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            if database.execute("PRAGMA user_version").fetchone()[0] != self._schema:
                self._create_tables(database)
            for part in PARTS:
                self._update_part(database, part, settled_before)
            # Before the query, whose sorting may need much space: if that fails, the update is kept.
            database.execute("COMMIT")
            return database.execute(statement).fetchall()

    def _create_tables(self, database: sqlite3.Connection) -> None:
        columns = ", ".join(self._columns)
        database.execute("DROP TABLE IF EXISTS records")
        database.execute("DROP TABLE IF EXISTS folders")
        database.execute("CREATE TABLE folders (name PRIMARY KEY, time)")
        database.execute(f"CREATE TABLE records (digest PRIMARY KEY, stamp, {columns}) WITHOUT ROWID")
        database.execute(f"PRAGMA user_version = {self._schema}")

    def _update_part(self, database: sqlite3.Connection, part: str, settled_before: int) -> None:
        """Reads the new and changed files of one folder.

        Args:
            database: Connection with an open transaction.
            part: Name of the folder.
            settled_before: Time in nanoseconds. What changed later is read again at the next update.
        """
        folder = f"{self._folder}/{part}"
        changed = _changed_at(folder)
        query = "SELECT 1 FROM folders WHERE name = ? AND time = ?"
        if database.execute(query, (part, changed)).fetchone():
            return
        # "~" sorts after every hex digit, so this is the range of names with the part as prefix.
        query = "SELECT digest, stamp FROM records WHERE digest >= ? AND digest < ?"
        stamps = dict(database.execute(query, (part, f"{part}~")))
        rows, complete = [], True
        for name, info in _json_files(folder):
            stamp = f"{info.st_ctime_ns} {info.st_size} {info.st_ino}"
            if stamps.get(name) == stamp:
                del stamps[name]
            elif row := self._read_row(name):
                stamps.pop(name, None)
                rows.append((name, stamp if info.st_ctime_ns < settled_before else "", *row))
            else:
                complete = False  # it may be readable the next time
        # The names that remain in `stamps` have no readable file any more.
        database.executemany("DELETE FROM records WHERE digest = ?", [(name,) for name in stamps])
        placeholders = ", ".join("?" * (2 + len(self._columns)))
        database.executemany(f"INSERT OR REPLACE INTO records VALUES ({placeholders})", rows)
        folder_time = changed if complete and changed < settled_before else -1
        database.execute("INSERT OR REPLACE INTO folders VALUES (?, ?)", (part, folder_time))


def _changed_at(folder: str) -> int:
    """The ctime of a folder in nanoseconds since the epoch; 0 if it does not exist."""
    try:
        return os.stat(folder).st_ctime_ns
    except FileNotFoundError:
        return 0


def _json_files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """The names of a folder's JSON files without their suffix; none if it does not exist."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            # Names with a leading dot are files that are still being written.
            if entry.name.endswith(".json") and not entry.name.startswith("."):
                with suppress(FileNotFoundError):  # removed since the folder was listed
                    yield entry.name[:-5], entry.stat()
