"""Ray workers produce the same store as one process, whatever happens to them and their driver."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'adapterstilts[ray]'")

from adapterstilts.errors import ClusterError, ConfigError
from adapterstilts.grid import scheduler
from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.process_executor import WorkerSettings
from adapterstilts.grid.ray_executor import (
    RayCluster,
    RayExecutor,
    RayWorker,
    _available_workers,
    _check_loopback,
    _restrict_to_loopback,
)
from adapterstilts.grid.records import Records
from adapterstilts.grid.remote_records import _local_copy, open_records
from adapterstilts.grid.scheduler import InlineExecutor, Scheduler
from adapterstilts.grid.status import GridStatus, read_status
from adapterstilts.grid.worker import Worker

from .conftest import Write, plan_of
from .test_kill import complete, results, start
from .test_remote_records import downloaded
from .test_run import SilentListener

pytestmark = [pytest.mark.ray, pytest.mark.slow]
TOKEN = secrets.token_hex(32)  # one for all tests: a process reads it once
GRID = {"intermediate": ["mini_nli"], "targets": ["mini_paraphrase"], "languages": ["en", "de"]}


class MessageRecorder(SilentListener):
    """Records the messages, too."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def on_message(self, digest: str, line: str) -> None:
        self.lines.append(line)


class Fragile(RayWorker):
    """Dies whenever it gets a job for German."""

    def run_job(self, job: JobSpec):  # type: ignore[no-untyped-def]
        if job.language == "de":
            os._exit(1)
        return super().run_job(job)


@pytest.fixture(autouse=True)
def own_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets a token: Ray would otherwise store one in the user's home folder."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("ADAPTERSTILTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(Path(__file__).parents[2])  # where workers find this package


@pytest.fixture
def alone(write: Write, tmp_path: Path) -> Path:
    """Store of one undisturbed process."""
    store = tmp_path / "alone"
    Scheduler(InlineExecutor(Worker(Records(store))), Records(store), SilentListener()).run(
        plan_of(write(**GRID)).jobs()
    )
    return store


def run(
    path: Path, store: str, listener: MessageRecorder, worker_class: type = RayWorker, workers: int = 2
) -> GridStatus:
    executor = RayExecutor(
        WorkerSettings(store, checkpoint_steps=1),
        RayCluster(workers=workers),
        listener.on_message,
        worker_class,
    )
    return Scheduler(executor, open_records(store), listener).run(plan_of(path).jobs())


def grid_run(path: Path, store: Path) -> None:
    """Runs the command in a child process."""
    from adapterstilts.cli.app import app

    given = ["--engine", "ray", "--workers", "2", "--checkpoint-steps", "1"]
    app(["grid", "run", str(path), "-C", str(store), *given], standalone_mode=False)


def until(store: Path, jobs: int, still: Callable[[], bool] = lambda: True) -> int:
    """Waits until `jobs` jobs are done and another one is running; returns its process id."""
    records = Records(store)
    while True:
        assert still(), "it ended before it could be stopped"
        running = records.running_jobs()
        if len(complete(store)) >= jobs and running:
            return running[0].process
        time.sleep(0.02)


def test_a_killed_worker_does_not_change_the_results_at_a_url(
    write: Write, alone: Path, tmp_path: Path
) -> None:
    path, url, listener = write(**GRID), f"file://{tmp_path}/shared", MessageRecorder()
    killer = threading.Thread(target=lambda: os.kill(until(_local_copy(url), 2), signal.SIGKILL), daemon=True)
    killer.start()
    state = run(path, url, listener)
    assert state.count("done") == state.job_count
    assert any("lost the worker" in line for line in listener.lines)
    assert len(listener.finished) == state.job_count
    assert results(downloaded(url, tmp_path / "copy")) == results(alone)


