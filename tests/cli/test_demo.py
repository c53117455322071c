"""The demo's table shows the scores in the store."""

from __future__ import annotations

import json
import os
from pathlib import Path
from statistics import fmean

import pytest

from adapterstilts.cli.demo import _demo_rows, _DemoRow, summary
from adapterstilts.errors import StoreError
from adapterstilts.grid.config import load_config
from adapterstilts.grid.records import Records
from adapterstilts.grid.scheduler import InlineExecutor, Scheduler
from adapterstilts.grid.worker import Worker
from tests.grid.conftest import Write, plan_of, write  # noqa: F401
from tests.grid.test_run import SilentListener


def test_gains_are_differences_from_the_baseline_of_the_target(write: Write, tmp_path: Path) -> None:  # noqa: F811
    plan = plan_of(write(targets=["mini_paraphrase", "mini_ner"], intermediate=["mini_nli"]))
    records = Records(tmp_path / "store")
    Scheduler(InlineExecutor(Worker(records, on_message=lambda *_: None)), records, SilentListener()).run(
        plan.jobs()
    )
    lines = _demo_rows(plan, records.store)
    assert [(line.target, line.transfer) for line in lines] == [
        ("mini_paraphrase", ""), ("mini_paraphrase", "sequential from mini_nli"),
        ("mini_ner", ""), ("mini_ner", "sequential from mini_nli"),
    ]  # fmt: skip
    base, moved = (scores(records.store, name) for name in ("single", "sequential"))
    assert lines[0].english == pytest.approx(base["en"])
    assert lines[0].other_languages == pytest.approx(fmean((base["de"], base["sw"])))
    assert lines[1].english == pytest.approx(moved["en"])
    assert lines[1].other_languages == pytest.approx(fmean((moved["de"], moved["sw"])))
    assert lines[1].gain == pytest.approx(lines[1].other_languages - lines[0].other_languages)
    assert lines[1].languages_better == sum(moved[code] > base[code] for code in ("de", "sw"))
    assert lines[1].languages == 2
    metrics = min(records.store.glob("eval-*/metrics.json"))
    info, text = metrics.stat(), metrics.read_bytes()
    metrics.write_bytes(b"x" + text[1:])
    os.utime(metrics, ns=(info.st_atime_ns, info.st_mtime_ns))
    with pytest.raises(StoreError, match=f"{metrics.parent.name} is damaged"):
        _demo_rows(plan, records.store)


def scores(store: Path, composition: str) -> dict[str, float]:
    """Scores of the paraphrase evaluations of a composition, by language."""
    found = {}
    for folder in store.glob("eval-mini_paraphrase-*"):
        job = json.loads((folder / "job.json").read_bytes())
        (trained,) = store.glob(f"*-{job['run'][:12]}")
        if trained.name.startswith(composition):
            found[job["language"]] = json.loads((folder / "metrics.json").read_bytes())["score"]
    return found


def test_the_summary_names_the_best_and_the_worst() -> None:
    lines = [
        _DemoRow("ner", "", 60.0, 50.0, 0.0, 0, 9),
        _DemoRow("ner", "stack from nli", 61.0, 53.0, 3.0, 8, 9),
        _DemoRow("ner", "sequential from qa", 55.0, 48.0, -2.0, 1, 9),
    ]
    first, second = summary(lines)
    assert first.startswith("1 of 2 transfers improve")
    assert "stack from nli, +3.0 points" in first
    assert "sequential from qa, -2.0 points" in second


def test_the_grid_is_two_intermediate_tasks_by_two_targets_by_two_compositions() -> None:
    grid_config = load_config("demo")
    assert len(grid_config.intermediate) == len(grid_config.targets) == len(grid_config.compositions) == 2
    assert grid_config.source == "bundled"
