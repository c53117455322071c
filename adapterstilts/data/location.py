"""Where a task's data may come from, and the search for its files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from adapterstilts.data.file_language import holds_several, names_language
from adapterstilts.data.items import Item
from adapterstilts.errors import ConfigError, DataError, MissingDataError
from adapterstilts.paths import expanded
from adapterstilts.tasks.plain_text import codes_in_name
from adapterstilts.tasks.spec import FolderSource, Split, Task
from adapterstilts.values import Value

FOLDER_VARIABLE = "ADAPTERSTILTS_DATA"
SUBFOLDERS = (".", "xtreme", "english", "download")  # XTREME's download script creates `download/`

SourceName = Literal["auto", "folder", "hub", "bundled"]


class DataLocation(Value):
    """Where data may come from.

    Attributes:
        data_dir: Folder in the layout of XTREME's download, or with the subfolders `xtreme/` and `english/`.
            Defaults to the environment variable ADAPTERSTILTS_DATA.
        file: Explicit file in the release's format. Overrides every other source. May contain `{lang}`, and
            may end in `#first-last`, a range of rows counted from 1, both ends included.
        source: Kind of source. "auto" tries bundled data, the folder and the Hub, in this order.
        revision: Commit, tag or branch of the Hub dataset.
    """

    data_dir: Path | None = None
    file: str | None = None
    source: SourceName = "auto"
    revision: str | None = None

    def folders(self, task: Task) -> tuple[Path, ...]:
        """Returns the folders that paths are relative to; the folder of a task's YAML file comes first.

        Raises:
            MissingDataError: The data folder does not exist.
        """
        task_folder = (Path(task.base),) if task.base else ()
        data_dir = self.data_dir or os.environ.get(FOLDER_VARIABLE)
        if not data_dir:
            return task_folder
        base = expanded(data_dir)
        if not base.is_dir():
            setting = "--data-dir" if self.data_dir else FOLDER_VARIABLE
            raise MissingDataError(f"the data folder {base} (from {setting}) does not exist")
        return (*task_folder, *(base / name for name in SUBFOLDERS if (base / name).is_dir()))


class Span(NamedTuple):
    """Rows of a file, counted from 1, both ends included."""

    first: int
    last: int

    @staticmethod
    def parse(template: str, roots: Sequence[Path] = ()) -> tuple[str, Span | None]:
        """Splits a path into the path itself and the rows of its `#first-last` suffix.

        Args:
            roots: Folders that the path may be relative to, in addition to the current one.

        Raises:
            ConfigError: The suffix is not two row numbers in order.
        """
        path, mark, rows = template.rpartition("#")
        # A file name may contain `#` itself
        if not mark or re.search(r"[/.{]", rows):
            return template, None
        if any((root / expanded(template)).is_file() for root in (Path(), *roots)):
            return template, None
        numbers = re.fullmatch(r"([0-9]{1,12})-([0-9]{1,12})", rows)
        span = Span(int(numbers[1]), int(numbers[2])) if numbers else None
        if span is None or not 1 <= span.first <= span.last:
            raise ConfigError(
                f"{template}: a range of rows is #first-last, counted from 1 (such as #1-2000), not #{rows}"
            )
        return path, span


@dataclass(frozen=True)
class Place:
    """The files that hold a split in one language.

    Attributes:
        kind: "file" (explicit), "folder" or "bundled".
        name: Path as recorded in the origin.
        paths: Files, read one after the other.
        span: Rows to read. None for all.
        may_end_early: Whether a file may end inside the span.
    """

    kind: Literal["file", "folder", "bundled"]
    name: str
    paths: tuple[Path, ...]
    span: Span | None
    may_end_early: bool

    def cut(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yields the records of the span; rows beyond it are not even read.

        Raises:
            DataError: The file ends before the span begins, or inside it.
        """
        if self.span is None:
            yield from items
            return
        position = self.span.first - 1
        for item in islice(items, self.span.first - 1, self.span.last):
            position += 1
            yield item
        if position < (self.span.first if self.may_end_early else self.span.last):
            rows = f"{self.span.first}-{self.span.last}"
            raise DataError(f"rows {rows} were requested, but the file has fewer", self.paths[-1])


