"""The digests of trained items: what is the same item, and how many recur by chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adapterstilts.data import item_digests
from adapterstilts.data.load import DataLocation, load
from adapterstilts.data.rows import Answer, ChoiceRow, PairRow, QuestionRow, RetrievalRow, Row, TaggedRow
from adapterstilts.run import leak_guard
from adapterstilts.tasks.lookup import get_task


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (
            PairRow("1", "A  Ｄog.", "It runs.", "neutral"),
            PairRow("9", "a dog. ", "IT RUNS.", None),
            PairRow("1", "It runs.", "A dog.", "neutral"),
        ),
        (
            PairRow("1", "Straße", None, "a"),
            PairRow("1", "STRASSE", None, "b"),
            PairRow("1", "Straße", "", "a"),
        ),
        (
            TaggedRow("1", ("Anna", "sings"), ("B-PER", "O")),
            TaggedRow("2", ("anna", "sings"), None),
            TaggedRow("1", ("Anna sings",), ("O",)),
        ),
        (
            QuestionRow("1", "Who?", "Anna sings.", (Answer("Anna", 0),)),
            QuestionRow("2", "who?", "Anna\nsings.", ()),
            QuestionRow("1", "Who?", "Tom sings.", (Answer("Tom", 0),)),
        ),
        (
            ChoiceRow("1", "It rained.", ("wet", "dry"), 0),
            ChoiceRow("2", "it rained.", ("wet", "dry"), 1),
            ChoiceRow("1", "It rained.", ("dry", "wet"), 1),
        ),
    ],
)
def test_an_item_is_its_text_whatever_its_id_label_case_and_spacing(one: Row, same: Row, other: Row) -> None:
    first, second, third = item_digests.digests([one, same, other])
    assert first == second != third


def test_texts_to_retrieve_are_no_items_but_questions_with_a_paragraph_are() -> None:
    assert len(item_digests.digests([RetrievalRow("1", "A dog.", "query", ("2",))])) == 0
    sought = RetrievalRow("de-1-1", "Anna sings.", "candidate", context="Tom sleeps. Anna sings.")
    rows = [sought, RetrievalRow("q", "Who sings?", "query", ("de-1-1", "en-1-1"))]
    assert [item.id for item in item_digests.items(rows)] == ["q"]
    assert item_digests.digests(rows) == item_digests.digests(
        [QuestionRow("q", "Who sings?", "Tom sleeps. Anna sings.", ())]
    )


def test_originals_and_what_was_trained_on_before_are_kept_too(tmp_path: Path) -> None:
    before = item_digests.digests([PairRow("1", "x", "y", "neutral")])
    item_digests.write_items(tmp_path, [PairRow("1", "ein", "zwei", "neutral", ("one", "two"))], before)
    texts = (("ein", "zwei"), ("one", "two"), ("x", "y"))
    assert set(item_digests.read_items(tmp_path)) == set(item_digests.digests_of(texts))  # type: ignore[arg-type]


def test_the_rows_of_files_that_an_origin_names() -> None:
    origin = {
        "data": {"mnli": {"train": {"sha256": "a", "slice": [1, 9]}, "dev": {"sha256": "b", "slice": None}}},
        "translated": {"parts": [{"sha256": "c", "slice": None}]},
    }
    found = item_digests.parts(origin)
    assert found == {item_digests.Part("a", 1, 9), item_digests.Part("c", 1, item_digests.LAST)}
    assert item_digests.Part("a", 9, 12).meets(item_digests.Part("a", 1, 9))
    assert not item_digests.Part("a", 10, 12).meets(item_digests.Part("a", 1, 9))
    assert not item_digests.Part("b", 1, 9).meets(item_digests.Part("a", 1, 9))


def test_items_are_kept_as_sorted_digests_of_eight_bytes(tmp_path: Path) -> None:
    rows = [PairRow(str(n), f"sentence {n % 50}", "x", "neutral") for n in range(80)]
    item_digests.write_items(tmp_path, rows)
    assert (tmp_path / item_digests.ITEMS).stat().st_size == 50 * 8
    found = item_digests.read_items(tmp_path)
    assert found is not None
    assert np.all(np.diff(found.astype(object)) > 0)
    assert set(found) == set(item_digests.digests(rows))
    item_digests.write_items(tmp_path, [])
    assert len(item_digests.read_items(tmp_path)) == 0  # type: ignore[arg-type]
    assert item_digests.read_items(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("leaked", "size", "kind", "refused"),
    [
        (0, 490, "sequence", False),
        (11, 490, "sequence", False),  # 4.9 by chance, and three deviations of 2.2
        (12, 490, "sequence", True),
        (1, 1, "sequence", True),
        (325, 10_000, "tagging", False),  # PAN-X as it is released
        (96, 3974, "tagging", False),  # UD
        (4, 20, "tagging", False),
        (5, 20, "tagging", True),
    ],
)
def test_more_than_recur_by_chance(leaked: int, size: int, kind: str, refused: bool) -> None:
    assert leak_guard._too_many(leaked, size, kind) is refused  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "expected"), [("panx", (325, 10_000)), ("udpos", (96, 3974)), ("pawsx", (0, 2000))]
)
def test_released_splits_are_not_refused(shared_data: Path, task: str, expected: tuple[int, int]) -> None:
    location = DataLocation(data_dir=shared_data)
    train, dev = (
        item_digests.digests(load(get_task(task), split, "en", location).rows) for split in ("train", "dev")
    )
    assert (int(np.isin(dev, train).sum()), len(dev)) == expected
    assert not leak_guard._too_many(*expected, get_task(task).kind)
