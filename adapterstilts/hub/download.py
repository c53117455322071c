"""Brings a repository's adapter onto this machine, checked, through the Hub client's own cache."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from adapterstilts import bounded_json
from adapterstilts.errors import ConfigError, HubError
from adapterstilts.hub import safety_checks
from adapterstilts.hub.client import client, hub_errors
from adapterstilts.hub.layout import CARD, OF_RUN, RUN, back
from adapterstilts.hub.record import MALFORMED, Record, exactly, read_record
from adapterstilts.hub.safety_checks import Listed
from adapterstilts.job import SCHEMA, TrainJob
from adapterstilts.model import tensors
from adapterstilts.model.saved import ACTIVE_ADAPTERS, SavedAdapter
from adapterstilts.store.files import JOB, MANIFEST, METRICS, ORIGIN, sha256, write_whole
from adapterstilts.store.runs import Manifest
from adapterstilts.values import distinct

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}")  # of a task; it becomes a folder's


@dataclass(frozen=True)
class Pulled:
    """A repository's files that passed the checks.

    Attributes:
        commit: of the repository.
        folder: in the Hub client's cache.
        names: of the files, relative to it.
        record: None where another program published it.
        unread: unknown keys of its configurations, which nothing reads.
    """

    repo: str
    commit: str
    folder: Path
    names: tuple[str, ...]
    record: Record | None
    unread: tuple[str, ...] = ()


def split_reference(reference: str) -> tuple[str, str | None]:
    """`owner/name@revision` as repository and revision."""
    repo, _, revision = reference.removeprefix("https://huggingface.co/").partition("@")
    return repo, revision or None


def download(reference: str, *, skip: bool = False, hint: str = safety_checks.SKIP) -> Pulled:
    """Downloads an adapter's repository; what fails a check is refused before it is loaded.

    Args:
        reference: `owner/name`, with `@` and a branch, tag or commit where that is wanted.
        skip, hint: see `trust.check_listing`.

    Raises:
        HubError: it is not there, cannot be had, or fails a check.
        AdapterError: its weights are damaged or not finite.
    """
    repo, revision = split_reference(reference)
    with hub_errors(repo):
        api = client()
        info = api.model_info(repo, revision=revision, files_metadata=True)
        listed = [Listed(file.rfilename, file.size) for file in info.siblings or ()]
        record = _record(repo, info.sha, listed)
        names = safety_checks.check_listing(repo, listed, ours=record is not None, skip=skip, hint=hint)
        names = [name for name in names if not (record and name.startswith("LICENSE"))]
        folder = Path(
            snapshot_download(repo, revision=info.sha, allow_patterns=[exactly(name) for name in names])
        )
    lost = [name for name in names if not (folder / name).is_file()]
    if lost:
        raise HubError(f"{repo}: {lost[0]} was not downloaded: give the same command again")
    unread = safety_checks.check_files(repo, folder, names, {file.name: file.size for file in listed})
    if record:
        safety_checks.check_sums(repo, folder, names, record.sha256)
    _remember(folder, revision or "main", info.sha)
    return Pulled(repo, info.sha, folder, tuple(names), record, unread)


def _remember(folder: Path, revision: str, commit: str) -> None:
    """Notes in the Hub client's cache which commit a branch had, so that it is found without a connection."""
    reference = folder.parents[1] / "refs" / revision
    if revision != commit and ".." not in Path(revision).parts:
        with suppress(OSError):  # a cache that cannot be written is no obstacle
            write_whole(reference, commit.encode())


def cached(reference: str) -> Pulled:
    """What the Hub client's cache holds of an adapter's repository, checked as `download` does.

    Files that no adapter consists of are left unread: another program may have put them there.

    Raises:
        HubError: the cache does not hold it, or it fails a check.
        AdapterError: its weights are damaged or not finite.
    """
    repo, revision = split_reference(reference)
    with hub_errors(repo):
        folder = Path(snapshot_download(repo, revision=revision, local_files_only=True))
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    record = _read_card(repo, folder / CARD) if CARD in paths else None
    listed = [Listed(name, path.stat().st_size) for name, path in sorted(paths.items())]
    names = safety_checks.check_listing(repo, listed, ours=record is not None, skip=True)
    names = [name for name in names if not (record and name.startswith("LICENSE"))]
    unread = safety_checks.check_files(repo, folder, names, {file.name: file.size for file in listed})
    if record:
        safety_checks.check_sums(repo, folder, names, record.sha256)
    return Pulled(repo, folder.name, folder, tuple(names), record, unread)


def _record(repo: str, commit: str, listed: list[Listed]) -> Record | None:
    """Our part of the card, or None where there is no card of ours."""
    card = next((file for file in listed if file.name == CARD), None)
    if card is None:
        return None
    safety_checks.check_listing(repo, [card], ours=False, skip=False)
    return _read_card(repo, Path(client().hf_hub_download(repo, CARD, revision=commit)))


