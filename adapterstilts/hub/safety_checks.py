"""Checks a repository before any of its files is loaded. A refusal names the file and the reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from adapterstilts.bounded_json import Limits, parse
from adapterstilts.errors import HubError
from adapterstilts.hub.layout import ATTRIBUTES, CARD, LARGEST_CARD, OF_FOREIGN, OF_RUN, RUN
from adapterstilts.known_keys import keep_known
from adapterstilts.model import tensors
from adapterstilts.model.adapters_config import RULES
from adapterstilts.store.files import sha256

# Refused with their own message; the allow-lists in `layout.py` would refuse them as well
CODE = (".py", ".pyc", ".so", ".sh", ".ipynb")
PICKLES = (*tensors.PICKLE_SUFFIXES, ".pickle", ".joblib", ".npy", ".npz", ".h5", ".msgpack", ".onnx")
# Keys with which transformers and diffusers import code from a repository
REMOTE = ("auto_map", "custom_pipelines", "trust_remote_code")
# Bytes. AdapterFusion over nine adapters on XLM-R large has 0.6 GB; digests take 8 bytes per training item
LARGEST = {".safetensors": 2**30, ".digests": 2**27}
LARGEST_TEXT = 16 * 2**20
JSON = Limits(size=LARGEST_TEXT)
MOST = 200  # files; nine adapters and their fusion have 50
LARGEST_ALL = 2**32
SKIP = "Pass --skip-others to pull the rest"
# Control characters could forge lines of a terminal; "\\" and ":" separate paths on Windows
ODD = re.compile(r"[\x00-\x1f\\:]")


@dataclass(frozen=True)
class ListedFile:
    """A file in the Hub's listing of a repository.

    Attributes:
        name: Path in the repository.
        size: Size in bytes, None if the Hub does not report it.
    """

    name: str
    size: int | None


def check_listing(
    repo: str, files: Iterable[ListedFile], *, ours: bool, skip: bool, hint: str = SKIP
) -> list[str]:
    """Checks names and sizes before anything is downloaded.

    Args:
        repo: Repository id, for messages.
        files: Listing of the repository.
        ours: Whether its card has our record, so that the files of a run are expected.
        skip: Whether to skip unexpected files instead of refusing the repository.
        hint: Advice on how to skip unexpected files, for messages.

    Returns:
        The names to download.

    Raises:
        HubError: A path leads out of the folder, or a file is a pickle, code, unexpected, or too large.
    """
    accepted = []
    for file in files:
        problem = _problem(file.name, ours)
        # A path that leads elsewhere is an attack, not a stray file, so it is never skipped
        if problem and not (skip and not _leads_elsewhere(file.name)):
            advice = "" if _leads_elsewhere(file.name) else f". {hint}"
            raise HubError(f"{repo} is refused: {file.name!r} {problem}{advice}")
        if problem:
            continue
        largest = (
            LARGEST_CARD if file.name == CARD else LARGEST.get(PurePosixPath(file.name).suffix, LARGEST_TEXT)
        )
        # Checked before the download: an endless file would fill the disk
        if file.size is None or file.size > largest:
            size = "of unknown size" if file.size is None else f"{file.size:,} bytes"
            raise HubError(f"{repo} is refused: {file.name} is {size}; at most {largest:,} bytes are allowed")
        accepted.append(file)
    if len(accepted) > MOST or sum(file.size or 0 for file in accepted) > LARGEST_ALL:
        raise HubError(
            f"{repo} is refused: at most {MOST} files and {LARGEST_ALL:,} bytes in total are allowed"
        )
    return [file.name for file in accepted]


def _problem(name: str, ours: bool) -> str | None:
    # Lower case, because loaders on some systems open "WEIGHTS.PKL" as well
    suffix = PurePosixPath(name).suffix.lower()
    if _leads_elsewhere(name):
        return "is a path that leads out of its folder"
    if suffix in PICKLES:
        return "can run code when it is loaded, as a pickle does: only safetensors are allowed"
    if suffix in CODE:
        return "is code, which is never run"
    in_run = name in (CARD, ATTRIBUTES) or OF_RUN.fullmatch(name.removeprefix(f"{RUN}/"))
    if not (OF_FOREIGN.fullmatch(name) or (ours and in_run)):
        return "is not a file of an adapter"
    return None


def _leads_elsewhere(name: str) -> bool:
    path = PurePosixPath(name)
    # `str(path) != name` catches "a//b" and "a/./b": two spellings of one file would evade the checksums
    return (
        path.is_absolute() or str(path) != name or ".." in path.parts or name.startswith("~")
        or ODD.search(name) is not None
    )  # fmt: skip


def check_files(
    repo: str, folder: Path, names: Iterable[str], sizes: Mapping[str, int | None]
) -> tuple[str, ...]:
    """Checks downloaded files: sizes, code in configurations, weights that are not finite or damaged.

    Args:
        repo: Repository id, for messages.
        folder: Folder of the files.
        names: Paths of the files, relative to the folder.
        sizes: Sizes in the listing, by name.

    Returns:
        The unknown keys of configurations, each with its file. Nothing reads them.

    Raises:
        HubError: A file has another size than listed, or a configuration is malformed or names code.
        AdapterError: Weights are damaged or not finite.
    """
    unread = []
    # The Hub compares sizes too, but files in its cache may have changed since
    for name in names:
        path = folder / name
        if path.stat().st_size != sizes[name]:
            raise HubError(
                f"{repo} is refused: {name} has {path.stat().st_size} bytes, not {sizes[name]} as listed"
            )
        if path.suffix == ".json":
            unread += [f"{name}: {key}" for key in _check_json(repo, name, path)]
        elif path.suffix == ".safetensors":
            tensors.load(path, None)
    return tuple(unread)


def _check_json(repo: str, name: str, path: Path) -> list[str]:
    """Checks a JSON file; returns its unknown keys if its keys have an allow-list."""
    try:
        data = parse(path.read_bytes(), name, HubError, JSON)
    except HubError as error:
        raise HubError(f"{repo} is refused: {error}") from None
    # At any depth: libraries read nested configurations too
    remote = [key for key in REMOTE if _has_key(data, key)]
    if remote:
        raise HubError(f"{repo} is refused: {name} requires custom code ({remote[0]}), which is never run")
    rules = RULES.get(path.name)
    # `peft_import.READ` has the rules of PEFT's file, which has the same name
    if rules is None or (isinstance(data, Mapping) and "peft_type" in data):
        return []
    if not isinstance(data, Mapping):
        raise HubError(f"{repo} is refused: {name} is not a JSON object")
    return keep_known(data, rules, f"{repo} is refused: {name}", HubError)[1]


def _has_key(data: Any, key: str) -> bool:
    if isinstance(data, Mapping):
        return key in data or any(_has_key(item, key) for item in data.values())
    return isinstance(data, list) and any(_has_key(item, key) for item in data)


def check_sums(repo: str, folder: Path, names: Iterable[str], sums: Mapping[str, str]) -> None:
    """Compares the files with the checksums of the card.

    Raises:
        HubError: A file differs, is missing, or is not in the card.
    """
    # The card cannot hold its own checksum, and the Hub writes .gitattributes
    files = set(names) - {CARD, ATTRIBUTES}
    for name in sorted(files ^ sums.keys()):
        problem = "is not listed in its card" if name in files else "is listed in its card, but is missing"
        raise HubError(f"{repo} is refused: {name} {problem}")
    for name in sorted(files):
        if sha256(folder / name) != sums[name]:
            raise HubError(f"{repo} is refused: {name} does not match the SHA-256 in its card")
