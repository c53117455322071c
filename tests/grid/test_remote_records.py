"""Results at a URL: the same files as in a folder; incomplete runs do not count and damage is found."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from adapterstilts.errors import ConfigError, StoreError
from adapterstilts.grid.maintenance import verify
from adapterstilts.grid.records import Cost, Records
from adapterstilts.grid.remote_records import _local_copy, open_records
from adapterstilts.grid.scheduler import InlineExecutor, Scheduler
from adapterstilts.grid.status import GridStatus, read_status
from adapterstilts.grid.worker import Worker
from adapterstilts.store import Damaged, Store
from adapterstilts.store.remote import Remote
from adapterstilts.store.runs import check
from tests.cli.conftest import Call, call  # noqa: F401

from .conftest import Write, plan_of
from .test_kill import results
from .test_maintenance import flip
from .test_run import SilentListener

GRID = {"intermediate": ["mini_nli"], "targets": ["mini_paraphrase"], "languages": ["en", "de"]}
MEMORY = "memory://bucket/grid"


@pytest.fixture(autouse=True)
def own_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ADAPTERSTILTS_CACHE", str(tmp_path / "cache"))
    yield
    fsspec.filesystem("memory").store.clear()


def run(path: Path, store: str, retry: bool = False) -> tuple[GridStatus, list[str]]:
    """Runs a grid in this process; returns its status and the names of the computed jobs."""
    worker, jobs = Worker(open_records(store, list_all=False), on_message=lambda *_: None), plan_of(path).jobs
    scheduler = Scheduler(InlineExecutor(worker), open_records(store), SilentListener())
    state = scheduler.run(jobs(), retry)
    computed = {record.digest for record in scheduler.finished}
    return state, [job.name for job in jobs() if job.digest in computed]


def downloaded(url: str, folder: Path) -> Path:
    fsspec.filesystem(url.partition(":")[0]).get(url.partition("://")[2] + "/", str(folder), recursive=True)
    return folder


def test_a_url_has_the_same_files_as_a_folder(write: Write, tmp_path: Path) -> None:
    path = write(**GRID)
    run(path, str(tmp_path / "folder"))
    state, computed = run(path, MEMORY)
    assert state.count("done") == state.job_count == len(computed) == 3 + 2 * 2
    assert results(downloaded(MEMORY, tmp_path / "copy")) == results(tmp_path / "folder")
    _local_copy(MEMORY).rename(tmp_path / "gone")  # another machine, with an empty cache
    assert run(path, MEMORY)[1] == []
    state, computed = run(write(**{**GRID, "languages": ["en", "de", "sw"]}), MEMORY)
    assert [name.partition(" of ")[0] for name in computed] == ["evaluate mini_paraphrase sw"] * 2
    records = open_records(MEMORY)
    assert all(records.read_metrics(each)["score"] >= 0 for each in records.read_all() if each.language)
    assert not [file for run in _local_copy(MEMORY).glob("evaluate-*-en-*") for file in run.iterdir()]


def test_incomplete_runs_do_not_count(write: Write) -> None:
    path, files = write(**{**GRID, "intermediate": []}), fsspec.filesystem("memory")
    run(path, MEMORY)
    remote = Remote(MEMORY)
    names = sorted(name for name in remote.files() if name.startswith("eval"))
    (trained,) = [r for r in open_records(MEMORY).read_all() if not r.language]
    for name in [names[0], f"{trained.run}/log.jsonl", f"{trained.run}/manifest.json"]:
        whole = files.cat(f"/bucket/grid/{name}")
        for part in (None, whole[:-1]):
            files.rm(f"/bucket/grid/{name}") if part is None else files.pipe(f"/bucket/grid/{name}", part)
            left = 2 if name == names[0] else 0  # dependents of an open training are open
            assert read_status(plan_of(path).jobs(), open_records(MEMORY)).count("done") == left
            assert len(run(path, MEMORY)[1]) == 1
    assert read_status(plan_of(path).jobs(), open_records(MEMORY)).count("done") == 3


def test_a_manifest_is_uploaded_last(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    real = Remote.upload
    monkeypatch.setattr(Remote, "upload", lambda *given: (order.append(given[2]), real(*given)))
    run(write(**{**GRID, "intermediate": [], "languages": ["en"]}), MEMORY)
    ends = [n for n, name in enumerate(order) if name.startswith(".grid/records/")]
    assert len(ends) == 2
    for end in ends:
        assert order[end - 1].endswith("/manifest.json")
        assert order[end - 2].partition("/")[0] == order[end - 1].partition("/")[0]


def test_a_failure_is_seen_and_retried_on_another_machine(write: Write, tmp_path: Path) -> None:
    data = tmp_path / "train.tsv"
    data.write_text("a\tb\tnonsense\n", encoding="utf-8")
    path = write(**{**GRID, "languages": ["de"], "files": {"mini_nli": {"train": str(data)}}})
    state, _ = run(path, MEMORY)
    assert (state.count("done"), state.count("failed"), state.count("blocked")) == (2, 1, 2)
    _local_copy(MEMORY).rename(tmp_path / "gone")
    state, computed = run(path, MEMORY)
    assert "line 1" in next(iter(state.failures.values())).message
    assert computed == []
    data.write_text("a\tb\tentailment\nc\td\tneutral\n", encoding="utf-8")
    assert run(path, MEMORY, retry=True)[0].count("done") == 5


def test_the_commands_accept_a_url(call: Call, write: Write, tmp_path: Path) -> None:  # noqa: F811
    path, url = str(write(**GRID)), f"file://{tmp_path}/shared"
    call("grid", "run", path, "-C", url, "--processes", "1")
    totals = json.loads(call("grid", "status", path, "--json", "-C", url).stdout)["totals"]
    assert totals["done"] == 7
    assert "mini_nli" in call("grid", "table", path, "-C", url).stdout
    assert "all jobs are done" in call("grid", "plan", path, "-C", url).stderr
    assert "7 runs are intact" in call("grid", "verify", path, "-C", url).stdout
    (file, *_) = sorted((tmp_path / "shared").glob("eval*/predictions.parquet"))
    whole = file.read_bytes()
    file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert "predictions.parquet has another SHA-256" in call("grid", "verify", path, "-C", url, code=1).stdout
    call("grid", "run", path, "-C", url, "--processes", "1")
    assert file.read_bytes() == whole
    assert "7 runs are intact" in call("grid", "verify", path, "-C", url).stdout
    assert "not a URL" in call("grid", "gc", path, "-C", url, code=2).stderr
    for place, said in {
        "nosuch://here": "cannot be opened",
        "ftp://127.0.0.1:1/here": "cannot be opened",
        "http://127.0.0.1:1/here": "can neither list nor write",
        "memory://here": "is lost when this command ends",
    }.items():
        assert said in call("grid", "status", path, "-C", place, code=2).stderr
    assert not (tmp_path / "file:").exists()


def test_a_damaged_run_is_not_used(write: Write) -> None:
    path, files = write(**{**GRID, "intermediate": []}), fsspec.filesystem("memory")
    run(path, MEMORY)
    (trained,) = [r for r in open_records(MEMORY).read_all() if not r.language]
    (name,) = [n for n in Remote(MEMORY).files() if n.startswith(trained.run) and n.endswith("log.jsonl")]
    text = files.cat(f"/bucket/grid/{name}")
    files.pipe(f"/bucket/grid/{name}", b"X" + text[1:])
    worker = open_records("memory://bucket/grid/", list_all=False)
    for left in worker.store.iterdir():
        left.rename(left.with_name(f"away-{left.name}"))
    with pytest.raises(StoreError, match=r"damaged: log.jsonl has another SHA-256"):
        worker.fetch_run(trained.digest)


DAMAGE = {
    "a manifest cut off": ("single-mini_nli*/manifest.json", lambda file: os.truncate(file, 5)),
    "a manifest gone": ("eval-*/manifest.json", Path.unlink),
    "weights gone": ("single-mini_nli*/adapters", shutil.rmtree),
    "scores cut off": ("eval-*/metrics.json", lambda file: os.truncate(file, 5)),
    "a bit of the scores": ("eval-*/metrics.json", lambda file: flip(file, keep_time=True)),
    "a file more": ("eval-*/metrics.json", lambda file: file.with_name("more").write_text("x")),
}


@pytest.mark.parametrize("cache", ["kept", "gone", "gone, without verify"])
@pytest.mark.parametrize("what", DAMAGE)
def test_damage_at_the_url_is_reported_and_repaired(
    call: Call,  # noqa: F811
    write: Write,
    tmp_path: Path,
    what: str,
    cache: str,
) -> None:
    path, store = str(write(**{**GRID, "languages": ["de"]})), tmp_path / "there"
    url = f"file://{store}"
    call("grid", "run", path, "-C", url, "--processes", "1")
    whole = results(store)
    pattern, harm = DAMAGE[what]
    harm(min(store.glob(pattern)))
    if cache != "kept":
        _local_copy(url).rename(tmp_path / "gone")
    if not cache.endswith("verify"):
        assert "damaged: " in call("grid", "verify", path, "-C", url, code=1).stdout
    call("grid", "run", path, "-C", url, "--processes", "1")
    if cache.endswith("verify") and what in ("a bit of the scores", "a file more"):  # sizes do not tell
        assert "damaged: " in call("grid", "verify", path, "-C", url, code=1).stdout
        call("grid", "run", path, "-C", url, "--processes", "1")
    assert "5 runs are intact" in call("grid", "verify", path, "-C", url).stdout
    assert results(store) == whole


def test_a_run_that_another_grid_recomputed_serves_both(
    call: Call,  # noqa: F811
    write: Write,
    tmp_path: Path,
    tiny_backbone: Path,
) -> None:
    """One encoder under two names: the grids' jobs differ, but their runs are the same."""
    shutil.copytree(tiny_backbone, tmp_path / "twin")
    few = {**GRID, "languages": ["de"]}
    one, two = str(write(**few)), str(write("two", **few, backbones=str(tmp_path / "twin")))
    store = tmp_path / "there"
    for path in (one, two):
        call("grid", "run", path, "-C", f"file://{store}", "--processes", "1")
    assert len(list(Store(store).scan())) == 5
    min(store.glob("single-mini_nli*/manifest.json")).unlink()
    _local_copy(f"file://{store}").rename(tmp_path / "gone")
    for path in (one, two, one):
        call("grid", "run", path, "-C", f"file://{store}", "--processes", "1")