def _read_card(repo: str, path: Path) -> Record | None:
    try:
        return read_record(path)
    except MALFORMED as error:
        told = f"{type(error).__name__}: {error}"[:300]
        raise HubError(f"{repo} is refused: the metadata of its card cannot be read ({told})") from None


def run_files(pulled: Pulled) -> dict[str, Path]:
    """Path in the run -> file, of a repository that this toolkit published.

    Raises:
        HubError: it lacks a file that every run has.
    """
    for name in (JOB, ACTIVE_ADAPTERS, METRICS, ORIGIN, MANIFEST):
        if f"{RUN}/{name}" not in pulled.names:
            raise HubError(f"{pulled.repo} is refused: {RUN}/{name} is missing")
    setup = read_object(pulled, pulled.folder / RUN / ACTIVE_ADAPTERS).get("adapters")
    if not isinstance(setup, Mapping):
        raise HubError(f"{pulled.repo} is refused: {RUN}/{ACTIVE_ADAPTERS} lists no adapters")
    back_again = back(pulled.names, setup)
    files = {own: pulled.folder / name for name, own in back_again.items()}
    if len(files) < len(back_again):
        raise HubError(f"{pulled.repo} is refused: it has two files for one of the run's")
    for name in files:
        if not OF_RUN.fullmatch(name):  # the setup names folders
            raise HubError(
                f"{pulled.repo} is refused: {RUN}/{ACTIVE_ADAPTERS} makes {name!r} a file of the run"
            )
    _check_manifest(pulled, files)
    return files


def _check_manifest(pulled: Pulled, files: Mapping[str, Path]) -> None:
    """Compares the files with the run's own manifest, and weights with the records beside them."""
    try:
        entries = Manifest.parse(read_object(pulled, pulled.folder / RUN / MANIFEST), MANIFEST).files
    except ConfigError as error:
        raise HubError(f"{pulled.repo} is refused: {error}") from None
    for name in sorted(entries.keys() ^ (files.keys() - {MANIFEST})):
        what = "is missing" if name in entries else f"is not in its {MANIFEST}"
        raise HubError(f"{pulled.repo} is refused: {name} of the run {what}")
    for name, entry in entries.items():
        if sha256(files[name]) != entry.sha256:
            raise HubError(f"{pulled.repo} is refused: {name} is not the file that its {MANIFEST} lists")


def read_object(pulled: Pulled, path: Path) -> dict[str, Any]:
    """One of its JSON files.

    Raises:
        HubError: it is not an object.
    """
    try:
        return bounded_json.parse_object(path.read_bytes(), path.name, HubError, safety_checks.JSON)
    except HubError as error:
        raise HubError(f"{pulled.repo} is refused: {error}") from None


def job_of(pulled: Pulled) -> TrainJob:
    """The job of a repository that this toolkit published.

    Raises:
        HubError: it is malformed, or not the one whose key and backbone the card gives.
    """
    assert pulled.record is not None
    data = read_object(pulled, pulled.folder / RUN / JOB)
    _check_schema(pulled.repo, data)
    try:
        job = TrainJob.parse({name: value for name, value in data.items() if name != "key"}, JOB)
    except ConfigError as error:
        raise HubError(f"{pulled.repo} is refused: {error}") from None
    if not NAME.fullmatch(job.task):
        raise HubError(f"{pulled.repo} is refused: {job.task[:80]!r} is no name of a task")
    if job.key != data.get("key") or job.key != pulled.record.key:
        raise HubError(
            f"{pulled.repo} is refused: {RUN}/{JOB} does not belong to the key that its card gives"
        )
    if job.backbone != pulled.record.backbone.get("fingerprint"):
        listed, own = distinct(str(pulled.record.backbone.get("fingerprint")), job.backbone)
        raise HubError(
            f"{pulled.repo} is refused: its card and its job name different backbones ({listed} and {own})"
        )
    _check_records(pulled, job)
    return job


def _check_records(pulled: Pulled, job: TrainJob) -> None:
    """Checks that every adapter belongs to the job's backbone and is the one that was saved."""
    files = run_files(pulled)
    records = [name for name in files if name.startswith("adapters/") and name.endswith("/adapter.json")]
    for name in records:
        record = SavedAdapter.read(files[name])
        if record.backbone != job.backbone:
            theirs, own = distinct(str(record.backbone), job.backbone)
            raise HubError(
                f"{pulled.repo} is refused: {name} is of another backbone ({theirs}) than its job ({own})"
            )
        tensors.load(files[name.replace("adapter.json", "adapter.safetensors")], record.sha256)


def _check_schema(repo: str, data: Mapping[str, Any]) -> None:
    if data.get("schema_version") != SCHEMA:
        raise HubError(
            f"{repo} holds a run in the form of schema {data.get('schema_version')}, not {SCHEMA}: "
            "another version of adapterstilts published it"
        )
