"""The folder that is published: the files of a run at their places, with its card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from adapterstilts.hub.card import Form, card, checked_places
from adapterstilts.hub.card_data import Facts
from adapterstilts.hub.layout import CARD, OF_RUN
from adapterstilts.store import link
from adapterstilts.store.files import MANIFEST, ORIGIN, sha256, stats_in, write_whole
from adapterstilts.store.runs import manifest_of
from adapterstilts.store.scratch import scratch

Export = Callable[[Path], None]  # writes PEFT's files into a folder


def write_folder(facts: Facts, repo: str, folder: Path, form: Form, export: Export | None = None) -> str:
    """Writes what is to be uploaded; returns the text of the card.

    The same run and evaluations give the same bytes, whenever and wherever it is done.

    Args:
        repo: where it will be published.
        folder: an empty one.
        export: writes what stands at the top in place of the `adapters` library's files.
    """
    with scratch(folder.parent) as held:
        run = held / "run"
        _copy(facts, run)
        for name, place in checked_places(facts, list(stats_in(run)), form).items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run / name, folder / place)  # no link: it is for others to change
    if export:
        export(folder)
    checksums = {name: sha256(folder / name) for name in stats_in(folder) if name != CARD}
    text = card(facts, repo, form, checksums)
    write_whole(folder / CARD, text.encode("utf-8"))
    return text


def _copy(facts: Facts, run: Path) -> None:
    """The run's files, its origin without paths of this machine, and a manifest of them."""
    for name in stats_in(facts.run.path):
        if name not in (MANIFEST, ORIGIN) and OF_RUN.fullmatch(name):  # a language adapter may have more
            link(facts.run.path / name, run / name)
    facts.origin.write(run)
    manifest = json.dumps(manifest_of(run), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_whole(run / MANIFEST, manifest.encode("utf-8"))
