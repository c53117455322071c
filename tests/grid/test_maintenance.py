"""Damage is found and repaired, and results that no grid config needs are removed after a prompt."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapterstilts.data import release_files as module
from adapterstilts.grid import maintenance
from adapterstilts.grid.records import Records
from adapterstilts.store import Store, files
from tests.cli.conftest import Call, call  # noqa: F401
from tests.conftest import build_backbone

from .conftest import Write, plan_of

FEW = {"targets": ["mini_paraphrase"], "languages": ["de"], "intermediate": ["mini_nli"]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for one finished store, filled by the first test."""
    return tmp_path_factory.mktemp("finished")


@pytest.fixture
def grid(call: Call, write: Write, finished: Path) -> str:  # noqa: F811
    """Path of the grid config of a finished grid in `checkpoints`."""
    path = str(write(**FEW))
    if not (finished / "checkpoints").exists():
        call("grid", "run", path)
        shutil.copytree("checkpoints", finished / "checkpoints")
    elif not Path("checkpoints").exists():
        shutil.copytree(finished / "checkpoints", "checkpoints")
    return path


def run_of(grid: str, task: str) -> Path:
    """Returns the folder of a task's adapter."""
    records = Records(Path("checkpoints"))
    (found,) = [r for r in records.read_all() if r.task == task and r.type == "train"]
    return records.store / found.run


def flip(path: Path, keep_time: bool) -> None:
    """Changes one bit."""
    info = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    if keep_time:
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def weights(folder: Path) -> Path:
    return next(folder.rglob("*.safetensors"))


def damage(grid: str, how: str) -> Path:
    folder = run_of(grid, "mini_nli")
    if how == "truncated":
        os.truncate(weights(folder), 100)
    elif how == "removed":
        shutil.rmtree(folder)
    else:
        flip(weights(folder), how == "flipped unseen")
    return folder


@pytest.mark.parametrize("how", ["truncated", "flipped", "flipped unseen", "removed"])
def test_damage_is_found_and_nothing_else_recomputed(call: Call, grid: str, how: str) -> None:  # noqa: F811
    before = {path: path.stat().st_ctime_ns for path in Path("checkpoints").glob("[!.]*")}
    whole = weights(run_of(grid, "mini_nli")).read_bytes()
    folder = damage(grid, how)
    shown = call("grid", "verify", grid, code=1).stdout
    assert folder.name in shown
    assert "4 runs are intact" in shown
    assert "1 jobs took" in call("grid", "run", grid).stderr
    assert "5 runs are intact" in call("grid", "verify", grid).stdout
    assert weights(folder).read_bytes() == whole
    changed = [path for path, time in before.items() if path.stat().st_ctime_ns != time]
    assert changed == [folder]


