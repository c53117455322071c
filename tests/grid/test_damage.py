"""Damaged or changed results of a grid are recomputed with their dependents, and nothing else is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterstilts.grid.maintenance import Garbage, verify
from adapterstilts.grid.records import Failure, Record, Records
from adapterstilts.grid.scheduler import InlineExecutor, Scheduler
from adapterstilts.grid.status import GridStatus
from adapterstilts.grid.worker import Worker

from .conftest import Write, plan_of
from .test_kill import results
from .test_maintenance import flip, weights
from .test_run import SilentListener

ROWS = "a\tb\tentailment\nc\td\tneutral\n" * 4
RunGrid = Callable[..., tuple[GridStatus, list[str]]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for one finished store and its data, filled by the first test."""
    return tmp_path_factory.mktemp("finished")


@pytest.fixture
def grid_config(finished: Path) -> dict[str, Any]:
    data = finished / "train.tsv"
    data.write_text(ROWS, encoding="utf-8")
    few = {"targets": ["mini_paraphrase"], "languages": ["de"], "intermediate": ["mini_nli"]}
    return {**few, "files": {"mini_nli": {"train": str(data)}}}


@pytest.fixture
def run(tmp_path: Path) -> RunGrid:
    """Returns a function that runs a grid on the store and returns the names of the computed jobs."""

    def work(path: Path, **options: bool) -> tuple[GridStatus, list[str]]:
        records = Records(tmp_path / "store")
        scheduler = Scheduler(
            InlineExecutor(Worker(records, on_message=lambda *_: None)), records, SilentListener()
        )
        state = scheduler.run(plan_of(path).jobs(), **options)
        return state, sorted(_name(record) for record in scheduler.finished if record.seconds is not None)

    return work


def _name(record: Record) -> str:
    return f"{record.type} {record.task} {record.language}".strip()


@pytest.fixture
def grid(run: RunGrid, write: Write, grid_config: dict[str, Any], finished: Path, tmp_path: Path) -> Path:
    """Path of the grid config of a finished grid."""
    path, kept = write(**grid_config), finished / "store"
    if kept.exists():
        shutil.copytree(kept, tmp_path / "store")
    else:
        assert run(path)[0].count("done") == 5
        shutil.copytree(tmp_path / "store", kept)
    return path


def run_of(records: Records, kind: str) -> tuple[Record, Path]:
    """Returns record and folder of the intermediate adapter, or of the one composed from it."""
    task = "mini_nli" if kind == "train" else "mini_paraphrase"
    (record,) = [each for each in records.read_all() if each.type == kind and each.task == task]
    return record, records.store / record.run


@pytest.mark.parametrize("no_record", [False, True], ids=["recheck", "record lost"])
def test_damage_without_a_valid_record_is_repaired(
    grid: Path, run: RunGrid, finished: Path, tmp_path: Path, no_record: bool
) -> None:
    records = Records(tmp_path / "store")
    record, folder = run_of(records, "train")
    os.truncate(weights(folder), 100)
    if no_record:
        records.remove_record(record.digest)
    state, computed = run(grid, recheck=not no_record)
    assert (state.count("done"), computed) == (5, ["train mini_nli"])
    assert results(tmp_path / "store") == results(finished / "store")


def test_a_recheck_keeps_the_records(grid: Path, run: RunGrid, tmp_path: Path) -> None:
    records = Records(tmp_path / "store")
    before = {record.digest: record for record in records.read_all()}
    assert run(grid, recheck=True)[0].count("done") == 5
    assert {record.digest: record for record in records.read_all()} == before


def test_damage_found_by_loading_is_repaired_by_the_next_run(
    grid: Path, run: RunGrid, write: Write, grid_config: dict[str, Any], finished: Path, tmp_path: Path
) -> None:
    records = Records(tmp_path / "store")
    flip(weights(run_of(records, "compose")[1]), keep_time=True)
    more = write("more", **{**grid_config, "languages": ["de", "sw"]})
    state, computed = run(more)
    assert computed == ["evaluate mini_paraphrase sw"]  # of the baseline
    assert (state.count("failed"), state.count("waiting")) == (0, 3)
    state, computed = run(more)
    assert (state.count("done"), computed) == (7, ["compose mini_paraphrase", "evaluate mini_paraphrase sw"])
    assert results(finished / "store").items() <= results(tmp_path / "store").items()


def test_dependents_of_an_adapter_with_changed_data_are_recomputed(
    grid: Path, run: RunGrid, finished: Path, tmp_path: Path
) -> None:
    records = Records(tmp_path / "store")
    shutil.rmtree(run_of(records, "train")[1])
    (finished / "train.tsv").write_text(ROWS.replace("neutral", "contradiction"), encoding="utf-8")
    state, computed = run(grid)
    assert state.count("done") == 5
    assert computed == ["compose mini_paraphrase", "evaluate mini_paraphrase de", "train mini_nli"]
    adapter, composed = run_of(records, "train")[0], run_of(records, "compose")[1]
    assert json.loads((composed / "job.json").read_bytes())["composition"]["sources"] == [adapter.key]


def test_an_adapter_retrained_to_the_same_bytes_keeps_its_dependents(
    grid: Path, run: RunGrid, tmp_path: Path
) -> None:
    shutil.rmtree(run_of(Records(tmp_path / "store"), "train")[1])
    assert run(grid)[1] == ["train mini_nli"]


def test_runs_that_existed_before_a_grid_are_no_garbage(
    grid: Path, run: RunGrid, write: Write, grid_config: dict[str, Any], tmp_path: Path
) -> None:
    records = Records(tmp_path / "store")
    less = write("less", **{**grid_config, "intermediate": [], "files": {}})
    assert len(Garbage.find(plan_of(less).jobs(), records).runs) == 3
    for record in list(records.read_all()):
        records.remove_record(record.digest)  # as if no grid had computed them
    assert run(grid)[1] == []
    found = Garbage.find(plan_of(less).jobs(), records)
    assert (found.runs, found.other_runs) == ({}, 5)


def test_verify_counts_jobs_without_a_result(
    grid: Path, write: Write, grid_config: dict[str, Any], tmp_path: Path
) -> None:
    more = write("more", **{**grid_config, "languages": ["de", "sw"]})
    found = verify(plan_of(more).jobs(), Records(tmp_path / "store"))
    assert (found.intact, found.unrecorded, found.damaged) == (5, 2, {})


def test_a_job_without_one_of_its_sources_fails(grid: Path, tmp_path: Path) -> None:
    records = Records(tmp_path / "store")
    records.remove_record(run_of(records, "train")[0].digest)
    (job,) = [each for each in plan_of(grid).jobs() if each.type == "compose"]
    found = Worker(records, on_message=lambda *_: None).run_job(job).result
    assert isinstance(found, Failure)
    assert "was removed meanwhile" in found.message
