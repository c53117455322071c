"""Finds a task's data (explicit file, data folder, package or Hub) and loads it as canonical rows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from glob import glob
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from adapterstilts.data.files import read
from adapterstilts.data.fingerprint import fingerprint, sha256, subsample
from adapterstilts.data.hub import read_hub
from adapterstilts.data.items import HiddenLabelsError, Item
from adapterstilts.data.retrieval_files import ORIGINS
from adapterstilts.data.rows import Row
from adapterstilts.data.table import of_split
from adapterstilts.errors import ConfigError, DataError, MissingDataError, StiltsError
from adapterstilts.tasks import registry
from adapterstilts.tasks.spec import FolderSource, Split, Task
from adapterstilts.values import Value

FOLDER_VARIABLE = "ADAPTERSTILTS_DATA"
SUBFOLDERS = (".", "xtreme", "english", "download")  # XTREME's download script makes `download/`

SourceName = Literal["auto", "folder", "hub", "bundled"]


class Where(Value):
    """Where data may come from.

    Attributes:
        data_dir: a folder in the layout of XTREME's download, or one that holds `xtreme/` and `english/`;
            the environment's ADAPTERSTILTS_DATA by default.
        file: a file in the release's form, before all else; may hold `{lang}`, and may end in
            `#first-last`, rows of the file counted from 1, both included.
        source: "auto" tries bundled data, the folder and the Hub, in this order.
        revision: commit, tag or branch of the Hub dataset.
    """

    data_dir: Path | None = None
    file: str | None = None
    source: SourceName = "auto"
    revision: str | None = None


@dataclass(frozen=True)
class Loaded:
    """Rows with their origin.

    Attributes:
        origin: kind of source, file (and its SHA-256) or Hub dataset with its commit, slice, limit, the
            number of rows, and of records left out because the release itself gives them no gold label
            ("dropped"); that labels are hidden, if they are; of a mixture, the same of each part.
        fingerprint: SHA-256 over the rows; the same rows have the same one wherever they came from.
    """

    rows: tuple[Row, ...]
    origin: Mapping[str, Any]
    fingerprint: str

    @property
    def hidden(self) -> bool:
        """Whether the rows have no labels, as the release hands them out."""
        return self.origin.get("labels") == "hidden"

    @property
    def place(self) -> str:
        """The file or Hub dataset; of a mixture those of its parts."""
        parts = self.origin.get("parts") or [self.origin]
        return " + ".join(str(each.get("file") or each.get("repo")) for each in parts)


class Span(NamedTuple):
    """Rows of a file, counted from 1, both ends included."""

    first: int
    last: int


class _Place(NamedTuple):
    kind: str
    name: str  # as it stands in the origin
    paths: tuple[Path, ...]  # read one after the other
    span: Span | None = None


def load(
    task: Task,
    split: Split,
    language: str,
    where: Where,
    limit: int | None = None,
    seed: int = 1,
    *,
    hidden: bool = False,
) -> Loaded:
    """A task's rows in one language, which have labels.

    Args:
        hidden: rows of a file that is handed out without labels are given as they are; else, and if only some
            of its rows have none, that is an error.
        limit: at most this many rows: a seeded subsample in the original order. In retrieval it counts
            queries; all candidates stay.

    Raises:
        ConfigError: a language that the task does not have, or a limit below 1.
        DataError: the data is not what it should be; file and line are named.
        MissingDataError: what was looked for where, and how to provide it.
    """
    registry.check_language(task, language)
    try:
        return collect(task, split, language, where, limit, seed)
    except HiddenLabelsError as error:
        if not hidden or task.parts:
            raise
        known = error
    try:
        found = collect(task.model_copy(update={"hidden": True}), split, language, where, limit, seed)
    except HiddenLabelsError:  # others of its rows have a label: it is no such file, but a damaged one
        raise known from None
    return replace(found, origin={**found.origin, "labels": "hidden"})


def collect(
    task: Task, split: Split, language: str, where: Where, limit: int | None = None, seed: int = 1
) -> Loaded:
    """As `load`, in any language: a translation of the task's data may be in one that the task has not."""
    if limit is not None and limit < 1:
        raise ConfigError(f"a limit of {limit} rows leaves nothing: give at least 1")
    items, origin = _open(task, split, language, where)
    found = list(items)
    rows = [row for item in found for row in item]
    if not rows:
        raise DataError(
            f"no labelled row of {task.name} in '{language}'",
            str(origin.get("file") or origin.get("repo") or "its parts"),
        )
    kept = _limited(rows, limit, seed)
    counts = {"limit": limit, "seed": seed if limit else None, "dropped": found.count(()), "rows": len(kept)}
    return Loaded(kept, {**origin, **counts}, fingerprint(kept))


