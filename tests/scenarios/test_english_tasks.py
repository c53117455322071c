"""Supertags, mixtures and translated data through training, evaluation and prediction, on a tiny encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterstilts import TrainingOptions, evaluate, predict, train_adapter
from adapterstilts.data.converters import OTHER
from adapterstilts.data.rows import TaggedRow
from adapterstilts.errors import ConfigError

Make = Callable[..., TrainingOptions]
QUICK = {"max_steps": 2, "batch_size": 4}


@pytest.fixture
def options(tiny_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.delenv("ADAPTERSTILTS_DATA", raising=False)

    def make(**more: Any) -> TrainingOptions:
        hyperparameters = {**QUICK, **more.pop("hyperparameters", {})}
        return TrainingOptions(
            backbone=str(tiny_backbone),
            store=tmp_path / "store",
            data_dir=tmp_path,
            hyperparameters=hyperparameters,
            **more,
        )

    return make


def test_a_supertagger_remembers_its_labels(options: Make, tmp_path: Path) -> None:
    (tmp_path / "ccg").mkdir()
    (tmp_path / "ccg/train.stagged").write_text("the|DT|NP/N dog|NN|N\n" * 12 + "Anna|NNP|NP\n")
    (tmp_path / "ccg/dev.stagged").write_text("the|DT|NP/N Anna|NNP|NP\ndog|NN|N\n")
    run = train_adapter("ccg", options())
    (found,) = evaluate(run.id, "ccg", options=TrainingOptions(store=tmp_path / "store", data_dir=tmp_path))
    assert found.metric == "accuracy"
    (prediction,) = predict(run.id, [TaggedRow("1", ("the", "dog"), None)], options())
    assert len(prediction["tags"]) == 2
    assert set(prediction["tags"]) <= {OTHER, "N", "NP/N"}


def pairs(path: Path, count: int, columns: tuple[str, ...] = ("p{}", "h{}")) -> str:
    lines = ("\t".join((*columns, "neutral")).replace("{}", str(n)) + "\n" for n in range(count))
    path.write_text("".join(lines), encoding="utf-8")
    return str(path)


def test_translations_are_mixed_in_or_stand_alone(options: Make, tmp_path: Path) -> None:
    english, dev = pairs(tmp_path / "train.tsv", 8), pairs(tmp_path / "dev.tsv", 3, ("x{}", "y{}"))
    pairs(tmp_path / "en-de-translated.tsv", 4, ("p{}", "h{}", "deutsch p{}", "deutsch h{}"))
    given = {"train_file": english, "dev_file": dev}
    more = {"translated": str(tmp_path / "en-{lang}-translated.tsv"), "translated_languages": ("de",)}
    plain, mixed, alone = (
        train_adapter("mnli", options(**settings))
        for settings in (given, {**given, **more}, {**given, **more, "translated_only": True})
    )
    assert plain.training.data.keys() == {"train", "dev"}
    assert mixed.training.data.keys() == alone.training.data.keys() == {"train", "dev", "translated"}
    assert mixed.training.data["train"] == plain.training.data["train"]
    assert alone.training.data["train"] == ""
    assert alone.training.data["translated"] == mixed.training.data["translated"]
    assert len({plain.key, mixed.key, alone.key}) == 3


def test_rows_are_not_held_out_where_their_translations_train(options: Make, tmp_path: Path) -> None:
    english = pairs(tmp_path / "train.tsv", 8)
    translated = pairs(tmp_path / "translated.tsv", 8, ("p{}", "h{}", "de p{}", "de h{}"))
    given = options(train_file=english, translated=translated)
    with pytest.raises(ConfigError, match="no English development data of mnli was passed"):
        train_adapter("mnli", given)
    none = options(train_file=english, translated=translated, hyperparameters={"holdout": 0.0})
    assert train_adapter("mnli", none).training.data["dev"] == ""


def test_languages_are_divided_by_commas_or_repeated() -> None:
    from adapterstilts.cli.options import comma_separated

    assert comma_separated(["de,fr", "sw"], "--translated-languages") == ["de", "fr", "sw"]


def test_options_about_translations_want_a_file(options: Make) -> None:
    with pytest.raises(ConfigError, match="--translated FILE"):
        train_adapter("mnli", options(translated_only=True))
