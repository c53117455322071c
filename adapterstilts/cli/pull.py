"""The verbs `pull` and `search`: adapters from the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from adapterstilts.cli.console import DEFAULT_STORE, AsJson, StorePath, note, print_json, table
from adapterstilts.cli.options import comma_separated


def pull(
    repo: Annotated[
        str,
        typer.Argument(
            metavar="REPO_ID[@REVISION]", help="owner/name, at a branch, tag or commit.", show_default=False
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(help="What it was trained on, if another program published it.", show_default=False),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Its head's labels in order, where it does not name them: a,b,c.", show_default=False
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="The backbone it must belong to: name, Hub id or folder.", show_default=False),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Commit or tag of that backbone.", show_default=False)
    ] = None,
    skip_others: Annotated[
        bool, typer.Option("--skip-others", help="Leave unexpected files unread instead of refusing.")
    ] = False,
    store: StorePath = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Put a published adapter into the store, as a run that every verb takes.

    Also adapters that the `adapters` library or PEFT (LoRA) published, in safetensors. Pickles and code are
    refused, and so is what differs from the checksums of the card.

    Example: adapterstilts pull me/xlmr-base-mnli

    Example: adapterstilts pull other/mnli-lora --task mnli --backbone xlmr-base
    """
    from adapterstilts.cli.train import show
    from adapterstilts.hub.pull import pull as bring
    from adapterstilts.hub.third_party import PullHints

    names = tuple(comma_separated([labels], "--labels")) if labels else ()
    given = PullHints(backbone=backbone, revision=revision, task=task, labels=names)
    show(bring(repo, store, given, skip_others=skip_others), as_json)


def search(
    query: Annotated[str, typer.Argument(help="Words of the name; may be empty.")] = "",
    backbone: Annotated[
        str | None, typer.Option(help="Only those for it: name or Hub id.", show_default=False)
    ] = None,
    task: Annotated[str | None, typer.Option(help="Only those tagged with it.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most that many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List adapters on the Hub, for a backbone or a task.

    Example: adapterstilts search mnli --backbone xlmr-base
    """
    from adapterstilts.hub.pull import search as look

    found = look(query, backbone, task, limit)
    if as_json:
        print_json([asdict(each) for each in found])
        return
    rows = [
        (each.repo, each.backbone or "-", "yes" if each.ours else "-", str(each.downloads or 0))
        for each in found
    ]
    table(("repository", "backbone", "adapterstilts", "downloads"), rows, right=("downloads",))
    note(f"{len(found)} found; adapterstilts pull REPOSITORY takes one" if found else "none found")
