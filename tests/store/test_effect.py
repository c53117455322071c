"""What a run changes: read from its metrics, in words, and what counts as nothing."""

from __future__ import annotations

from typing import Any

import pytest

from adapterstilts.store import Effect
from adapterstilts.store.store import Store
from tests.store.conftest import publish, train_job

HEAD = {"majority": 0, "share": 0.55, "gold_share": 0.41, "predictions": 64, "development": True}
NORMAL = {"adapters": {"mnli": [0.012, 0.034]}, "heads": {"mnli": HEAD}, "examples": 16}
HEADS = {"mnli": {"kind": "classification", "labels": ["entailment", "neutral"]}}


def changed(**head: Any) -> dict[str, Any]:
    return {"effect": {**NORMAL, "heads": {"mnli": {**HEAD, **head}}}}


def lines(metrics: dict[str, Any]) -> list[str]:
    effect = Effect.of(metrics)
    assert effect is not None
    return effect.lines(HEADS)


def test_a_normal_run() -> None:
    effect = Effect.of({"effect": NORMAL})
    assert effect is not None and not effect.inert and effect.idle == ()
    assert lines({"effect": NORMAL}) == [
        "the adapter 'mnli' changes the hidden states by 1.20 % to 3.40 % (layers 1-2)",
        "the head of mnli predicts 'entailment' most often: 55 % of 64 predictions on development rows",
    ]


def test_an_adapter_that_changes_nothing() -> None:
    idle = {"effect": {**NORMAL, "adapters": {"mnli": [0.0, 0.00002], "fusion": [0.0, 0.0], "xx": [0, 0.1]}}}
    effect = Effect.of(idle)
    assert effect is not None and effect.inert and effect.idle == ("mnli", "fusion")
    assert lines(idle)[:2] == [
        "warning: the adapter 'mnli' changes nothing: hidden states differ by 0.00 % (layers 1-2)",
        "warning: the AdapterFusion changes nothing: hidden states differ by 0.00 % (layers 1-2)",
    ]


def test_a_head_that_always_predicts_one_class() -> None:
    constant = changed(share=1, majority=1)
    effect = Effect.of(constant)
    assert effect is not None and effect.inert
    assert lines(constant)[-1] == (
        "warning: the head of mnli always predicts 'neutral': 100 % of 64 predictions on development rows "
        "(most frequent gold class: 41 %)"
    )
    assert "on training rows" in lines(changed(share=1, development=False))[-1]


def test_one_class_is_right_where_there_is_only_one() -> None:
    effect = Effect.of(changed(share=1, gold_share=1))
    assert effect is not None and not effect.inert


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ({"kind": "choice", "labels": []}, "predicts choice 3 most"),
        ({"kind": "span", "labels": []}, "predicts position 3 most"),
        ({"kind": "classification", "labels": ["x"]}, "predicts class 3 most"),
        ({"kind": "tagging", "labels": "x"}, "predicts class 3 most"),
        (None, "predicts class 3 most"),
    ],
)
def test_classes_without_labels_have_numbers(head: Any, words: str) -> None:
    effect = Effect.of(changed(majority=3))
    assert effect is not None
    assert words in effect.lines({"mnli": head} if head else {})[-1]


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"effect": None},
        {"effect": [1]},
        {"effect": {"adapters": {"a": 1}}},
        {"effect": {"adapters": {"a": ["x"]}}},
        {"effect": {"heads": {"a": 1}}},
        {"effect": {"heads": {"a": {**HEAD, "share": 2}}}},
        {"effect": {"more": 1}},
    ],
)
def test_metrics_without_an_effect_or_in_another_form(metrics: dict[str, Any]) -> None:
    assert Effect.of(metrics) is None


def test_names_of_strangers_are_shown_safely() -> None:
    adapters = {"\x1b[31m" + 100 * "a": [0.1, 0.2]}
    effect = Effect.of({"effect": {"adapters": adapters, "heads": {"\n\x07": {**HEAD, "majority": 0}}}})
    assert effect is not None
    shown = effect.lines({"\n\x07": {"kind": "tagging", "labels": ["\x1b[2J[/red]"]}})
    assert all(line.isprintable() for line in shown) and len(shown[0]) < 160
    assert r"'\x1b[2J[/red]'" in shown[1]


def test_the_head_for_masked_subwords_is_not_described() -> None:
    effect = Effect.of({"effect": {"heads": {"mlm": {**HEAD, "majority": 17}}}})
    assert effect is not None
    assert effect.lines({})[0].startswith("the head of mlm predicts subword 17 most often")


def test_a_run_without_its_effect_or_its_heads(tmp_path: Any) -> None:
    store = Store(tmp_path)
    older = publish(store, train_job())
    assert Effect.lines_of(older) == []
    newer = publish(store, train_job(seed=2), effect=NORMAL)
    assert Effect.lines_of(newer)[1].startswith("the head of mnli predicts class 0 most often")
