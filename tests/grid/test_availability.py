"""A verb searches for the data of each task, split and language once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from adapterstilts.data import load
from adapterstilts.errors import MissingDataError
from adapterstilts.grid.availability import DataSearch, find_missing_data
from adapterstilts.grid.load_plan import load_plan
from adapterstilts.tasks.lookup import get_task
from tests.cli.conftest import Call, call  # noqa: F401

from .conftest import Write

GRID: dict[str, Any] = {
    "intermediate": ["mini_nli", "mini_qa", "mini_nli>mini_qa"],
    "compositions": ["sequential", "stack", "average"],
    "adapter_sets": [["mini_nli", "mini_qa"], ["mini_nli", "target"]],
    "targets": ["mini_paraphrase", "mini_ner", "mini_retrieval"],
    "seeds": [1, 2],
}


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[Any, ...]]:
    """Number of searches for files by task, split, language and location."""
    counts: Counter[tuple[Any, ...]] = Counter()
    original = load.Search.run

    def find_files(task: Any, split: Any, language: str, location: Any) -> Any:
        counts[task.name, split, language, location] += 1
        return original(task, split, language, location)

    monkeypatch.setattr(load.Search, "run", staticmethod(find_files))
    return counts


@pytest.mark.parametrize("languages", ["available", "all", ["de", "sw"]])
def test_a_plan_searches_once_for_each_task_split_and_language(
    write: Write, searches: Counter[tuple[Any, ...]], languages: object
) -> None:
    search = DataSearch()
    plan = load_plan(str(write(**GRID, languages=languages)), search)
    assert find_missing_data(plan, search) == ([], {})
    names = {"mini_nli", "mini_qa", "mini_paraphrase", "mini_ner", "mini_retrieval"}
    assert {task for task, *_ in searches} == names
    assert set(searches.values()) == {1}


@pytest.mark.parametrize("verb", [["plan", "--no-calibrate"], ["status"]], ids=" ".join)
def test_a_verb_searches_once_for_each_task_split_and_language(
    call: Call,  # noqa: F811
    write: Write,
    searches: Counter[tuple[Any, ...]],
    verb: list[str],
) -> None:
    call("grid", *verb, str(write(**GRID)))
    assert searches
    assert set(searches.values()) == {1}


def test_a_failed_search_is_remembered(searches: Counter[tuple[Any, ...]], tmp_path: Path) -> None:
    search = DataSearch()
    location = load.DataLocation(file=str(tmp_path / "missing.tsv"))
    task = get_task("mini_nli")
    for _ in range(2):
        with pytest.raises(MissingDataError, match=r"missing\.tsv"):
            search.languages(task, "train", location)
        assert search.find_languages(task, "train", location) == ()
    assert set(searches.values()) == {1}
