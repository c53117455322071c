"""The verb `merge`: merges a LoRA into its backbone."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from adapterstilts.cli.console import DEFAULT_STORE, AsJson, StorePath, note, print_json, size_text


def merge(
    run: Annotated[str, typer.Argument(help="Run id, unique prefix, or folder.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to create.", show_default=False)],
    task: Annotated[
        str | None,
        typer.Option(help="Multi-task runs: the task whose head to include.", show_default=False),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="The run's backbone, if it moved since the training.",
            envvar="ADAPTERSTILTS_BACKBONE",
            show_default=False,
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Commit or tag of this backbone.", show_default=False)
    ] = None,
    store: StorePath = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Merge a LoRA into its backbone: a plain transformers checkpoint.

    The checkpoint gives the same predictions; its labels are in config.json. The run must be a single LoRA
    adapter (--config lora) from train-adapter, baseline, sequential or average.

    Example: adapterstilts merge sequential-xnli-1a2b --out xnli-model
    """
    from adapterstilts.hub.merge_lora import merge as merge_run
    from adapterstilts.run.options import ModelOptions

    values = {"store": store, "backbone": backbone, "revision": revision}
    options = ModelOptions.parse({name: value for name, value in values.items() if value is not None})
    checkpoint = merge_run(run, out, task, options)
    if as_json:
        print_json({**asdict(checkpoint), "folder": str(checkpoint.folder)})
        return
    load = f"transformers.{checkpoint.auto}.from_pretrained"
    note(f"written: {out} ({size_text(checkpoint.size)}). Load it with {load}")
