"""Finds out which targets and languages of a grid have data, and builds the plan from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from adapterstilts.data.load import DataIndex, DataLocation, SourceName, find_data
from adapterstilts.data.location import Span
from adapterstilts.errors import ConfigError, MissingDataError
from adapterstilts.grid.config import GridConfig, Problem, stages
from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.plan import EvalScope, Plan, expand
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.known_backbones import NAMES
from adapterstilts.paths import expanded
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.multitask import split_name
from adapterstilts.tasks.spec import Split, Task
from adapterstilts.tasks.suites import suite_languages


@dataclass
class DataSearch:
    """Finds out which data exists, without reading it, and remembers the results.

    One verb uses one search: a grid asks for the same data many times, and on a network file system each
    search is slow. A longer life would miss files that appear in between.
    """

    _indexes: dict[tuple[str, str, DataLocation], DataIndex] = field(default_factory=dict)

    def languages(
        self, task: Task, split: Split, location: DataLocation, *, hidden: bool = False
    ) -> tuple[str, ...]:
        """Returns the languages whose data was found; see `DataIndex.languages`.

        Raises:
            MissingDataError: An explicit file or the data folder does not exist.
        """
        # A custom task may have the name of a bundled one, so its folder is part of the key
        key = (task.base or "", task.name, location)
        if key not in self._indexes:
            self._indexes[key] = find_data(task, location)
        return self._indexes[key].languages(split, hidden=hidden)

    def find_languages(
        self, task: Task, split: Split, location: DataLocation, *, hidden: bool = False
    ) -> tuple[str, ...]:
        """Like `languages`, but a missing file or folder counts as no languages."""
        try:
            return self.languages(task, split, location, hidden=hidden)
        except MissingDataError:
            return ()


def build_plan(grid_config: GridConfig, search: DataSearch) -> Plan:
    """Returns the plan of a grid config for the targets and languages that have data.

    Raises:
        BackboneError: A backbone folder does not hold a backbone.
        ConfigError: Settings that have no effect; see `expand`.
        MissingDataError: No data for an explicit target; see `find_scopes`.
    """
    scopes, skipped = find_scopes(grid_config, search)
    # Weights in a folder may change under its name, so its fingerprint becomes part of every job
    folders = {backbone.name for backbone in grid_config.backbones if BackboneFiles.is_folder(backbone.name)}
    fingerprints = {name: BackboneFiles.locate(name).fingerprint for name in folders}
    return expand(grid_config, scopes, skipped, fingerprints=fingerprints)


def check_files(grid_config: GridConfig) -> Iterator[Problem]:
    """Checks the paths and row ranges (`#FIRST-LAST`) of explicit files; for `load_config`."""
    for name, files in grid_config.files.items():
        for role, path in files.model_dump(exclude_none=True).items():
            try:
                Span.parse(path)
                expanded(path).exists()
            # `exists` raises an OSError for a name that is too long, and others for one with a NUL or `~user`
            except (ConfigError, OSError, ValueError, RuntimeError) as error:
                yield ("files", name, role), str(error)


def find_scopes(grid_config: GridConfig, search: DataSearch) -> tuple[dict[str, EvalScope], dict[str, str]]:
    """Returns the targets to evaluate, and the skipped targets of the suite with the reasons.

    Raises:
        MissingDataError: An explicit target has no data, or none of the configured languages; or no target
            remains.
    """
    scopes: dict[str, EvalScope] = {}
    skipped: dict[str, str] = {}
    for name in grid_config.all_targets:
        try:
            scopes[name] = _scope(grid_config, name, search)
        # A suite is evaluated as far as possible, but an explicit target without data is a mistake
        except MissingDataError as error:
            if name in grid_config.targets:
                raise
            skipped[name] = str(error)
    if not scopes:
        reason = next(iter(skipped.values()))
        raise MissingDataError(f"none of the grid's targets can be evaluated. The first reason: {reason}")
    return scopes, skipped


def find_missing_data(plan: Plan, search: DataSearch) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Returns the trained tasks whose English data was not found, and target -> languages without data."""
    tasks = set()
    for job in plan.trainings.values():
        for name in split_name(job.task) if job.settings.hyperparameters else ():
            if not search.find_languages(get_task(name), "train", _location(job, name)):
                tasks.add(name)
    # Seeds and transfers of one target read the same data
    cells = {(cell.target, cell.reference, cell.split, cell.settings.eval_file): cell for cell in plan.cells}
    targets: dict[str, tuple[str, ...]] = {}
    for cell in cells.values():
        settings = cell.settings
        location = DataLocation(data_dir=settings.data_dir, file=settings.eval_file, source=settings.source)
        task = get_task(cell.reference)
        codes = _not_in(cell.languages, search.find_languages(task, cell.split, location))
        # Test files without labels can be evaluated as well: their predictions are for a submission
        if codes:
            codes = _not_in(codes, search.find_languages(task, cell.split, location, hidden=True))
        if codes:
            targets[cell.target] = codes
    return sorted(tasks), targets


