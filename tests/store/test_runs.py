"""Runs of a strange form: named, skipped, and no obstacle to all others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapterstilts.errors import DamagedError
from adapterstilts.store import Damaged, Run, Store
from adapterstilts.store.files import MANIFEST, METRICS, sha256
from adapterstilts.store.quick_check import metrics_of
from adapterstilts.store.runs import Manifest
from adapterstilts.values import digest
from tests.cli.conftest import Call, call  # noqa: F401
from tests.store.conftest import eval_job, publish, train_job

STRANGE: list[dict[str, Any]] = [
    {"dev": [1]},
    {"dev": 1},
    {"dev": {"accuracy": 1.0}},
    {"dev": {"score": "fine"}},
    {"dev": {"score": 1.0, "a": {"b": [1]}}},
    {"score": "fine"},
    {"score": True},
    {"score": [1]},
    {"score": None},
    {"score": {}},
    {"examples": -1},
    {"examples": "many"},
    {"leaked": 1.5},
    {"labels": 1},
    {"low": "x", "high": 1},
    {"steps": "3"},
    {"best_step": [3]},
    {"fusion_attention": 3},
    {"fusion_attention": [[None]]},
]


def sealed(run: Run, name: str, text: str) -> Run:
    """The run with another file in place of one, and a manifest that fits."""
    (run.path / name).write_text(text, encoding="utf-8")
    (run.path / MANIFEST).write_text(json.dumps(Manifest.of(run.path)), encoding="utf-8")
    return run


@pytest.mark.parametrize("metrics", STRANGE)
def test_strange_metrics_are_damage(metrics: dict[str, Any], store: Store) -> None:
    run = sealed(publish(store, train_job()), METRICS, json.dumps(metrics))
    (found,) = store.scan(quick=True)
    assert isinstance(found, Damaged) and found.reason.startswith("metrics.json: ")
    with pytest.raises(DamagedError, match=r"metrics\.json: .* has an invalid value"):
        metrics_of(run.path, sha256(run.path / MANIFEST))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"score": NaN}', '{"score": 1e999}', "[]", "9" * 9999, ""])
def test_metrics_that_are_no_json_are_damage(text: str, store: Store) -> None:
    run = sealed(publish(store, train_job()), METRICS, text)
    (found,) = store.scan(quick=True)
    assert isinstance(found, Damaged) and "metrics.json" in found.reason
    with pytest.raises(DamagedError):
        metrics_of(run.path, sha256(run.path / MANIFEST))


@pytest.mark.parametrize(
    "change",
    [
        {"type": "dance"}, {"type": []}, {"task": 3}, {"composition": None}, {"hyperparameters": 3},
        {"composition": {"kind": "single"}},
        {"composition": {"kind": 1, "sources": []}}, {"composition": {"kind": "stack", "sources": [1]}},
        {"seed": "1"}, {"data": []}, {"languages": "sw"}, {"adapter": None},
    ],
)  # fmt: skip
def test_a_strange_job_is_damage(change: dict[str, Any], store: Store) -> None:
    run = publish(store, train_job())
    job = {**run.job.model_dump(mode="json"), **change}
    key = digest(job)
    moved = run.path.rename(run.path.with_name(f"single-mnli-{key[:12]}"))
    (moved / "job.json").write_text(json.dumps({**job, "key": key}), encoding="utf-8")
    (moved / MANIFEST).write_text(json.dumps(Manifest.of(moved)), encoding="utf-8")
    (found,) = store.scan(quick=True)
    assert isinstance(found, Damaged) and found.reason.startswith("job.json")


def test_one_strange_run_hides_no_other(call: Call, tmp_path: Path) -> None:  # noqa: F811
    store = Store(tmp_path / "checkpoints")
    good = publish(store, train_job())
    evaluated = publish(store, eval_job(good.key, "sw"))
    for seed, (name, text) in enumerate(
        [
            (METRICS, '{"dev": [1]}'),
            (METRICS, "[" * 9999),
            ("origin.json", '{"pulled": 1}'),
            ("origin.json", "["),
        ]
    ):
        sealed(publish(store, train_job(seed + 2)), name, text)
    listed = call("runs")
    assert good.id in listed.stdout and evaluated.id in listed.stdout
    assert listed.stderr.count("damaged, not used: single-mnli-") == 4
    entries = json.loads(call("runs", "--json").stdout)
    assert sum(entry["damaged"] is None for entry in entries) == 2
    assert len(entries) == 6


def test_an_unknown_field_of_a_job_is_damage(store: Store) -> None:
    run = publish(store, train_job())
    job = {**run.job.model_dump(mode="json"), "sead": 1}
    key = digest(job)
    moved = run.path.rename(run.path.with_name(f"single-mnli-{key[:12]}"))
    sealed_job = json.dumps({**job, "key": key})
    (moved / "job.json").write_text(sealed_job, encoding="utf-8")
    (moved / MANIFEST).write_text(json.dumps(Manifest.of(moved)), encoding="utf-8")
    (found,) = store.scan(quick=True)
    assert isinstance(found, Damaged) and "unknown job.json key 'sead': did you mean 'seed'" in found.reason


@pytest.mark.parametrize("adapter", ['"\\ud800"', "[" * 900 + "]" * 900])
def test_a_job_without_canonical_json_is_damage(adapter: str, store: Store) -> None:
    """Half of a surrogate pair has no UTF-8, and deep nesting exhausts the stack: neither breaks a list."""
    run = publish(store, train_job())
    text = (run.path / "job.json").read_text("utf-8").replace('"bottleneck"', adapter)
    sealed(run, "job.json", text)
    (found,) = store.scan(quick=True)
    assert isinstance(found, Damaged) and found.reason
