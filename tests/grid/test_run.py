"""A grid runs to its end, a failure blocks only its dependents, and jobs survive a lack of memory."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from adapterstilts.cli import grid_output
from adapterstilts.composition import Composition
from adapterstilts.grid import worker as module
from adapterstilts.grid.estimate import RATES_FILE, Rates
from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.records import Failure, Record, Records
from adapterstilts.grid.scheduler import InlineExecutor, Scheduler
from adapterstilts.grid.status import GridStatus
from adapterstilts.grid.worker import Worker
from adapterstilts.run.options import TrainingOptions
from adapterstilts.store import files
from tests.cli.conftest import Call, call  # noqa: F401

from .conftest import Write, plan_of

Run = Callable[..., GridStatus]
FEW = {"targets": ["mini_paraphrase"], "languages": ["de"]}


class SilentListener:
    """Listener that collects the names of finished and failed jobs."""

    def __init__(self) -> None:
        self.finished: list[str] = []
        self.failed: list[str] = []

    def on_start(self, state: GridStatus) -> None:
        pass

    def on_job_started(self, job: JobSpec) -> None:
        pass

    def on_job_finished(self, job: JobSpec, record: Record) -> None:
        self.finished.append(job.name)

    def on_job_failed(self, job: JobSpec, failure: Failure) -> None:
        self.failed.append(job.name)

    def on_message(self, digest: str, line: str) -> None:
        pass


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "store")


@pytest.fixture
def run(records: Records) -> Run:
    def work(
        path: Path, retry: bool = False, recheck: bool = False, said: list[str] | None = None
    ) -> GridStatus:
        listen = [] if said is None else said
        scheduler = Scheduler(
            InlineExecutor(Worker(records, on_message=lambda _, line: listen.append(line))),
            records,
            SilentListener(),
        )
        work.scheduler = scheduler  # type: ignore[attr-defined]
        return scheduler.run(plan_of(path).jobs(), retry, recheck)

    return work


def answers(state: GridStatus, records: Records) -> list[Record]:
    """Returns the records of the finished jobs."""
    return [record for digest in state.runs if (record := records.read_record(digest))]


def finished(run: Run) -> list[str]:
    return run.scheduler.listener.finished  # type: ignore[attr-defined,no-any-return]


def test_only_added_jobs_run(run: Run, write: Write) -> None:
    state = run(write(**FEW))
    assert state.count("done") == state.job_count == 3 + 2 + 3
    run(write(**FEW))
    assert finished(run) == []
    run(write(**{**FEW, "languages": ["de", "sw"]}))
    joined = [f"sequential mini_paraphrase from {name}" for name in ("mini_nli", "mini_qa")]
    assert finished(run) == [
        f"evaluate mini_paraphrase sw of {training} seed 1"
        for training in ("single mini_paraphrase", *joined)
    ]
    run(write(**FEW, seeds=[1, 2], intermediate=["mini_nli"]))
    assert len(finished(run)) == 3 + 2


def test_a_failure_blocks_its_dependents_only(run: Run, write: Write, tmp_path: Path) -> None:
    data = tmp_path / "train.tsv"
    data.write_text("a\tb\tnonsense\n", encoding="utf-8")
    broken = {**FEW, "files": {"mini_nli": {"train": str(data)}}}
    state = run(write(**broken))
    assert {name: state.count(name) for name in ("done", "failed", "blocked")} == {
        "done": 5, "failed": 1, "blocked": 2,
    }  # fmt: skip
    (failure,) = state.failures.values()
    assert f"{data}, line 1" in failure.message
    assert "Traceback" in failure.traceback
    data.write_text("a\tb\tentailment\nc\td\tneutral\n", encoding="utf-8")
    assert run(write(**broken)).count("failed") == 1  # only with retry_failed
    assert finished(run) == []
    assert run(write(**broken), retry=True).count("done") == 8
    assert len(finished(run)) == 3


def test_an_encoding_of_other_kinds_is_ignored(run: Run, write: Write) -> None:
    """A grid config sets the encoding of all its tasks; a command refuses settings without effect."""
    state = run(write(**{**FEW, "intermediate": []}, encoding={"layer": 1, "words": "written"}))
    assert state.count("done") == state.job_count == 2


def test_a_recheck_finds_changed_data(run: Run, write: Write, tmp_path: Path) -> None:
    data = tmp_path / "train.tsv"
    data.write_text("a\tb\tentailment\nc\td\tneutral\n" * 4, encoding="utf-8")
    path = write(**FEW, files={"mini_nli": {"train": str(data)}})
    run(path)
    runs = set((tmp_path / "store").iterdir())
    run(path, recheck=True)
    assert set((tmp_path / "store").iterdir()) == runs
    assert len(finished(run)) == 8
    data.write_text("a\tb\tentailment\nc\td\tcontradiction\n" * 4, encoding="utf-8")
    run(path, recheck=True)
    assert len(set((tmp_path / "store").iterdir()) - runs) == 1 + 1 + 1  # adapter, transfer, evaluation


def test_lost_records_are_rebuilt_without_computing(run: Run, write: Write, records: Records) -> None:
    path = write(**FEW)
    run(path)
    for file in records.root.rglob("*.json"):
        file.unlink()
    state = run(path)
    assert state.count("done") == 8
    assert all(record.seconds is None for record in answers(state, records))


def test_a_record_that_is_not_json_does_not_count(run: Run, write: Write, records: Records) -> None:
    path = write(**FEW)
    state = run(path)
    first = next(iter(state.runs))
    records.record_file(first).write_text("{", encoding="utf-8")
    assert records.find_finished(first) is None
    assert run(path).count("done") == 8


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", '{"digest": 1}', '{"a": "\\ud800"}', "9" * 5_000])
def test_an_invalid_failure_or_calibration_does_not_count(content: str, records: Records) -> None:
    digest = "0" * 64
    for path in (records.failure_file(digest), records.root / RATES_FILE):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    assert records.read_failure(digest) is None
    assert Rates.read(records.root) == {}


def test_out_of_memory_doubles_the_accumulation(
    run: Run, write: Write, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = module.compose, []

    def scarce(task: str, composition: Composition, options: TrainingOptions) -> object:
        asked.append(options.hyperparameters["accumulation"])
        if task == "mini_nli" and asked[-1] < 4:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 MiB")
        return real(task, composition, options)

    monkeypatch.setattr(module, "compose", scarce)
    said: list[str] = []
    state = run(write(**FEW, intermediate=["mini_nli"], compositions=[]), said=said)
    assert state.count("failed") == 0
    state = run(write(**FEW, intermediate=["mini_nli"]), said=said)
    assert state.count("failed") == 0
    assert asked == [1, 1, 2, 4, 1]
    assert sum("out of memory" in line for line in said) == 2
    (trained,) = [each for each in answers(state, records) if each.task == "mini_nli"]
    assert trained.accumulation == 4


def test_a_job_that_never_fits_into_memory_fails(
    run: Run, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MemoryError("no")

    monkeypatch.setattr(module, "compose", full)
    state = run(write(**FEW))
    assert (state.count("failed"), state.count("blocked")) == (3, 5)


def test_a_full_disk_ends_the_grid(run: Run, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "compose", full)
    with pytest.raises(OSError, match="No space left"):
        run(write(**FEW))


def test_two_grid_configs_share_runs(run: Run, write: Write, records: Records, tmp_path: Path) -> None:
    run(write(**FEW))
    copy = tmp_path / "copy.tsv"
    place = Path(module.__file__).parents[1] / "data" / "mini" / "nli" / "train-en.tsv"
    copy.write_bytes(place.read_bytes())
    changed = write(
        **FEW, files={"mini_nli": {"train": str(copy), "dev": str(place.with_name("dev-en.tsv"))}}
    )
    state = run(changed)
    other = [each for each in answers(state, records) if each.task == "mini_nli"]
    assert [record.seconds for record in other] == [None]  # other settings, but the same rows


def test_the_commands_from_plan_to_table(call: Call, write: Write) -> None:  # noqa: F811
    path = str(write(**FEW))
    lines = call("grid", "plan", path, "--json").stdout.splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["waiting"] * 8
    assert "fit into 1s" in call("grid", "plan", path, "--budget", "1s").stderr
    assert "8h, 30m or 2d" in call("grid", "plan", path, "--budget", "soon", code=2).stderr
    shown = call("grid", "run", path)
    assert "8 jobs took" in shown.stderr
    status = json.loads(call("grid", "status", path, "--json").stdout)
    assert status["totals"] == {"done": 8, "running": 0, "failed": 0, "blocked": 0, "waiting": 0}
    table = call("grid", "table", path).stdout
    assert table.splitlines()[0].split() == ["composition", "intermediate", "mini_paraphrase"]
    assert "all jobs are done" in call("grid", "plan", path).stderr
    assert call("grid", "table", path, "--csv").stdout.startswith("backbone,config,target,")
    assert json.loads(call("grid", "table", path, "--json", "--per-language").stdout)[0]["language"] == "de"
    assert call("grid", "table", path, "--markdown").stdout.splitlines()[1] == "|---|---|---|"


def test_a_calibration_times_real_steps(call: Call, write: Write) -> None:  # noqa: F811
    shown = call("grid", "plan", str(write(**FEW)), "--calibrate").stderr
    assert "examples/s" in shown
    assert "8 calibrated" in shown


def test_steps_are_timed_by_default_without_known_rates(
    call: Call,  # noqa: F811
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = str(write(targets=["mini_paraphrase", "mini_retrieval"], languages=["de"]))
    assert "timing a few" not in call("grid", "plan", path).stderr  # a minute of work is not worth it
    monkeypatch.setattr(grid_output, "MIN_SECONDS_TO_CALIBRATE", 0.0)
    rough = call("grid", "plan", path, "--no-calibrate").stderr
    assert "timing a few" not in rough
    assert "timing a few" not in call("grid", "plan", path, "--json").stderr
    assert "12 rough" in rough
    assert re.search(r"remaining: about .+ \(.+ to .+\) with 1 process", rough)
    timed = call("grid", "plan", path).stderr
    assert "no rates for this machine yet: timing a few steps" in timed
    assert "evaluate mini_retrieval: " in timed
    assert "12 calibrated" in timed
    again = call("grid", "run", path).stderr
    assert "timing a few" not in again
    assert "12 jobs took" in again


def test_timing_downloads_nothing(
    call: Call,  # noqa: F811
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grid_output, "MIN_SECONDS_TO_CALIBRATE", 0.0)
    for changes in ({"backbones": "mbert"}, {"source": "hub"}, {"source": "folder", "languages": "all"}):
        shown = call("grid", "plan", str(write(**{**FEW, **changes}))).stderr
        assert "timing a few" not in shown
        assert "8 rough" in shown or "rough)" in shown


def test_a_read_only_store_keeps_the_rough_estimate(
    call: Call,  # noqa: F811
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(path: Path, data: bytes) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(grid_output, "MIN_SECONDS_TO_CALIBRATE", 0.0)
    monkeypatch.setattr(files, "write_whole", refuse)
    shown = call("grid", "plan", str(write(**FEW))).stderr
    assert "the estimate stays rough: the measured rates cannot be stored ([Errno 30]" in shown
    assert "8 rough" in shown


def test_an_invalid_setting_is_refused_before_the_run(call: Call, write: Write) -> None:  # noqa: F811
    shown = call("grid", "run", str(write(**FEW, encoding={"max_lenght": 64})), code=2)
    assert "did you mean 'max_length'" in shown.stderr
    shown = call("grid", "plan", str(write(**FEW, adapter_configs="seq_bm")), code=2)
    assert "did you mean 'seq_bn'" in shown.stderr
