"""A grid that is killed again and again ends with the same store; two at once share the jobs."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from adapterstilts.grid.job_spec import JobSettings, training
from adapterstilts.grid.maintenance import Garbage
from adapterstilts.grid.records import Records
from adapterstilts.store import Store

from .conftest import Write, plan_of

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["adapterstilts.run.train", "adapterstilts.cli.app", "adapters", "pyarrow"])
TIMES = ("elapsed", "examples_per_second", "seconds")  # keys of a log's lines
KILLS = int(os.environ.get("ADAPTERSTILTS_KILLS", "5"))  # the long form uses more
GRID = {
    "targets": ["mini_paraphrase", "mini_retrieval"],
    "languages": ["en", "de"],
    "limits": {"train": 48, "eval": 12},
}


def grid_run(path: Path, store: Path) -> None:
    """Runs the command in a child process."""
    from adapterstilts.cli.app import app

    with (store.parent / "output.txt").open("a") as file, contextlib.redirect_stderr(file):
        app(
            ["grid", "run", str(path), "-C", str(store), "--checkpoint-steps", "1", "--processes", "1"],
            standalone_mode=False,
        )


def share(path: Path, store: Path, runs_file: Path) -> None:
    """Runs a grid in a child process and writes the ids of the runs that it computed."""
    from adapterstilts.grid.scheduler import InlineExecutor, Scheduler
    from adapterstilts.grid.worker import Worker
    from tests.grid.test_run import SilentListener

    scheduler = Scheduler(InlineExecutor(Worker(Records(store))), Records(store), SilentListener())
    scheduler.run(plan_of(path).jobs())
    runs_file.write_text(json.dumps([record.run for record in scheduler.finished]), encoding="utf-8")


def start(*call: object) -> multiprocessing.process.BaseProcess:
    child = SERVER.Process(target=call[0], args=call[1:])  # type: ignore[arg-type]
    child.start()
    return child


def results(store: Path) -> dict[str, object]:
    """Returns every file of every run, without the times in logs and manifests."""
    found: dict[str, object] = {}
    for run in Store(store).scan():
        assert not hasattr(run, "reason"), run
        for path in sorted(run.path.rglob("*")):
            if path.is_file():
                found[str(path.relative_to(store))] = without_times(path)
    return found


def without_times(path: Path) -> object:
    """Returns the content of a file without the times of a log or the log's checksum in a manifest."""
    if path.name == "log.jsonl":
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]
    if path.name == "manifest.json":
        files = json.loads(path.read_bytes())["files"]
        return {name: name == "log.jsonl" or entry for name, entry in files.items()}
    return path.read_bytes()


def complete(store: Path) -> dict[str, tuple[int, int]]:
    """Returns the published runs, each with inode and time, which change if it is recomputed."""
    folders = (
        [path for path in store.glob("*-*") if (path / "manifest.json").is_file()] if store.is_dir() else []
    )
    stats = {path.name: (path / "manifest.json").stat() for path in folders}
    return {name: (info.st_ino, info.st_mtime_ns) for name, info in stats.items()}


def run_whole(path: Path, store: Path) -> float:
    """Runs a grid undisturbed and returns the seconds that it took."""
    store.parent.mkdir(exist_ok=True)
    began = time.monotonic()
    child = start(grid_run, path, store)
    child.join()
    assert child.exitcode == 0
    return time.monotonic() - began


def run_killed(path: Path, store: Path, delay: float) -> bool:
    """Starts a grid and kills it after `delay` seconds; returns False if it ended before."""
    store.parent.mkdir(exist_ok=True)
    before = complete(store)
    child = start(grid_run, path, store)
    child.join(delay)
    alive = child.is_alive()
    if alive:
        os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    assert alive or child.exitcode == 0
    assert before.items() <= complete(store).items()  # complete runs are not recomputed
    return alive


@pytest.mark.slow
def test_a_grid_that_is_killed_ends_with_the_same_store(write: Write, tmp_path: Path) -> None:
    path, whole = write(**GRID), tmp_path / "whole" / "store"
    start(time.sleep, 0).join()  # the server has loaded everything by then
    duration = run_whole(path, whole)
    moments, kills, rounds = random.Random(7), 0, 0
    while kills < KILLS:
        rounds += 1
        killed = tmp_path / f"killed-{rounds}" / "store"
        while kills < KILLS and run_killed(path, killed, moments.uniform(0.05, 0.7) * duration):
            kills += 1
        run_whole(path, killed)
        assert results(killed) == results(whole)
        found = Garbage.find(plan_of(path).jobs(), Records(killed))
        Garbage.remove(
            found, Records(killed)
        )  # a kill at the last moment leaves an empty lock or a working folder
        assert not found.runs
        assert not list((killed / ".work").iterdir())
        assert results(killed) == results(whole)
        assert all(Records(killed).find_finished(job.digest) for job in plan_of(path).jobs())
    print(f"{kills} kills in {rounds} grids; undisturbed one takes {duration:.1f} s")


@pytest.mark.slow
def test_two_at_once_share_the_jobs(write: Write, tmp_path: Path) -> None:
    path, store = write(**GRID), tmp_path / "store"
    lists = [tmp_path / "a.json", tmp_path / "b.json"]
    children = [start(share, path, store, runs_file) for runs_file in lists]
    for child in children:
        child.join()
        assert child.exitcode == 0
    a, b = ([*json.loads(runs_file.read_text())] for runs_file in lists)
    assert len(a) + len(b) == len(set(a) | set(b)) == len(list(plan_of(path).jobs()))
    assert a and b
    alone = tmp_path / "alone"
    child = start(share, path, alone, tmp_path / "c.json")
    child.join()
    assert results(store) == results(alone)


def test_claims_of_dead_processes_do_not_count(write: Write, tmp_path: Path) -> None:
    records = Records(tmp_path / "store")
    job = next(plan_of(write()).jobs())
    with records.claim(job) as mine:
        assert mine
        with records.claim(job) as again:
            assert not again
        (running,) = records.running_jobs()
        assert (running.name, running.process) == (job.name, os.getpid())
    assert records.running_jobs() == []
    (records.root / "running" / job.digest).write_text("{}")  # left behind by a kill
    assert records.running_jobs() == []
    with records.claim(job) as mine:
        assert mine


def test_a_claim_holds_a_name_of_any_length(tmp_path: Path) -> None:
    records = Records(tmp_path / "store")
    told = JobSettings(version="1", kind="sequence", backbone="tiny")
    job = training("+".join(["mini_nli"] * 2000), "single", (), told, seed=1)
    with records.claim(job):
        assert [each.name for each in records.running_jobs()] == [job.name]
