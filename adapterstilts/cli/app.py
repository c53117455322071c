"""The program `adapterstilts`: its verbs and its exit codes."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from adapterstilts.cli import (
    backbones,
    configs,
    demo,
    doctor,
    evaluate,
    grid,
    merge,
    predict,
    publish,
    pull,
    runs,
    submit,
    tasks,
    train,
)
from adapterstilts.cli.console import echo, fail, note
from adapterstilts.cli.help import HelpGroup, use_plain_help
from adapterstilts.errors import StiltsError
from adapterstilts.version import __version__

# Errors about a path that the user passed; all others are bugs and keep their traceback.
PATH_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}


class _Program(HelpGroup):
    def invoke(self, ctx: Any) -> Any:
        """Runs the verb; exits with code 2 and one message on a user's error, and with 130 on Ctrl-C."""
        try:
            return super().invoke(ctx)
        except StiltsError as error:
            fail(str(error))
            raise typer.Exit(2) from error
        except OSError as error:
            if error.errno not in PATH_ERRORS:
                raise
            # The path alone: "[Errno 13]" helps nobody.
            fail(f"{error.filename}: {error.strerror}")
            raise typer.Exit(2) from error
        except KeyboardInterrupt as interrupt:
            # A training that saved its state says so in the exception.
            note(f"{interrupt}. Run the same command again to resume." if str(interrupt) else "interrupted")
            raise typer.Exit(130) from interrupt


app = typer.Typer(
    cls=_Program,
    name="adapterstilts",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(enabled: bool) -> None:
    if enabled:
        echo(f"adapterstilts {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train adapters on a frozen multilingual encoder and transfer them across tasks and languages.

    Adapters are trained on English intermediate tasks, composed with an English target task, and evaluated
    zero-shot in every language of the target.

    Example: adapterstilts demo
    """


TRAIN, COMPOSE, EVALUATE, GRID = "Train", "Compose", "Evaluate", "Grid"
SHARE, INSPECT = "Share", "Inspect"

# The sections of the help and the verbs in them appear in this order.
app.command("train-adapter", rich_help_panel=TRAIN)(train.train_adapter)
app.command("baseline", rich_help_panel=TRAIN)(train.baseline)
app.command("sequential", rich_help_panel=COMPOSE)(train.sequential)
app.command("stack", rich_help_panel=COMPOSE)(train.stack)
app.command("fuse", rich_help_panel=COMPOSE)(train.fuse)
app.command("average", rich_help_panel=COMPOSE)(train.average)
app.command("evaluate", rich_help_panel=EVALUATE)(evaluate.evaluate)
app.command("predict", rich_help_panel=EVALUATE)(predict.predict)
app.command("submit", rich_help_panel=EVALUATE)(submit.submit)
app.command("demo", rich_help_panel=GRID)(demo.demo)
app.add_typer(grid.app, name="grid", rich_help_panel=GRID)
app.command("publish", rich_help_panel=SHARE)(publish.publish)
app.command("pull", rich_help_panel=SHARE)(pull.pull)
app.command("search", rich_help_panel=SHARE)(pull.search)
app.command("merge", rich_help_panel=SHARE)(merge.merge)
app.add_typer(tasks.app, name="tasks", rich_help_panel=INSPECT)
app.add_typer(runs.app, name="runs", rich_help_panel=INSPECT)
app.command("backbones", rich_help_panel=INSPECT)(backbones.backbones)
app.command("configs", rich_help_panel=INSPECT)(configs.configs)
app.command("doctor", rich_help_panel=INSPECT)(doctor.doctor)
use_plain_help(app)


def main() -> None:
    """Runs the program."""
    # Waiting threads spin only briefly before they sleep. With the default of GNU OpenMP a training step on
    # two cores beside other programs took 1.7 times as long; alone, the short spin costs 3 to 9 %. Torch
    # reads the variable when it is imported, which is later.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    for stream in (sys.stdout, sys.stderr):
        # Characters that the locale cannot encode are escaped instead of raising an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with _quiet_ranks():
        app(prog_name="adapterstilts")


@contextmanager
def _quiet_ranks() -> Iterator[None]:
    """Silences processes of a distributed launch: rank 0 prints results, one per machine prints messages."""
    with ExitStack() as stack:
        silence = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        if int(os.environ.get("RANK", "0")):
            stack.enter_context(redirect_stdout(silence))
        if int(os.environ.get("LOCAL_RANK", "0")):
            stack.enter_context(redirect_stderr(silence))
        yield
