"""Several processes make the same store as one, whatever happens to them."""

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
from adapterstilts.grid.process_executor import ProcessExecutor, WorkerSettings, places
from adapterstilts.grid.ready_queue import ReadyQueue
from adapterstilts.grid.records import Records
from adapterstilts.grid.scheduler import LOSSES, InlineExecutor, Scheduler
from adapterstilts.grid.worker import JobOutcome, Worker

from .conftest import Write, plan_of
from .test_kill import complete, results
from .test_run import Silent

ONE_THREAD: Mapping[str, str] = {"OMP_NUM_THREADS": "1"}
GRID = {"targets": ["mini_paraphrase"], "languages": ["en", "de"], "intermediate": ["mini_nli"]}


def test_the_order_is_the_plans_but_nothing_comes_before_what_it_needs(write: Write) -> None:
    requests = list(plan_of(write()).requests())
    order, made = ReadyQueue(requests, (), ()), []
    while request := order.next():
        assert set(request.needs) <= set(made)
        made.append(request.digest)
        order.finish(request.digest)
    assert made == [request.digest for request in requests]
    assert not order


def test_what_needs_something_lost_is_lost_too(write: Write) -> None:
    requests = list(plan_of(write(**GRID)).requests())
    (nli,) = [r for r in requests if r.task == "mini_nli" and not r.language]
    for order in (ReadyQueue(requests, (), [nli.digest]), ReadyQueue(requests, (), ())):
        order.lose(nli.digest)
        left = []
        while request := order.next():
            left.append(request.name)
            order.finish(request.digest)
        assert left == ["single mini_paraphrase seed 1"] + [
            f"evaluate mini_paraphrase {code} of single mini_paraphrase seed 1" for code in ("en", "de")
        ]
        assert not order


def test_places() -> None:
    cores = len(os.sched_getaffinity(0))
    assert places(cores, 0) == [ONE_THREAD] * cores
    assert places(1, 0) == [{"OMP_NUM_THREADS": str(cores)}]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in places(None, 2)] == ["0", "1"]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in places(3, 2)] == ["0", "1", "0"]


def test_gpus_that_were_chosen_stay_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert [each["CUDA_VISIBLE_DEVICES"] for each in places(None, 2)] == ["4", "7"]


def test_little_memory_means_few_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_memory", lambda: module.MEMORY)
    assert len(places(None, 0)) == 1


class Losing(InlineExecutor):
    """A crew whose worker dies again and again."""

    losses = 0

    def give(self, request: JobSpec) -> Future[JobOutcome]:
        if request.task != "mini_nli":
            return super().give(request)
        self.losses += 1
        future: Future[JobOutcome] = Future()
        future.set_exception(BrokenExecutor("gone"))
        return future


def test_a_request_that_takes_its_worker_down_is_given_up(write: Write, tmp_path: Path) -> None:
    records = Records(tmp_path / "store")
    crew = Losing(Worker(records, listen=lambda *_: None))
    state = Scheduler(crew, records, Silent()).run(plan_of(write(**GRID)).requests())
    assert crew.losses == LOSSES
    (failure,) = state.failures.values()
    assert "runs out of memory" in failure.message
    assert state.total("done") == 3


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(write: Write, tmp_path: Path) -> None:
    requests = list(plan_of(write(**GRID)).requests())
    store, alone = tmp_path / "store", tmp_path / "alone"
    said: list[str] = []
    victims: list[int] = []

    def kill_one() -> None:
        """Kills a worker as soon as one makes something."""
        records = Records(store)
        while not victims and (time.sleep(0.02) is None):
            victims.extend(each.process for each in records.running()[:1])
        os.kill(victims[0], signal.SIGKILL)

    threading.Thread(target=kill_one, daemon=True).start()
    crew = ProcessExecutor(
        WorkerSettings(store, checkpoint_steps=1), [ONE_THREAD] * 2, lambda _, line: said.append(line)
    )
    watch = Silent()
    engine = Scheduler(crew, Records(store), watch)
    state = engine.run(requests)
    assert not [failure.traceback for failure in state.failures.values()]
    assert state.total("done") == len(requests) == len(watch.made)
    assert victims
    assert len(complete(store)) == len(requests)
    assert any("rows" in line for line in said)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order have other last digits
    Scheduler(InlineExecutor(Worker(Records(alone))), Records(alone), Silent()).run(requests)
    torch.set_num_threads(before)
    assert results(store) == results(alone)


@pytest.mark.slow
def test_an_interrupt_stops_the_processes_and_the_same_call_goes_on(write: Write, tmp_path: Path) -> None:
    requests = list(plan_of(write(**GRID)).requests())
    records = Records(tmp_path / "store")

    class Impatient(Silent):
        def finished(self, request: JobSpec, record: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Scheduler(
            ProcessExecutor(WorkerSettings(records.store), [ONE_THREAD] * 2, print), records, Impatient()
        ).run(requests)
    assert records.running() == []
    assert records.names()
    state = Scheduler(InlineExecutor(Worker(records)), records, Silent()).run(requests)
    assert state.total("done") == len(requests)


@pytest.mark.slow
def test_an_interrupt_while_the_processes_start_is_not_lost(write: Write, tmp_path: Path) -> None:
    requests = list(plan_of(write(**GRID, hyperparameters={"max_steps": 200, "batch_size": 4})).requests())
    records = Records(tmp_path / "store")

    class Early(Silent):
        """Interrupts when the first process ignores SIGINT and still imports what it needs."""

        def started(self, request: JobSpec) -> None:
            children = multiprocessing.active_children()
            while children and not ignores_interrupts(children[0].pid or 0):
                time.sleep(0.001)
            if children:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Scheduler(
            ProcessExecutor(WorkerSettings(records.store), [ONE_THREAD] * 2, print), records, Early()
        ).run(requests)
    assert records.running() == []
    assert records.names() == set()  # nothing was trained


def ignores_interrupts(process: int) -> bool:
    lines = Path(f"/proc/{process}/status").read_text("ascii").splitlines()
    mask = next(line for line in lines if line.startswith("SigIgn:"))
    return bool(int(mask.split()[1], 16) & 1 << signal.SIGINT - 1)
