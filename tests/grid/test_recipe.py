"""A recipe that is wrong says what, in which file and line, and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterstilts.errors import ConfigError
from adapterstilts.grid.recipe import find, load, recipe_names

WRONG = [
    ("targets: [xnli]\nintermediat: [mnli]", 2, "did you mean 'intermediate'"),
    ("targets: [xnlli]", 1, "did you mean 'xnli'"),
    ("targets:\n  - xnli\n  - panxx", 3, "did you mean 'panx'"),
    ("targets: [xnli]\nintermediate: [tatoeba]", 2, "no training data"),
    ("targets: [xnli]\nintermediate: [mnli+sqad_v1]", 2, "did you mean 'squad_v1'"),
    ("targets: [xnli]\nrecipe:\n  epoch: 3", 2, "did you mean 'epochs'"),
    ("targets: [xnli]\nlimits:\n  trian: 3", 3, "did you mean 'train'"),
    ("targets: [xnli]\nlimits: {train: 0}", 2, "greater than 0"),
    (
        "targets: [xnli]\noverrides:\n  mnli:\n    recipe: {learning_rte: 1}",
        4,
        "did you mean 'learning_rate'",
    ),
    ("targets: [xnli]\noverrides:\n  panx: {recipe: {epochs: 1}}", 3, "unknown task, kind"),
    (
        "targets: [xnli]\noverrides:\n  xnli: {recipe: {epochs: 1}}",
        3,
        "xnli is trained on mnli: set it there",
    ),
    ("targets: [xnli]\nintermediate: [mnli]\ncompositions: [sequential, fuse]", 3, "list them under `sets`"),
    ("targets: [xnli]\ncompositions: [sequental]", 2, "compositions"),
    ("targets: [xnli]\ncompositions: fuse\nsets: [[mnli, mnli]]", 3, "two or more different"),
    ("targets: [xnli]\nlanguages: [en, xx]", 2, "unknown language 'xx'"),
    ("targets: [xnli]\nlanguages: {panx: [de]}", 2, "unknown target 'panx'"),
    ("targets: [xnli]\nseeds: [-1]", 2, "greater than or equal to 0"),
    ("suite: xtrem", 1, "did you mean 'xtreme'"),
    ("seeds: 1", 1, "name the targets"),
    ("targets: [xcopa]\nintermediate: [siqa>cpa]", 2, "did you mean 'copa'"),
    ("targets: [xcopa]\ntrained_on: {xnli: mnli}", 2, "unknown target 'xnli'"),
    ("targets: [xcopa]\ntrained_on: {xcopa: siqa>mnli}", 2, "the training of xcopa ends with siqa or copa"),
    ("targets: [tatoeba]\ntrained_on: {tatoeba: mnli}", 2, "the training of tatoeba ends with nothing"),
    (
        "targets: [xcopa]\ntrained_on: {xcopa: siqa>copa}\ncompositions: stack\nintermediate: mnli",
        2,
        "no one adapter to go on from",
    ),
    ("targets: [xnli]\nconfigs: {name: seq_bn, languageadapter: x}", 2, "did you mean 'language_adapter'"),
    ("targets: [xnli\nseeds: 1", 2, "not YAML"),
    ("targets: [xnli]\nseeds: 1\nseeds: 2", 3, "'seeds' stands there twice"),
]


@pytest.mark.parametrize(("text", "line", "said"), WRONG, ids=[said for _, _, said in WRONG])
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(str(path))
    assert f"{path}, line {line}: " in str(caught.value)
    assert said in str(caught.value)


def test_norwegian_is_a_language_and_1e_3_a_number(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(
        "targets: mewslix\nlanguages: [no, en]\nrecipe: {learning_rate: 1e-3}\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="unknown language 'no'"):  # as text, though no task here has it
        load(str(path))
    path.write_text("targets: panx\nrecipe: {learning_rate: 1e-3}\n", encoding="utf-8")
    assert load(str(path)).recipe == {"learning_rate": 0.001}


def test_a_value_that_holds_itself_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("targets: panx\nlanguages: &all [*all]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds itself"):
        load(str(path))


def test_later_names_go_before_earlier_ones(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(
        "targets: panx\nintermediate: [mnli]\nrecipe: {epochs: 1, warmup: 0.1}\noverrides:\n"
        "  intermediate: {recipe: {epochs: 2}, limits: {train: 7}}\n  mnli: {recipe: {epochs: 3}}\n",
        encoding="utf-8",
    )
    told = load(str(path)).told("intermediate", "sequence", "single", "mnli")
    assert told.recipe == {"epochs": 3, "warmup": 0.1}
    assert told.limits.train == 7


@pytest.mark.parametrize("name", recipe_names())
def test_the_recipes_of_the_package_are_right(name: str) -> None:
    assert load(name).compositions


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="did you mean 'quick'"):
        find("quik")
    with pytest.raises(ConfigError, match=r"there is no recipe nothing\.yaml"):
        find("nothing.yaml")
