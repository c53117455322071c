"""The verb `predict`: text or a file in; JSON lines out, or at a terminal something to read."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapterstilts.cli.console import print_json
from adapterstilts.cli.options import prediction_options
from adapterstilts.errors import ConfigError

if TYPE_CHECKING:
    from adapterstilts import PredictionOptions
    from adapterstilts.data.prediction_input import InputForm


@prediction_options
def predict(
    run: Annotated[
        str, typer.Argument(help="Run id, unique prefix of one, or a run's folder.", show_default=False)
    ],
    options: PredictionOptions,
    text: Annotated[
        list[str] | None, typer.Argument(help="Text; parts of a pair with a tab between.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="One input a line (text or JSON); - is standard input."),
    ] = None,
    candidates: Annotated[
        Path | None, typer.Option(help="Retrieval: the texts to search, one a line.", show_default=False)
    ] = None,
    language: Annotated[
        str,
        typer.Option(
            help="Language of the text: which language adapter is used, if the run has one, and how words to "
            "tag are encoded."
        ),
    ] = "en",
    task: Annotated[
        str | None,
        typer.Option(help="For a run of several tasks: the task whose head predicts.", show_default=False),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON lines at a terminal too; files and pipes always get them."),
    ] = False,
) -> None:
    r"""Predict with a finished run: labels, tags, spans with character offsets, neighbours.

    A file is read as it is used, so its size does not matter. A line that cannot be read ends it with an
    error; predictions for lines long before it are printed by then.

    Example: adapterstilts predict single-panx-1a2b "Anna Schmidt wohnt in Berlin."

    Example: adapterstilts predict single-squad_v1-1a2b --file questions.jsonl > answers.jsonl
    """
    from adapterstilts.cli.prediction_view import show
    from adapterstilts.data.prediction_input import InputForm, read_inputs
    from adapterstilts.data.prediction_input import candidates as read_candidates
    from adapterstilts.run.predict import predict_inputs, predicted_form

    form = InputForm("retrieval") if candidates else predicted_form(run, options, task)
    if form.rows == "retrieval" and candidates is None:
        raise ConfigError("retrieval requires the texts to search: pass --candidates FILE")
    lines, name = _lines(text, file, form)
    inputs = read_inputs(form, lines, name)
    if candidates:
        inputs = itertools.chain(inputs, read_candidates(_read(candidates), _name(candidates)))
    readable = _at_terminal() and not as_json
    for item, prediction in predict_inputs(run, inputs, options, language, task, bool(candidates)):
        show(item, prediction) if readable else print_json(prediction)


def _lines(text: list[str] | None, file: Path | None, form: InputForm) -> tuple[Iterator[str], str]:
    if bool(text) == (file is not None):
        raise ConfigError("pass either text or --file")
    if text:
        if not all(part.strip() for part in text):
            raise ConfigError("a text is empty: pass one that is not, or a file with --file")
        return (form.with_tab(part) for part in text), "the text"
    assert file is not None
    return _read(file), _name(file)


def _name(file: Path) -> str:
    return "standard input" if str(file) == "-" else str(file)


def _read(file: Path) -> Iterator[str]:
    from adapterstilts.data.input_lines import stream_lines

    return stream_lines(sys.stdin.buffer, "standard input") if str(file) == "-" else _file_lines(file)


def _at_terminal() -> bool:
    """Whether standard output is a terminal."""
    # Not rich's answer, which is also true where colours are forced, as in logs of a CI.
    return sys.stdout.isatty()


def _file_lines(path: Path) -> Iterator[str]:
    """Yields the lines of a file, plain or gzip, read as they are used.

    Raises:
        DataError: See `stream_lines`; or the file cannot be read.
    """
    from adapterstilts.data.file_bytes import opened
    from adapterstilts.data.input_lines import stream_lines

    with opened(path) as stream:
        yield from stream_lines(stream, str(path))
