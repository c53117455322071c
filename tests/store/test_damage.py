"""A run that was changed after it was published is named and never used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from adapterstilts.errors import StoreError
from adapterstilts.store import Damaged, Run, Store
from adapterstilts.store.files import sha256
from adapterstilts.values import digest

from .conftest import publish, train_job

Damage = Callable[[Path], None]
WEIGHTS = "adapters/a/weights.bin"


def truncate(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:-1])


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[100] ^= 1
    (folder / WEIGHTS).write_bytes(data)


def raise_the_score(folder: Path) -> None:
    path = folder / "metrics.json"
    path.write_text(path.read_text("utf-8").replace("50.0", "99.0"), encoding="utf-8")


def change_the_seed(folder: Path) -> None:
    """Changes the job and, as a careful forger would, the manifest too."""
    job = json.loads((folder / "job.json").read_text("utf-8"))
    (folder / "job.json").write_text(json.dumps({**job, "seed": 7}), encoding="utf-8")
    renew_manifest(folder)


def renew_manifest(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    path = folder / "job.json"
    manifest["files"]["job.json"] = {"sha256": sha256(path), "size": path.stat().st_size}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def add_a_file(folder: Path) -> None:
    (folder / "extra.txt").write_text("not ours", encoding="utf-8")


def remove_a_file(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def remove_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def cut_the_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:40])


def link_out_of_the_folder(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to("/etc/hostname")


def link_a_folder(folder: Path) -> None:
    (folder / "more").symlink_to("/etc")


CASES: list[tuple[Damage, str]] = [
    (truncate, rf"{WEIGHTS} has 1023 bytes, not 1024"),
    (flip_a_bit, rf"{WEIGHTS} has another SHA-256"),
    (raise_the_score, r"metrics\.json has another SHA-256"),
    (change_the_seed, r"job\.json does not belong to its key"),
    (add_a_file, r"extra\.txt is not in its manifest"),
    (remove_a_file, rf"{WEIGHTS} is missing"),
    (remove_the_manifest, r"manifest\.json is missing"),
    (cut_the_manifest, r"manifest\.json is not JSON"),
    (link_out_of_the_folder, r"weights\.bin: a result holds plain files only"),
    (link_a_folder, r"more: a result holds plain files only"),
]


@pytest.mark.parametrize(("damage", "reason"), CASES, ids=[case[0].__name__ for case in CASES])
def test_damage_is_named_everywhere_and_the_run_never_used(store: Store, damage: Damage, reason: str) -> None:
    job = train_job()
    run = publish(store, job)
    damage(run.path)
    for use in (lambda: store.get(job), lambda: store.find(run.id), lambda: store.find(str(run.path))):
        with pytest.raises(StoreError, match=f"{run.id}.*{reason}.*adapterstilts runs rm {run.id}"):
            use()
    (found,) = store.scan()
    assert isinstance(found, Damaged)
    with pytest.raises(StoreError, match=reason), store.work(job):
        raise AssertionError("a damaged result must not be worked over")


def test_a_quick_scan_sees_sizes_and_metrics_but_not_flipped_bits(store: Store) -> None:
    run = publish(store, train_job())
    flip_a_bit(run.path)
    assert [type(each) for each in store.scan(quick=True)] == [Run]
    assert [type(each) for each in store.scan()] == [Damaged]
    raise_the_score(run.path)
    assert [type(each) for each in store.scan(quick=True)] == [Damaged]


@pytest.mark.parametrize(
    ("schema", "advice"),
    [(99, "newer version of adapterstilts.*upgrade"), (1, "older version of adapterstilts.*retrain")],
)
def test_a_run_of_another_schema_is_refused(store: Store, schema: int, advice: str) -> None:
    run = publish(store, train_job())
    job = {**run.job.model_dump(mode="json"), "schema_version": schema}
    job["key"] = digest({name: value for name, value in job.items() if name != "key"})
    folder = run.path.rename(store.root / f"single-mnli-{job['key'][:12]}")
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    renew_manifest(folder)
    with pytest.raises(StoreError, match=f"schema {schema}.*{advice}"):
        store.find(folder.name)


def test_a_renamed_run_is_not_another_jobs_result(store: Store) -> None:
    run, wanted = publish(store, train_job()), train_job(seed=2)
    run.path.rename(store.folder(wanted))
    with pytest.raises(StoreError, match=f"renamed.*{run.key[:12]}"):
        store.get(wanted)


def test_a_run_has_only_its_own_files(store: Store) -> None:
    run = publish(store, train_job())
    (store.root / "secret").write_text("x", encoding="utf-8")
    for name in ("nothing.bin", "../secret", "adapters"):
        with pytest.raises(StoreError, match="has no file"):
            run.file(name)


def test_links_are_not_published(store: Store) -> None:
    with pytest.raises(StoreError, match="plain files only"), store.work(train_job()) as work:
        (work.folder / "out").mkdir()
        (work.folder / "out" / "weights").symlink_to("/etc/hostname")
        work.publish({})
    assert list(store.scan()) == []


def test_a_job_without_a_schema_is_damaged_and_not_another_versions(store: Store) -> None:
    run = publish(store, train_job())
    (run.path / "job.json").write_text("{}", encoding="utf-8")
    (found,) = store.scan()
    assert isinstance(found, Damaged)
    assert not found.foreign
    assert "has no schema_version" in found.reason
