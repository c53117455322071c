"""What of a recipe is at hand: the data of its targets, by language, and the weights of its backbones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from adapterstilts.data.load import DataLocation, SourceName, available
from adapterstilts.data.row_slices import parse_slice
from adapterstilts.errors import ConfigError, MissingDataError
from adapterstilts.grid.config import GridConfig, Problem, stages
from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.plan import Cell, EvalScope, Plan, expand
from adapterstilts.model.backbone import is_folder, locate
from adapterstilts.model.known_backbones import NAMES
from adapterstilts.paths import expanded
from adapterstilts.tasks import registry
from adapterstilts.tasks.multitask import split_name
from adapterstilts.tasks.spec import Split, Task
from adapterstilts.tasks.suites import suite_languages

Choice = tuple[dict[str, EvalScope], dict[str, str]]


def plan_of(grid_config: GridConfig) -> Plan:
    """The plan of a recipe, with the targets and languages whose data is at hand.

    Raises:
        BackboneError: a folder that is named as a backbone is none.
        ConfigError, MissingDataError: see `expand` and `scenes`.
    """
    folders = {backbone.name for backbone in grid_config.backbones if is_folder(backbone.name)}
    return expand(
        grid_config, *scenes(grid_config), fingerprints={name: locate(name).fingerprint for name in folders}
    )


def about_ranges(grid_config: GridConfig) -> Iterator[Problem]:
    """What is wrong with the rows (`#first-last`) of explicit files: a check for `recipe.load`."""
    for name, files in grid_config.files.items():
        for which, path in files.model_dump(exclude_none=True).items():
            try:
                parse_slice(path)
                expanded(path).exists()
            except (
                ConfigError,
                OSError,
                ValueError,
                RuntimeError,
            ) as error:  # such as a name that is too long
                yield ("files", name, which), str(error)


def scenes(grid_config: GridConfig) -> Choice:
    """The targets with their languages; and of a suite those that are left out, with the reason.

    Data is not read, only looked for; with `languages: all` not even that.

    Raises:
        MissingDataError: a target that the recipe names itself has no data at hand, or none of the languages.
    """
    found: dict[str, EvalScope] = {}
    left_out: dict[str, str] = {}
    for name in grid_config.all_targets:
        try:
            found[name] = _scene(grid_config, name)
        except MissingDataError as error:
            if name in grid_config.targets:
                raise
            left_out[name] = str(error)
    if not found:
        raise MissingDataError(
            f"no target of the recipe can be evaluated. The first: {next(iter(left_out.values()))}"
        )
    return found, left_out


def without_data(trainings: Iterable[JobSpec]) -> list[str]:
    """The tasks that are trained, but whose English data is not at hand; it is looked for, not read."""
    there: dict[tuple[str, str | None], bool] = {}
    for job in trainings:
        settings = job.settings
        for name in split_name(job.task) if settings.hyperparameters else ():
            file = settings.train_file or settings.train_files.get(name)
            location = DataLocation(data_dir=settings.data_dir, file=file, source=settings.source)
            if (name, file) not in there:
                there[name, file] = _has_training(registry.get(name), location)
    return sorted({name for (name, _), found in there.items() if not found})


def without_evaluation_data(cells: Iterable[Cell]) -> dict[str, tuple[str, ...]]:
    """Target -> languages to evaluate whose data is not at hand; it is looked for, not read."""
    wanted = {(cell.target, cell.reference, cell.split, cell.settings.eval_file): cell for cell in cells}
    missing: dict[str, tuple[str, ...]] = {}
    for cell in wanted.values():
        settings = cell.settings
        location = DataLocation(data_dir=settings.data_dir, file=settings.eval_file, source=settings.source)
        try:
            here = available(registry.get(cell.reference), cell.split, location, hidden=True)
        except MissingDataError:
            here = ()
        if lacking := tuple(code for code in cell.languages if code not in here):
            missing[cell.target] = lacking
    return missing


def on_this_machine(job: JobSpec) -> JobSpec | None:
    """The job with its data pinned to where it was found here; None where anything must be downloaded."""
    settings = job.settings
    known = NAMES.get(settings.backbone)
    if not (is_folder(settings.backbone) or (known and known.embedded and settings.revision is None)):
        return None
    reads = job.language or settings.hyperparameters
    tasks = [registry.get(name) for name in split_name(job.task)] if reads else []
    for source in ("bundled", "folder") if settings.source == "auto" else (settings.source,):
        if source != "hub" and all(_has(task, job, source) for task in tasks):
            return job._replace(settings=settings.model_copy(update={"source": source}))
    return None


def _has(task: Task, job: JobSpec, source: SourceName) -> bool:
    settings = job.settings
    file = settings.eval_file if job.language else settings.train_file or settings.train_files.get(task.name)
    location = DataLocation(data_dir=settings.data_dir, file=file, source=source)
    try:
        here = available(task, job.split or "train", location, hidden=True)
    except MissingDataError:
        return False
    return bool(here) and job.language in ("", *here)


def _has_training(task: Task, location: DataLocation) -> bool:
    try:
        return bool(available(task, "train", location))
    except MissingDataError:
        return False


def with_all_data(grid_config: GridConfig) -> Iterator[GridConfig]:
    """The recipe as if the data of every language were at hand: once with test data, once with development's.

    What it asks for by name stays as it is.
    """
    everywhere = {name: grid_config.languages_of(name) for name in grid_config.all_targets}
    languages = {name: "all" if wanted == "at hand" else wanted for name, wanted in everywhere.items()}
    for split in ("test", "dev"):
        splits = {name: grid_config.split_of(name) or split for name in grid_config.all_targets}
        yield grid_config.model_copy(update={"languages": languages, "split": splits})


def _scene(grid_config: GridConfig, name: str) -> EvalScope:
    task = registry.get(name)
    wanted = grid_config.languages_of(name)
    of_suite = _of_suite(grid_config, name, task)
    if wanted == "all":
        return EvalScope(grid_config.split_of(name) or _usual_split(task), _ordered(of_suite))
    split, here = _at_hand(grid_config, name, task)
    if wanted != "at hand":
        asked = tuple(code for code in task.languages if code in wanted)
        if not asked:
            raise MissingDataError(f"{name} has none of the languages {', '.join(wanted)}")
        return EvalScope(
            grid_config.split_of(name) or (split if here else _usual_split(task)), _ordered(asked)
        )
    if name not in grid_config.targets:
        _check_training(grid_config, task)
    languages = tuple(code for code in of_suite if code in here)
    if not languages:
        raise MissingDataError(
            f"no evaluation data of {name} is at hand. Wanted is {task.obtain} Name its place in the recipe "
            "(data_dir, or files), or plan without looking for data (languages: all)"
        )
    return EvalScope(split, _ordered(languages))


def _of_suite(grid_config: GridConfig, name: str, task: Task) -> tuple[str, ...]:
    """All its languages; of a target that only the suite names, those that count in it."""
    if grid_config.suite and name not in grid_config.targets:
        return suite_languages(grid_config.suite, name)
    return task.languages


def _check_training(grid_config: GridConfig, target: Task) -> None:
    if target.trained_on is None:
        return
    chain = stages(grid_config.trained_on.get(target.name, target.trained_on))
    for name in (one for stage in chain for one in split_name(stage)):
        trainer = target if name == target.name else registry.get(name)
        files = grid_config.files.get(trainer.name)
        location = DataLocation(
            data_dir=grid_config.data_dir, file=files.train if files else None, source=grid_config.source
        )
        if not available(trainer, "train", location):
            raise MissingDataError(
                f"no training data of {trainer.name} is at hand. Wanted is {trainer.obtain}"
            )


def _at_hand(grid_config: GridConfig, name: str, task: Task) -> tuple[Split, tuple[str, ...]]:
    """The split that was asked for, else the one at hand in more languages, test if equal."""
    files = grid_config.files.get(task.name)
    location = DataLocation(
        data_dir=grid_config.data_dir, file=files.eval if files else None, source=grid_config.source
    )
    asked = grid_config.split_of(name)
    splits: tuple[Split, ...] = (asked,) if asked else ("test", "dev")
    here: Mapping[Split, tuple[str, ...]] = {split: available(task, split, location) for split in splits}
    split = max(splits, key=lambda each: len(here[each]))
    return split, here[split]


def _usual_split(task: Task) -> Split:
    """Test, unless the task has development data alone."""
    known = {split for source in (task.folder, task.bundled) if source for split in source.files}
    return "dev" if "test" not in known and "dev" in known else "test"


def _ordered(languages: tuple[str, ...]) -> tuple[str, ...]:
    """English first, the others by their code."""
    return tuple(sorted(languages, key=lambda code: (code != "en", code)))
