"""The verb `publish`: a run, or all runs of a grid, on the Hugging Face Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from adapterstilts.cli.console import DEFAULT_STORE, AsJson, StorePath, fail, note, print_json, size_text
from adapterstilts.errors import ConfigError, HubError, StiltsError
from adapterstilts.terminal_text import visible

if TYPE_CHECKING:
    from adapterstilts.hub.publish import Publishing


def publish(
    run: Annotated[
        str,
        typer.Argument(
            help="Run id, unique prefix, or folder; with --all a grid_config.", show_default=False
        ),
    ],
    repo: Annotated[
        str,
        typer.Argument(
            metavar="REPO_ID", help="owner/name; with --all what the names begin with.", show_default=False
        ),
    ],
    whole_grid: Annotated[
        bool, typer.Option("--all", help="Every adapter of a grid, each in a repository of its own.")
    ] = False,
    form: Annotated[
        Literal["adapters", "peft"], typer.Option("--format", help="peft: a LoRA in the form of PEFT.")
    ] = "adapters",
    task: Annotated[
        str | None,
        typer.Option(help="Of several heads, the one that goes along in PEFT's form.", show_default=False),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="For PEFT's form: the run's backbone, if it is elsewhere now.", show_default=False),
    ] = None,
    backbone_revision: Annotated[
        str | None, typer.Option(help="Commit or tag of that backbone.", show_default=False)
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    revision: Annotated[
        str | None, typer.Option(help="The branch to publish on.", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the folder and show the card; upload nothing.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder of --dry-run (default: the repository's name).", show_default=False),
    ] = None,
    store: StorePath = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Put an adapter on the Hugging Face Hub, with a card made from the stored results.

    Uploads weights, configurations, scores and hashes of the training items; no text of any data, no
    predictions. Publishing again without a change makes no commit. The token is the Hub's own (HF_TOKEN, or
    `hf auth login`).

    Example: adapterstilts publish single-mnli-1a2b me/xlmr-base-mnli --dry-run

    Example: adapterstilts publish quick me/stilts --all --private
    """
    from adapterstilts.hub.publish import Publishing

    if out and not dry_run:
        raise ConfigError("--out is the folder of --dry-run: an upload needs none")
    settings = Publishing(
        format=form,
        task=task,
        backbone=backbone,
        backbone_revision=backbone_revision,
        private=private,
        revision=revision,
    )
    order = _Order(store, settings, out if dry_run else None, dry_run, as_json)
    if whole_grid:
        _publish_all(_of_grid(run, repo, store), order)
    else:
        order.carry_out(run, repo, out)


@dataclass(frozen=True)
class _Order:
    """What is done with each run.

    Attributes:
        out: where --dry-run puts folders.
    """

    store: Path
    settings: Publishing
    out: Path | None
    dry_run: bool
    as_json: bool

    def carry_out(self, run: str, repo: str, folder: Path | None, *, show: bool = True) -> None:
        """Writes or uploads one run; `show` prints the card of a dry run."""
        if self.dry_run:
            done = _write(run, repo, folder, self.store, self.settings, show=show and not self.as_json)
        else:
            done = _upload(run, repo, self.store, self.settings)
        if self.as_json:
            print_json(done)


def _publish_all(names: dict[str, str], order: _Order) -> None:
    """All runs of a grid; one that fails does not stop the others.

    Raises:
        HubError: some could not be published.
    """
    failed = 0
    for number, (run, repo) in enumerate(names.items(), start=1):
        note(f"[{number}/{len(names)}] {run}")
        try:
            order.carry_out(run, repo, order.out and order.out / repo.rpartition("/")[2], show=False)
        except StiltsError as error:
            failed += 1
            fail(f"{run}: {error}")
    if failed:
        raise HubError(f"{failed} of {len(names)} could not be published; give the same command again")


def _write(
    run: str, repo: str, out: Path | None, store: Path, settings: Publishing, *, show: bool
) -> dict[str, Any]:
    from adapterstilts.hub.publish import write

    made = write(run, repo, out or Path(repo.rpartition("/")[2]), store, settings)
    if show:
        print(visible(made.card))
    note(f"written, not uploaded: {made.folder} ({len(made.files)} files, {size_text(made.size)})")
    return {"run": made.run, "repo": repo, "folder": str(made.folder), "size": made.size}


def _upload(run: str, repo: str, store: Path, settings: Publishing) -> dict[str, Any]:
    from adapterstilts.hub.publish import publish as publish_run

    done = publish_run(run, repo, store, settings)
    if done.replaced:
        note(f"it takes the place of {done.replaced}, which stays in the repository's history")
    note(f"{'published' if done.changed else 'unchanged, no new commit'}: {done.url} at {done.commit[:12]}")
    return {"run": run, "repo": repo, "url": done.url, "commit": done.commit, "changed": done.changed}


def _of_grid(grid_config: str, repo: str, store: Path) -> dict[str, str]:
    """Run -> repository, of every adapter of a grid.

    Raises:
        ConfigError: none is finished.
    """
    from adapterstilts.grid.load_plan import load_plan
    from adapterstilts.grid.remote_records import open_records

    records = open_records(str(store))
    asked = [request for request in load_plan(grid_config).jobs() if request.type != "evaluate"]
    done = {found.run: None for job in asked if (found := records.find_finished(job.digest))}
    if not done:
        raise ConfigError(
            f"no adapter of {grid_config} is finished in {store}: adapterstilts grid run {grid_config}"
        )
    if len(done) < len(asked):
        note(f"{len(asked) - len(done)} of {len(asked)} adapters are not finished, and are left out")
    own = [
        run for run in done if (store / run / "adapters").is_dir()
    ]  # a bare backbone has nothing to publish
    return {run: f"{repo}-{re.sub(r'[^A-Za-z0-9._-]', '-', run)}" for run in own}
