"""Damage is found and made good, and what no recipe needs is removed after asking."""

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
    """A folder for one finished store, made by the first test."""
    return tmp_path_factory.mktemp("finished")


@pytest.fixture
def grid(call: Call, write: Write, finished: Path) -> str:  # noqa: F811
    """The recipe of a finished grid in `checkpoints`."""
    path = str(write(**FEW))
    if not (finished / "checkpoints").exists():
        call("grid", "run", path)
        shutil.copytree("checkpoints", finished / "checkpoints")
    elif not Path("checkpoints").exists():
        shutil.copytree(finished / "checkpoints", "checkpoints")
    return path


def run_of(grid: str, task: str) -> Path:
    """The folder of a task's adapter."""
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
def test_damage_is_found_and_only_that_is_made_again(call: Call, grid: str, how: str) -> None:  # noqa: F811
    before = {path: path.stat().st_ctime_ns for path in Path("checkpoints").glob("[!.]*")}
    whole = weights(run_of(grid, "mini_nli")).read_bytes()
    folder = damage(grid, how)
    shown = call("grid", "verify", grid, code=1).stdout
    assert folder.name in shown
    assert "4 runs are whole" in shown
    assert "1 jobs took" in call("grid", "run", grid).stderr
    assert "5 runs are whole" in call("grid", "verify", grid).stdout
    assert weights(folder).read_bytes() == whole
    changed = [path for path, time in before.items() if path.stat().st_ctime_ns != time]
    assert changed == [folder]


