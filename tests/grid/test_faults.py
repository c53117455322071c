"""Real disks that are full or read-only, clocks that jump, and stores of another schema."""
# ruff: noqa: F811

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapterstilts.grid.records import Records
from adapterstilts.store import Damaged, Store
from tests.cli.conftest import Call, call  # noqa: F401
from tests.fork_server import ForkServer

from .conftest import Write, plan_of
from .test_kill import complete, results

Mount = Callable[..., None]

ROOT = Path(__file__).parents[2]
FEW = {"targets": ["mini_paraphrase"], "languages": ["de"], "intermediate": ["mini_nli"]}
JOBS = 5


def mount(*arguments: str) -> bool:
    """Mounts a disk; returns False if that is not allowed. Requires root."""
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Folder with a separate disk, which `mount(-o, remount,…)` changes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)):
        pytest.skip("no disk can be mounted here (needs root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def grid_run(call: Call, path: Path, store: Path, code: int = 0) -> str:
    return call("grid", "run", str(path), "-C", str(store), "--processes", "1", code=code).stderr


def shown(call: Call, path: Path, store: Path) -> dict[str, int]:
    found = json.loads(call("grid", "status", str(path), "-C", str(store), "--json").stdout)
    return {name: jobs for name, jobs in found["totals"].items() if jobs}


def test_a_full_disk_keeps_complete_results_and_the_same_command_resumes(
    call: Call,
    write: Write,
    disk: Path,
    tmp_path: Path,
) -> None:
    path, store, whole = write(**FEW), disk / "store", tmp_path / "whole"
    grid_run(call, path, whole)
    grid_run(call, write("less", **{**FEW, "intermediate": []}), store)
    kept, room = complete(store), os.statvfs(disk)
    used = (room.f_blocks - room.f_bfree) * room.f_frsize
    assert mount("-o", f"remount,size={used + 20_000}", str(disk))
    assert f"the disk that holds {store} is full" in grid_run(call, path, store, code=2)
    assert complete(store) == kept
    assert shown(call, path, store) == {"done": len(kept), "waiting": JOBS - len(kept)}
    assert mount("-o", "remount,size=20m", str(disk))
    grid_run(call, path, store)
    assert kept.items() <= complete(store).items()
    assert results(store) == results(whole)


def test_a_read_only_store_can_be_read(call: Call, write: Write, disk: Path) -> None:
    path, store = write(**FEW), disk / "store"
    more = write("more", **{**FEW, "languages": ["de", "sw"]})
    grid_run(call, path, store)
    before = results(store)
    assert mount("-o", "remount,ro", str(disk))
    assert "Read-only file system" in grid_run(call, more, store, code=2)
    assert "next: " in grid_run(call, path, store)  # no job is open
    assert shown(call, more, store) == {"done": JOBS, "waiting": 2}
    for verb in ("plan", "table", "verify"):
        call("grid", verb, str(path), "-C", str(store))
    assert len(json.loads(call("runs", "-C", str(store), "--json").stdout)) == JOBS
    assert results(store) == before
    assert mount("-o", "remount,rw", str(disk))
    assert "2 jobs took" in grid_run(call, more, store)


@pytest.mark.parametrize("years", [-30, 30])
def test_a_clock_jump_changes_no_result(
    call: Call,
    write: Write,
    tmp_path: Path,
    years: int,
) -> None:
    """Half of the files get other times, as if the clock had jumped while they were written."""
    path, store = write(**FEW), tmp_path / "store"
    grid_run(call, path, store)
    before, then = results(store), time.time() + years * 365 * 86400
    for file in sorted(store.rglob("*"))[::2]:
        os.utime(file, (then, then))
    assert shown(call, path, store) == {"done": JOBS}
    made = grid_run(call, path, store)
    assert "jobs took" not in made
    assert results(store) == before
    assert "damaged" not in call("runs", "-C", str(store)).stderr


def test_a_start_in_the_future_counts_as_now(call: Call, write: Write, tmp_path: Path) -> None:
    path, records = write(**FEW), Records(tmp_path / "store")
    job = next(plan_of(path).jobs())
    with records.claim(job):
        place = records.root / "running" / job.digest
        told = {**json.loads(place.read_text("utf-8")), "since": time.time() + 3600}
        place.write_text(json.dumps(told), encoding="utf-8")
        said = call("grid", "status", str(path), "-C", str(records.store)).stderr
    assert f"running: {job.name} (process {os.getpid()}, 0 s)" in said


NEWER = """
import sys, types
from pathlib import Path
path = Path("adapterstilts/job.py")
text = path.read_text("utf-8")
assert text.count("SCHEMA = 2") == 1
job = sys.modules["adapterstilts.job"] = types.ModuleType("adapterstilts.job")
exec(text.replace("SCHEMA = 2", "SCHEMA = 3"), job.__dict__)
from adapterstilts.cli.app import app
app(sys.argv[1:], standalone_mode=False)
"""


@pytest.mark.slow
def test_results_of_an_older_schema_are_reported_and_recomputed(
    call: Call,
    write: Write,
    tmp_path: Path,
    server: ForkServer,
) -> None:
    """The store is of this version; the program that reads it has a newer schema."""
    path, store = write(**FEW), tmp_path / "store"
    grid_run(call, path, store)
    before = _all(store)

    def newer(*words: str) -> subprocess.CompletedProcess[str]:
        process = server.run(["-c", NEWER, *words, "-C", str(store)], dict(os.environ), ROOT)
        process.check_returncode()
        return process

    assert "5 of 5" not in newer("grid", "plan", str(path)).stderr
    assert "schema 2, but this version reads schema 3; an older version" in newer("runs").stderr
    for verb in ("plan", "status", "verify"):
        assert "are not used: job.json has schema 2" in newer("grid", verb, str(path)).stderr
    assert f"kept {JOBS} runs of another version of adapterstilts" in newer("grid", "gc", str(path)).stderr
    assert call("grid", "status", str(path), "-C", str(store), "--json").stdout.count('"done": 5') == 1
    assert f"{JOBS} jobs took" in newer("grid", "run", str(path), "--processes", "1").stderr
    after = list(Store(store).scan())
    assert sum(isinstance(each, Damaged) for each in after) == JOBS  # of the newer schema, for us
    assert {name: data for name, data in _all(store).items() if name in before} == before


def _all(store: Path) -> dict[str, bytes]:
    """Returns every byte of every run."""
    return {
        str(file.relative_to(store)): file.read_bytes()
        for folder in store.glob("*-*")
        for file in folder.rglob("*")
        if file.is_file()
    }
