"""The verb `publish`: uploads a run, or all runs of a grid, to the Hugging Face Hub."""

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

PEFT_PANEL = "With --format peft"


def publish(
    run: Annotated[
        str,
        typer.Argument(help="Run id, unique prefix, or folder. With --all: grid config.", show_default=False),
    ],
    repo: Annotated[
        str,
        typer.Argument(
            metavar="REPO_ID", help="owner/name. With --all: the prefix of all names.", show_default=False
        ),
    ],
    whole_grid: Annotated[
        bool, typer.Option("--all", help="Publish every adapter of a grid in a separate repository.")
    ] = False,
    private: Annotated[bool, typer.Option("--private", help="Create private repositories.")] = False,
    revision: Annotated[
        str | None, typer.Option(help="Branch to publish on (default: main).", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the folder and print the card; upload nothing.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for --dry-run (default: the repository's name).", show_default=False),
    ] = None,
    form: Annotated[
        Literal["adapters", "peft"],
        typer.Option("--format", help="Library that loads the repository. peft: LoRA only."),
    ] = "adapters",
    task: Annotated[
        str | None,
        typer.Option(
            help="Multi-task runs: the task whose head to include.",
            rich_help_panel=PEFT_PANEL,
            show_default=False,
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="The run's backbone, if it moved since the training.",
            rich_help_panel=PEFT_PANEL,
            show_default=False,
        ),
    ] = None,
    backbone_revision: Annotated[
        str | None,
        typer.Option(help="Commit or tag of this backbone.", rich_help_panel=PEFT_PANEL, show_default=False),
    ] = None,
    store: StorePath = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Publish an adapter on the Hugging Face Hub, with a model card.

    Uploads weights, configurations, scores and digests of the training items, but neither text of the data
    nor predictions. Publishing an unchanged run again creates no commit. The Hub's token is used (HF_TOKEN,
    or `hf auth login`).

    Example: adapterstilts publish single-mnli-1a2b me/xlmr-base-mnli --dry-run

    Example: adapterstilts publish quick me/stilts --all --private
    """
    from adapterstilts.hub.publish import Publishing

    if out and not dry_run:
        raise ConfigError("--out is the folder of --dry-run: remove it, or add --dry-run")
    settings = Publishing(
        format=form,
        task=task,
        backbone=backbone,
        backbone_revision=backbone_revision,
        private=private,
        revision=revision,
    )
    publisher = _Publisher(store, settings, out if dry_run else None, dry_run, as_json)
    if whole_grid:
        publisher.publish_all(_grid_repos(run, repo, store))
    else:
        publisher.publish(run, repo, out)


@dataclass(frozen=True)
class _Publisher:
    """Publishes or writes runs with the options of the command.

    Attributes:
        store: Folder of the store.
        settings: Format, branch and visibility.
        out: Folder for --dry-run, with --all the parent of all folders.
        dry_run: Whether to write folders without uploading them.
        as_json: Whether to print JSON.
    """

    store: Path
    settings: Publishing
    out: Path | None
    dry_run: bool
    as_json: bool

    def publish(self, run: str, repo: str, folder: Path | None, *, show: bool = True) -> None:
        """Writes or uploads one run; `show` prints the card of a dry run."""
        result = self._write(run, repo, folder, show=show) if self.dry_run else self._upload(run, repo)
        if self.as_json:
            print_json(result)

    def publish_all(self, repos: dict[str, str]) -> None:
        """Publishes all runs of a grid; a run that fails does not stop the others.

        Raises:
            HubError: Some runs could not be published.
        """
        failed = 0
        for number, (run, repo) in enumerate(repos.items(), start=1):
            note(f"[{number}/{len(repos)}] {run}")
            try:
                self.publish(run, repo, self.out and self.out / repo.rpartition("/")[2], show=False)
            except StiltsError as error:
                failed += 1
                fail(f"{run}: {error}")
        if failed:
            raise HubError(
                f"{failed} of {len(repos)} runs could not be published: run the same command again"
            )

    def _write(self, run: str, repo: str, out: Path | None, *, show: bool) -> dict[str, Any]:
        from adapterstilts.hub.publish import write

        written = write(run, repo, out or Path(repo.rpartition("/")[2]), self.store, self.settings)
        if show and not self.as_json:
            print(visible(written.card))
        size = size_text(written.size)
        note(f"written, not uploaded: {written.folder} ({len(written.files)} files, {size})")
        return {"run": written.run, "repo": repo, "folder": str(written.folder), "size": written.size}

    def _upload(self, run: str, repo: str) -> dict[str, Any]:
        from adapterstilts.hub.publish import publish

        result = publish(run, repo, self.store, self.settings)
        if result.replaced:
            note(f"replaced {result.replaced}, which remains in the repository's history")
        status = "published" if result.changed else "unchanged, no new commit"
        note(f"{status}: {result.url} at {result.commit[:12]}")
        return {
            "run": run,
            "repo": repo,
            "url": result.url,
            "commit": result.commit,
            "changed": result.changed,
        }


def _grid_repos(grid_config: str, prefix: str, store: Path) -> dict[str, str]:
    """Maps each finished run of a grid that has an adapter to its repository.

    Raises:
        ConfigError: No run is finished.
    """
    from adapterstilts.grid.load_plan import load_plan
    from adapterstilts.grid.remote_records import open_records

    records = open_records(str(store))
    jobs = [job for job in load_plan(grid_config).jobs() if job.type != "evaluate"]
    # A dictionary keeps the order of the plan and removes runs that several jobs share
    runs = {record.run: None for job in jobs if (record := records.find_finished(job.digest))}
    if not runs:
        raise ConfigError(
            f"no adapter of {grid_config} is finished in {store}: run adapterstilts grid run {grid_config}"
        )
    if len(runs) < len(jobs):
        note(f"skipped {len(jobs) - len(runs)} of {len(jobs)} adapters, which are not finished")
    return {
        run: f"{prefix}-{re.sub(r'[^A-Za-z0-9._-]', '-', run)}"
        for run in runs
        if (store / run / "adapters").is_dir()  # a bare backbone has nothing to publish
    }
