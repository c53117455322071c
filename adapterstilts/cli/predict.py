"""The verb `predict`: text or a file in, JSON lines out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapterstilts.cli.options import prediction_options
from adapterstilts.errors import ConfigError, DataError

if TYPE_CHECKING:
    from adapterstilts.api import Options


@prediction_options
def predict(
    run: Annotated[
        str, typer.Argument(help="Run id, unique prefix of one, or a run's folder.", show_default=False)
    ],
    options: Options,
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
        typer.Option(help="Of a run of several tasks: whose head predicts.", show_default=False),
    ] = None,
) -> None:
    r"""Predict with a finished run: labels, tags, spans with character offsets, neighbours.

    Example: adapterstilts predict single-panx-1a2b "Anna Schmidt wohnt in Berlin."

    Example: adapterstilts predict single-squad_v1-1a2b --file questions.jsonl > answers.jsonl
    """
    from adapterstilts.api import predict as run_prediction
    from adapterstilts.api import predicted_kind
    from adapterstilts.data.inputs import candidates as read_candidates
    from adapterstilts.data.inputs import read_inputs, with_spans

    kind = "retrieval" if candidates else predicted_kind(run, options, task)
    if kind == "retrieval" and candidates is None:
        raise ConfigError("retrieval wants the texts to search: --candidates FILE")
    lines, name = _lines(text, file)
    given = read_inputs(kind, lines, name)
    searched = read_candidates(_read(candidates), str(candidates)) if candidates else []
    rows = [each.row for each in given + searched]
    for each, prediction in zip(given, run_prediction(run, rows, options, language, task), strict=True):
        print(json.dumps(with_spans(each, prediction), ensure_ascii=False))


def _lines(text: list[str] | None, file: Path | None) -> tuple[list[str], str]:
    if bool(text) == (file is not None):
        raise ConfigError("give either text or --file")
    if text:
        return [part.replace("\\t", "\t") for part in text], "the text"
    assert file is not None
    return _read(file), "standard input" if str(file) == "-" else str(file)


def _read(file: Path) -> list[str]:
    try:
        content = (sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as UTF-8 text ({error})", file) from None
    return content.split("\n")