@dataclass(frozen=True)
class Search:
    """The result of a search for one split in one language.

    Attributes:
        place: Files that were found. None without any.
        tried: Places searched without success, as parts of an error message.
    """

    place: Place | None
    tried: tuple[str, ...] = ()

    @staticmethod
    def run(task: Task, split: Split, language: str, location: DataLocation) -> Search:
        """Finds the files of a split in one language: an explicit file, bundled data or the data folder.

        Raises:
            ConfigError: The range of rows of a path is not valid.
            MissingDataError: The data folder does not exist.
        """
        if location.file is not None:
            return _find_explicit(task, language, location.file, location.folders(task))
        if location.data_dir:
            location.folders(task)  # a missing folder is an error even if bundled data is used
        if task.bundled and location.source in ("auto", "bundled"):
            package = Path(str(resources.files("adapterstilts").joinpath("data"))).parent
            return _find_in_folders(task, task.bundled, split, language, (package,), "bundled")
        if task.folder and location.source in ("auto", "folder"):
            if folders := location.folders(task):
                return _find_in_folders(task, task.folder, split, language, folders, "folder")
            return Search(None, ("no data folder was specified",))
        return Search(None)


def _find_explicit(task: Task, language: str, template: str, folders: Sequence[Path]) -> Search:
    template, span = Span.parse(template, folders)
    codes = task.folder.codes if task.folder else {}
    spellings = (language, codes.get(language, language))
    names = dict.fromkeys(template.replace("{lang}", code) for code in spellings)
    for name in names:
        # A relative path counts from the current folder first, then from the data folders
        for folder in (Path(), *folders):
            path = folder / expanded(name)
            if path.is_file():
                return Search(Place("file", name, (path,), span, may_end_early="{lang}" in template))
    suffix = f" (for {task.name} in '{language}')" if "{lang}" in template else ""
    return Search(None, (f"there is no file {' or '.join(names)}{suffix}",))


def _find_in_folders(
    task: Task,
    source: FolderSource,
    split: Split,
    language: str,
    folders: Sequence[Path],
    kind: Literal["folder", "bundled"],
) -> Search:
    templates = [
        template
        for template in source.files.get(split, ())
        if "{lang}" in template or language in _languages_of_template(template, task, split)
    ]
    code = source.codes.get(language, language)
    tried = []
    for folder in folders:
        for template in templates:
            name, span = Span.parse(template.replace("{lang}", code), (folder,))
            paths = _expand(folder, name)
            if paths and not _may_be_in(language, paths[0], template, task, split):
                tried.append(
                    f"{paths[0]} does not name its language: write {{lang}} in place of the language code"
                )
            elif paths:
                return Search(Place(kind, name, paths, span, may_end_early="{lang}" in template))
    if templates and folders:
        names = " or ".join(template.replace("{lang}", code) for template in templates)
        tried.append(f"no {names} in {' or '.join(map(str, folders))}")
    return Search(None, tuple(tried))


def _may_be_in(language: str, path: Path, template: str, task: Task, split: Split) -> bool:
    """Whether the file can be in the language; False for a file of a custom task without any sign of it."""
    if not task.base or len(task.languages) == 1 or "{lang}" in template or not holds_several(task):
        return True
    if len(_languages_of_template(template, task, split)) == 1 or names_language(path, task):
        return True
    return split == "dev" and language == "en"  # development data is English by definition


def _expand(folder: Path, name: str) -> tuple[Path, ...]:
    """Returns the files of a template: its parts joined by `+`, each a path or a glob. All must exist."""
    if (folder / name).is_file():
        return (folder / name,)
    # Path.glob refuses absolute patterns
    matches = [sorted(glob(part, root_dir=folder)) for part in name.split("+")]  # noqa: PTH207
    # `is_file` skips named pipes, which would block
    paths = [[folder / match for match in part if (folder / match).is_file()] for part in matches]
    return tuple(path for part in paths for path in part) if all(paths) else ()


def _languages_of_template(template: str, task: Task, split: Split) -> tuple[str, ...]:
    """Returns the possible languages of a file without `{lang}` in its template.

    Training data is English by definition, as is development data, unless the file shows another language.
    """
    codes = codes_in_name(template, task.languages)
    if split == "train" and (not codes or "en" in codes):
        return ("en",)
    if codes:
        return codes
    if split == "dev" and task.base and not holds_several(task):
        return ("en",)
    return task.languages
