"""Reads every task entry: what it must say is there, and what it names exists."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from adapterstilts.data.hub import READERS as HUB_READERS
from adapterstilts.data.lock import COMMIT
from adapterstilts.data.release_files import READERS
from adapterstilts.errors import ConfigError
from adapterstilts.hub.licence import LICENCES, Licence
from adapterstilts.tasks import yaml_task
from adapterstilts.tasks.citations import REFERENCES, Credit
from adapterstilts.tasks.lookup import check_language, get_task
from adapterstilts.tasks.plain_text import LANGUAGES as CODES
from adapterstilts.tasks.registry import all_tasks
from adapterstilts.tasks.spec import FolderSource, Task
from adapterstilts.tasks.suites import PAPER_INTERMEDIATE, SUITES
from tests.hub.fake_hub.cards import LICENCES as HUBS_OWN

HEADLESS = ("retrieval", "mining")
METRICS_OF = {
    "sequence": ("accuracy",), "tagging": ("f1", "accuracy"), "span": ("em_f1",), "choice": ("accuracy",),
    "retrieval": ("accuracy", "map20"), "mining": ("f1",), "mlm": ("accuracy",),
}  # fmt: skip
# Releases with one file for all languages, whose rows name theirs.
SEVERAL_LANGUAGES_IN_A_FILE = ("xnli", "mewslix")
ENGLISH_FILE = re.compile(r"(?<![a-z])en(?![a-z])[^/]*$")

TASKS = list(all_tasks().values())
each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


@each_task
def test_entry_says_what_it_must(task: Task) -> None:
    assert task.title
    assert task.licence
    assert task.citation
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", task.citation)
    assert task.languages
    assert len(set(task.languages)) == len(task.languages)
    assert set(task.languages) <= set(CODES)
    assert task.obtain.endswith(".")
    assert "http" in task.obtain or task.bundled
    assert task.bundled or task.folder or task.parts
    assert len(set(task.labels)) == len(task.labels)
    assert set(task.label_names.values()) <= set(task.labels)


@each_task
def test_entry_names_what_exists(task: Task) -> None:
    assert task.form in READERS
    if task.hub:
        assert task.hub.reader in HUB_READERS
        assert task.hub.commit is None or COMMIT.fullmatch(task.hub.commit)
        assert set(task.hub.languages) <= set(task.languages)
        assert task.hub.columns
        assert len(set(task.hub.columns)) == len(task.hub.columns)
        assert all(task.hub.splits.values())
        assert set(task.hub.codes) <= set(task.languages)
        assert ("{lang}" in (task.hub.config or "")) or not task.hub.codes or task.hub.reader == "tydiqa"


@each_task
def test_training_data_has_a_source(task: Task) -> None:
    trainers = [get_task(name) for name in (task.trained_on, *task.then_trained_on) if name]
    if task.kind in HEADLESS:
        assert not task.then_trained_on
    else:
        assert trainers
        assert {(each.kind, each.labels) for each in trainers} == {(task.kind, task.labels)}
    for trainer in trainers:
        assert trainer.trained_on == trainer.name
        for part in map(get_task, trainer.parts or (trainer.name,)):
            assert any("train" in source.files for source in (part.folder, part.bundled) if source)
            assert part.hub is None or "train" in part.hub.splits


@each_task
def test_a_mixture_joins_tasks_that_it_can_join(task: Task) -> None:
    parts = [get_task(name) for name in task.parts]
    assert len(parts) != 1
    assert {(part.kind, part.labels, part.languages) for part in parts} <= {
        (task.kind, task.labels, task.languages)
    }
    assert not any(part.parts for part in parts)


@each_task
def test_a_target_can_be_evaluated(task: Task) -> None:
    """Some split other than the training data, in every language; parallel languages only where several."""
    if task.role not in ("target", "demo"):
        return
    sources = [source for source in (task.folder, task.bundled) if source]
    assert any({"dev", "test"} & set(source.files) for source in sources)
    assert task.parallel is None or len(task.languages) > 1
    assert task.metric in METRICS_OF[task.kind]


@each_task
def test_intermediate_tasks_are_english_and_train_themselves(task: Task) -> None:
    if task.role == "intermediate":
        assert task.languages == ("en",)
        assert task.trained_on == task.name
        for part in map(get_task, task.parts or (task.name,)):
            assert part.folder is not None
            assert "dev" in part.folder.files


@each_task
def test_templates_of_many_languages_tell_them_apart(task: Task) -> None:
    for source in filter(None, (task.folder, task.bundled)):
        names = _expanded(source, task.languages)
        assert len(set(names)) == len(names)
        for split, templates in source.files.items():
            assert templates
            assert len(set(templates)) == len(templates)
            if task.languages != ("en",) and task.name not in SEVERAL_LANGUAGES_IN_A_FILE:
                assert all("{lang}" in name or ENGLISH_FILE.search(name) for name in templates), split


def _expanded(source: FolderSource, languages: tuple[str, ...]) -> list[str]:
    templates = {name for names in source.files.values() for name in names if "{lang}" in name}
    return [name.replace("{lang}", source.codes.get(code, code)) for name in templates for code in languages]


def test_names_and_aliases_are_unique() -> None:
    names = [name for task in TASKS for name in (task.name, *task.aliases)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_]+", task.name) for task in TASKS)


def test_every_entry_of_every_file_is_known() -> None:
    """No `NAME = Task(` in the task files that the registry does not list."""
    listed = set(all_tasks()) | {"mlm"}
    for path in Path(yaml_task.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            value = node.value if isinstance(node, ast.Assign) else None
            if isinstance(value, ast.Call) and ast.unparse(value.func) == "Task":
                named = next(each.value for each in value.keywords if each.arg == "name")
                assert ast.literal_eval(named) in listed, path.name


def test_the_tasks_of_the_paper_and_of_both_benchmarks_are_there() -> None:
    names = {*PAPER_INTERMEDIATE, *(target for suite in SUITES.values() for target in suite), "siqa", "copa"}
    assert names <= set(all_tasks())


def test_language_counts_of_the_benchmarks() -> None:
    """XTREME's and XTREME-R's, counted by hand from their papers; Tatoeba has Yiddish over and above."""
    expected = {
        "xnli": 15,
        "pawsx": 7,
        "udpos": 38,
        "panx": 48,
        "xquad": 12,
        "mlqa": 7,
        "tydiqa": 9,
        "bucc2018": 4,
        "tatoeba": 42,
        "xcopa": 12,
        "lareqa": 11,
        "mewslix": 11,
    }
    assert {name: len(get_task(name).languages) for name in expected} == expected


def test_get_takes_aliases_and_names_the_nearest() -> None:
    assert get_task("squad") is get_task("squad_v1")
    with pytest.raises(ConfigError, match="unknown task 'xnil': did you mean 'xnli'"):
        get_task("xnil")


def test_unknown_language_names_the_known_ones() -> None:
    check_language(get_task("xnli"), "sw")
    with pytest.raises(ConfigError, match=r"unknown language of pawsx 'sw'.*de, en, es, fr, ja, ko, zh"):
        check_language(get_task("pawsx"), "sw")


def test_registry_loads_nothing_heavy() -> None:
    code = (
        "import sys; from adapterstilts.tasks.registry import all_tasks; all_tasks(); "
        "print(sorted({'torch', 'datasets', 'pandas', 'numpy', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@each_task
def test_entry_can_be_credited(task: Task) -> None:
    """A model card names the paper, and the licence in the Hub's words or as one of its own."""
    assert task.citation in REFERENCES
    (credit, *parts) = Credit.of([task])
    assert len(parts) + 1 == (len(task.parts) or 1)
    assert credit.licence in LICENCES or Licence.of([credit.licence]).id == "other"
    barred = any(word in task.licence for word in ("BY-NC", "not commercial", "LDC", "for research"))
    assert ("Not for commercial use" in Licence.of(each.licence for each in (credit, *parts)).text) == barred


def test_the_hub_knows_these_licences() -> None:
    assert {name for name, _ in LICENCES.values() if name} <= HUBS_OWN


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["MIT"], "mit"),
        (["MIT", "CC BY 4.0"], "cc-by-4.0"),
        (["MIT", "CC BY-SA 4.0"], "cc-by-sa-4.0"),
        (["CC BY 4.0", "CC BY-NC 4.0"], "cc-by-nc-4.0"),
        (["CC BY-SA 4.0", "CC BY-NC 4.0"], "other"),
        (["CC BY-SA 3.0", "CC BY-SA 4.0"], "other"),
        (["MIT", "not known"], "other"),
        ([], "other"),
    ],
)
def test_the_narrowest_licence_holds(licences: list[str], expected: str) -> None:
    found = Licence.of(licences)
    assert found.id == expected and (found.name is None) == (expected != "other")
    assert all(licence in found.text for licence in licences)