def test_an_additional_file_at_the_url_does_no_harm(write: Write, tmp_path: Path) -> None:
    run(write(**{**GRID, "intermediate": []}), MEMORY)
    (trained,) = [r for r in open_records(MEMORY).read_all() if not r.language]
    fsspec.filesystem("memory").pipe(f"/bucket/grid/{trained.run}/.DS_Store", b"x")
    _local_copy(MEMORY).rename(tmp_path / "gone")
    more = write("more", **{**GRID, "intermediate": [], "languages": ["en", "de", "sw"]})
    state, computed = run(more, MEMORY)
    assert (state.count("done"), len(computed)) == (4, 1)


def test_damage_in_this_machines_copy_is_fetched_again(write: Write) -> None:
    run(write(**{**GRID, "intermediate": []}), MEMORY)
    (trained,) = [r for r in open_records(MEMORY).read_all() if not r.language]
    (copied,) = (_local_copy(MEMORY) / trained.run).rglob("adapters/**/*.safetensors")
    whole = copied.read_bytes()
    copied.write_bytes(whole[:100])
    more = write("more", **{**GRID, "intermediate": [], "languages": ["en", "de", "sw"]})
    state, computed = run(more, MEMORY)
    assert state.count("done") == 4
    assert computed == ["evaluate mini_paraphrase sw of single mini_paraphrase seed 1"]
    assert copied.read_bytes() == whole


