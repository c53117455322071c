"""What the Hub says of a repository and of the files of a commit."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import Any

from tests.hub.fake_hub.cards import card_of, tags_of
from tests.hub.fake_hub.repos import Commit, File, Repo


def info(repo: Repo, commit: Commit, *, sizes: bool = False) -> dict[str, Any]:
    """What the Hub says of a repository."""
    card = card_of(commit.files)
    return {
        "id": repo.id, "modelId": repo.id, "author": repo.owner, "sha": commit.oid, "private": repo.private,
        "gated": False, "disabled": False, "downloads": 0, "likes": 0, "lastModified": commit.date,
        "createdAt": next(iter(repo.commits.values())).date, "tags": tags_of(card, commit.files),
        "cardData": card, "library_name": card.get("library_name"), "pipeline_tag": card.get("pipeline_tag"),
        "siblings": [_sibling(path, file, sizes) for path, file in commit.files.items()],
    }  # fmt: skip


def _sibling(path: str, file: File, sizes: bool) -> dict[str, Any]:
    if not sizes:
        return {"rfilename": path}
    large = {"lfs": {"sha256": file.sha256, "size": file.listed, "pointerSize": 130}} if file.large else {}
    return {"rfilename": path, "size": file.listed, "blobId": file.oid, **large}


def entry(path: str, commit: Commit) -> dict[str, Any] | None:
    """A file or folder of a commit, as listings have it."""
    last = {"id": commit.oid, "title": commit.title, "date": commit.date}
    if path not in commit.files:
        oid = hashlib.sha1(path.encode()).hexdigest()
        inside = any(each.startswith(f"{path}/") for each in commit.files)
        return (
            {"type": "directory", "path": path, "oid": oid, "size": 0, "lastCommit": last} if inside else None
        )
    file = commit.files[path]
    large = {"lfs": {"oid": file.sha256, "size": file.listed, "pointerSize": 130}} if file.large else {}
    own = {"path": path, "oid": file.oid, "size": file.listed, "lastCommit": last}
    return {"type": "file", **own, **large}


def tree(commit: Commit, folder: str, *, recursive: bool) -> list[Any]:
    """The entries of a folder."""
    inside = [path for path in commit.files if path.startswith(f"{folder}/" if folder else "")]
    folders = {str(each) for path in inside for each in PurePosixPath(path).parents if str(each) != "."}
    paths = sorted({*inside, *folders} - {folder})
    depth = folder.count("/") + bool(folder)
    return [entry(path, commit) for path in paths if recursive or path.count("/") == depth]


def chosen(said: dict[str, Any], expand: list[str], *, full: bool, card: bool) -> dict[str, Any]:
    """The properties that were asked for."""
    if expand:
        return {key: value for key, value in said.items() if key in ("id", *expand)}
    left_out = set() if full else {"siblings", "sha", "author", "lastModified", "gated", "disabled"}
    left_out |= set() if card else {"cardData"}
    return {key: value for key, value in said.items() if key not in left_out}
