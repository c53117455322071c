"""`tasks` and `backbones`: tables for people, JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapterstilts.tasks.registry import all_tasks

from .conftest import Call


def test_json_lists_every_task_and_nothing_else(call: Call) -> None:
    found = json.loads(call("tasks", "--json").stdout)
    assert [each["name"] for each in found] == list(all_tasks())
    by_name = {each["name"]: each for each in found}
    assert {"name", "role", "kind", "languages"} <= by_name["xnli"].keys()
    assert (by_name["xnli"]["role"], by_name["xnli"]["kind"]) == ("target", "sequence")
    assert by_name["xnli"]["trained_on"] == "mnli"
    assert "sw" in by_name["xnli"]["languages"]
    assert (
        by_name["squad_v1"] | {"role": "intermediate", "kind": "span", "languages": ["en"]}
        == by_name["squad_v1"]
    )


def test_one_task_by_name_or_alias(call: Call) -> None:
    (found,) = json.loads(call("tasks", "squad", "--json").stdout)
    assert (found["name"], found["aliases"]) == ("squad_v1", ["squad"])
    shown = call("tasks", "squad").stdout
    assert "trained on  squad_v1" in shown
    assert found["licence"] in shown


def test_the_table_has_a_line_for_each_task(call: Call) -> None:
    lines = call("tasks").stdout.splitlines()
    assert len(lines) == 1 + len(all_tasks())
    assert any(line.split()[:4] == ["xnli", "target", "sequence", "15"] for line in lines)


def test_an_unknown_task_names_the_nearest(call: Call) -> None:
    found = call("tasks", "xnlii", code=2)
    assert "did you mean 'xnli'?" in found.stderr
    assert found.stdout == ""
    assert "Traceback" not in found.output


def test_data_at_hand_is_found(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)  # what the Hub has is not at hand
    (nothing,) = json.loads(call("tasks", "panx", "--json").stdout)
    assert nothing["at_hand"] == {}
    (tmp_path / "data" / "panx").mkdir(parents=True)
    (tmp_path / "data" / "panx" / "dev-sw.tsv").write_text("sw:Juma\tB-PER\n\n", encoding="utf-8")
    (given,) = json.loads(call("tasks", "panx", "--json", "--data-dir", "data").stdout)
    monkeypatch.setenv("ADAPTERSTILTS_DATA", str(tmp_path / "data"))
    (by_variable,) = json.loads(call("tasks", "panx", "--json").stdout)
    assert given["at_hand"] == by_variable["at_hand"] == {"dev": ["sw"]}


def test_a_data_folder_that_is_not_there_is_an_error(call: Call) -> None:
    assert "nowhere" in call("tasks", "panx", "--data-dir", "nowhere", code=2).stderr


def test_backbones_as_json_and_as_a_table(call: Call) -> None:
    found = {each["name"]: each for each in json.loads(call("backbones", "--json").stdout)}
    assert set(found) == {"mbert", "xlmr-base", "xlmr-large", "me5-small"}
    assert (found["me5-small"]["hidden_size"], found["me5-small"]["embedded"]) == (384, True)
    shown = call("backbones").stdout
    assert all(each["repo"] in shown for each in found.values())