def available(task: Task, split: Split, where: Where, *, hidden: bool = False) -> tuple[str, ...]:
    """The task's languages whose labelled data is at hand, in the task's order.

    Files that come without labels (XTREME's test files) count only if `hidden` is set. Of an explicit file
    whose name holds no `{lang}`, the language is the one whose code stands in its name. The Hub counts where
    nothing else was given to look in; it is not asked, so that its entry is taken at its word.

    Raises:
        MissingDataError: an explicit file, or the data folder, is not there.
    """
    if where.file is None and (where.source == "hub" or _only_hub(task, where)):
        return _on_hub(task, split)
    candidates = _candidates(task, where)
    found = tuple(code for code in candidates if _at_hand(task, split, code, where, hidden))
    if where.file is not None and not found:
        _open(task, split, task.languages[0], where)  # says so if there is no such file
    return found


def _only_hub(task: Task, where: Where) -> bool:
    return where.source == "auto" and not task.bundled and not _roots(where, task)


def _on_hub(task: Task, split: Split) -> tuple[str, ...]:
    if task.parts:
        parts = [_on_hub(registry.get(part), split) for part in task.parts]
        return tuple(code for code in task.languages if all(code in found for found in parts))
    if task.hub is None or split not in task.hub.splits or _offline():
        return ()
    return tuple(each for each in task.languages if each in (task.hub.languages or task.languages))


def _candidates(task: Task, where: Where) -> tuple[str, ...]:
    if where.file is None or "{lang}" in where.file or len(task.languages) == 1:
        return task.languages
    return _named(where.file, task.languages, task.folder.codes if task.folder else {})


def _named(file: str, languages: tuple[str, ...], codes: Mapping[str, str]) -> tuple[str, ...]:
    """The languages whose code stands in the file's name."""
    parts = set(re.split(r"[^a-z]+", Path(file).name))
    return tuple(each for each in languages if parts & {each, codes.get(each, each)})


def _at_hand(task: Task, split: Split, language: str, where: Where, hidden: bool) -> bool:
    if task.parts and where.file is None:
        return all(_at_hand(registry.get(part), split, language, where, hidden) for part in task.parts)
    place = _find(task, split, language, where, [])
    if place is None or place.kind != "folder":
        return place is not None
    try:
        next(read(place.paths[0], _narrowed(task, split, where), language), None)
    except HiddenLabelsError:
        return hidden
    except MissingDataError:  # of a file of several languages
        return False
    except StiltsError:
        pass  # it is at hand; `load` says what is wrong with it
    return True


def _narrowed(task: Task, split: Split, where: Where) -> Task:
    """The task as the split reads it: of a file that is given explicitly, every row is taken."""
    return of_split(task, None if where.file else split)


def _open(task: Task, split: Split, language: str, where: Where) -> tuple[Iterator[Item], dict[str, Any]]:
    if task.parts and where.file is None:
        return _mixture(task, split, language, where)
    tried: list[str] = []
    task = _narrowed(task, split, where)
    place = _find(task, split, language, where, tried)
    if place:
        origin = {"kind": place.kind, "file": place.name, "slice": list(place.span) if place.span else None}
        origin["sha256"] = sha256(place.paths)
        if task.form in ORIGINS:
            origin |= ORIGINS[task.form](place.paths[0], task, language)
        found = (item for path in place.paths for item in read(path, task, language))
        return _cut(_unique(found), place), origin
    if where.file is not None:
        raise MissingDataError(tried[0])
    if where.source in ("auto", "hub"):
        try:
            if _offline():
                raise MissingDataError("the Hub was not asked, since HF_HUB_OFFLINE is set")
            dataset = read_hub(task, split, language, where.revision)
            return _unique(dataset.items), {"kind": "hub", **dataset.origin}
        except MissingDataError as error:
            tried.append(str(error))
    raise _missing(task, split, language, tried)


def _mixture(task: Task, split: Split, language: str, where: Where) -> tuple[Iterator[Item], dict[str, Any]]:
    """The rows of all parts in order, their ids led by the part's name."""
    if where.revision:
        raise ConfigError(
            f"{task.name} joins {', '.join(task.parts)}, which one revision cannot name: leave "
            "--data-revision out, or pin each of them in a lock file (adapterstilts tasks lock)"
        )
    joined: list[Item] = []
    origins = []
    for name in task.parts:
        try:
            found, origin = _open(registry.get(name), split, language, where)
        except MissingDataError as error:
            raise MissingDataError(f"{task.name} joins {', '.join(task.parts)}, but: {error}") from None
        items = [tuple(replace(row, id=f"{name}/{row.id}") for row in item) for item in found]
        counts = {"rows": sum(map(len, items)), "dropped": items.count(())}
        origins.append({"task": name, **origin, **counts})
        joined += items
    return iter(joined), {"kind": "mixture", "parts": origins}


