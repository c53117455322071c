"""What is checked of a repository before anything of it is loaded; each refusal says what it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from adapterstilts.bounded_json import Limits, parse
from adapterstilts.errors import HubError
from adapterstilts.hub.layout import ATTRIBUTES, CARD, OF_FOREIGN, OF_RUN, RUN
from adapterstilts.hub.record import LARGEST_CARD
from adapterstilts.known_keys import keep_known
from adapterstilts.model import tensors
from adapterstilts.model.adapters_config import RULES
from adapterstilts.store.files import sha256

CODE = (".py", ".pyc", ".so", ".sh", ".ipynb")
PICKLES = (*tensors.PICKLE_SUFFIXES, ".pickle", ".joblib", ".npy", ".npz", ".h5", ".msgpack", ".onnx")
REMOTE = ("auto_map", "custom_pipelines", "trust_remote_code")
# Bytes: nine adapters' AdapterFusion on XLM-R large has 0.6 GB; eight for each item that was trained on
LARGEST = {".safetensors": 2**30, ".digests": 2**27}
LARGEST_TEXT = 16 * 2**20
JSON = Limits(size=LARGEST_TEXT)
MOST = 200  # files: nine adapters and their fusion have 50
LARGEST_ALL = 2**32
SKIP = "--skip-others takes the rest without it"
ODD = re.compile(r"[\x00-\x1f\\:]")


@dataclass(frozen=True)
class Listed:
    """A file as the Hub lists it.

    Attributes:
        size: bytes, None where the Hub does not say.
    """

    name: str
    size: int | None


def check_listing(
    repo: str, files: Iterable[Listed], *, ours: bool, skip: bool, hint: str = SKIP
) -> list[str]:
    """Checks names and sizes before anything is downloaded.

    Args:
        ours: whether its card says that this toolkit published it: then nothing else may be there.
        skip: leave what is not expected where it is, unread, instead of refusing.
        hint: how whoever wants it can do so.

    Returns:
        The names to download.

    Raises:
        HubError: a name that leads elsewhere, a pickle, code, a file that is not expected, or one too large.
    """
    wanted = []
    for file in files:
        problem = _problem(file.name, ours)
        if problem and not (skip and not _leads_elsewhere(file.name)):
            advice = "" if _leads_elsewhere(file.name) else f". {hint}"
            raise HubError(f"{repo} is refused: {file.name!r} {problem}{advice}")
        if problem:
            continue
        largest = _largest(file.name)
        if file.size is None or file.size > largest:
            size = "of unknown size" if file.size is None else f"{file.size:,} bytes large"
            raise HubError(f"{repo} is refused: {file.name} is {size}; at most {largest:,} bytes are taken")
        wanted.append(file)
    if len(wanted) > MOST or sum(file.size or 0 for file in wanted) > LARGEST_ALL:
        raise HubError(f"{repo} is refused: at most {MOST} files and {LARGEST_ALL:,} bytes in all are taken")
    return [file.name for file in wanted]


def _largest(name: str) -> int:
    return LARGEST_CARD if name == CARD else LARGEST.get(PurePosixPath(name).suffix, LARGEST_TEXT)


def _problem(name: str, ours: bool) -> str | None:
    suffix = PurePosixPath(name).suffix.lower()
    if _leads_elsewhere(name):
        return "is a path that leads out of its folder"
    if suffix in PICKLES:
        return "is a pickle or the like, which can run code when it is loaded: only safetensors are"
    if suffix in CODE:
        return "is code, which is never run"
    own = name in (CARD, ATTRIBUTES) or OF_RUN.fullmatch(name.removeprefix(f"{RUN}/"))
    if not (OF_FOREIGN.fullmatch(name) or (ours and own)):
        return "is not a file that an adapter consists of"
    return None


def _leads_elsewhere(name: str) -> bool:
    path = PurePosixPath(name)
    return (
        path.is_absolute() or str(path) != name or ".." in path.parts or name.startswith("~")
        or ODD.search(name) is not None
    )  # fmt: skip


def check_files(
    repo: str, folder: Path, names: Iterable[str], sizes: Mapping[str, int | None]
) -> tuple[str, ...]:
    """Checks what was downloaded: sizes, code in configurations, weights that are not finite or damaged.

    Returns:
        The unknown keys of configurations, each with its file; nothing reads them.

    Raises:
        HubError: which file, and what is wrong with it.
        AdapterError: weights that are damaged or not finite.
    """
    unread = []
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
    """Checks a JSON file; returns the unknown keys of one that has an allow-list."""
    try:
        data = parse(path.read_bytes(), name, HubError, JSON)
    except HubError as error:
        raise HubError(f"{repo} is refused: {error}") from None
    wants = [key for key in REMOTE if _holds(data, key)]
    if wants:
        raise HubError(f"{repo} is refused: {name} wants code of its own to be run ({wants[0]})")
    rules = RULES.get(path.name)
    if rules is None or (isinstance(data, Mapping) and "peft_type" in data):  # which has a list of its own
        return []
    if not isinstance(data, Mapping):
        raise HubError(f"{repo} is refused: {name} is not a JSON object")
    return keep_known(data, rules, f"{repo} is refused: {name}", HubError)[1]


def _holds(data: Any, key: str) -> bool:
    if isinstance(data, Mapping):
        return key in data or any(_holds(each, key) for each in data.values())
    return isinstance(data, list) and any(_holds(each, key) for each in data)


def check_sums(repo: str, folder: Path, names: Iterable[str], sums: Mapping[str, str]) -> None:
    """Compares the files with the checksums of the card.

    Raises:
        HubError: a file differs, is missing, or the card does not name it.
    """
    found = set(names) - {CARD, ATTRIBUTES}
    for name in sorted(found ^ sums.keys()):
        what = "is not named in its card" if name in found else "is named in its card, but is not there"
        raise HubError(f"{repo} is refused: {name} {what}")
    for name in sorted(found):
        if sha256(folder / name) != sums[name]:
            raise HubError(f"{repo} is refused: {name} is not the file whose SHA-256 its card gives")