def test_a_published_run_is_not_published_again(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(**{**GRID, "intermediate": []})
    run(path, MEMORY)
    records, uploads = open_records(MEMORY, list_all=False), []
    real = Remote.upload
    monkeypatch.setattr(Remote, "upload", lambda *given: (uploads.append(given[2]), real(*given)))
    (job,) = [each for each in plan_of(path).jobs() if not each.language]
    found = Store(records.store).find(open_records(MEMORY).read_record(job.digest).run)  # type: ignore[union-attr]
    records.record_result(job._replace(digest="0" * 64), found, Cost())  # another job with the same run
    assert uploads == [f".grid/records/00/{'0' * 64}.json"]


def test_verify_reads_the_url_and_not_only_the_copy(write: Write, tmp_path: Path) -> None:
    path = write(**{**GRID, "intermediate": []})
    run(path, MEMORY)
    _local_copy(MEMORY).rename(tmp_path / "gone")
    assert verify(plan_of(path).jobs(), open_records(MEMORY)).intact == 3


def test_names_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    files.pipe("/bucket/grid/x/../manifest.json", b"{}")
    named = {"files": {"../../x": {"sha256": "0", "size": 1}}}
    files.pipe("/bucket/grid/run-0123456789ab/manifest.json", json.dumps(named).encode())
    files.pipe("/bucket/grid/x", b"x")
    records = open_records(MEMORY)
    assert isinstance(records, Records)
    with records.run_folder("run-0123456789ab") as found:
        assert isinstance(check(found), Damaged)
        assert not list(tmp_path.rglob("x"))
    files.pipe("/bucket/grid/run-0123456789ab/../../x", b"x")
    with pytest.raises(StoreError, match="outside of its folder"), records.run_folder("run-0123456789ab"):
        pass
    assert not list(tmp_path.rglob("x"))
    with pytest.raises(ConfigError, match="cannot be opened"):
        open_records("nosuch://bucket")
