"""Assembles a run that adapterstilts published, and checks its files against one another."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from adapterstilts import bounded_json
from adapterstilts.data.item_digests import read_items
from adapterstilts.errors import AdapterError, ConfigError, HubError, StoreError
from adapterstilts.hub import safety_checks
from adapterstilts.hub.download import Pulled
from adapterstilts.hub.job_checks import check_job
from adapterstilts.hub.layout import MALFORMED, OF_RUN, RUN, run_paths
from adapterstilts.hub.origin import checked_origin
from adapterstilts.job import SCHEMA, TrainJob
from adapterstilts.model import tensors
from adapterstilts.model.saved import ACTIVE_ADAPTERS, SavedAdapter, head_folder, read_active_adapters
from adapterstilts.run.progress import say
from adapterstilts.store import link
from adapterstilts.store.files import JOB, MANIFEST, METRICS, ORIGIN, sha256
from adapterstilts.store.metrics import check_metrics
from adapterstilts.store.runs import Manifest
from adapterstilts.store.scratch import scratch
from adapterstilts.tasks.multitask import split_name
from adapterstilts.tasks.registry import all_tasks
from adapterstilts.values import distinct

# Names of tasks become names of folders, so a stranger's may hold neither "/" nor ".."
TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}")


def checked_job(pulled: Pulled) -> TrainJob:
    """Returns the job of a published run after all checks of `pull`, without storing anything.

    Raises:
        HubError: The repository fails a check.
    """
    job = read_job(pulled)
    with scratch(Path(tempfile.gettempdir())) as folder:
        assemble(pulled, job, run_files(pulled), folder / "out")
    return job


def read_job(pulled: Pulled) -> TrainJob:
    """Reads the job of a published run.

    Raises:
        HubError: The job is malformed, or does not have the key and the backbone of the card.
    """
    try:
        return _read_job(pulled)
    except MALFORMED as error:
        raise HubError(f"{pulled.repo} is refused: {type(error).__name__}: {error}"[:400]) from None


def _read_job(pulled: Pulled) -> TrainJob:
    assert pulled.record is not None
    data = _read_object(pulled, pulled.folder / RUN / JOB)
    # Before all else: a job of another schema would fail with a message about some field
    if data.get("schema_version") != SCHEMA:
        raise HubError(
            f"{pulled.repo} holds a run of schema {data.get('schema_version')}, not {SCHEMA}: "
            "another version of adapterstilts published it"
        )
    try:
        job = TrainJob.parse({name: value for name, value in data.items() if name != "key"}, JOB)
    except ConfigError as error:
        raise HubError(f"{pulled.repo} is refused: {error}") from None
    if not TASK_NAME.fullmatch(job.task):
        raise HubError(f"{pulled.repo} is refused: {job.task[:80]!r} is not a valid task name")
    # The key is recomputed: a forged job could otherwise take the place of a run in the store
    if job.key != data.get("key") or job.key != pulled.record.key:
        raise HubError(f"{pulled.repo} is refused: {RUN}/{JOB} does not match the key in its card")
    if job.backbone != pulled.record.backbone.get("fingerprint"):
        on_card, in_job = distinct(str(pulled.record.backbone.get("fingerprint")), job.backbone)
        raise HubError(
            f"{pulled.repo} is refused: its card and its job name different backbones "
            f"({on_card} and {in_job})"
        )
    files = run_files(pulled)
    for name in files:
        if name.startswith("adapters/") and name.endswith("/adapter.json"):
            record = SavedAdapter.read(files[name])
            if record.backbone != job.backbone:
                in_record, in_job = distinct(str(record.backbone), job.backbone)
                raise HubError(
                    f"{pulled.repo} is refused: {name} belongs to another backbone ({in_record}) than its "
                    f"job ({in_job})"
                )
            tensors.load(files[name.replace("adapter.json", "adapter.safetensors")], record.sha256)
    return job


def run_files(pulled: Pulled) -> dict[str, Path]:
    """Maps each path in the run to its downloaded file.

    Raises:
        HubError: A file that every run has is missing, or the files do not match the run's manifest.
    """
    for name in (JOB, ACTIVE_ADAPTERS, METRICS, ORIGIN, MANIFEST):
        if f"{RUN}/{name}" not in pulled.names:
            raise HubError(f"{pulled.repo} is refused: {RUN}/{name} is missing")
    setup = _read_object(pulled, pulled.folder / RUN / ACTIVE_ADAPTERS).get("adapters")
    if not isinstance(setup, Mapping):
        raise HubError(f"{pulled.repo} is refused: {RUN}/{ACTIVE_ADAPTERS} lists no adapters")
    paths = run_paths(pulled.names, setup)
    files = {path: pulled.folder / name for name, path in paths.items()}
    # A file at the top and one under run/ could both claim a path, and only one of them would be checked
    if len(files) < len(paths):
        raise HubError(f"{pulled.repo} is refused: two of its files have the same path in the run")
    for name in files:
        # A target such as "../.." in active_adapters.json would lead out of the run
        if not OF_RUN.fullmatch(name):
            raise HubError(
                f"{pulled.repo} is refused: {RUN}/{ACTIVE_ADAPTERS} makes {name!r} a file of the run"
            )
    _check_manifest(pulled, files)
    return files


def _check_manifest(pulled: Pulled, files: Mapping[str, Path]) -> None:
    """Compares the files with the run's own manifest."""
    try:
        entries = Manifest.parse(_read_object(pulled, pulled.folder / RUN / MANIFEST), MANIFEST).files
    except ConfigError as error:
        raise HubError(f"{pulled.repo} is refused: {error}") from None
    for name in sorted(entries.keys() ^ (files.keys() - {MANIFEST})):
        problem = "is missing" if name in entries else f"is not in its {MANIFEST}"
        raise HubError(f"{pulled.repo} is refused: {name} of the run {problem}")
    for name, entry in entries.items():
        if sha256(files[name]) != entry.sha256:
            raise HubError(f"{pulled.repo} is refused: {name} does not match the checksum in its {MANIFEST}")


