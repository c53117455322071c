"""A grid reports the precision of its results and the repositories of pulled adapters."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from adapterstilts.grid.plan import Plan
from adapterstilts.grid.ray_executor import _WorkerPlace, disagreement
from adapterstilts.grid.records import Records
from adapterstilts.grid.status import read_status
from adapterstilts.run import device
from adapterstilts.store.files import MANIFEST, write_json
from adapterstilts.store.runs import Manifest
from tests.cli.conftest import Call, call  # noqa: F401

from .conftest import Write, plan_of

GRID = {
    "intermediate": ["mini_nli"],
    "targets": ["mini_paraphrase"],
    "languages": ["de"],
    "hyperparameters": {"epochs": 1, "max_steps": 500, "batch_size": 8, "eval_every": 100, "dev_rows": 8},
}
AUTO = "`precision: auto` differs between the machines"


def computing(precision: str, patch: pytest.MonkeyPatch) -> None:
    """Makes `auto` mean a precision on this machine."""
    patch.setattr(device, "computes_bf16", lambda _: precision == "bf16")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for one finished store, filled by the first test."""
    return tmp_path_factory.mktemp("finished")


@pytest.fixture
def grid(call: Call, write: Write, finished: Path, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: F811
    """Path of a grid config whose baseline was computed in bf16 and the rest in fp32."""
    path, base = str(write(**GRID)), str(write("base", **{**GRID, "intermediate": []}))
    if not (finished / "checkpoints").exists():
        computing("bf16", monkeypatch)
        (finished / "base.txt").write_text(
            call("grid", "run", base, "--processes", "1").stderr, encoding="utf-8"
        )
        shutil.copytree("checkpoints", finished / "begun")
        computing("fp32", monkeypatch)
        (finished / "rest.txt").write_text(
            call("grid", "run", path, "--processes", "1").stderr, encoding="utf-8"
        )
        shutil.copytree("checkpoints", finished / "checkpoints")
    if not Path("checkpoints").exists():
        shutil.copytree(finished / "checkpoints", "checkpoints")
    return path


@pytest.fixture
def begun(grid: str, finished: Path) -> str:
    """The same grid, with only the baseline finished."""
    shutil.rmtree("checkpoints")
    shutil.copytree(finished / "begun", "checkpoints")
    return grid


def rows(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table)))


def test_each_result_has_its_precision(grid: str) -> None:
    plan, records = plan_of(Path(grid)), Records(Path("checkpoints"))
    state = read_status(plan.jobs(), records)
    names = {job.digest: job.name for job in plan.jobs()}
    assert {names[digest]: precision for digest, precision in state.precisions.items()} == {
        "single mini_paraphrase seed 1": "bf16",
        "evaluate mini_paraphrase de of single mini_paraphrase seed 1": "bf16",
        "single mini_nli seed 1": "fp32",
        "sequential mini_paraphrase from mini_nli seed 1": "fp32",
        "evaluate mini_paraphrase de of sequential mini_paraphrase from mini_nli seed 1": "fp32",
    }


def test_a_run_reports_the_precisions_of_its_machines(grid: str, finished: Path) -> None:
    base, rest = ((finished / name).read_text("utf-8") for name in ("base.txt", "rest.txt"))
    assert AUTO not in base
    assert rest.count(AUTO) == 1  # before it computes anything
    assert "1 training and 1 evaluation (single mini_paraphrase seed 1, evaluate" in rest
    assert "in bf16; this machine would compute the other jobs in fp32" in rest
    assert "hyperparameters: {precision: fp32}" in rest


@pytest.mark.parametrize("verb", ["plan", "status", "run"])
def test_mixed_precisions_are_reported(call: Call, grid: str, verb: str) -> None:  # noqa: F811
    said = call("grid", verb, grid).stderr
    assert "1 training and 1 evaluation (single mini_paraphrase seed 1" in said
    assert "in bf16; 2 trainings and 1 evaluation" in said
    assert "would compute the other jobs" not in said