def pin_to_local_data(job: JobSpec, search: DataSearch) -> JobSpec | None:
    """Returns the job with its source set to where its data was found. None if it requires a download."""
    settings = job.settings
    backbone = NAMES.get(settings.backbone)
    # A revision is one of the Hub, even for a backbone whose weights are part of the package
    embedded = backbone and backbone.embedded and settings.revision is None
    if not (embedded or BackboneFiles.is_folder(settings.backbone)):
        return None
    reads_data = job.language or settings.hyperparameters
    tasks = [get_task(name) for name in split_name(job.task)] if reads_data else []
    sources: tuple[SourceName, ...] = (
        ("bundled", "folder") if settings.source == "auto" else (settings.source,)
    )
    # Pinned, so that the timed job cannot fall back to a download
    for source in sources:
        pinned = job._replace(settings=settings.model_copy(update={"source": source}))
        if source != "hub" and all(_has_data(task, pinned, search) for task in tasks):
            return pinned
    return None


def _location(job: JobSpec, task: str) -> DataLocation:
    """Returns the location of the training data of one of a job's tasks, or of its evaluation data."""
    settings = job.settings
    train_file = settings.train_file or settings.train_files.get(task)
    file = settings.eval_file if job.language else train_file
    return DataLocation(data_dir=settings.data_dir, file=file, source=settings.source)


def _has_data(task: Task, job: JobSpec, search: DataSearch) -> bool:
    codes = search.find_languages(task, job.split or "train", _location(job, task.name), hidden=True)
    return bool(codes) and job.language in ("", *codes)


def _not_in(codes: tuple[str, ...], found_codes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(code for code in codes if code not in found_codes)


def _scope(grid_config: GridConfig, name: str, search: DataSearch) -> EvalScope:
    """Returns the split and languages of one target."""
    task = get_task(name)
    choice, in_suite = grid_config.languages_for(name), name not in grid_config.targets
    codes = task.languages
    if in_suite and grid_config.suite:
        codes = suite_languages(grid_config.suite, name)
    # No search: a grid can be planned before its data is downloaded
    if choice == "all":
        return EvalScope(grid_config.split_for(name) or _default_split(task), _english_first(codes))
    split, found_codes = _best_split(grid_config, name, task, search)
    if choice != "available":
        codes = tuple(code for code in task.languages if code in choice)
        # Explicit languages are planned even without data; their jobs fail with a list of required files
        if not codes:
            raise MissingDataError(f"{name} has none of the languages {', '.join(choice)}")
        return EvalScope(
            split if found_codes else grid_config.split_for(name) or _default_split(task),
            _english_first(codes),
        )
    if in_suite:
        _check_training_data(grid_config, task, search)
    codes = tuple(code for code in codes if code in found_codes)
    if not codes:
        raise MissingDataError(
            f"no evaluation data found for {name}. Required: {task.obtain} Set its location in the grid "
            "config (data_dir or files), or plan without a search for data (languages: all)"
        )
    return EvalScope(split, _english_first(codes))


def _check_training_data(grid_config: GridConfig, target: Task, search: DataSearch) -> None:
    """Raises an error if a task that trains the target has no English data."""
    if target.trained_on is None:
        return
    chain = stages(grid_config.trained_on.get(target.name, target.trained_on))
    for name in (part for stage in chain for part in split_name(stage)):
        task = target if name == target.name else get_task(name)
        files = grid_config.files.get(task.name)
        location = DataLocation(
            data_dir=grid_config.data_dir, file=files.train if files else None, source=grid_config.source
        )
        if not search.languages(task, "train", location):
            raise MissingDataError(f"no training data found for {task.name}. Required: {task.obtain}")


def _best_split(
    grid_config: GridConfig, name: str, task: Task, search: DataSearch
) -> tuple[Split, tuple[str, ...]]:
    """Returns the configured split, or else the one with data in more languages, and these languages."""
    files = grid_config.files.get(task.name)
    location = DataLocation(
        data_dir=grid_config.data_dir, file=files.eval if files else None, source=grid_config.source
    )
    configured = grid_config.split_for(name)
    splits: tuple[Split, ...] = (configured,) if configured else ("test", "dev")
    codes = {split: search.languages(task, split, location) for split in splits}
    # `max` returns the first of equals: test
    split = max(splits, key=lambda name: len(codes[name]))
    return split, codes[split]


def _default_split(task: Task) -> Split:
    """Returns "test", or "dev" for a task with development files only."""
    splits = {split for source in (task.folder, task.bundled) if source for split in source.files}
    return "dev" if "test" not in splits and "dev" in splits else "test"


def _english_first(languages: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(languages, key=lambda code: (code != "en", code)))
