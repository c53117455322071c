"""Finds a task's data (explicit file, data folder, package or Hub) and loads it as canonical rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from glob import glob
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

from adapterstilts.data.file_language import (
    holds_several,
    languages_of_file,
    languages_of_template,
    tells_language,
)
from adapterstilts.data.fingerprint import fingerprint, sha256, subsample
from adapterstilts.data.hub import read_hub
from adapterstilts.data.items import HiddenLabelsError, Item, NoRowError, listed_items, unlisted_note
from adapterstilts.data.release_files import read
from adapterstilts.data.retrieval_files import ORIGINS
from adapterstilts.data.row_slices import Span, cut, ended_early, parse_slice
from adapterstilts.data.rows import Row
from adapterstilts.data.table_columns import of_split
from adapterstilts.errors import ConfigError, DataError, MissingDataError, StiltsError
from adapterstilts.paths import expanded
from adapterstilts.tasks.lookup import check_language, get_task
from adapterstilts.tasks.spec import FolderSource, Split, Task
from adapterstilts.values import Value

FOLDER_VARIABLE = "ADAPTERSTILTS_DATA"
SUBFOLDERS = (".", "xtreme", "english", "download")  # XTREME's download script makes `download/`

SourceName = Literal["auto", "folder", "hub", "bundled"]


class DataLocation(Value):
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
            ("dropped"); the number of rows in each language that the task does not list ("unlisted"); that
            labels are hidden, if they are, and the reason; that the file ends inside the
            slice ("ended"); of a mixture, the same of each part.
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
    def notes(self) -> tuple[str, ...]:
        """What a user should know: why rows have no labels, and which of the asked-for rows are missing."""
        places = (self.origin, *self.origin.get("parts", ()))
        notes = [f"no labels: {self.origin['reason']}"] if self.hidden else []
        notes += [f"{part['file']}: {part['ended']}" for part in places if "ended" in part]
        if dropped := self.origin.get("dropped", sum(part.get("dropped", 0) for part in places)):
            notes.append(
                f"{dropped} records are skipped that are no examples, such as those without a gold label"
            )
        notes += [unlisted_note(part["unlisted"]) for part in places if "unlisted" in part]
        return tuple(notes)

    @property
    def place(self) -> str:
        """The file or Hub dataset; of a mixture those of its parts."""
        parts = self.origin.get("parts") or [self.origin]
        return " + ".join(str(each.get("file") or each.get("repo")) for each in parts)


class _Place(NamedTuple):
    kind: str
    name: str  # as it stands in the origin
    paths: tuple[Path, ...]  # read one after the other
    span: Span | None = None
    to_the_end: bool = False  # whether a file that ends inside the slice gives what it has


def load(
    task: Task,
    split: Split,
    language: str,
    location: DataLocation,
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
    check_language(task, language)
    try:
        return collect(task, split, language, location, limit, seed)
    except HiddenLabelsError as error:
        if not hidden or task.parts:
            raise
        reason = error
    try:
        loaded = collect(task.model_copy(update={"hidden": True}), split, language, location, limit, seed)
    except HiddenLabelsError:  # others of its rows have a label: it is no such file, but a damaged one
        raise reason from None
    return replace(loaded, origin={**loaded.origin, "labels": "hidden", "reason": str(reason)})


def collect(
    task: Task, split: Split, language: str, location: DataLocation, limit: int | None = None, seed: int = 1
) -> Loaded:
    """As `load`, in any language: a translation of the task's data may be in one that the task has not."""
    if limit is not None and limit < 1:
        raise ConfigError(f"a limit of {limit} rows leaves nothing: give at least 1")
    opened, origin = _open(task, split, language, location)
    items = list(opened)
    rows = [row for item in items for row in item]
    if not rows:
        why = f": none of its {len(items)} records has a gold label" if items else ""
        raise DataError(
            f"no labelled row of {task.name} in '{language}'{why}",
            str(origin.get("file") or origin.get("repo") or "its parts"),
        )
    if origin.get("slice") and (ended := ended_early(origin["slice"], len(items))):
        origin["ended"] = ended
    kept = _limited(rows, limit, seed)
    counts = {"limit": limit, "seed": seed if limit else None, "dropped": items.count(()), "rows": len(kept)}
    return Loaded(kept, {**origin, **counts}, fingerprint(kept))