def test_a_killed_driver_does_not_change_the_results(write: Write, alone: Path, tmp_path: Path) -> None:
    path, store = write(**GRID), tmp_path / "store"
    for number, how in [(1, signal.SIGKILL), (2, signal.SIGINT)]:
        child = start(grid_run, path, store)
        until(store, number, child.is_alive)
        before = complete(store)
        os.kill(child.pid or 0, how)
        child.join(90)
        assert child.exitcode is not None
        while Records(store).running_jobs():  # workers end soon after the driver
            time.sleep(0.1)
        assert before.items() <= complete(store).items()
    before = complete(store)
    engine = Scheduler(InlineExecutor(Worker(Records(store))), Records(store), SilentListener())
    assert engine.run(plan_of(path).jobs()).count("failed") == 0
    assert before.items() <= complete(store).items()  # complete runs are not recomputed
    assert results(store) == results(alone)


def test_a_job_that_always_kills_its_worker_fails(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "MAX_LOSSES", 2)  # each loss takes seconds, as a new worker starts
    path, listener = write(**{**GRID, "intermediate": []}), MessageRecorder()
    run(path, str(tmp_path / "store"), listener, Fragile, workers=1)
    state = read_status(plan_of(path).jobs(), Records(tmp_path / "store"))
    assert (state.count("done"), state.count("failed")) == (2, 1)
    assert "lost its worker 2 times" in next(iter(state.failures.values())).message
    assert sum("lost the worker" in line for line in listener.lines) == 1


def test_available_workers() -> None:
    nodes = {"CPU": 16.0, "GPU": 4.0}
    assert _available_workers(RayCluster(), nodes) == (1.0, 4)
    assert _available_workers(RayCluster(gpus=0.5), nodes) == (0.5, 8)
    assert _available_workers(RayCluster(gpus=0), nodes) == (0, 16)
    assert _available_workers(RayCluster(), {"CPU": 3.0}) == (0.0, 3)
    assert _available_workers(RayCluster(workers=50), nodes) == (1.0, 50)
    with pytest.raises(ConfigError, match=r"whole number, not 1\.5"):
        _available_workers(RayCluster(gpus=1.5), nodes)
    with pytest.raises(ClusterError, match="no room"):
        _available_workers(RayCluster(gpus=0.5), {"CPU": 3.0})


def test_a_local_ray_listens_on_loopback_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No port is open to other machines, and every connection requires the token."""
    import psutil
    import ray

    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    executor = RayExecutor(WorkerSettings(tmp_path), RayCluster(workers=1), lambda *_: None)
    try:
        assert executor.size == 1
        children = psutil.Process().children(recursive=True)
        processes = {os.getpid(), *(child.pid for child in children)}
        listening = {
            each.laddr.ip.removeprefix("::ffff:")
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.pid in processes
        }
        assert listening == {"127.0.0.1"}
        assert os.environ["RAY_AUTH_MODE"] == "token"  # Ray's own doing where it was imported before
    finally:
        ray.shutdown()


def test_an_existing_token_is_used_else_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    _restrict_to_loopback()
    assert "RAY_AUTH_TOKEN" not in os.environ
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.delenv("RAY_AUTH_MODE")
    _restrict_to_loopback()
    assert os.environ["RAY_AUTH_TOKEN"] == TOKEN
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    _restrict_to_loopback()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    monkeypatch.delitem(sys.modules, "ray._private.ray_constants")  # as before Ray is imported
    _restrict_to_loopback()
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_a_local_ray_that_other_machines_reach_is_shut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Mock()
    ray.nodes.return_value = [{"NodeManagerAddress": "192.0.2.7"}]
    with pytest.raises(ClusterError, match=r"Ray listens on 192\.0\.2\.7"):
        _check_loopback(ray)
    ray.shutdown.assert_called_once()


def test_a_missing_cluster_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"no Ray cluster at 127\.0\.0\.1:9"):
        RayExecutor(WorkerSettings(tmp_path), RayCluster("127.0.0.1:9"), lambda *_: None)
