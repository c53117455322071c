"""Where a run was pulled from, as its origin says it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapterstilts.errors import DamagedError
from adapterstilts.store import Pulled, Run, Store, pulled_from
from tests.store.conftest import eval_job, train_job


def published(store: Store, origin: Any, seed: int = 1) -> Run:
    with store.work(train_job(seed)) as work:
        (work.folder / "out").mkdir()
        (work.folder / "out" / "origin.json").write_text(json.dumps(origin), encoding="utf-8")
        return work.publish({})


def test_a_pulled_run_names_its_repository(store: Store) -> None:
    source = {"repo": "you/adapter", "commit": "0123456789abcdef"}
    pulled = pulled_from(published(store, {"pulled": source}))
    assert pulled == Pulled("you/adapter", "0123456789abcdef")
    assert str(pulled) == "you/adapter@0123456789ab"


def test_runs_of_this_machine_were_not_pulled(store: Store) -> None:
    trained = published(store, {"train": {}})
    assert pulled_from(trained) is None
    with store.work(eval_job(trained.key, "sw")) as work:
        assert pulled_from(work.publish({"score": 1.0})) is None


@pytest.mark.parametrize(
    "origin", [[], {"pulled": 3}, {"pulled": {"repo": "x"}}, {"pulled": {"repo": 1, "commit": "c"}}]
)
def test_a_malformed_origin_is_damage(origin: Any, store: Store) -> None:
    with pytest.raises(
        DamagedError, match=r"origin\.json does not name the repository that it was pulled from"
    ):
        pulled_from(published(store, origin))
