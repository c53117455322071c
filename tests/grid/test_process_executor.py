"""Several processes produce the same store as one, whatever happens to them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import BrokenExecutor, Future
from pathlib import Path

import pytest
import torch

from adapterstilts.grid import process_executor as module
from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.process_executor import ProcessExecutor, WorkerSettings, worker_environments
from adapterstilts.grid.ready_queue import ReadyQueue
from adapterstilts.grid.records import Records
from adapterstilts.grid.scheduler import MAX_LOSSES, InlineExecutor, Scheduler
from adapterstilts.grid.worker import JobOutcome, Worker

from .conftest import Write, plan_of
from .test_kill import complete, results
from .test_run import SilentListener

ONE_THREAD: Mapping[str, str] = {"OMP_NUM_THREADS": "1"}
GRID = {"targets": ["mini_paraphrase"], "languages": ["en", "de"], "intermediate": ["mini_nli"]}


def test_jobs_run_in_the_order_of_the_plan_after_their_sources(write: Write) -> None:
    jobs = list(plan_of(write()).jobs())
    order, computed = ReadyQueue(jobs, (), ()), []
    while job := order.next_job():
        assert set(job.needs) <= set(computed)
        computed.append(job.digest)
        order.mark_finished(job.digest)
    assert computed == [job.digest for job in jobs]
    assert not order


def test_dependents_of_a_failed_job_are_dropped(write: Write) -> None:
    jobs = list(plan_of(write(**GRID)).jobs())
    (nli,) = [r for r in jobs if r.task == "mini_nli" and not r.language]
    for order in (ReadyQueue(jobs, (), [nli.digest]), ReadyQueue(jobs, (), ())):
        order.mark_failed(nli.digest)
        left = []
        while job := order.next_job():
            left.append(job.name)
            order.mark_finished(job.digest)
        assert left == ["single mini_paraphrase seed 1"] + [
            f"evaluate mini_paraphrase {code} of single mini_paraphrase seed 1" for code in ("en", "de")
        ]
        assert not order


def test_worker_environments() -> None:
    cores = len(os.sched_getaffinity(0))
    assert worker_environments(cores, 0) == [ONE_THREAD] * cores
    assert worker_environments(1, 0) == [{"OMP_NUM_THREADS": str(cores)}]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in worker_environments(None, 2)] == ["0", "1"]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in worker_environments(3, 2)] == ["0", "1", "0"]


def test_visible_gpus_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert [each["CUDA_VISIBLE_DEVICES"] for each in worker_environments(None, 2)] == ["4", "7"]


def test_little_memory_means_few_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_available_memory", lambda: module.PROCESS_MEMORY)
    assert len(worker_environments(None, 0)) == 1


class Losing(InlineExecutor):
    """Executor whose worker dies again and again."""

    losses = 0

    def submit(self, job: JobSpec) -> Future[JobOutcome]:
        if job.task != "mini_nli":
            return super().submit(job)
        self.losses += 1
        future: Future[JobOutcome] = Future()
        future.set_exception(BrokenExecutor("gone"))
        return future


def test_a_job_that_loses_its_workers_fails(write: Write, tmp_path: Path) -> None:
    records = Records(tmp_path / "store")
    executor = Losing(Worker(records, on_message=lambda *_: None))
    state = Scheduler(executor, records, SilentListener()).run(plan_of(write(**GRID)).jobs())
    assert executor.losses == MAX_LOSSES
    (failure,) = state.failures.values()
    assert "runs out of memory" in failure.message
    assert state.count("done") == 3


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(write: Write, tmp_path: Path) -> None:
    jobs = list(plan_of(write(**GRID)).jobs())
    store, alone = tmp_path / "store", tmp_path / "alone"
    said: list[str] = []
    victims: list[int] = []

    def kill_one() -> None:
        """Kills a worker as soon as one runs a job."""
        records = Records(store)
        while not victims and (time.sleep(0.02) is None):
            victims.extend(each.process for each in records.running_jobs()[:1])
        os.kill(victims[0], signal.SIGKILL)

    threading.Thread(target=kill_one, daemon=True).start()
    executor = ProcessExecutor(
        WorkerSettings(store, checkpoint_steps=1), [ONE_THREAD] * 2, lambda _, line: said.append(line)
    )
    listener = SilentListener()
    scheduler = Scheduler(executor, Records(store), listener)
    state = scheduler.run(jobs)
    assert not [failure.traceback for failure in state.failures.values()]
    assert state.count("done") == len(jobs) == len(listener.finished)
    assert victims
    assert len(complete(store)) == len(jobs)
    assert any("rows" in line for line in said)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order have other last digits
    Scheduler(InlineExecutor(Worker(Records(alone))), Records(alone), SilentListener()).run(jobs)
    torch.set_num_threads(before)
    assert results(store) == results(alone)


@pytest.mark.slow
def test_an_interrupt_stops_the_processes_and_the_same_call_resumes(write: Write, tmp_path: Path) -> None:
    jobs = list(plan_of(write(**GRID)).jobs())
    records = Records(tmp_path / "store")

    class Impatient(SilentListener):
        def on_job_finished(self, job: JobSpec, record: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Scheduler(
            ProcessExecutor(WorkerSettings(records.store), [ONE_THREAD] * 2, print), records, Impatient()
        ).run(jobs)
    assert records.running_jobs() == []
    assert records.record_digests()
    state = Scheduler(InlineExecutor(Worker(records)), records, SilentListener()).run(jobs)
    assert state.count("done") == len(jobs)


@pytest.mark.slow
def test_an_interrupt_while_the_processes_start_is_not_lost(write: Write, tmp_path: Path) -> None:
    jobs = list(plan_of(write(**GRID, hyperparameters={"max_steps": 200, "batch_size": 4})).jobs())
    records = Records(tmp_path / "store")

    class Early(SilentListener):
        """Interrupts when the first process ignores SIGINT and still imports libraries."""

        def on_job_started(self, job: JobSpec) -> None:
            children = multiprocessing.active_children()
            while children and not ignores_interrupts(children[0].pid or 0):
                time.sleep(0.001)
            if children:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Scheduler(
            ProcessExecutor(WorkerSettings(records.store), [ONE_THREAD] * 2, print), records, Early()
        ).run(jobs)
    assert records.running_jobs() == []
    assert records.record_digests() == set()  # nothing was trained


def ignores_interrupts(process: int) -> bool:
    lines = Path(f"/proc/{process}/status").read_text("ascii").splitlines()
    mask = next(line for line in lines if line.startswith("SigIgn:"))
    return bool(int(mask.split()[1], 16) & 1 << signal.SIGINT - 1)
