"""The verb `merge`: a LoRA folded into its backbone."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from adapterstilts.cli.console import DEFAULT_STORE, AsJson, StorePath, note, print_json, size_text


def merge(
    run: Annotated[
        str, typer.Argument(help="Run id, unique prefix of one, or a run's folder.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The folder to make.", show_default=False)],
    task: Annotated[
        str | None,
        typer.Option(help="Of a run of several tasks: whose head goes along.", show_default=False),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="The run's backbone, where it is not found under the name it was trained with.",
            envvar="ADAPTERSTILTS_BACKBONE",
            show_default=False,
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Commit or tag of that backbone.", show_default=False)
    ] = None,
    store: StorePath = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Fold a LoRA into its backbone: an ordinary transformers checkpoint with the same predictions.

    Its labels stand in its config.json. The run must be one LoRA adapter (--config lora), from
    train-adapter, baseline, sequential or average.

    Example: adapterstilts merge sequential-xnli-1a2b --out xnli-model
    """
    from adapterstilts.hub.merging import merge as write
    from adapterstilts.run.options import ModelOptions

    given = {"store": store, "backbone": backbone, "revision": revision}
    options = ModelOptions.parse({name: value for name, value in given.items() if value is not None})
    merged = write(run, out, task, options)
    if as_json:
        print_json({**asdict(merged), "folder": str(merged.folder)})
        return
    note(f"written: {out} ({size_text(merged.size)}), for transformers.{merged.auto}.from_pretrained")