@pytest.mark.parametrize("verb", ["plan", "status"])
@pytest.mark.parametrize("here", ["bf16", "fp32"])
def test_precisions_that_a_run_would_mix_are_reported(
    call: Call,  # noqa: F811
    begun: str,
    verb: str,
    here: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    computing(here, monkeypatch)
    assert ("this machine would compute the other jobs in fp32" in call("grid", verb, begun).stderr) == (
        here == "fp32"
    )


def test_an_explicit_precision_does_not_mix(call: Call, begun: str, write: Write) -> None:  # noqa: F811
    """Results of `auto` are not used for a grid config that sets the precision."""
    named = str(
        write("named", **{**GRID, "hyperparameters": {**GRID["hyperparameters"], "precision": "fp32"}})
    )  # type: ignore[dict-item]
    shown = call("grid", "status", named, "--json")
    assert json.loads(shown.stdout)["totals"]["done"] == 0
    assert AUTO not in call("grid", "plan", named).stderr


def test_a_table_marks_scores_that_are_not_comparable(call: Call, grid: str) -> None:  # noqa: F811
    base, transfer = rows(call("grid", "table", grid, "--csv").stdout)
    assert (base["trained_in"], base["evaluated_in"]) == ("bf16", "bf16")
    assert (transfer["trained_in"], transfer["evaluated_in"]) == ("bf16+fp32", "bf16+fp32")
    shown = call("grid", "table", grid)
    baseline, sequential = shown.stdout.splitlines()[1:3]
    assert "~" not in baseline
    assert "~" in sequential
    assert "~ computed in several precisions, or in another one than its baseline" in shown.stderr
    assert "in bf16; 2 trainings and 1 evaluation" in shown.stderr
    assert "~" in call("grid", "table", grid, "--per-language", "--markdown").stdout


def test_json_has_the_precision_of_each_job(call: Call, grid: str) -> None:  # noqa: F811
    lines = map(json.loads, call("grid", "plan", grid, "--json").stdout.splitlines())
    assert sorted(line["precision"] for line in lines) == ["bf16", "bf16", "fp32", "fp32", "fp32"]
    status = json.loads(call("grid", "status", grid, "--json").stdout)
    assert status["precisions"] == {"bf16": 2, "fp32": 3}


def test_an_evaluation_in_another_precision_than_its_training_is_reported(
    call: Call,  # noqa: F811
    grid: str,
) -> None:
    plan, records = plan_of(Path(grid)), Records(Path("checkpoints"))
    run = read_status(plan.jobs(), records).runs[plan.cells[0].training.digest]
    given = ("--task", "mini_paraphrase", "--languages", "sw", "--source", "bundled", "--limit", "8")
    said = call("evaluate", run, *given, "--precision", "fp32").stderr
    assert "evaluating in fp32, but the run was trained in bf16" in " ".join(said.split())
    (entry,) = [e for e in json.loads(call("runs", "--json").stdout) if e["language"] == "sw"]
    assert entry["precision"] == "fp32"
    assert '"precision": "fp32"' in call("runs", "show", entry["id"]).stdout
    assert "was trained in" not in call("evaluate", run, *given, "--precision", "bf16").stderr


def test_a_training_that_ends_before_max_steps_is_reported(grid: str, finished: Path) -> None:
    lines = (finished / "rest.txt").read_text("utf-8").splitlines()
    (line,) = [line for line in lines if "] single mini_nli seed 1" in line]
    assert line.endswith("ended after 4 steps, before max_steps 500 (epochs reached)")


@pytest.fixture
def pulled(grid: str) -> str:
    """The finished grid, with a pulled intermediate adapter."""
    plan, records = plan_of(Path(grid)), Records(Path("checkpoints"))
    run = records.store / read_status(plan.jobs(), records).runs[_training(plan, "mini_nli")]
    origin = json.loads((run / "origin.json").read_bytes())
    write_json(run / "origin.json", {**origin, "pulled": {"repo": "someone/nli", "commit": "a" * 40}})
    write_json(run / MANIFEST, Manifest.of(run))
    for name in records.record_digests():
        records.remove_record(name)
    return grid


def _training(plan: Plan, task: str) -> str:
    (digest,) = [digest for digest, job in plan.trainings.items() if job.task == task]
    return digest


def test_a_pulled_adapter_is_marked(call: Call, pulled: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    computing("fp32", monkeypatch)
    said = call("grid", "run", pulled, "--processes", "1").stderr
    assert "existing run, pulled from someone/nli@aaaaaaaaaaaa" in said
    named = "single mini_nli seed 1 was not trained here: single-mini_nli-"
    for text in (said, call("grid", "status", pulled).stderr, call("grid", "plan", pulled).stderr):
        assert named in text
        assert "was pulled from someone/nli@aaaaaaaaaaaa" in text
    base, transfer = rows(call("grid", "table", pulled, "--csv").stdout)
    assert (base["pulled"], transfer["pulled"]) == ("", "someone/nli@aaaaaaaaaaaa")
    shown = call("grid", "table", pulled)
    assert "^" not in shown.stdout.splitlines()[1]
    assert "^" in shown.stdout.splitlines()[2]
    assert "^ an adapter that it uses was pulled, not trained here (someone/nli@aaaaaaaaaaaa)" in shown.stderr


def test_nodes_with_different_precisions_are_reported() -> None:
    places = [
        _WorkerPlace("a" * 40, 1, "1", "bf16"),
        _WorkerPlace("b" * 40, 2, "1", "fp32"),
        _WorkerPlace("a" * 40, 3, "1", "bf16"),
    ]
    text = disagreement(places)
    assert text is not None
    assert "bf16 on aaaaaaaaaaaa; fp32 on bbbbbbbbbbbb" in text
    assert "hyperparameters: {precision: fp32}" in text
    assert disagreement(places[::2]) is None
