"""Reads every task entry: what it must say is there, and what it names exists."""

from __future__ import annotations

import subprocess
import sys

import pytest

from adapterstilts.data.files import READERS
from adapterstilts.data.hub import COMMIT
from adapterstilts.data.hub import READERS as HUB_READERS
from adapterstilts.errors import ConfigError
from adapterstilts.tasks import registry
from adapterstilts.tasks.spec import FolderSource, Task

TASKS = list(registry.all_tasks().values())
each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


@each_task
def test_entry_says_what_it_must(task: Task) -> None:
    assert task.title
    assert task.licence
    assert task.citation
    assert task.languages
    assert len(set(task.languages)) == len(task.languages)
    assert task.obtain.endswith(".")
    assert "http" in task.obtain or task.bundled
    assert task.bundled or task.folder
    assert len(set(task.labels)) == len(task.labels)
    assert set(task.label_names.values()) <= set(task.labels)


@each_task
def test_entry_names_what_exists(task: Task) -> None:
    assert task.form in READERS
    if task.hub:
        assert task.hub.reader in HUB_READERS
        assert task.hub.commit is None or COMMIT.fullmatch(task.hub.commit)
        assert set(task.hub.languages) <= set(task.languages)
        assert set(task.hub.codes) <= set(task.languages)
        assert ("{lang}" in (task.hub.config or "")) or not task.hub.codes or task.hub.reader == "tydiqa"


@each_task
def test_training_data_has_a_source(task: Task) -> None:
    if task.trained_on is None:
        assert task.kind == "retrieval"
        return
    trainer = registry.get(task.trained_on)
    assert trainer.kind == task.kind
    assert trainer.labels == task.labels
    assert any("train" in source.files for source in (trainer.folder, trainer.bundled) if source)
    assert trainer.hub is None or "train" in trainer.hub.splits


@each_task
def test_intermediate_tasks_are_english_and_train_themselves(task: Task) -> None:
    if task.role == "intermediate":
        assert task.languages == ("en",)
        assert task.trained_on == task.name
        assert task.folder is not None
        assert "dev" in task.folder.files


@each_task
def test_templates_of_many_languages_tell_them_apart(task: Task) -> None:
    for source in filter(None, (task.folder, task.bundled)):
        names = _expanded(source, task.languages)
        assert len(set(names)) == len(names)


def _expanded(source: FolderSource, languages: tuple[str, ...]) -> list[str]:
    templates = {name for names in source.files.values() for name in names if "{lang}" in name}
    return [name.replace("{lang}", source.codes.get(code, code)) for name in templates for code in languages]


def test_names_and_aliases_are_unique() -> None:
    names = [name for task in TASKS for name in (task.name, *task.aliases)]
    assert len(set(names)) == len(names)


def test_the_first_tasks_are_there() -> None:
    wanted = (
        "squad_v1 squad_v2 mnli hellaswag cosmosqa csqa siqa xnli pawsx udpos panx xquad tydiqa tatoeba xcopa"
    )
    assert set(wanted.split()) <= set(registry.all_tasks())


def test_language_counts_of_the_benchmarks() -> None:
    """XTREME's and XTREME-R's, counted by hand from their papers; Tatoeba has Yiddish over and above."""
    expected = {
        "xnli": 15,
        "pawsx": 7,
        "udpos": 38,
        "panx": 48,
        "xquad": 12,
        "tydiqa": 9,
        "tatoeba": 42,
        "xcopa": 12,
    }
    assert {name: len(registry.get(name).languages) for name in expected} == expected


def test_get_takes_aliases_and_names_the_nearest() -> None:
    assert registry.get("squad") is registry.get("squad_v1")
    with pytest.raises(ConfigError, match="unknown task 'xnil': did you mean 'xnli'"):
        registry.get("xnil")


def test_unknown_language_names_the_known_ones() -> None:
    registry.check_language(registry.get("xnli"), "sw")
    with pytest.raises(ConfigError, match=r"unknown language of pawsx 'sw'.*de, en, es, fr, ja, ko, zh"):
        registry.check_language(registry.get("pawsx"), "sw")


def test_registry_loads_nothing_heavy() -> None:
    code = (
        "import sys; from adapterstilts.tasks import registry; registry.all_tasks(); "
        "print(sorted({'torch', 'datasets', 'pandas', 'numpy', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
