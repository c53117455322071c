"""The numbers of a table, by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from adapterstilts.cli.grid_output import _print_markdown
from adapterstilts.errors import DamagedError
from adapterstilts.grid.availability import DataSearch, find_scopes
from adapterstilts.grid.config import GridConfig
from adapterstilts.grid.plan import Cell, Plan, expand
from adapterstilts.grid.records import Records
from adapterstilts.report.gains import MARKS, Scores, _gains, gains, table_by_target

SCORES: dict[tuple[str, int], Mapping[str, float]] = {
    ("", 1): {"en": 90, "de": 50, "zh": 60},
    ("", 2): {"en": 92, "de": 52, "zh": 58},
    ("mini_nli", 1): {"en": 91, "de": 53, "zh": 61},  # +3, +1: +2
    ("mini_nli", 2): {"en": 80, "de": 56, "zh": 58},  # +4, 0: +2
    ("mini_qa", 1): {"en": 90, "de": 49, "zh": 60},  # -1, 0: -0.5
    ("mini_qa", 2): {"en": 90, "de": 53},  # +1, and Chinese is not there yet
}


@pytest.fixture(scope="module")
def plan() -> Plan:
    grid_config = GridConfig.model_validate(
        {
            "targets": "mini_paraphrase",
            "intermediate": ["mini_nli", "mini_qa"],
            "languages": ["en", "de", "zh"],
            "seeds": [1, 2],
        }
    )
    return expand(grid_config, *find_scopes(grid_config, DataSearch()))


def read(cell: Cell) -> Scores:
    return Scores(SCORES[cell.intermediate, cell.seed])


def test_means_are_over_seeds_and_languages_but_english(plan: Plan) -> None:
    base, nli, qa = _gains(plan, read, lambda code: code != "en")
    assert (base.mean, base.low, base.high) == (55.0, 55.0, 55.0)
    assert (nli.mean, nli.low, nli.high, nli.complete) == (2.0, 2.0, 2.0, True)
    assert (qa.mean, qa.low, qa.high, qa.complete, qa.languages, qa.expected_languages) == (
        0.25,
        -0.5,
        1.0,
        False,
        1,
        2,
    )
    assert [str(each) for each in (base, nli, qa)] == [
        "55.0 [55.0, 55.0]", "+2.0 [+2.0, +2.0]", "+0.2 [-0.5, +1.0]*",
    ]  # fmt: skip


def test_english_alone(plan: Plan) -> None:
    base, nli, _ = _gains(plan, read, lambda code: code == "en")
    assert (base.mean, nli.mean, nli.low, nli.high) == (91.0, -5.5, -12.0, 1.0)


def test_without_results_there_is_a_dash(plan: Plan) -> None:
    found = _gains(plan, lambda cell: Scores({}), lambda code: code != "en")
    assert [str(each) for each in found] == ["-", "-", "-"]
    assert table_by_target(found) == [
        ["composition", "intermediate", "mini_paraphrase"],
        ["baseline", "", "-"],
        ["sequential", "mini_nli", "-"],
        ["sequential", "mini_qa", "-"],
    ]


def test_languages_without_labels_do_not_count(plan: Plan) -> None:
    def hidden(cell: Cell) -> Scores:
        return Scores({**read(cell).by_language, "zh": None})

    base, nli, qa = _gains(plan, hidden, lambda code: code != "en")
    assert (base.mean, nli.mean, qa.mean) == (51.0, 3.5, 0.0)
    assert all(each.complete and each.expected_languages == 1 for each in (base, nli, qa))
    assert [str(each) for each in _gains(plan, hidden, lambda code: code == "zh")] == ["-"] * 3


def test_a_seed_without_its_baseline_does_not_count(plan: Plan) -> None:
    found = _gains(
        plan,
        lambda cell: Scores({}) if (cell.intermediate, cell.seed) == ("", 2) else read(cell),
        lambda c: c != "en",
    )
    assert (found[2].mean, found[2].seeds, found[2].low) == (-0.5, 1, None)
    assert [str(each)[-1] for each in found] == ["*"] * 3  # of two seeds there is one


def test_markdown_takes_any_text(capsys: pytest.CaptureFixture[str]) -> None:
    _print_markdown(["backbone", "nli"], [["a|b", "+1.0"]])
    assert capsys.readouterr().out == "| backbone | nli |\n|---|---|\n| a\\|b | +1.0 |\n"


def test_scores_of_items_that_were_trained_on_are_marked(plan: Plan) -> None:
    def leaky(cell: Cell) -> Scores:
        leaked = {"de"} if cell.intermediate == "mini_nli" else {"en"}
        return Scores(read(cell).by_language, leaked)

    base, nli, qa = _gains(plan, leaky, lambda code: code != "en")
    assert (base.leaked, nli.leaked, qa.leaked) == (0, 1, 0)
    assert str(nli) == "+2.0 [+2.0, +2.0]!"
    english = _gains(plan, leaky, lambda code: code == "en")
    assert [each.leaked for each in english] == [1, 1, 1]  # of the second the baseline's


@dataclass
class Finished:
    """Every job finished with score 50, and what each training changes."""

    changes: Mapping[str, Any]
    damaged: str = ""
    read: list[str] = field(default_factory=list)
    leaked = 0
    precision = pulled = ""

    @property
    def digest(self) -> str:
        return str(self.changes["digest"])

    def find_finished(self, digest: str) -> Any:
        return Finished({"digest": digest})

    def read_metrics(self, record: Any) -> dict[str, Any]:
        digest = record.changes["digest"]
        self.read.append(digest)
        if digest == self.damaged:
            raise DamagedError("the run is damaged", "run")
        return {"score": 50.0, **self.changes.get(digest, {})}


IDLE = {"effect": {"adapters": {"a": [0.0, 0.0]}}}
BUSY = {"effect": {"adapters": {"a": [0.0, 0.1]}}}


def marked(plan: Plan, finished: Finished) -> list[tuple[str, int]]:
    found = gains(plan, cast(Records, finished), finished.read.append)
    return [(each.intermediate, each.inert) for each in found if "=" in str(each)]


def test_runs_that_change_nothing_are_marked(plan: Plan) -> None:
    base, nli = (cell.training for cell in plan.cells[:2])
    assert marked(plan, Finished({})) == marked(plan, Finished({base.digest: BUSY})) == []
    assert marked(plan, Finished({nli.digest: IDLE})) == [("mini_nli", 1)]
    (intermediate,) = nli.needs
    finished = Finished({intermediate: IDLE})
    assert marked(plan, finished) == [("mini_nli", 1)], "what was made from it too"
    assert max(finished.read.count(digest) for digest in plan.trainings) == 1
    assert marked(plan, Finished({base.digest: IDLE})) == [("", 1), ("mini_nli", 1), ("mini_qa", 1)]
    assert "=" in MARKS


def test_a_damaged_training_is_named_and_not_marked(plan: Plan) -> None:
    nli = plan.cells[1].training
    finished = Finished({nli.digest: IDLE}, damaged=nli.digest)
    assert marked(plan, finished) == []
    assert finished.read.count("the run is damaged") == 1