def test_all_damage_is_named_where_nothing_can_be_written(
    call: Call,  # noqa: F811
    grid: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As root, permissions stop nobody: so the one step that writes fails as on a read-only disk."""

    def refuse(path: Path, data: bytes) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    folders = [damage(grid, "flipped unseen"), run_of(grid, "mini_paraphrase")]
    os.truncate(folders[1] / "log.jsonl", 3)
    monkeypatch.setattr(files, "write_whole", refuse)
    shown = call("grid", "verify", grid, code=1)
    named = [line for line in shown.stdout.splitlines() if line.startswith("damaged: ")]
    assert {folder.name for folder in folders} == {line.split(": ")[1] for line in named}
    assert "3 runs are whole" in shown.stdout
    assert "could not be marked ([Errno 30] Read-only file system" in shown.stderr


def test_a_run_that_cannot_be_read_is_named_too(
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
    assert "4 runs are whole" in shown


@pytest.mark.parametrize("how", ["truncated", "flipped", "removed"])
def test_most_damage_is_seen_without_verify(call: Call, grid: str, how: str) -> None:  # noqa: F811
    damage(grid, how)
    assert "1 jobs took" in call("grid", "run", grid).stderr
    assert "5 runs are whole" in call("grid", "verify", grid).stdout


@pytest.mark.parametrize("how", ["flipped", "no JSON"])
def test_scores_that_changed_are_named_and_not_shown(call: Call, grid: str, how: str) -> None:  # noqa: F811
    """Size and time are what they were: only the checksum tells."""
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
def test_damage_is_seen_where_times_say_nothing(call: Call, grid: str, how: str) -> None:  # noqa: F811
    """Where a record has no seal, or a copy has other times, the manifests are read."""
    records = Records(Path("checkpoints"))
    if how == "copied":
        for file in Path("checkpoints").rglob("*"):
            os.utime(file)
    else:
        for record in list(records.read_all()):
            assert record.seal
            records.write_record(replace(record, seal=""))
    assert json.loads(call("grid", "status", grid, "--json").stdout)["totals"]["done"] == 5
    damage(grid, "truncated")  # what was made from it may change with it
    assert json.loads(call("grid", "status", grid, "--json").stdout)["totals"]["done"] == 2


def test_nothing_that_is_needed_is_removed(call: Call, grid: str, write: Write) -> None:  # noqa: F811
    assert "nothing to remove" in call("grid", "gc", grid, "--yes").stderr
    less = str(write("less", **{**FEW, "intermediate": []}))
    assert "nothing to remove" in call("grid", "gc", less, grid, "--yes").stderr
    assert "5 runs are whole" in call("grid", "verify", grid).stdout


def test_what_no_recipe_needs_is_removed_after_asking(call: Call, grid: str, write: Write) -> None:  # noqa: F811
    less = write("less", **{**FEW, "intermediate": []})
    call("grid", "gc", str(less), code=1, given="n\n")
    assert len(list(Store(Path("checkpoints")).scan())) == 5
    assert "removed 3 runs" in call("grid", "gc", str(less), given="y\n").stderr
    kept = {run.id for run in Store(Path("checkpoints")).scan()}  # type: ignore[union-attr]
    records = Records(Path("checkpoints"))
    assert kept == {records.find_finished(job.digest).run for job in plan_of(less).jobs()}  # type: ignore[union-attr]
    assert len(list(records.read_all())) == 2


def test_damaged_runs_are_removed_too_where_nothing_needs_them(call: Call, grid: str, write: Write) -> None:  # noqa: F811
    less = str(write("less", **{**FEW, "intermediate": []}))
    os.truncate(run_of(grid, "mini_nli") / "log.jsonl", 3)
    assert "removed 3 runs" in call("grid", "gc", less, "--yes").stderr
    assert (
        len(list(Store(Path("checkpoints")).scan()))
        == len(Records(Path("checkpoints")).record_digests())
        == 2
    )


def test_results_whose_data_is_away_for_now_stay(call: Call, write: Write, tmp_path: Path) -> None:  # noqa: F811
    bundled = Path(module.__file__).parent / "mini" / "paraphrase"
    for code in ("en", "de"):
        shutil.copy(bundled / f"test-{code}.tsv", tmp_path)
    files = {"mini_paraphrase": {"eval": str(tmp_path / "test-{lang}.tsv")}}
    path = str(write(targets=["mini_paraphrase"], languages="at hand", intermediate=[], files=files))
    assert "3 jobs took" in call("grid", "run", path).stderr
    (tmp_path / "test-de.tsv").unlink()
    assert "nothing to remove" in call("grid", "gc", path, "--yes").stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["run", "--processes", "2", "--engine", "ray"], "with Ray it is --workers"),
        (["run", "--workers", "2"], "for --engine ray"),
        (["run", "--checkpoint-minutes", "-1"], "Invalid value"),
        (["run", "--checkpoint-steps", "0"], "Invalid value"),
        (["run", "--processes", "1000000000"], "Invalid value"),
        (["plan", "--processes", "9" * 5000], "Invalid value"),
        (["run", "--budget", ""], "8h, 30m or 2d"),
        (["table", "--csv", "--json"], "one of --markdown, --csv and --json"),
        (["status", "-C", "small.yaml"], "is a file"),
    ],
)
def test_what_has_no_meaning_is_refused(call: Call, write: Write, given: list[str], said: str) -> None:  # noqa: F811
    verb, *options = given
    path = str(write(**FEW))
    options = [path if option == "small.yaml" else option for option in options]
    assert said in call("grid", verb, path, *options, code=2).stderr


def test_data_that_is_not_there_is_told_before_it_is_wanted(call: Call, write: Write) -> None:  # noqa: F811
    gone = str(write(**FEW, files={"mini_nli": {"train": "gone.tsv"}}))
    assert "no training data at hand of mini_nli" in call("grid", "plan", gone).stderr
    assert "data at hand" not in call("grid", "plan", str(write("whole", **FEW))).stderr
    Path("test-en.tsv").write_text("a\tb\t1\n", encoding="utf-8")
    files = {"mini_paraphrase": {"eval": "test-{lang}.tsv"}}
    told = call("grid", "plan", str(write("away", **{**FEW, "languages": ["de", "en"]}, files=files))).stderr
    assert "no evaluation data at hand of mini_paraphrase (de)" in told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backbones": ["me5-smal"]}, "did you mean 'me5-small'"),
        ({"configs": [{"name": "seq_bn", "set": {"reduction": 4}}]}, "reduction"),
        ({"files": {"mini_nli": {"train": "x.tsv#9-2"}}}, "x.tsv#9-2"),
        (
            {"configs": "lora", "compositions": "fuse", "sets": [["mini_nli", "mini_qa"]]},
            "lora cannot be fused",
        ),
        ({"configs": ["seq_bn", "par_bn"], "compositions": "stack"}, "a parallel adapter discards"),
        ({"backbones": "."}, "is not a backbone: it has no config.json"),
    ],
)
def test_what_can_never_run_is_not_planned(
    call: Call,  # noqa: F811
    write: Write,
    changes: dict[str, Any],
    said: str,
) -> None:
    shown = call("grid", "plan", str(write(**{**FEW, **changes})), code=2).stderr
    assert said in shown
    assert "small.yaml, line" in shown


def test_another_encoder_in_the_same_folder_is_noticed(
    call: Call,  # noqa: F811
    write: Write,
    tmp_path: Path,
    tiny_backbone: Path,
) -> None:
    """What is looked up is not found under the same name with other weights."""
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


def test_what_is_left_after_a_failure_is_not_nothing(call: Call, write: Write, tmp_path: Path) -> None:  # noqa: F811
    Path("train.tsv").write_text("a\tb\tnonsense\n", encoding="utf-8")
    path = str(write(**FEW, files={"mini_nli": {"train": "train.tsv"}}))
    call("grid", "run", path, code=1)
    shown = call("grid", "status", path).stderr
    assert "1 jobs failed" in shown
    assert "nothing is left" not in shown
    assert "nothing is left" not in call("grid", "plan", str(write("more", **FEW)), "--budget", "0h").stderr


def test_what_trains_nothing_takes_any_config(call: Call, write: Write) -> None:  # noqa: F811
    """The plan skips what would stack LoRAs over LoRAs, since the target has nothing to train."""
    changes = {"configs": "lora", "compositions": ["average", "stack"], "sets": [["mini_nli", "mini_qa"]]}
    call("grid", "plan", str(write(**{**FEW, **changes, "targets": ["mini_retrieval"]})))
    call("grid", "plan", str(write(**{**FEW, **changes})), code=2)


def test_a_store_that_is_not_there_is_said_so(call: Call, write: Write) -> None:  # noqa: F811
    shown = call("grid", "verify", str(write(**FEW)), "-C", "nosuch")
    assert "there is no store nosuch" in shown.stderr
    assert "5 jobs" in shown.stderr


def test_what_was_made_by_hand_stays(call: Call, grid: str, write: Write) -> None:  # noqa: F811
    for record in Records(Path("checkpoints")).read_all():
        Records(Path("checkpoints")).remove_record(record.digest)
    less = write("less", **{**FEW, "intermediate": []})
    assert "5 runs that no grid asked for stay" in call("grid", "gc", str(less), "--yes").stderr
    assert len(list(Store(Path("checkpoints")).scan())) == 5