def available(task: Task, split: Split, location: DataLocation, *, hidden: bool = False) -> tuple[str, ...]:
    """The task's languages whose labelled data is at hand, in the task's order.

    Files that come without labels (XTREME's test files) count only if `hidden` is set. Of an explicit file
    whose name holds no `{lang}`, the language is the one whose code stands in its name. The Hub counts where
    nothing else was given to look in; it is not asked, so that its entry is taken at its word.

    Raises:
        MissingDataError: an explicit file, or the data folder, is not there.
    """
    if location.file is None and (location.source == "hub" or _only_hub(task, location)):
        return _on_hub(task, split)
    candidates = _candidates(task, location)
    found = tuple(code for code in candidates if _at_hand(task, split, code, location, hidden))
    if location.file is not None and not found:
        _open(task, split, task.languages[0], location)  # says so if there is no such file
    return found


def _only_hub(task: Task, location: DataLocation) -> bool:
    return location.source == "auto" and not task.bundled and not _roots(location, task)


def _on_hub(task: Task, split: Split) -> tuple[str, ...]:
    if task.parts:
        parts = [_on_hub(get_task(part), split) for part in task.parts]
        return tuple(code for code in task.languages if all(code in found for found in parts))
    if task.hub is None or split not in task.hub.splits or _offline():
        return ()
    return tuple(each for each in task.languages if each in (task.hub.languages or task.languages))


def _candidates(task: Task, location: DataLocation) -> tuple[str, ...]:
    if location.file is None or "{lang}" in location.file or len(task.languages) == 1:
        return task.languages
    return languages_of_file(parse_slice(location.file, _roots(location, task))[0], task)


def _at_hand(task: Task, split: Split, language: str, location: DataLocation, hidden: bool) -> bool:
    if task.parts and location.file is None:
        return all(_at_hand(get_task(part), split, language, location, hidden) for part in task.parts)
    place = _find(task, split, language, location, [])
    if place is None or place.kind != "folder":
        return place is not None
    try:
        next(read(place.paths[0], _narrowed(task, split, location), language), None)
    except HiddenLabelsError:
        return hidden
    except MissingDataError:  # of a file of several languages
        return False
    except StiltsError:
        pass  # it is at hand; `load` says what is wrong with it
    return True


def _narrowed(task: Task, split: Split, location: DataLocation) -> Task:
    """The task as the split reads it: of a file that is given explicitly, every row is taken."""
    return of_split(task, None if location.file else split)


def _open(
    task: Task, split: Split, language: str, location: DataLocation
) -> tuple[Iterator[Item], dict[str, Any]]:
    if task.parts and location.file is None:
        return _mixture(task, split, language, location)
    tried: list[str] = []
    task = _narrowed(task, split, location)
    place = _find(task, split, language, location, tried)
    if place:
        origin = {"kind": place.kind, "file": place.name, "slice": list(place.span) if place.span else None}
        origin["sha256"] = sha256(place.paths)
        if task.form in ORIGINS:
            origin |= ORIGINS[task.form](place.paths[0], task, language)
        items = _unique(_chained(place.paths, task, language, origin))
        return cut(items, place.span, place.paths[-1], place.to_the_end), origin
    if location.file is not None:
        raise MissingDataError(tried[0])
    if location.source in ("auto", "hub"):
        try:
            if _offline():
                raise MissingDataError("the Hub was not asked, since HF_HUB_OFFLINE is set")
            dataset = read_hub(task, split, language, location.revision)
            origin = {"kind": "hub", **dataset.origin}
            return _unique(listed_items(dataset.items, origin)), origin
        except MissingDataError as error:
            tried.append(str(error))
    raise _missing(task, split, language, tried)


def _chained(paths: Sequence[Path], task: Task, language: str, origin: dict[str, Any]) -> Iterator[Item]:
    """The records of all files; one without any row is an error only where the others have none either."""
    empty: NoRowError | None = None
    held = False
    for path in paths:
        try:
            for item in listed_items(read(path, task, language), origin):
                held = True
                yield item
        except NoRowError as error:
            empty = empty or error
    if empty and not held:
        raise empty


def _mixture(
    task: Task, split: Split, language: str, location: DataLocation
) -> tuple[Iterator[Item], dict[str, Any]]:
    """The rows of all parts in order, their ids led by the part's name."""
    if location.revision:
        raise ConfigError(
            f"{task.name} joins {', '.join(task.parts)}, which one revision cannot name: leave "
            "--data-revision out, or pin each of them in a lock file (adapterstilts tasks lock)"
        )
    joined: list[Item] = []
    origins = []
    for name in task.parts:
        try:
            found, origin = _open(get_task(name), split, language, location)
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