def _read_object(pulled: Pulled, path: Path) -> dict[str, Any]:
    """Reads a JSON file that holds an object.

    Raises:
        HubError: The file holds something else.
    """
    try:
        return bounded_json.parse_object(path.read_bytes(), path.name, HubError, safety_checks.JSON)
    except HubError as error:
        raise HubError(f"{pulled.repo} is refused: {error}") from None


def assemble(pulled: Pulled, job: TrainJob, files: Mapping[str, Path], out: Path) -> dict[str, Any]:
    """Links the run's files into a folder, with the checked part of its origin; returns its metrics.

    Raises:
        HubError: A check fails, or a file is malformed.
    """
    try:
        return _assemble(pulled, job, files, out)
    except (*MALFORMED, AdapterError) as error:
        detail = f"{type(error).__name__}: {error}".replace(f"{out}/", "")
        raise HubError(f"{pulled.repo} is refused: {detail}"[:600]) from None


def _assemble(pulled: Pulled, job: TrainJob, files: Mapping[str, Path], out: Path) -> dict[str, Any]:
    # These four are written anew from their checked content, never linked from a stranger
    for name, path in files.items():
        if name not in (JOB, METRICS, MANIFEST, ORIGIN):
            link(path, out / name)
    origin = checked_origin(pulled, _read_object(pulled, files[ORIGIN]))
    if any(path.startswith("adapters/language/") for path in files):
        say(f"{pulled.repo} is stacked on a language adapter: pass --language-adapter to exchange it")
    for name in split_name(job.task):
        if name not in origin.tasks and name not in all_tasks():
            raise HubError(f"{pulled.repo} is refused: its task {name} is not defined anywhere")
    origin.write(out)
    metrics = {name: _numbers(value) for name, value in _read_object(pulled, files[METRICS]).items()}
    try:
        check_metrics(metrics)
    except StoreError as error:
        raise HubError(f"{pulled.repo} is refused: {error}") from None
    _check_complete(pulled, out)
    check_job(pulled.repo, job, out, origin, metrics)
    return metrics


def _check_complete(pulled: Pulled, out: Path) -> None:
    """Checks that every active adapter and head has its files, and that the item digests can be read."""
    setup, heads = read_active_adapters(out)
    expected = [
        f"adapters/{name}/{file}"
        for name in (*setup.stack, *setup.fused)
        for file in ("adapter.safetensors", "adapter_config.json", "adapter.json")
        if (name, file) != (setup.language, "adapter.json")  # absent if another program trained it
    ]
    expected += ["fusion/model_adapter_fusion.safetensors", "fusion/fusion.json"] if setup.fused else []
    expected += [str(head_folder(Path(), name, heads) / "head.json") for name in heads]
    if setup.head is not None and setup.head not in heads:
        raise HubError(f"{pulled.repo} is refused: its active head {setup.head!r} is not described")
    for name in expected:
        if not (out / name).is_file():
            raise HubError(f"{pulled.repo} is refused: it lacks {name}")
    read_items(out)


def _numbers(value: Any) -> Any:
    """Returns the value if it consists of finite numbers only.

    Raises:
        TypeError: The value holds something else.
        ValueError: A number is not finite.
    """
    # Metrics end up in tables and cards, where a text of a stranger could pose as anything
    if isinstance(value, Mapping):
        return {str(name): _numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if not isinstance(value, int | float | None):
        raise TypeError(f"metrics.json holds {type(value).__name__}")
    if value is not None and not isfinite(value):
        raise ValueError("metrics.json holds NaN or infinity")
    return value
