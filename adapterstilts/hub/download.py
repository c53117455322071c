"""Downloads an adapter through the Hub client's cache, and checks it before it is loaded."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download

from adapterstilts.errors import HubError
from adapterstilts.hub import safety_checks
from adapterstilts.hub.client import client, hub_errors
from adapterstilts.hub.layout import CARD, MALFORMED, Record, as_pattern
from adapterstilts.hub.safety_checks import ListedFile
from adapterstilts.run.progress import say
from adapterstilts.store.files import write_whole


@dataclass(frozen=True)
class Pulled:
    """A repository whose files passed the checks.

    Attributes:
        repo: Repository id.
        commit: Commit of the repository.
        folder: Folder in the Hub client's cache.
        names: Paths of the files, relative to the folder.
        record: Record of the card, None if another program published the repository.
        unread: Unknown keys of configuration files. Nothing reads them.
    """

    repo: str
    commit: str
    folder: Path
    names: tuple[str, ...]
    record: Record | None
    unread: tuple[str, ...] = ()

    def report_unread(self) -> None:
        """Prints the unknown keys of configuration files, if there are any."""
        if self.unread:
            keys = ", ".join(self.unread)
            say(f"{self.repo}: ignored unknown settings in configuration files: {keys}"[:500])


def download(reference: str, *, skip: bool = False, hint: str = safety_checks.SKIP) -> Pulled:
    """Downloads an adapter's repository; a file that fails a check is refused before it is loaded.

    Args:
        reference: Repository id `owner/name`, optionally with `@` and a branch, tag or commit.
        skip, hint: Arguments of `safety_checks.check_listing`.

    Raises:
        HubError: The repository does not exist, cannot be downloaded, or fails a check.
        AdapterError: Its weights are damaged or not finite.
    """
    repo, revision = _split_reference(reference)
    with hub_errors(repo):
        api = client()
        info = api.model_info(repo, revision=revision, files_metadata=True)
        files = [ListedFile(file.rfilename, file.size) for file in info.siblings or ()]
        record = None
        card = next((file for file in files if file.name == CARD), None)
        if card is not None:
            # The card is downloaded before all other files, so its size is checked on its own
            safety_checks.check_listing(repo, [card], ours=False, skip=False)
            record = _read_card(repo, Path(api.hf_hub_download(repo, CARD, revision=info.sha)))
        names = _expected_names(repo, files, record, skip=skip, hint=hint)
        # The commit, not the branch: between the two calls somebody could push other files
        folder = Path(
            snapshot_download(repo, revision=info.sha, allow_patterns=[as_pattern(name) for name in names])
        )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise HubError(f"{repo}: {missing[0]} was not downloaded: run the same command again")
    unread = _check_content(repo, folder, names, files, record)
    # Noted only after all checks, so that an offline session never resolves to a refused commit
    _note_commit(folder, revision or "main", info.sha)
    return Pulled(repo, info.sha, folder, tuple(names), record, unread)


def cached(reference: str) -> Pulled:
    """Returns an adapter's repository from the Hub client's cache, after the checks of `download`.

    Unexpected files are ignored: another program may have downloaded them.

    Raises:
        HubError: The cache does not hold the repository, or it fails a check.
        AdapterError: Its weights are damaged or not finite.
    """
    repo, revision = _split_reference(reference)
    with hub_errors(repo):
        folder = Path(snapshot_download(repo, revision=revision, local_files_only=True))
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    record = _read_card(repo, folder / CARD) if CARD in paths else None
    files = [ListedFile(name, path.stat().st_size) for name, path in sorted(paths.items())]
    names = _expected_names(repo, files, record, skip=True, hint=safety_checks.SKIP)
    unread = _check_content(repo, folder, names, files, record)
    return Pulled(repo, folder.name, folder, tuple(names), record, unread)


def _split_reference(reference: str) -> tuple[str, str | None]:
    """Splits `owner/name@revision` into repository and revision."""
    repo, _, revision = reference.removeprefix("https://huggingface.co/").partition("@")
    return repo, revision or None


def _read_card(repo: str, path: Path) -> Record | None:
    try:
        return Record.read(path)
    except MALFORMED as error:
        detail = f"{type(error).__name__}: {error}"[:300]
        raise HubError(f"{repo} is refused: the metadata of its card cannot be parsed ({detail})") from None


def _expected_names(
    repo: str, files: list[ListedFile], record: Record | None, *, skip: bool, hint: str
) -> list[str]:
    names = safety_checks.check_listing(repo, files, ours=record is not None, skip=skip, hint=hint)
    # A licence may be added to our repositories later, so the card's checksums do not cover it
    return [name for name in names if not (record and name.startswith("LICENSE"))]


def _check_content(
    repo: str, folder: Path, names: list[str], files: list[ListedFile], record: Record | None
) -> tuple[str, ...]:
    unread = safety_checks.check_files(repo, folder, names, {file.name: file.size for file in files})
    if record:
        safety_checks.check_sums(repo, folder, names, record.sha256)
    return unread


def _note_commit(folder: Path, revision: str, commit: str) -> None:
    """Writes the commit of a branch into the Hub client's cache, so that it can be resolved offline."""
    # A download by commit writes no reference, so `cached` would not find the branch
    reference = folder.parents[1] / "refs" / revision
    # A revision is typed by the user and becomes a path: ".." must not lead out of the cache
    if revision != commit and ".." not in Path(revision).parts:
        with suppress(OSError):  # a read-only cache works online
            write_whole(reference, commit.encode())
