"""The status of a very large grid is read from an index, which agrees with the folders."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from adapterstilts.grid import records as module
from adapterstilts.grid import records_index
from adapterstilts.grid.estimate import Estimator
from adapterstilts.grid.job_spec import JobSettings, JobSpec, evaluations
from adapterstilts.grid.records import Cost, Record, Records
from adapterstilts.grid.status import GridStatus, read_status
from adapterstilts.job import EvalJob
from adapterstilts.store import Run
from adapterstilts.store.files import MANIFEST
from tests.cli.conftest import Call, call  # noqa: F401

from .conftest import Write

SETTINGS = JobSettings(version="1", kind="sequence", backbone="tiny", limit=200)
JOBS = tuple(evaluations("xnli", "f" * 64, SETTINGS, "test", (f"l{number}" for number in range(40))))
EVAL = EvalJob(
    run="f" * 64, task="xnli", task_version=1, split="test", language="de", backbone="b", data="d",
    encoding={}, precision="fp32",
)  # fmt: skip
SHORTLY = 0.03  # seconds


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INDEX_FROM", 10)
    monkeypatch.setattr(records_index, "SETTLED_AFTER", 20_000_000)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Store with results of the first thirty jobs, recorded a moment ago."""
    records = Records(tmp_path / "store")
    for number, job in enumerate(JOBS[:30]):
        finish(records, job, float(number))
    time.sleep(SHORTLY)
    return records.store


def finish(records: Records, job: JobSpec, seconds: float | None, name: str = "") -> Record:
    folder = records.store / (name or f"run-{job.digest[:8]}")
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text('{"files": {}}')
    run = Run(folder.name, job.digest, folder, EVAL, {}, "", 1000)
    return records.record_result(job, run, Cost(seconds, examples=100))


