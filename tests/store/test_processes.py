"""Kills, two processes at once, and a full disk: no result is ever half there."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapterstilts.errors import StoreError
from adapterstilts.store import Store, files, link

from .conftest import publish, train_job

ROOT = Path(__file__).parents[2]
PRELUDE = """
    import os, signal, sys, time
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from tests.store.conftest import publish, train_job
    from adapterstilts.store import Store, store as module, files
    store = Store(Path(sys.argv[1]))
    def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
"""


def start(store: Store, body: str) -> subprocess.Popen[str]:
    code = textwrap.dedent(PRELUDE) + textwrap.dedent(body)
    command = [sys.executable, "-c", code, str(store.root), str(ROOT)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


KILLS = {
    "while job.json is written": "files.os.fsync = die",
    "before the files are hashed": "module.Manifest.of = die",
    "before the manifest is in place": "made = module.write_json\n"
    "module.write_json = lambda path, data: die() if path.name == 'manifest.json' else made(path, data)",
    "before syncing": "module._sync_all = die",
    "before the renaming": "module.os.rename = die",
    "after the renaming": "module.sync = lambda path: die() if path == store.root else None",
    "before the working folder is removed": "module.shutil.rmtree = die",
}


@pytest.mark.parametrize("moment", KILLS)
def test_a_kill_while_publishing_leaves_all_or_nothing(store: Store, moment: str) -> None:
    process = start(store, KILLS[moment] + "\npublish(store, train_job())")
    assert process.wait(30) == -signal.SIGKILL, process.communicate()
    whole = "after" in moment or "removed" in moment
    assert [run.path.name for run in store.scan()] == ([store.folder(train_job()).name] if whole else [])
    with store.work(train_job(), wait=False) as work:  # the dead process holds no lock
        assert bool(work.finished) == whole
        if not whole:  # what it had made is there to go on from
            assert (work.folder / "out" / "log.jsonl").read_text("utf-8") == '{"step": 1}\n'
            work.publish({"score": 1.0})
    assert store.get(train_job()) is not None
    assert store.unfinished() == []


def test_a_file_that_a_kill_left_half_written_is_not_published(store: Store) -> None:
    with store.work(train_job()) as work:
        (work.folder / "out" / "adapters").mkdir(parents=True)
        for left in (".predictions.parquet.4jv133ee", "adapters/.active_adapters.json.x1"):
            (work.folder / "out" / left).write_text("half", encoding="utf-8")
        run = work.publish({"score": 1.0})
    assert sorted(path.name for path in run.path.rglob("*") if path.is_file()) == [
        "job.json", "manifest.json", "metrics.json",
    ]  # fmt: skip


def test_a_kill_while_removing_leaves_no_half_run(store: Store) -> None:
    run = publish(store, train_job())
    process = start(store, f"module.shutil.rmtree = die\nstore.remove({run.id!r})")
    assert process.wait(30) == -signal.SIGKILL, process.communicate()
    assert list(store.scan()) == []
    other = publish(store, train_job(seed=2))
    store.remove(other.id)
    assert list(store.root.glob(".trash*")) == []


HOLD = """
    with store.work(train_job()) as work:
        print("locked", flush=True)
        sys.stdin.readline()
        (work.folder / "out").mkdir()
        print(work.publish({"score": 1.0}).id, flush=True)
"""


@pytest.fixture
def holder(store: Store) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock, and publishes when it is sent a line."""
    process = start(store, HOLD)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    yield process
    process.communicate("\n", 30)


def test_a_second_process_waits_and_takes_the_first_ones_result(
    store: Store, holder: subprocess.Popen[str]
) -> None:
    told: list[str] = []

    def tell(message: str) -> None:
        told.append(message)
        assert holder.stdin is not None
        holder.stdin.write("\n")
        holder.stdin.flush()

    with store.work(train_job(), status=tell) as work:
        assert work.finished is not None
        assert work.finished.metrics == {"score": 1.0}
    assert told == [
        f"process {holder.pid} is already computing {store.folder(train_job()).name}; waiting for it"
    ]


