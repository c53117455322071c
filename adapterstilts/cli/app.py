"""The program `adapterstilts`: its verbs, and how it ends when something goes wrong."""

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
from typer.core import TyperGroup

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
from adapterstilts.errors import StiltsError
from adapterstilts.version import __version__

UNUSABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}


class Verbs(TyperGroup):
    """Ends with exit code 2 and one message on a user's error, and with 130 on Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb."""
        try:
            return super().invoke(ctx)
        except StiltsError as error:
            fail(str(error))
            raise typer.Exit(2) from error
        except OSError as error:
            if error.errno not in UNUSABLE:
                raise
            fail(f"{error.filename}: {error.strerror}")
            raise typer.Exit(2) from error
        except KeyboardInterrupt as interrupt:
            note(f"{interrupt}. Give the same command again to go on." if str(interrupt) else "interrupted")
            raise typer.Exit(130) from interrupt


app = typer.Typer(
    cls=Verbs,
    name="adapterstilts",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        echo(f"adapterstilts {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Make a frozen multilingual encoder better at a task in languages it was never trained on.

    Adapters are trained on English intermediate tasks, joined to an English target task, and evaluated
    zero-shot in every language of the target.

    Example: adapterstilts demo
    """


app.add_typer(tasks.app, name="tasks")
app.command("backbones")(backbones.backbones)
app.command("configs")(configs.configs)
app.command("doctor")(doctor.doctor)
app.command("train-adapter")(train.train_adapter)
app.command("baseline")(train.baseline)
app.command("sequential")(train.sequential)
app.command("stack")(train.stack)
app.command("fuse")(train.fuse)
app.command("average")(train.average)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("submit")(submit.submit)
app.command("publish")(publish.publish)
app.command("pull")(pull.pull)
app.command("search")(pull.search)
app.command("merge")(merge.merge)
app.add_typer(runs.app, name="runs")
app.add_typer(grid.app, name="grid")
app.command("demo")(demo.demo)


def main() -> None:
    """Entry point of the program.

    A waiting thread spins only briefly before it sleeps. With the default of GNU OpenMP a training step on
    two cores beside other programs took 1.7 times as long as with a short spin; alone, 20,000 turns cost
    3 to 9 %.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # read when torch is imported, which is later
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the locale cannot show is spelled out
            stream.reconfigure(errors="backslashreplace")
    with _one_voice():
        app(prog_name="adapterstilts")


@contextmanager
def _one_voice() -> Iterator[None]:
    """Of the processes of one launch, lets one print results, and one of each machine messages."""
    with ExitStack() as stack:
        silence = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        if int(os.environ.get("RANK", "0")):
            stack.enter_context(redirect_stdout(silence))
        if int(os.environ.get("LOCAL_RANK", "0")):
            stack.enter_context(redirect_stderr(silence))
        yield
