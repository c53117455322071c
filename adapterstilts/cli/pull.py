"""The verbs `pull` and `search`: download and find adapters on the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from adapterstilts.cli.console import DEFAULT_STORE, AsJson, StorePath, note, print_json, table
from adapterstilts.cli.options import listed


def pull(
    repo: Annotated[
        str,
        typer.Argument(
            metavar="REPO_ID[@REVISION]", help="owner/name, with a branch, tag or commit.", show_default=False
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(help="Task it was trained on, if not from adapterstilts.", show_default=False),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Labels of its head in order (a,b,c), if it does not list them.", show_default=False
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Required backbone: name, Hub id or folder.", show_default=False),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Commit or tag of this backbone.", show_default=False)
    ] = None,
    skip_others: Annotated[
        bool, typer.Option("--skip-others", help="Skip unexpected files instead of refusing.")
    ] = False,
    store: StorePath = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Download a published adapter into the store, as a run that every verb accepts.

    Adapters of the `adapters` library and LoRA adapters of PEFT work too, in safetensors format. Pickles,
    code, and files that differ from the checksums of the card are refused.

    Example: adapterstilts pull me/xlmr-base-mnli

    Example: adapterstilts pull other/mnli-lora --task mnli --backbone xlmr-base
    """
    from adapterstilts.cli.train import show
    from adapterstilts.hub.pull import pull as pull_run
    from adapterstilts.hub.third_party import PullHints

    names = tuple(listed([labels], "--labels")) if labels else ()
    hints = PullHints(backbone=backbone, revision=revision, task=task, labels=names)
    show(pull_run(repo, store, hints, skip_others=skip_others), as_json)


def search(
    query: Annotated[str, typer.Argument(help="Words of the name (default: any).")] = "",
    backbone: Annotated[
        str | None, typer.Option(help="Only adapters for this backbone (name or Hub id).", show_default=False)
    ] = None,
    task: Annotated[str | None, typer.Option(help="Only adapters with this tag.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of results.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List adapters on the Hub, optionally for a backbone or a task.

    Example: adapterstilts search mnli --backbone xlmr-base
    """
    from adapterstilts.hub.pull import search as search_hub

    results = search_hub(query, backbone, task, limit)
    if as_json:
        print_json([asdict(result) for result in results])
        return
    rows = [
        (result.repo, result.backbone or "-", "yes" if result.ours else "-", str(result.downloads or 0))
        for result in results
    ]
    table(("repository", "backbone", "adapterstilts", "downloads"), rows, right=("downloads",))
    count = "1 adapter" if len(results) == 1 else f"{len(results)} adapters"
    note(f"{count} found. Download one with: adapterstilts pull REPO" if results else "no adapters found")
