"""Every verb explains itself with an example, and a failure ends with one message and the right code."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.text import Text

from adapterstilts.errors import StoreError

from .conftest import Call

ROOT = Path(__file__).parents[2]
VERBS = [
    "tasks", "backbones", "configs", "doctor", "train-adapter", "baseline", "sequential", "stack", "fuse",
    "average", "evaluate", "predict", "submit", "merge",
    "publish", "pull", "search", "runs", "grid", "demo",
]  # fmt: skip


def plain(text: str) -> str:
    """Without colours and with single spaces."""
    return " ".join(Text.from_ansi(text).plain.split())


def test_the_program_lists_its_verbs(call: Call) -> None:
    text = call("--help").stdout
    assert all(f"\n  {verb}  " in text for verb in VERBS)
    assert "--install-completion" in text
    assert call("--version").stdout == "adapterstilts 0.1.0\n"


def test_the_verbs_are_grouped(call: Call) -> None:
    lines = call("--help").stdout.splitlines()
    groups = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert groups == ["Train:", "Compose:", "Evaluate:", "Grid:", "Share:", "Inspect:", "Options:"]


PARTS = ["runs show", "runs rm", "tasks show", "tasks check", "tasks lock"]
PARTS += [f"grid {part}" for part in ("plan", "run", "status", "verify", "gc", "table")]


@pytest.mark.parametrize("verb", [*VERBS, *PARTS])
def test_help_shows_an_example(call: Call, verb: str) -> None:
    assert f"Example: adapterstilts {verb.split(maxsplit=1)[0]}" in plain(
        call(*verb.split(), "--help").stdout
    )


@pytest.mark.parametrize("verb", [*VERBS, *PARTS])
def test_help_fits_80_columns_without_cutting_off_options(
    call: Call, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = call(*verb.split(), "--help").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line.lstrip().startswith("-") and "…" in line.split()[0] for line in lines)


def test_an_unknown_verb_names_the_nearest(call: Call) -> None:
    assert "Did you mean 'tasks'" in plain(call("task", code=2).stderr)


def test_an_unknown_option_is_an_error(call: Call) -> None:
    assert "--jso" in plain(call("tasks", "--jso", code=2).stderr)


@pytest.fixture
def failing(call: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    """`configs`, whose body raises the exception that was set."""

    def run(*errors: BaseException, code: int = 0) -> object:
        def fail(*_: object) -> None:
            raise errors[0]

        monkeypatch.setattr("adapterstilts.model.configs.AdapterSpec.names", fail)
        return call("configs", code=code)

    return run


def test_a_users_error_is_one_message_and_code_2(failing: Call) -> None:
    found = failing(StoreError("run x cannot be used: [red]y[/red]"), code=2)
    assert found.stderr == "error: run x cannot be used: [red]y[/red]\n"
    assert found.stdout == ""


def test_what_the_system_forbids_is_one_message_too(failing: Call) -> None:
    found = failing(PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/root/x"), code=2)
    assert found.stderr == "error: /root/x: Permission denied\n"


def test_other_errors_keep_their_traceback(failing: Call) -> None:
    error = OSError(errno.EIO, "broken")
    with pytest.raises(AssertionError) as caught:
        failing(error, code=2)
    assert "OSError" in str(caught.value)


def test_an_interrupt_says_how_to_go_on(failing: Call) -> None:
    assert failing(KeyboardInterrupt("stopped at step 5 of 10"), code=130).stderr == (
        "stopped at step 5 of 10. Run the same command again to resume.\n"
    )
    assert failing(KeyboardInterrupt(), code=130).stderr == "interrupted\n"


def test_the_program_itself_ends_so(tmp_path: Path) -> None:
    """The same through `main`, in a process of its own."""
    command = [sys.executable, "-m", "adapterstilts"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [*command, "runs", "show", "x"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("error: no run 'x' in checkpoints.")
    asking = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE], cwd=tmp_path, env=environment, stdout=subprocess.PIPE
    )
    assert asking.stdout is not None
    assert asking.stdout.readline() == b"ready\n"
    asking.send_signal(signal.SIGINT)
    assert asking.wait(30) == 130
    asking.stdout.close()


INTERRUPTIBLE = """
import sys, time
import adapterstilts.cli.app as program
def slow():
    print("ready", flush=True)
    time.sleep(20)
program.app.command("slow")(slow)
sys.argv = ["adapterstilts", "slow"]
program.main()
"""


def test_completion_is_offered() -> None:
    script = subprocess.run(
        [sys.executable, "-c", "from adapterstilts.cli.app import main; main()"],
        cwd=ROOT, env={**os.environ, "_ADAPTERSTILTS_COMPLETE": "source_bash"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "complete" in script.stdout, script
