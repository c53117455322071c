"""Lock files: written from what the Hub resolves, obeyed by whatever reads the Hub."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from adapterstilts.cli.tasks_lock import lock
from adapterstilts.data import hub
from adapterstilts.data import lock as locks
from adapterstilts.errors import ConfigError, MissingDataError
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.registry import all_tasks
from adapterstilts.tasks.spec import HubSource

OLD, NEW = "0" * 40, "f" * 40
COSMOS = "allenai/cosmos_qa@refs/convert/parquet"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(locks.LOCK_VARIABLE, raising=False)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """What the Hub says of a dataset: a commit, or None where it cannot be reached."""
    said: dict[str, str | None] = {}

    def resolve(repo: str, revision: str | None) -> str:
        commit = said.get(repo, NEW)
        if commit is None:
            raise MissingDataError(f"the Hub, which has {repo}, cannot be reached")
        return commit

    monkeypatch.setattr(locks, "resolve", resolve)
    return said


def call(*words: str) -> Result:
    app = typer.Typer()
    app.command()(lock)
    return CliRunner().invoke(app, list(words))


def source(name: str) -> HubSource:
    found = get_task(name).hub
    assert found is not None
    return found


def write(**commits: str) -> Path:
    locks.Lock.write(locks.LOCK_FILE, commits)
    return locks.LOCK_FILE


def test_every_dataset_is_locked_once(answers: dict[str, str | None]) -> None:
    assert call().exit_code == 0
    commits = json.loads(Path("adapterstilts.lock.json").read_text())["commits"]
    hubs = [task.hub for task in all_tasks().values() if task.hub]
    assert set(commits) == {locks._dataset_of(each) for each in hubs}
    assert COSMOS in commits
    assert set(commits.values()) == {NEW}
    assert locks.locked(source("xnli")) == NEW


def test_what_cannot_be_reached_is_said_and_stays(answers: dict[str, str | None]) -> None:
    write(**{"nyu-mll/glue": OLD, "owner/of-ones-own": OLD})
    answers["nyu-mll/glue"] = answers["rajpurkar/squad"] = None
    found = call("--json")
    assert isinstance(found.exception, MissingDataError)
    assert "2 of " in str(found.exception)
    assert "rajpurkar/squad: the Hub, which has rajpurkar/squad, cannot be reached" in found.stderr
    commits = json.loads(found.stdout)["commits"]
    assert commits == dict(locks.Lock.read(locks.LOCK_FILE).commits)
    assert commits["nyu-mll/glue"] == commits["owner/of-ones-own"] == OLD
    assert "rajpurkar/squad" not in commits


def test_nothing_is_written_without_the_hub(answers: dict[str, str | None]) -> None:
    answers |= {task.hub.repo: None for task in all_tasks().values() if task.hub}
    found = call("--out", "mine.json")
    assert "nothing is written in mine.json" in str(found.exception)
    assert not Path("mine.json").exists()


def test_the_lock_file_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(hub, "resolve", lambda *given: asked.append(given) or NEW)
    monkeypatch.setattr(hub, "_open", lambda *_: (_ for _ in ()).throw(MissingDataError("no further")))
    write(**{"nyu-mll/glue": OLD, COSMOS: OLD})
    for name, revision in (("qqp", None), ("qqp", "v1"), ("cosmosqa", None), ("mnli", None)):
        with pytest.raises(MissingDataError, match="no further"):
            hub.read_hub(get_task(name), "train", "en", revision)
    assert asked == [
        ("nyu-mll/glue", OLD), ("nyu-mll/glue", "v1"), ("allenai/cosmos_qa", OLD),
        ("nyu-mll/multi_nli", None),
    ]  # fmt: skip


def test_a_lock_file_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locks.locked(source("qqp")) is None
    locks.Lock.write(tmp_path / "other.json", {"nyu-mll/glue": OLD})
    monkeypatch.setenv(locks.LOCK_VARIABLE, str(tmp_path / "other.json"))
    assert locks.locked(source("qqp")) == OLD
    monkeypatch.setenv(locks.LOCK_VARIABLE, "nowhere.json")
    with pytest.raises(ConfigError, match=r"the lock file nowhere\.json .* does not exist"):
        locks.locked(source("qqp"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "is not a JSON object"),
        ('{"version": 1}', "commits"),
        ('{"version": 2, "commits": {}}', "is of version 2"),
        ('{"version": 1, "commit": {}}', "did you mean 'commits'"),
        ('{"version": 1, "commits": {"a/b": "main"}}', "a/b has 'main', which is not a commit"),
    ],
)
def test_a_damaged_lock_file(content: str, message: str) -> None:
    locks.LOCK_FILE.write_text(content)
    with pytest.raises(ConfigError, match=message):
        locks.locked(source("qqp"))
