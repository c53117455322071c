"""A Hub on this machine, and the program run against it in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants
import huggingface_hub.file_download
import pytest
from huggingface_hub import configure_http_backend

from adapterstilts import TrainingOptions, compose, evaluate, train_adapter
from adapterstilts.composition import Fuse, Sequential, Stack
from adapterstilts.store import Run
from tests.fork_server import ForkServer
from tests.hub.fake_hub.server import Hub

ROOT = Path(__file__).parents[2]
Env = dict[str, str]
Process = subprocess.CompletedProcess[str]
Outside = Callable[..., Process]
Runs = dict[str, Run]
TASK, TARGET, LANGUAGES = "mini_nli", "mini_paraphrase", ("en", "de", "sw")
QUICK = {"max_steps": 3, "batch_size": 8}


@pytest.fixture
def hub() -> Iterator[Hub]:
    """An empty Hub with the users `me` and `you`."""
    with Hub() as running:
        yield running


@pytest.fixture
def hub_env(hub: Hub, tmp_path: Path) -> Env:
    """The environment of a user `me` of that Hub, with empty caches and an empty store.

    The clients read these variables when they are imported: only processes of their own can have them.
    """
    ours = ("HF_", "ADAPTERSTILTS_", "HUGGING", "TRANSFORMERS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": "hf_token_of_me",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "ADAPTERSTILTS_STORE": str(tmp_path / "store"),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "200",
    }


@pytest.fixture
def outside(server: ForkServer, tmp_path: Path) -> Outside:
    """Runs Python code (or, of a list, Python with these arguments) in a process of its own.

    Its current folder is `work` in the test's folder. The exit code must be the expected one; for None any
    code is fine.
    """
    folder = tmp_path / "work"
    folder.mkdir()

    def run(code_or_args: str | list[str], env: Env, code: int | None = 0) -> Process:
        is_code = isinstance(code_or_args, str)
        words = ["-c", textwrap.dedent(code_or_args)] if is_code else [str(word) for word in code_or_args]
        process = server.run(words, env, folder)
        report = f"exit code {process.returncode}\n{process.stdout}\n{process.stderr}"
        assert code is None or process.returncode == code, report
        return process

    return run


@pytest.fixture
def cli(outside: Outside) -> Outside:
    """Runs the program: `cli("evaluate", "RUN", env=hub_env, code=2)`."""

    def run(*words: object, env: Env, code: int | None = 0) -> Process:
        return outside(["-m", "adapterstilts", *map(str, words)], env, code)

    return run


@pytest.fixture
def me(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This process as the user `me` of the Hub, with an empty cache; gives the folder of an empty store.

    The client reads its settings when it is imported: they are put where it keeps them.
    """
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(huggingface_hub.file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("adapterstilts.hub.client.PAUSE", 0.01)
    monkeypatch.setenv("HF_TOKEN", "hf_token_of_me")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    configure_http_backend()
    yield tmp_path / "store"
    configure_http_backend()


def options(store: Path, backbone: Path) -> TrainingOptions:
    return TrainingOptions(
        store=store, backbone=str(backbone), limit=24, hyperparameters=QUICK, source="bundled"
    )


@pytest.fixture(scope="session")
def trained(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """One run of each form in a store of their own, two of them evaluated."""
    given = options(tmp_path_factory.mktemp("trained"), tiny_backbone)
    nli, qa = train_adapter(TASK, given), train_adapter("mini_qa", given)
    runs = {
        "single": nli,
        "qa": qa,
        "sequential": compose(TARGET, Sequential(nli.id), given),
        "stack": compose(TARGET, Stack(nli.id), given),
        "fuse": compose(TARGET, Fuse(nli.id, qa.id), given),
        "several": train_adapter(f"{TASK}+mini_ner", given),
    }
    for name, task in (("single", TASK), ("stack", TARGET), ("fuse", TARGET)):
        evaluate(runs[name].id, task, LANGUAGES, given)
    return runs


@pytest.fixture
def store(trained: Runs, tmp_path: Path) -> Path:
    """A copy of that store."""
    return Path(shutil.copytree(trained["single"].path.parent, tmp_path / "publishers"))