def test_a_second_process_that_does_not_wait_leaves(store: Store, holder: subprocess.Popen[str]) -> None:
    with (
        pytest.raises(StoreError, match=f"process {holder.pid} is already computing"),
        store.work(train_job(), wait=False),
    ):
        raise AssertionError("two at once")
    with store.work(train_job(seed=2), wait=False) as work:  # another job is free
        assert work.finished is None


def test_many_processes_make_one_result_once(store: Store) -> None:
    body = """
        with store.work(train_job(), status=lambda _: None) as work:
            if not work.finished:
                with open(store.root / "made.txt", "a") as file:
                    file.write("x")
                time.sleep(0.05)
                work.publish({})
    """
    processes = [start(store, body) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4, [p.communicate()[1] for p in processes]
    assert (store.root / "made.txt").read_text("utf-8") == "x"
    assert [run.path.name for run in store.scan()] == [store.folder(train_job()).name]


def test_a_removed_lock_file_is_noticed(store: Store) -> None:
    """The holder removes the lock file, so a waiter that opened it before must not believe in it."""
    with store.work(train_job()):
        tell = "status=lambda _: print('waits', flush=True)"
        second = start(store, f"with store.work(train_job(), {tell}): print('has', flush=True)")
        assert second.stdout is not None
        assert second.stdout.readline() == "waits\n"
    assert second.stdout.readline() == "has\n"
    assert second.wait(30) == 0


def test_a_disk_that_is_full_when_the_lock_is_written_leaves_no_lock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(number: int, text: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match="full"), store.work(train_job()):
        pass
    assert list((store.root / ".work").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB, or a size limit on files where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        mounted = (
            os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:
        mounted = False
    if mounted:
        yield folder
        subprocess.run(["umount", str(folder)], check=True)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256_000, before[1]))
    yield folder
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_while_making_a_result(small_disk: Path) -> None:
    store = Store(small_disk / "results")
    with (
        pytest.raises(StoreError, match=f"disk that holds {store.root} is full.*--store"),
        store.work(train_job()) as w,
    ):
        (w.folder / "out").mkdir()
        (w.folder / "out" / "weights.bin").write_bytes(bytes(10_000_000))
    assert list(store.scan()) == []
    with store.work(train_job()) as work:  # after space was made, the same job goes through
        (work.folder / "out" / "weights.bin").write_bytes(b"small")
        work.publish({"score": 1.0})
    assert store.get(train_job()) is not None


def test_a_disk_that_is_full_when_publishing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StoreError, match="is full: nothing was added"):
        publish(store, train_job())
    monkeypatch.undo()
    assert list(store.scan()) == []
    out = store.root / ".work" / train_job().key / "out"
    assert {path.name for path in out.iterdir()} == {"log.jsonl", "adapters"}  # no half-written job.json
    assert publish(store, train_job()).metrics == {"score": 50.0}


def test_a_full_disk_that_only_a_message_tells_of(store: Store) -> None:
    class OtherLibrarysError(Exception):
        pass

    with pytest.raises(StoreError, match="is full"), store.work(train_job()):
        raise OtherLibrarysError(
            'I/O error: Os { code: 28, kind: StorageFull, message: "No space left on device" }'
        )
    with pytest.raises(OtherLibrarysError), store.work(train_job()):
        raise OtherLibrarysError("something else")


def test_a_full_disk_when_a_file_is_copied(small_disk: Path, tmp_path: Path) -> None:
    source = tmp_path / "large.bin"
    with source.open("wb") as file:
        for _ in range(10):
            file.write(bytes(25_000))
    filler = small_disk / "filler"
    filler.write_bytes(bytes(200_000))
    target = small_disk / "copy.bin"
    if os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize > 250_000:
        pytest.skip("no small disk could be mounted here")
    with pytest.raises(StoreError, match="is full"):
        link(source, target)


def test_waiting_can_be_interrupted(store: Store) -> None:
    with store.work(train_job()):
        second = start(
            store, "try:\n  store.work(train_job()).__enter__()\nexcept KeyboardInterrupt:\n  sys.exit(7)"
        )
        assert second.stderr is not None
        assert "waiting" in second.stderr.readline()
        time.sleep(0.1)
        second.send_signal(signal.SIGINT)
        assert second.wait(30) == 7
