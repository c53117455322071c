"""Uploads a folder in one commit, or none where nothing changed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi

from adapterstilts.credentials import masked
from adapterstilts.errors import HubError
from adapterstilts.hub.client import ERRORS, client, hub_errors
from adapterstilts.hub.layout import ATTRIBUTES, CARD
from adapterstilts.hub.record import MALFORMED, Record, exactly, read_record

MAIN = "main"


@dataclass(frozen=True)
class Uploaded:
    """What an upload did.

    Attributes:
        url: of the repository.
        commit: that now holds the folder.
        changed: whether it is a new one.
        replaced: the id of another run that was there before, or None.
    """

    url: str
    commit: str
    changed: bool
    replaced: str | None


def upload(folder: Path, repo: str, run: str, *, private: bool, revision: str | None) -> Uploaded:
    """Makes the repository hold this folder: one commit with all files, or nothing.

    Files of what was published there before go; those that its owner put beside stay.

    Args:
        run: the id of the run, for the commit's message.
        private: of a repository that is made now.
        revision: the branch; made where it is not there.

    Raises:
        HubError: the Hub cannot be reached or refuses, the repository holds something else than an adapter
            of this toolkit, or it changed meanwhile.
    """
    branch = revision or MAIN
    with hub_errors(repo, writing=True):
        api = client()
        url = api.create_repo(repo, private=private, exist_ok=True)
        repo = url.repo_id
        info = api.repo_info(repo)
        if private and not info.private:
            raise HubError(f"{repo} is there already, and public: make it private on its page first")
        before = info.sha
        if branch != MAIN:
            api.create_branch(repo, branch=branch, exist_ok=True)
            before = api.repo_info(repo, revision=branch).sha
        there = _published(api, repo, branch)
        gone = [exactly(name) for name in there.sha256] if there else None
        try:
            done = api.upload_folder(
                repo_id=repo, folder_path=folder, revision=branch, parent_commit=before, delete_patterns=gone,
                commit_message=f"Publish {run}",
            )  # fmt: skip
        except ValueError as error:
            if isinstance(error, ERRORS):
                raise
            # The client has the card checked before it uploads anything
            raise HubError(f"{repo}: the Hub does not take the card: {error}") from None
    replaced = there.run if there and there.run != run else None
    return Uploaded(masked(str(url)), done.oid, done.oid != before, replaced)


def _published(api: HfApi, repo: str, branch: str) -> Record | None:
    """What the repository's card says was published there, None of an empty one.

    Raises:
        HubError: it holds something else, which an upload would remove.
    """
    names = set(api.list_repo_files(repo, revision=branch)) - {ATTRIBUTES}
    if not names:
        return None
    found = None
    if CARD in names:
        path = Path(api.hf_hub_download(repo, CARD, revision=branch))
        with suppress(*MALFORMED):
            found = read_record(path)
    if found is None:
        raise HubError(
            f"{repo} holds something that this program did not publish ({', '.join(sorted(names)[:3])} …), "
            "and publishing would take its place: choose another name"
        )
    return found
