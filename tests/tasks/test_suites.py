"""Suites: which targets, in which languages."""

from __future__ import annotations

import pytest

from adapterstilts.errors import ConfigError
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.suites import PAPER_INTERMEDIATE, SUITES, suite, suite_languages


def test_the_targets_of_each_suite() -> None:
    assert suite("xtreme") == suite("paper")
    assert set(suite("xtreme")) == set("xnli pawsx udpos panx xquad mlqa tydiqa bucc2018 tatoeba".split())
    assert set(suite("xtreme-r")) == set(
        "xnli xcopa udpos panx xquad mlqa tydiqa tatoeba mewslix lareqa".split()
    )
    assert len(set(PAPER_INTERMEDIATE)) == 9


def test_languages_as_the_benchmarks_count_them() -> None:
    """Counted by hand from XTREME's `evaluate.py`; LAReQA's from its own paper."""
    counts = {
        name: [len(suite_languages(name, task)) for task in suite(name)] for name in ("xtreme", "xtreme-r")
    }
    assert counts == {
        "xtreme": [15, 7, 33, 40, 11, 7, 9, 4, 36],
        "xtreme-r": [15, 11, 38, 48, 12, 7, 9, 41, 11, 11],
    }


def test_every_target_is_a_task_that_has_the_languages() -> None:
    for name in SUITES:
        for task in suite(name):
            assert get_task(task).role == "target"
            assert set(suite_languages(name, task)) <= set(get_task(task).languages)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown suite 'extreme': did you mean 'xtreme'"):
        suite("extreme")
    with pytest.raises(ConfigError, match="unknown target of xtreme-r 'pawsx'"):
        suite_languages("xtreme-r", "pawsx")
