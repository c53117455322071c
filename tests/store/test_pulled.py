"""Where a run was pulled from, as its origin says it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapterstilts.errors import DamagedError
from adapterstilts.store import PulledFrom, Run, Store
from tests.store.conftest import eval_job, train_job

BACKBONE = {"name": "me5-small", "commit": None, "fingerprint": "sha256:0"}


def published(store: Store, origin: Any, seed: int = 1) -> Run:
    with store.work(train_job(seed)) as work:
        (work.folder / "out").mkdir()
        (work.folder / "out" / "origin.json").write_text(json.dumps(origin), encoding="utf-8")
        return work.publish({})


def test_a_pulled_run_names_its_repository(store: Store) -> None:
    source = {"repo": "you/adapter", "commit": "0123456789abcdef"}
    pulled = published(store, {"backbone": BACKBONE, "pulled": source}).pulled
    assert pulled == PulledFrom(**source)
    assert str(pulled) == "you/adapter@0123456789ab"


def test_runs_of_this_machine_were_not_pulled(store: Store) -> None:
    trained = published(store, {"backbone": BACKBONE})
    assert trained.pulled is None
    with store.work(eval_job(trained.key, "sw")) as work:
        assert work.publish({"score": 1.0}).pulled is None


@pytest.mark.parametrize(
    "change",
    [{"pulled": 3}, {"pulled": {"repo": "x"}}, {"pulled": {"repo": 1, "commit": "c"}}, {"backbone": 1}],
)
def test_a_malformed_origin_is_damage(change: Any, store: Store) -> None:
    with pytest.raises(DamagedError, match=r"origin\.json: (pulled|backbone)"):
        _ = published(store, {"backbone": BACKBONE, **change}).pulled


def test_an_origin_that_is_no_object_is_damage(store: Store) -> None:
    with pytest.raises(DamagedError, match=r"origin\.json does not hold"):
        _ = published(store, []).pulled