def _missing(task: Task, split: Split, language: str, tried: list[str]) -> MissingDataError:
    if split == "train" and task.trained_on != task.name:
        own = f"it is trained on {task.trained_on}" if task.trained_on else "nothing trains it"
        return MissingDataError(f"{task.name} has no training data of its own: {own}")
    option = "--train-file" if split == "train" else "--eval-file"
    return MissingDataError(
        f"no {split} data of {task.name} in '{language}' is at hand. Wanted is {task.obtain} "
        f"Looked in vain: {'; '.join(tried) or 'nowhere'}. Give it with "
        f"--data-dir FOLDER (or {FOLDER_VARIABLE}) or {option} PATH."
    )


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _find(task: Task, split: Split, language: str, where: Where, tried: list[str]) -> _Place | None:
    """The file to read, if there is one; what was looked for in vain is added to `tried`."""
    if where.file is not None:
        return _explicit(task, language, where.file, where, tried)
    if task.bundled and where.source in ("auto", "bundled"):
        package = Path(str(resources.files("adapterstilts").joinpath("data"))).parent
        found = _in_folder(task, task.bundled, split, language, (package,), tried)
        return found and found._replace(kind="bundled")
    if task.folder and where.source in ("auto", "folder"):
        roots = _roots(where, task)
        if not roots:
            tried.append("no data folder is given")
        return _in_folder(task, task.folder, split, language, roots, tried)
    return None


def _explicit(task: Task, language: str, template: str, where: Where, tried: list[str]) -> _Place | None:
    """An explicit file; a relative path counts from the current folder, then from the data folder."""
    template, span = parse_slice(template)
    codes = task.folder.codes if task.folder else {}
    names = dict.fromkeys(
        template.replace("{lang}", code) for code in (language, codes.get(language, language))
    )
    for name in names:
        for root in (Path(), *_roots(where, task)):
            if (root / Path(name).expanduser()).is_file():
                return _Place("file", name, (root / Path(name).expanduser(),), span)
    tried.append(f"there is no file {' or '.join(names)} (for {task.name} in '{language}')")
    return None


def parse_slice(template: str) -> tuple[str, Span | None]:
    """Takes `#first-last` off a path.

    Raises:
        ConfigError: what follows `#` is not two row numbers in order.
    """
    path, mark, rows = template.rpartition("#")
    if not mark or "/" in rows or Path(template).is_file():
        return template, None
    found = re.fullmatch(r"(\d+)-(\d+)", rows)
    span = Span(int(found[1]), int(found[2])) if found else None
    if span is None or not 1 <= span.first <= span.last:
        raise ConfigError(f"{template}: rows are given as #first-last, from 1 on (#1-2000), not as #{rows}")
    return path, span


def _roots(where: Where, task: Task) -> tuple[Path, ...]:
    """The folders that templates are relative to: a task of one's own has its definition's before all."""
    own = (Path(task.base),) if task.base else ()
    given = where.data_dir or os.environ.get(FOLDER_VARIABLE)
    if not given:
        return own
    base = Path(given).expanduser()
    if not base.is_dir():
        who = "--data-dir" if where.data_dir else FOLDER_VARIABLE
        raise MissingDataError(f"the data folder {base} (from {who}) is not there")
    return (*own, *(base / sub for sub in SUBFOLDERS if (base / sub).is_dir()))


def _in_folder(
    task: Task, source: FolderSource, split: Split, language: str, roots: Sequence[Path], tried: list[str]
) -> _Place | None:
    """The first file that is there; one whose name tells no language may hold all, or trains in English."""
    unnamed = ("en",) if split == "train" else task.languages
    names = [
        template.replace("{lang}", source.codes.get(language, language))
        for template in source.files.get(split, ())
        if "{lang}" in template or language in (_named(template, task.languages, {}) or unnamed)
    ]
    for root in roots:
        for name, span in map(parse_slice, names):
            if paths := _files(root, name):
                return _Place("folder", name, paths, span)
    if names and roots:
        tried.append(f"no {' or '.join(names)} in {' or '.join(map(str, roots))}")
    return None


def _files(root: Path, name: str) -> tuple[Path, ...]:
    """The files that a template's name stands for; none where one of its parts is not there."""
    if (root / name).is_file():
        return (root / name,)
    parts = name.split("+")
    found = [sorted(glob(part, root_dir=root)) for part in parts]  # noqa: PTH207 (Path's refuses absolute ones)
    return tuple(root / each for names in found for each in names) if all(found) else ()


def _cut(items: Iterator[Item], place: _Place) -> Iterator[Item]:
    """The records of the slice; rows beyond it are not even read."""
    if place.span is None:
        yield from items
        return
    first, last = place.span
    read_so_far = first - 1
    for item in islice(items, first - 1, last):
        read_so_far += 1
        yield item
    if read_so_far < last:
        raise DataError(f"rows {first}-{last} are asked for, but there are fewer", place.paths[-1])


def _unique(items: Iterator[Item]) -> Iterator[Item]:
    """The same records with ids that differ: of an id that repeats, later rows get `#2`, `#3` and so on."""
    times: dict[str, int] = {}
    for item in items:
        rows = []
        for row in item:
            row_id = row.id
            while row_id in times:
                times[row.id] += 1
                row_id = f"{row.id}#{times[row.id]}"
            times[row_id] = 1
            rows.append(row if row_id == row.id else replace(row, id=row_id))
        yield tuple(rows)


def _limited(rows: list[Row], limit: int | None, seed: int) -> tuple[Row, ...]:
    countable = [n for n, row in enumerate(rows) if getattr(row, "side", "query") == "query"]
    kept = {countable[n] for n in subsample(len(countable), limit, seed)}
    skipped = set(countable) - kept
    return tuple(row for n, row in enumerate(rows) if n not in skipped)
