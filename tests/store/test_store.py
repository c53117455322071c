"""Publishing, getting, finding, listing and removing runs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from adapterstilts.errors import StoreError
from adapterstilts.store import Damaged, Run, Store, link

from .conftest import eval_job, publish, train_job


def test_a_published_run_is_what_was_put_in(store: Store) -> None:
    job = train_job()
    run = publish(store, job, score=61.25)
    assert run.id == f"single-mnli-{job.key[:12]}"
    assert (run.key, run.metrics) == (job.key, {"score": 61.25})
    assert run.job == job
    assert run.file("adapters/a/weights.bin").read_bytes() == bytes(range(256)) * 4
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", run.created)
    assert store.get(job) == run
    assert store.get(train_job(seed=2)) is None
    names = {path.name for path in run.path.iterdir()}
    assert names == {"job.json", "metrics.json", "manifest.json", "log.jsonl", "adapters"}
    assert run.size == sum(
        p.stat().st_size for p in run.path.rglob("*") if p.is_file() and p.name != "manifest.json"
    )


def test_publishing_leaves_no_working_folder_lock_or_failure(store: Store) -> None:
    job = train_job()
    store.failure(job, "Traceback: it broke")
    record = json.loads((store.root / "failures" / f"{job.key}.json").read_text("utf-8"))
    assert (record["traceback"], record["job"]["task"]) == ("Traceback: it broke", "mnli")
    assert store.get(job) is None
    publish(store, job)
    assert list((store.root / ".work").iterdir()) == []
    assert list((store.root / "failures").iterdir()) == []
    assert store.unfinished() == []


def test_only_what_is_under_out_is_published(store: Store) -> None:
    with store.work(train_job()) as work:
        (work.folder / "checkpoint.safetensors").write_bytes(b"x")
        run = work.publish({"score": 1.0})
    assert not list(run.path.rglob("checkpoint*"))


def test_the_working_folder_outlives_an_error(store: Store) -> None:
    job = train_job()
    with pytest.raises(RuntimeError, match="killed"), store.work(job) as work:
        (work.folder / "checkpoint").write_text("step 7", encoding="utf-8")
        raise RuntimeError("killed")
    assert store.unfinished() == [job.key]
    with store.work(job) as work:
        assert work.finished is None
        assert (work.folder / "checkpoint").read_text("utf-8") == "step 7"


def test_work_on_a_finished_job_says_so_and_tidies_up(store: Store) -> None:
    job = train_job()
    run = publish(store, job)
    left = store.root / ".work" / job.key  # as a kill just after the renaming leaves it
    left.mkdir()
    with store.work(job) as work:
        assert work.finished == run
    assert not left.exists()


def test_metrics_that_json_cannot_hold_are_refused(store: Store) -> None:
    with pytest.raises(StoreError, match=r"metrics\.json"), store.work(train_job()) as work:
        work.publish({"score": float("nan")})
    assert list(store.scan()) == []


def test_find_takes_ids_prefixes_keys_and_paths(store: Store, tmp_path: Path) -> None:
    run = publish(store, train_job())
    other = publish(store, train_job(task="squad_v1"))
    short = run.key[:12]
    for ref in (run.id, "single-m", short[:5], short, run.key, run.key[:20], str(run.path)):
        assert store.find(ref) == run, ref
    assert store.find("single-squad").id == other.id
    moved = tmp_path / "elsewhere" / "my-adapter"
    moved.parent.mkdir()
    run.path.rename(moved)
    assert store.find(str(moved)).key == run.key


def test_find_names_what_is_near_or_ambiguous(store: Store, tmp_path: Path) -> None:
    runs = [publish(store, train_job(seed=seed)) for seed in (1, 2)]
    with pytest.raises(StoreError, match=f"{runs[0].id}|{runs[1].id}") as several:
        store.find("single-mnli")
    assert all(run.id in str(several.value) for run in runs)
    with pytest.raises(StoreError, match=f"no run 'singel-mnli-.*Nearest: .*{runs[0].id}"):
        store.find(f"singel-mnli-{runs[0].key[:12]}")
    with pytest.raises(StoreError, match="no run"):
        store.find(runs[0].key[:12] + "0" * 52)
    with pytest.raises(StoreError, match="no run ''"):
        store.find("")
    with pytest.raises(StoreError, match=r"not the folder of a run: it has no job\.json"):
        store.find(str(tmp_path))


def test_an_exact_id_is_never_ambiguous(store: Store) -> None:
    run = publish(store, train_job())
    longer = store.root / f"{run.id}-{'0' * 12}"
    longer.mkdir()
    assert store.find(run.id) == run


def test_scan_lists_runs_and_ignores_the_rest(store: Store) -> None:
    trained = publish(store, train_job())
    evaluated = publish(store, eval_job(trained.key, "sw"))
    (store.root / "README.md").write_text("notes", encoding="utf-8")
    (store.root / "plots").mkdir()
    assert [run.path.name for run in store.scan()] == [evaluated.id, trained.id]
    assert evaluated.id.startswith("eval-xnli-sw-")
    assert list(Store(store.root / "nowhere").scan()) == []


def test_remove_takes_one_run_and_only_inside_the_store(store: Store, tmp_path: Path) -> None:
    run, other = publish(store, train_job()), publish(store, train_job(seed=2))
    (other.path / "job.json").unlink()
    store.remove(other.id)  # damaged ones too
    outside = tmp_path / run.id
    outside.mkdir()
    (outside / "job.json").write_text("{}", encoding="utf-8")
    with pytest.raises(StoreError, match="not in the store"):
        store.remove(str(outside))
    assert [each.path.name for each in store.scan()] == [run.id]
    store.remove(run.id)
    assert list(store.root.glob("*-*")) == []


def test_link_shares_a_published_file_and_copies_others(store: Store, tmp_path: Path) -> None:
    published = publish(store, train_job()).file("adapters/a/weights.bin")
    link(published, tmp_path / "new" / "weights.bin")
    link(published, tmp_path / "new" / "weights.bin")  # again, as a resumed job does
    assert (tmp_path / "new" / "weights.bin").samefile(published)
    own = tmp_path / "own.bin"
    own.write_bytes(b"mine")
    through = tmp_path / "through.bin"
    through.symlink_to(own)
    link(through, tmp_path / "copy.bin")
    own.write_bytes(b"edited")
    assert (tmp_path / "copy.bin").read_bytes() == b"mine"
    assert not (tmp_path / "copy.bin").is_symlink()


def test_linked_files_survive_the_removal_of_their_run(store: Store) -> None:
    first = publish(store, train_job())
    with store.work(train_job(seed=2)) as work:
        link(first.file("log.jsonl"), work.folder / "out" / "log.jsonl")
        second = work.publish({})
    assert os.stat(second.file("log.jsonl")).st_nlink == 2
    store.remove(first.id)
    assert isinstance(store.with_key(second.key), Run)
    assert not [each for each in store.scan() if isinstance(each, Damaged)]