def test_all_damage_is_reported_in_a_read_only_store(
    call: Call,  # noqa: F811
    grid: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Permissions do not stop root, so the function that writes fails as on a read-only disk."""

    def refuse(path: Path, data: bytes) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    folders = [damage(grid, "flipped unseen"), run_of(grid, "mini_paraphrase")]
    os.truncate(folders[1] / "log.jsonl", 3)
    monkeypatch.setattr(files, "write_whole", refuse)
    shown = call("grid", "verify", grid, code=1)
    named = [line for line in shown.stdout.splitlines() if line.startswith("damaged: ")]
    assert {folder.name for folder in folders} == {line.split(": ")[1] for line in named}
    assert "3 runs are intact" in shown.stdout
    assert "could not be marked ([Errno 30] Read-only file system" in shown.stderr


def test_an_unreadable_run_is_reported(
    call: Call,  # noqa: F811
    grid: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = run_of(grid, "mini_nli")
    whole = maintenance.check

    def failing(path: Path) -> object:
        if path.name == folder.name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(maintenance, "check", failing)
    shown = call("grid", "verify", grid, code=1).stdout
    assert f"damaged: {folder.name}: [Errno 13] Permission denied" in shown
    assert "4 runs are intact" in shown


@pytest.mark.parametrize("how", ["truncated", "flipped", "removed"])
def test_grid_run_sees_most_damage_without_verify(call: Call, grid: str, how: str) -> None:  # noqa: F811
    damage(grid, how)
    assert "1 jobs took" in call("grid", "run", grid).stderr
    assert "5 runs are intact" in call("grid", "verify", grid).stdout


@pytest.mark.parametrize("how", ["flipped", "no JSON"])
def test_changed_scores_are_reported_and_not_shown(call: Call, grid: str, how: str) -> None:  # noqa: F811
    """Size and time are unchanged, only the checksum differs."""
    before = call("grid", "table", grid, "--csv").stdout
    file = min(Path("checkpoints").glob("eval-*/metrics.json"))
    info, text = file.stat(), file.read_bytes()
    file.write_bytes(text.replace(b'"score": ', b'"score":9') if how == "flipped" else b"x" + text[1:])
    os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert file.stat().st_size == info.st_size
    shown = call("grid", "table", grid, "--csv")
    assert f"{file.parent.name} is damaged: metrics.json" in shown.stderr
    assert shown.stdout != before
    assert ",0,1,0,1," in shown.stdout  # no language of one, no seed of one
    call("grid", "verify", grid, code=1)
    call("grid", "run", grid)
    assert call("grid", "table", grid, "--csv").stdout == before


@pytest.mark.parametrize("how", ["copied", "without a seal"])
def test_damage_is_seen_without_valid_times(call: Call, grid: str, how: str) -> None:  # noqa: F811
    """If a record has no seal, or a copy has other times, the manifests are read."""
    records = Records(Path("checkpoints"))
    if how == "copied":
        for file in Path("checkpoints").rglob("*"):
            os.utime(file)
    else:
        for record in list(records.read_all()):
            assert record.seal
            records.write_record(replace(record, seal=""))
    assert json.loads(call("grid", "status", grid, "--json").stdout)["totals"]["done"] == 5
    damage(grid, "truncated")  # its dependents may change with it
    assert json.loads(call("grid", "status", grid, "--json").stdout)["totals"]["done"] == 2


def test_needed_results_are_not_removed(call: Call, grid: str, write: Write) -> None:  # noqa: F811
    assert "nothing to remove" in call("grid", "gc", grid, "--yes").stderr
    less = str(write("less", **{**FEW, "intermediate": []}))
    assert "nothing to remove" in call("grid", "gc", less, grid, "--yes").stderr
    assert "5 runs are intact" in call("grid", "verify", grid).stdout


def test_unneeded_results_are_removed_after_a_prompt(call: Call, grid: str, write: Write) -> None:  # noqa: F811
    less = write("less", **{**FEW, "intermediate": []})
    call("grid", "gc", str(less), code=1, given="n\n")
    assert len(list(Store(Path("checkpoints")).scan())) == 5
    assert "removed 3 runs" in call("grid", "gc", str(less), given="y\n").stderr
    kept = {run.id for run in Store(Path("checkpoints")).scan()}  # type: ignore[union-attr]
    records = Records(Path("checkpoints"))
    assert kept == {records.find_finished(job.digest).run for job in plan_of(less).jobs()}  # type: ignore[union-attr]
    assert len(list(records.read_all())) == 2


def test_unneeded_damaged_runs_are_removed(call: Call, grid: str, write: Write) -> None:  # noqa: F811
    less = str(write("less", **{**FEW, "intermediate": []}))
    os.truncate(run_of(grid, "mini_nli") / "log.jsonl", 3)
    assert "removed 3 runs" in call("grid", "gc", less, "--yes").stderr
    assert (
        len(list(Store(Path("checkpoints")).scan()))
        == len(Records(Path("checkpoints")).record_digests())
        == 2
    )


def test_results_whose_data_is_missing_stay(call: Call, write: Write, tmp_path: Path) -> None:  # noqa: F811
    bundled = Path(module.__file__).parent / "mini" / "paraphrase"
    for code in ("en", "de"):
        shutil.copy(bundled / f"test-{code}.tsv", tmp_path)
    files = {"mini_paraphrase": {"eval": str(tmp_path / "test-{lang}.tsv")}}
    path = str(write(targets=["mini_paraphrase"], languages="available", intermediate=[], files=files))
    assert "3 jobs took" in call("grid", "run", path).stderr
    (tmp_path / "test-de.tsv").unlink()
    assert "nothing to remove" in call("grid", "gc", path, "--yes").stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["run", "--processes", "2", "--engine", "ray"], "with Ray, use --workers"),
        (["run", "--workers", "2"], "require --engine ray"),
        (["run", "--checkpoint-minutes", "-1"], "Invalid value"),
        (["run", "--checkpoint-steps", "0"], "Invalid value"),
        (["run", "--processes", "1000000000"], "Invalid value"),
        (["plan", "--processes", "9" * 5000], "Invalid value"),
        (["run", "--budget", ""], "8h, 30m or 2d"),
        (["table", "--csv", "--json"], "one of --markdown, --csv and --json"),
        (["status", "-C", "small.yaml"], "is a file"),
    ],
)
def test_invalid_options_are_refused(call: Call, write: Write, given: list[str], said: str) -> None:  # noqa: F811
    verb, *options = given
    path = str(write(**FEW))
    options = [path if option == "small.yaml" else option for option in options]
    assert said in call("grid", verb, path, *options, code=2).stderr


def test_missing_data_is_reported_before_the_run(call: Call, write: Write) -> None:  # noqa: F811
    gone = str(write(**FEW, files={"mini_nli": {"train": "gone.tsv"}}))
    assert "no training data found for mini_nli" in call("grid", "plan", gone).stderr
    assert "data found" not in call("grid", "plan", str(write("whole", **FEW))).stderr
    Path("test-en.tsv").write_text("a\tb\t1\n", encoding="utf-8")
    files = {"mini_paraphrase": {"eval": "test-{lang}.tsv"}}
    told = call("grid", "plan", str(write("away", **{**FEW, "languages": ["de", "en"]}, files=files))).stderr
    assert "no evaluation data found for mini_paraphrase (de)" in told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backbones": ["me5-smal"]}, "did you mean 'me5-small'"),
        ({"adapter_configs": [{"name": "seq_bn", "settings": {"reduction": 4}}]}, "reduction"),
        ({"files": {"mini_nli": {"train": "x.tsv#9-2"}}}, "x.tsv#9-2"),
        (
            {"adapter_configs": "lora", "compositions": "fuse", "adapter_sets": [["mini_nli", "mini_qa"]]},
            "lora cannot be fused",
        ),
        ({"adapter_configs": ["seq_bn", "par_bn"], "compositions": "stack"}, "a parallel adapter discards"),
        ({"backbones": "."}, "is not a backbone: it has no config.json"),
    ],
)
def test_jobs_that_can_never_run_are_not_planned(
    call: Call,  # noqa: F811
    write: Write,
    changes: dict[str, Any],
    said: str,
) -> None:
    shown = call("grid", "plan", str(write(**{**FEW, **changes})), code=2).stderr
    assert said in shown
    assert "small.yaml, line" in shown


def test_another_encoder_in_the_same_folder_has_other_results(
    call: Call,  # noqa: F811
    write: Write,
    tmp_path: Path,
    tiny_backbone: Path,
) -> None:
    """Results are not used for a backbone of the same name with other weights."""
    path = str(write(**FEW, backbones="encoder"))
    shutil.copytree(tiny_backbone, "encoder")
    call("grid", "run", path)
    before = call("grid", "table", path).stdout
    shutil.rmtree("encoder")
    build_backbone(Path("encoder"), layers=3)
    assert json.loads(call("grid", "status", path, "--json").stdout)["totals"]["waiting"] == 5
    assert "5 jobs took" in call("grid", "run", path).stderr
    shutil.rmtree("encoder")
    shutil.copytree(tiny_backbone, "encoder")
    assert call("grid", "table", path).stdout == before


def test_jobs_that_a_failure_blocks_are_reported(call: Call, write: Write, tmp_path: Path) -> None:  # noqa: F811
    Path("train.tsv").write_text("a\tb\tnonsense\n", encoding="utf-8")
    path = str(write(**FEW, files={"mini_nli": {"train": "train.tsv"}}))
    call("grid", "run", path, code=1)
    shown = call("grid", "status", path).stderr
    assert "1 jobs failed" in shown
    assert "all jobs are done" not in shown
    assert "all jobs are done" not in call("grid", "plan", str(write("more", **FEW)), "--budget", "0h").stderr


def test_a_target_without_training_accepts_any_config(call: Call, write: Write) -> None:  # noqa: F811
    """The plan has no stacked LoRAs, since the target is not trained."""
    changes = {
        "adapter_configs": "lora",
        "compositions": ["average", "stack"],
        "adapter_sets": [["mini_nli", "mini_qa"]],
    }
    call("grid", "plan", str(write(**{**FEW, **changes, "targets": ["mini_retrieval"]})))
    call("grid", "plan", str(write(**{**FEW, **changes})), code=2)


def test_a_missing_store_is_reported(call: Call, write: Write) -> None:  # noqa: F811
    shown = call("grid", "verify", str(write(**FEW)), "-C", "nosuch")
    assert "store nosuch not found" in shown.stderr
    assert "5 jobs" in shown.stderr


def test_runs_that_no_grid_computed_stay(call: Call, grid: str, write: Write) -> None:  # noqa: F811
    for record in Records(Path("checkpoints")).read_all():
        Records(Path("checkpoints")).remove_record(record.digest)
    less = write("less", **{**FEW, "intermediate": []})
    assert "kept 5 runs that no grid computed" in call("grid", "gc", str(less), "--yes").stderr
    assert len(list(Store(Path("checkpoints")).scan())) == 5