def _find(task: Task, split: Split, language: str, location: DataLocation, tried: list[str]) -> _Place | None:
    """The file to read, if there is one; what was looked for in vain is added to `tried`."""
    if location.file is not None:
        return _explicit(task, language, location.file, location, tried)
    if location.data_dir:
        _roots(location, task)  # refuses a folder that does not exist, although bundled data may not need it
    if task.bundled and location.source in ("auto", "bundled"):
        package = Path(str(resources.files("adapterstilts").joinpath("data"))).parent
        found = _in_folder(task, task.bundled, split, language, (package,), tried)
        return found and found._replace(kind="bundled")
    if task.folder and location.source in ("auto", "folder"):
        roots = _roots(location, task)
        if not roots:
            tried.append("no data folder is given")
        return _in_folder(task, task.folder, split, language, roots, tried)
    return None


def _explicit(
    task: Task, language: str, template: str, location: DataLocation, tried: list[str]
) -> _Place | None:
    """An explicit file; a relative path counts from the current folder, then from the data folder."""
    roots = _roots(location, task)
    template, span = parse_slice(template, roots)
    codes = task.folder.codes if task.folder else {}
    names = dict.fromkeys(
        template.replace("{lang}", code) for code in (language, codes.get(language, language))
    )
    for name in names:
        for root in (Path(), *roots):
            path = root / expanded(name)
            if path.is_file():
                return _Place("file", name, (path,), span, to_the_end="{lang}" in template)
    language_of = f" (for {task.name} in '{language}')" if "{lang}" in template else ""
    tried.append(f"there is no file {' or '.join(names)}{language_of}")
    return None


def _roots(location: DataLocation, task: Task) -> tuple[Path, ...]:
    """The folders that templates are relative to: a task of one's own has its definition's before all."""
    own = (Path(task.base),) if task.base else ()
    given = location.data_dir or os.environ.get(FOLDER_VARIABLE)
    if not given:
        return own
    base = expanded(given)
    if not base.is_dir():
        who = "--data-dir" if location.data_dir else FOLDER_VARIABLE
        raise MissingDataError(f"the data folder {base} (from {who}) is not there")
    return (*own, *(base / sub for sub in SUBFOLDERS if (base / sub).is_dir()))


def _in_folder(
    task: Task, source: FolderSource, split: Split, language: str, roots: Sequence[Path], tried: list[str]
) -> _Place | None:
    """The first file that is there; one whose name tells no language may hold all, or is in English."""
    names = [
        template
        for template in source.files.get(split, ())
        if "{lang}" in template or language in languages_of_template(template, task, split)
    ]
    code = source.codes.get(language, language)
    for root in roots:
        for template in names:
            name, span = parse_slice(template.replace("{lang}", code), (root,))
            paths = _files(root, name)
            if paths and not _in_language(paths, template, task, split, language):
                tried.append(
                    f"{paths[0]} does not name its language: write {{lang}} in place of the language code"
                )
            elif paths:
                return _Place("folder", name, paths, span, to_the_end="{lang}" in template)
    if names and roots:
        shown = " or ".join(name.replace("{lang}", code) for name in names)
        tried.append(f"no {shown} in {' or '.join(map(str, roots))}")
    return None


def _in_language(paths: Sequence[Path], template: str, task: Task, split: Split, language: str) -> bool:
    """Whether the files can be in the language: not if they are of one that nothing tells."""
    if not task.base or len(task.languages) == 1 or "{lang}" in template or not holds_several(task):
        return True
    if len(languages_of_template(template, task, split)) == 1 or tells_language(paths[0], task):
        return True
    return split == "dev" and language == "en"


def _files(root: Path, name: str) -> tuple[Path, ...]:
    """The files that a template's name stands for; none where one of its parts is not there."""
    if (root / name).is_file():
        return (root / name,)
    parts = name.split("+")
    found = [sorted(glob(part, root_dir=root)) for part in parts]  # noqa: PTH207 (Path's refuses absolute ones)
    paths = [[root / name for name in names if (root / name).is_file()] for names in found]  # no pipes
    return tuple(path for group in paths for path in group) if all(paths) else ()


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
