"""Jobs to store results of, and a store in a temporary folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterstilts.composition import Single
from adapterstilts.job import EvalJob, TrainJob
from adapterstilts.store import Run, Store


def train_job(seed: int = 1, task: str = "mnli") -> TrainJob:
    """A training job that differs by its seed and task only."""
    return TrainJob(
        task=task,
        task_version=1,
        backbone="sha256:b",
        data={"train": "t", "dev": ""},
        adapter={"method": "bottleneck"},
        hyperparameters=None,
        encoding={},
        composition=Single(),
        seed=seed,
    )


def eval_job(run: str, language: str) -> EvalJob:
    """An evaluation of a run on XNLI."""
    return EvalJob(
        run=run,
        task="xnli",
        task_version=1,
        split="test",
        language=language,
        backbone="sha256:b",
        data="d",
        encoding={},
        precision="fp32",
    )


def publish(store: Store, job: TrainJob | EvalJob, score: float = 50.0, **metrics: object) -> Run:
    """Publishes a result with two files, one of them in a folder."""
    with store.work(job) as work:
        weights = work.folder / "out" / "adapters" / "a" / "weights.bin"
        weights.parent.mkdir(parents=True, exist_ok=True)
        weights.write_bytes(bytes(range(256)) * 4)
        (work.folder / "out" / "log.jsonl").write_text('{"step": 1}\n', encoding="utf-8")
        return work.publish({"score": score, **metrics})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "results")