def seen(store: Path) -> GridStatus:
    """Returns the status by the index after comparing it with the status by the folders."""
    fresh = Records(store)
    found = read_status(JOBS, fresh, quick=True)
    looked = read_status(JOBS, fresh)
    assert found.quick and not looked.quick
    assert (found.states, found.runs, found.counts) == (looked.states, looked.runs, looked.counts)
    return found


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Digests of the jobs whose records are read from their files."""
    found: list[str] = []
    read_record = Records.read_record

    def reading(records: Records, job: str) -> Record | None:
        found.append(job)
        return read_record(records, job)

    monkeypatch.setattr(Records, "read_record", reading)
    return found


def test_the_index_agrees_with_the_folders(store: Path) -> None:
    assert seen(store).count("done") == 30
    records = Records(store)
    records.remove_record(JOBS[0].digest)
    records.mark_for_recheck(JOBS[1].digest)
    shutil.rmtree(store / records.read_record(JOBS[2].digest).run)  # type: ignore[union-attr]
    records.record_failure(JOBS[33], "no", "")
    finish(records, JOBS[35], 1.0)
    finish(records, JOBS[4], None, "another")
    broken = records.record_file(JOBS[5].digest)
    broken.unlink()
    broken.write_text("{")
    found = seen(store)
    assert found.count("done") == 27
    assert found.runs[JOBS[4].digest] == "another"


def test_records_are_read_once(store: Path, read: list[str]) -> None:
    assert read_status(JOBS, Records(store), quick=True).count("done") == 30
    assert len(read) == 30
    assert read_status(JOBS, Records(store), quick=True).count("done") == 30
    assert len(read) == 30
    Records(store).mark_for_recheck(JOBS[7].digest)
    read.clear()
    assert read_status(JOBS, Records(store), quick=True).count("done") == 29
    assert read == [JOBS[7].digest]


def test_recently_written_records_are_read_again(
    store: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_index, "SETTLED_AFTER", 10**18)
    records = Records(store)
    records.mark_for_recheck(JOBS[7].digest)  # in the same instant, it may change once more
    for _ in range(2):
        read.clear()
        assert read_status(JOBS, Records(store), quick=True).count("done") == 29
        assert JOBS[7].digest in read


def test_a_folder_that_was_copied_with_its_times_is_read(store: Path) -> None:
    """As rsync copies the results of another machine."""
    seen(store)
    records = Records(store)
    folder = records.record_file(JOBS[35].digest).parent
    folder.mkdir(exist_ok=True)
    before = folder.stat()
    finish(records, JOBS[35], 1.0)
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert seen(store).count("done") == 31


def test_a_record_that_could_not_be_read_once_is_read_again(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Records, "read_record", lambda *_: None)
        assert read_status(JOBS, Records(store), quick=True).count("done") == 0
    assert seen(store).count("done") == 30


@pytest.mark.parametrize("harm", ["no database", "older", "removed", "cut off", "overwritten", "no tables"])
def test_a_damaged_index_is_rebuilt(store: Path, harm: str) -> None:
    seen(store)
    path = store / ".grid" / "index.sqlite"
    data = path.read_bytes()
    if harm == "no database":
        path.write_bytes(b"nothing of the kind" * 1000)
    elif harm == "removed":
        path.unlink()
    elif harm == "cut off":
        os.truncate(path, len(data) // 2)
    elif harm == "overwritten":
        path.write_bytes(data[:8192] + b"\xff" * (len(data) - 8192))
    else:
        with closing(sqlite3.connect(path)) as base, base:
            base.execute("UPDATE records SET run = 'wrong'" if harm == "older" else "DROP TABLE records")
            if harm == "older":
                base.execute("PRAGMA user_version = 5")
    assert seen(store).count("done") == 30


@pytest.mark.parametrize("size", [10**30, -(10**30)])
def test_values_that_sqlite_cannot_hold_are_read_from_the_folders(store: Path, size: int) -> None:
    records = Records(store)
    record = records.read_record(JOBS[3].digest)
    assert record
    records.write_record(replace(record, size=size))
    found = read_status(JOBS, Records(store), quick=True)
    assert found.count("done") == 30
    assert not found.quick


def test_a_full_disk_during_a_query_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "abc.json").write_text("{}")

    def made() -> records_index.RecordsIndex:
        return records_index.RecordsIndex(
            tmp_path / "index", tmp_path, ("letters",), lambda name: (name.upper(),)
        )

    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    with monkeypatch.context() as patch:
        patch.setattr(records_index.RecordsIndex, "_update_and_query", Mock(side_effect=full))
        assert made().query(("digest",)) is None
    assert made().query(("digest", "letters")) == [("abc", "ABC")]


def test_without_an_index_file_the_folders_are_read(store: Path) -> None:
    (store / ".grid" / "index.sqlite").mkdir()
    found = read_status(JOBS, Records(store), quick=True)
    assert found.count("done") == 30
    assert not found.quick
    assert Estimator(Records(store).cost_groups()).seconds(JOBS[35])[0] == pytest.approx(14.5)


def test_times_are_estimated_from_the_index(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(store)
    finish(records, JOBS[30], None)
    indexed = Estimator(records.cost_groups())
    monkeypatch.setattr(module, "INDEX_FROM", 10**6)
    folders = Estimator(records.cost_groups())
    assert indexed.seconds(JOBS[35]) == folders.seconds(JOBS[35]) == (pytest.approx(14.5), "recorded")
    assert indexed.bytes(JOBS[35]) == folders.bytes(JOBS[35])
    other = next(
        iter(evaluations("xnli", "e" * 64, SETTINGS.model_copy(update={"limit": 50}), "test", ["de"]))
    )
    assert indexed.seconds(other) == folders.seconds(other)


def test_few_results_need_no_index(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INDEX_FROM", 30)
    assert not read_status(JOBS, Records(store), quick=True).quick
    assert not (store / ".grid" / "index.sqlite").exists()


def test_status_reports_that_no_files_were_checked(
    call: Call,  # noqa: F811
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grid = str(write(targets=["mini_paraphrase"], languages=["de"], intermediate=["mini_nli"]))
    monkeypatch.setattr(module, "INDEX_FROM", 2)
    call("grid", "run", grid)
    shown = call("grid", "status", grid)
    assert "files were not checked" in shown.stderr
    assert '"files_checked": false' in call("grid", "status", grid, "--json").stdout
