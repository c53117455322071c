"""Errors in a grid config are reported with file and line, and a suggestion where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapterstilts.errors import ConfigError
from adapterstilts.grid.availability import DataSearch, check_files, find_scopes
from adapterstilts.grid.config import config_names, find_config, load_config

TEN = ("mnli", "qqp", "squad_v1", "squad_v2", "hellaswag", "ccg", "cosmosqa", "csqa", "siqa", "copa")
WRONG = [
    ("targets: [xnli]\nintermediat: [mnli]", 2, "did you mean 'intermediate'"),
    ("targets: [xnlli]", 1, "did you mean 'xnli'"),
    ("targets:\n  - xnli\n  - panxx", 3, "did you mean 'panx'"),
    ("targets: [xnli]\nintermediate: [tatoeba]", 2, "no training data"),
    ("targets: [xnli]\nintermediate: [mnli+sqad_v1]", 2, "did you mean 'squad_v1'"),
    ("targets: [xnli]\nhyperparameters:\n  epoch: 3", 3, "did you mean 'epochs'"),
    ("targets: [xnli]\nlimits:\n  trian: 3", 3, "did you mean 'train'"),
    ("targets: [xnli]\nlimits: {train: 0}", 2, "greater than 0"),
    (
        "targets: [xnli]\noverrides:\n  mnli:\n    hyperparameters: {learning_rte: 1}",
        4,
        "did you mean 'learning_rate'",
    ),
    ("targets: [xnli]\noverrides:\n  panx: {hyperparameters: {epochs: 1}}", 3, "unknown task, kind"),
    (
        "targets: [xnli]\noverrides:\n  xnli: {hyperparameters: {epochs: 1}}",
        3,
        "xnli is trained on mnli: set this for mnli",
    ),
    (
        "targets: [xnli]\nintermediate: [mnli]\ncompositions: [sequential, fuse]",
        3,
        "list them in `adapter_sets`",
    ),
    ("targets: [xnli]\ncompositions: [sequental]", 2, "compositions"),
    ("targets: [xnli]\ncompositions: fuse\nadapter_sets: [[mnli, mnli]]", 3, "two or more different"),
    ("targets: [xnli]\nlanguages: [en, xx]", 2, "unknown language 'xx'"),
    ("targets: [xnli]\nlanguages: {panx: [de]}", 2, "unknown target 'panx'"),
    ("targets: [xnli]\nseeds: [-1]", 2, "greater than or equal to 0"),
    ("suite: xtrem", 1, "did you mean 'xtreme'"),
    ("seeds: 1", 1, "`targets` or `suite` is required"),
    ("targets: [xcopa]\nintermediate: [siqa>cpa]", 2, "did you mean 'copa'"),
    ("targets: [xcopa]\ntrained_on: {xnli: mnli}", 2, "unknown target 'xnli'"),
    (
        "targets: [xcopa]\ntrained_on: {xcopa: siqa>mnli}",
        2,
        "the last training for xcopa must be siqa or copa",
    ),
    ("targets: [tatoeba]\ntrained_on: {tatoeba: mnli}", 2, "tatoeba has no training data: remove it"),
    (
        "targets: [xcopa]\ntrained_on: {xcopa: siqa>copa}\ncompositions: stack\nintermediate: mnli",
        2,
        "a chain cannot continue after 'stack'",
    ),
    (
        "targets: [xnli]\nadapter_configs: {name: seq_bn, languageadapter: x}",
        2,
        "did you mean 'language_adapter'",
    ),
    ("targets: [xnli\nseeds: 1", 2, "not YAML"),
    ("targets: [xnli]\nseeds: 1\nseeds: 2", 3, "'seeds' occurs twice"),
    # Aliases of one task are the same key
    (
        "targets: [xquad]\nfiles:\n  squad_v1: {train: a}\n  squad: {train: b}",
        4,
        "'squad_v1' occurs twice",
    ),
    ("targets: [xquad]\noverrides:\n  squad: {limits: {trian: 3}}", 3, "did you mean 'train'"),
    ("targets: [xquad]\ncompositions: fuse\nadapter_sets: [[squad, squad_v1]]", 3, "two or more different"),
    ("targets: [xquad]\ncompositions: fuse\nadapter_sets: [[mnli, xnli]]", 3, "two or more different"),
    # Settings without effect
    ("targets: [xquad]\nfiles: {mnli: {train: a}}", 2, "no effect: unknown task of this grid 'mnli'"),
    ("targets: [xnli]\nfiles: {xnli: {train: a}}", 2, "xnli is trained on mnli: set this for mnli"),
    ("targets: [tatoeba]\nfiles: {tatoeba: {dev: a}}", 2, "no effect: tatoeba is never trained"),
    ("targets: [xnli]\nfiles: {mnli: {eval: a}}", 2, "mnli is not a target"),
    ("targets: [xnli]\noverrides: {span: {encoding: {stride: 8}}}", 2, "no effect: unknown task, kind"),
    (
        "targets: [xnli]\noverrides: {fuse: {hyperparameters: {epochs: 1}}}",
        2,
        "no effect: unknown task, kind",
    ),
    (
        "targets: [xnli]\noverrides: {multitask: {hyperparameters: {epochs: 1}}}",
        2,
        "no effect: unknown task, kind",
    ),
    (
        "targets: [xnli]\nintermediate: csqa+siqa\noverrides: {csqa: {hyperparameters: {epochs: 1}}}",
        3,
        "csqa is trained jointly with other tasks only",
    ),
    ("targets: [xnli]\nhyperparameters:\n  task_cap: 5", 3, "set it under overrides, for multitask"),
    ("targets: [xnli]\noverrides: {mnli: {hyperparameters: {temperature: 5}}}", 2, "set it under overrides"),
    ("targets: [xnli]\nhyperparameters:\n  mlm_ratio: 5", 3, "grids do not mix plain text"),
    ("targets: [xnli]\nfiles:\n  xnli:\n    eval: a.tsv#9-3", 4, "a range of rows is #first-last"),
    ("targets: [xnli]\nfiles: {mnli: {train: a.tsv#b-3}}", 2, "a range of rows is #first-last"),
    ("targets: [xnli]\nfiles: {mnli: {dev: a.tsv#}}", 2, "a range of rows is #first-last"),
    # Values of the wrong type
    ("targets: [xnli]\n[a, b]: 2", 2, "a list or a mapping cannot be a key"),
    ("targets: [xnli]\nhyperparameters:\n  ? {a: b}\n  : 2", 3, "a list or a mapping cannot be a key"),
    ("targets: [xnli]\nseeds: 2024-13-45", 2, "should be a whole number, not '2024-13-45'"),
    ("targets: [xnli]\nseeds: !!timestamp 2024-13-45", 2, "the type timestamp is not read"),
    ("targets: [xnli]\nseeds: " + 5000 * "1", 2, "should be a whole number"),
    ("targets: [xnli]\nseeds: !!int " + 5000 * "1", 2, "the value is not of type int"),
    ('targets: ["a\\0b.yaml"]', 1, "the value holds a NUL character"),
    ('targets: ["\\uD800"]', 1, "the value holds half of a surrogate pair"),
    ("targets: [" + 300 * "a" + ".yaml]", 1, "File name too long"),
    ("targets: [xnli]\nintermediate: [" + 300 * "a" + ".yaml]", 2, "File name too long"),
    ("targets: [xnli]\nseeds: 010", 2, "should be a whole number, not '010'"),
    ("targets: [xnli]\nseeds: 1:30", 2, "should be a whole number, not '1:30'"),
    ("targets: [xnli]\nseeds: true", 2, "should be a whole number, not true"),
    ("targets: [xnli]\nseeds: 1.0", 2, "should be a whole number, not 1.0"),
    ("targets: [xnli]\nlimits:\n  train: true", 3, "should be a whole number, not true"),
    ("targets: [xnli]\nlimits: 5", 2, "limits: should be keys with values, not 5"),
    ("targets: [xnli]\nhyperparameters: 5", 2, "hyperparameters: should be keys with values, not 5"),
    ("targets: [xnli]\nadapter_sets: 5", 2, "adapter_sets: should be a list, not 5"),
    ("targets: [xnli]\ndata_dir: 5", 2, "data_dir: should be a path, not 5"),
    ("targets: [xnli]\nsuite: [a]", 2, "suite: should be text, not ['a']"),
    ("targets: [xnli]\nlanguages: [1]", 2, "languages.0: should be text, not 1: put it in quotes"),
    ("targets: [xnli]\nlanguages:\n  xnli: [1]", 3, "languages.xnli.0: should be text"),
    ("targets: [xnli]\nsplit:\n  xnli: tets", 3, "split.xnli: should be 'test' or 'dev', not 'tets'"),
    ("targets: [xnli]\nbackbones: {revision: 1234567}", 2, "should be text, not 1234567: put it in quotes"),
    ("targets: [xnli]\nhyperparameters:\n  max_steps: true", 3, "should be a number, not true"),
    ("targets: [xnli]\nhyperparameters:\n  epochs: 1\n  holdout: false", 4, "should be a number, not false"),
    # Numbers that must be typos, and names that expand to thousands of trainings
    ("targets: [xnli]\nhyperparameters: {epochs: 1e308}", 2, "epochs: should be less than or equal to 10000"),
    (
        "targets: [xnli]\nhyperparameters:\n  max_steps: " + 90 * "9",
        3,
        "max_steps: should be less than or equal to",
    ),
    ("targets: [xnli]\nhyperparameters: {learning_rate: 1e300}", 2, "learning_rate: should be less than"),
    (
        "targets: xnli\nintermediate: mnli+qqp\noverrides:\n multitask:\n  hyperparameters: {temperature: 0}",
        5,
        "temperature: should be greater than or equal to 0.05",
    ),
    ("targets: [xnli]\nlimits: {train: 99999999999999999999}", 2, "train: should be less than or equal to"),
    ("targets: [xnli]\nintermediate:\n  - mnli\n  - " + ">".join(3000 * ["mnli"]), 4, "3000 trainings"),
    ("targets: [xcopa]\ntrained_on:\n  xcopa: " + 40 * "siqa>" + "copa", 3, "a chain of 41 trainings"),
    (
        "targets: [xnli]\nintermediate: [" + "+".join(12 * ["multitask"]) + "]",
        2,
        "108 tasks in one training",
    ),
    (
        "targets: [xnli]\ncompositions: fuse\nadapter_sets:\n  - [" + ", ".join(TEN) + "]",
        4,
        "10 adapters: 'fuse' combines at most 9",
    ),
    (
        f"targets: [xnli]\nintermediate: [{', '.join(['mnli'] * 900)}]\nseeds: {[*range(1200)]}",
        3,
        "1,000,000",
    ),
    ("targets: [xnli]\nfiles:\n  mnli:\n    train: " + 5000 * "a", 4, "File name too long"),
    # Empty values
    ("targets: [xnli]\nseeds: []", 2, "seeds: list at least one"),
    ("targets: [xnli]\nbackbones: []", 2, "backbones: list at least one"),
    ("targets: [xnli]\nadapter_configs: []", 2, "adapter_configs: list at least one"),
    ("targets: [xnli]\nlanguages: []", 2, "languages: list at least one"),
    ("targets: [xnli]\nlanguages:\n  xnli: []", 3, "languages.xnli: list at least one"),
    ("suite: xtreme\ntargets: [pawsx]\nlanguages: [sw]", 3, "pawsx has none of these languages"),
    ("targets: [xnli]\nseeds: &all [*all]", 2, "contains itself"),
]


@pytest.mark.parametrize(("text", "line", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_errors_have_file_and_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(str(path), check_files)
    assert f"{path}, line {line}: " in str(caught.value)
    assert message in str(caught.value)


def test_norwegian_is_a_language_and_1e_3_a_number(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(
        "targets: mewslix\nlanguages: [no, en]\nhyperparameters: {learning_rate: 1e-3}\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="unknown language 'no'"):  # as text, though no task here has it
        load_config(str(path))
    path.write_text("targets: panx\nhyperparameters: {learning_rate: 1e-3}\n", encoding="utf-8")
    assert load_config(str(path)).hyperparameters == {"learning_rate": 0.001}


def test_yaml_aliases_of_exponential_size_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    levels = [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11)]
    path.write_text("\n".join(["targets: panx", "adapter_sets:", "  a0: &a0 [x]", *levels]), encoding="utf-8")
    with pytest.raises(ConfigError, match="line 8: a value contains itself, or more than 100000 others"):
        load_config(str(path))


def test_aliases_of_tasks_are_resolved(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(
        "targets: [commonsenseqa, xcopa]\nintermediate: [anli+, csqa+socialiqa]\n"
        "files: {squad: {train: a}, anli+: {train: b}}\nsuite: xtreme\n"
        "overrides: {squad: {limits: {train: 5}}, socialiqa+csqa: "
        "{hyperparameters: {task_cap: 5}}, anli+: {}}\n"
        "trained_on: {commonsenseqa: socialiqa>csqa}\nlanguages: {commonsenseqa: [en]}\n"
        "split: {commonsenseqa: dev}\n",
        encoding="utf-8",
    )
    grid_config = load_config(str(path))
    assert grid_config.targets == ("csqa", "xcopa")
    assert grid_config.files.keys() == {"squad_v1", "anli_plus"}
    assert grid_config.overrides.keys() == {"squad_v1", "csqa+siqa", "anli_plus"}
    assert grid_config.trained_on.keys() == grid_config.split.keys() == {"csqa"}  # type: ignore[union-attr]
    assert grid_config.languages_for("csqa") == ("en",)


def test_a_custom_task_is_configured_by_its_name_or_its_file(tmp_path: Path) -> None:
    task = tmp_path / "own.yaml"
    task.write_text(
        "name: my_task\nkind: sequence\nlabels: [a, b]\nformat: tsv\ncolumns: {first: x, label: y}\n"
        "files: {train: a.tsv, test: b.tsv}\n",
        encoding="utf-8",
    )
    for name in (str(task), "my_task"):
        path = tmp_path / "grid.yaml"
        path.write_text(
            f"targets: {task}\nfiles: {{{name}: {{train: a}}}}\noverrides: "
            f"{{{name}: {{hyperparameters: {{}}}}}}",
            encoding="utf-8",
        )
        grid_config = load_config(str(path))
        assert grid_config.targets == (str(task),)
        assert grid_config.files.keys() == grid_config.overrides.keys() == {"my_task"}


def test_multitask_settings_apply_to_multitask_trainings_only(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    for where in (
        "hyperparameters: {task_cap: 5}",
        "overrides: {intermediate: {hyperparameters: {task_cap: 5}}}",
    ):
        path.write_text(f"targets: tatoeba\nintermediate: mnli+csqa\n{where}\n", encoding="utf-8")
        assert load_config(str(path))


def test_errors_of_additional_checks_have_a_line(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("targets: panx\nadapter_configs:\n  - seq_bn\n  - seq_bm\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="line 4: no seq_bm"):
        load_config(
            str(path),
            lambda grid_config: [(("adapter_configs", 1), f"no {grid_config.adapter_configs[1].name}")],
        )


def test_languages_narrow_a_suite(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("suite: xtreme\nlanguages: [sw]\n", encoding="utf-8")
    scopes, skipped = find_scopes(load_config(str(path)), DataSearch())
    assert "xnli" in scopes
    assert skipped["pawsx"] == "pawsx has none of the languages sw"


def test_later_overrides_win(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(
        "targets: panx\nintermediate: [mnli]\nhyperparameters: {epochs: 1, warmup: 0.1}\noverrides:\n"
        "  intermediate: {hyperparameters: {epochs: 2}, limits: {train: 7}}\n"
        "  mnli: {hyperparameters: {epochs: 3}}\n",
        encoding="utf-8",
    )
    settings = load_config(str(path)).settings_for("intermediate", "sequence", "single", "mnli")
    assert settings.hyperparameters == {"epochs": 3, "warmup": 0.1}
    assert settings.limits.train == 7


@pytest.mark.parametrize("name", config_names())
def test_the_bundled_grid_configs_are_valid(name: str) -> None:
    assert load_config(name).compositions


def test_an_unknown_grid_config_is_an_error_that_lists_the_bundled_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean 'quick'"):
        find_config("quik")
    with pytest.raises(ConfigError, match=r"grid config nothing\.yaml not found"):
        find_config("nothing.yaml")
    with pytest.raises(ConfigError, match=r"grid config Nothing\.YML not found"):
        find_config("Nothing.YML")


def test_a_grid_config_is_a_yaml_file(tmp_path: Path) -> None:
    path = tmp_path / "G2.YAML"
    path.touch()
    assert find_config(str(path)) == path
    for name in ("my-grid", "g.json"):
        (tmp_path / name).touch()
        with pytest.raises(ConfigError, match=r"ends in \.yaml: rename "):
            find_config(str(tmp_path / name))
