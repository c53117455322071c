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


def plan_of(recipe: GridConfig) -> Plan:
    """The plan of a recipe, with the targets and languages whose data is at hand.

    Raises:
        BackboneError: a folder that is named as a backbone is none.
        ConfigError, MissingDataError: see `expand` and `scenes`.
    """
    folders = {backbone.name for backbone in recipe.backbones if is_folder(backbone.name)}
    return expand(recipe, *scenes(recipe), fingerprints={name: locate(name).fingerprint for name in folders})


def about_ranges(recipe: GridConfig) -> Iterator[Problem]:
    """What is wrong with the rows (`#first-last`) of explicit files: a check for `recipe.load`."""
    for name, files in recipe.files.items():
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


def scenes(recipe: GridConfig) -> Choice:
    """The targets with their languages; and of a suite those that are left out, with the reason.

    Data is not read, only looked for; with `languages: all` not even that.

    Raises:
        MissingDataError: a target that the recipe names itself has no data at hand, or none of the languages.
    """
    found: dict[str, EvalScope] = {}
    left_out: dict[str, str] = {}
    for name in recipe.all_targets:
        try:
            found[name] = _scene(recipe, name)
        except MissingDataError as error:
            if name in recipe.targets:
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
    for request in trainings:
        told = request.told
        for name in split_name(request.task) if told.recipe else ():
            file = told.train_file or told.train_files.get(name)
            where = DataLocation(data_dir=told.data_dir, file=file, source=told.source)
            if (name, file) not in there:
                there[name, file] = _has_training(registry.get(name), where)
    return sorted({name for (name, _), found in there.items() if not found})


def without_evaluation_data(cells: Iterable[Cell]) -> dict[str, tuple[str, ...]]:
    """Target -> languages to evaluate whose data is not at hand; it is looked for, not read."""
    wanted = {(cell.target, cell.reference, cell.split, cell.told.eval_file): cell for cell in cells}
    missing: dict[str, tuple[str, ...]] = {}
    for cell in wanted.values():
        told = cell.told
        where = DataLocation(data_dir=told.data_dir, file=told.eval_file, source=told.source)
        try:
            here = available(registry.get(cell.reference), cell.split, where, hidden=True)
        except MissingDataError:
            here = ()
        if lacking := tuple(code for code in cell.languages if code not in here):
            missing[cell.target] = lacking
    return missing


def on_this_machine(request: JobSpec) -> JobSpec | None:
    """The request with its data pinned to where it was found here; None where anything must be downloaded."""
    told = request.told
    known = NAMES.get(told.backbone)
    if not (is_folder(told.backbone) or (known and known.embedded and told.revision is None)):
        return None
    reads = request.language or told.recipe
    tasks = [registry.get(name) for name in split_name(request.task)] if reads else []
    for source in ("bundled", "folder") if told.source == "auto" else (told.source,):
        if source != "hub" and all(_has(task, request, source) for task in tasks):
            return request._replace(told=told.model_copy(update={"source": source}))
    return None


def _has(task: Task, request: JobSpec, source: SourceName) -> bool:
    told = request.told
    file = told.eval_file if request.language else told.train_file or told.train_files.get(task.name)
    where = DataLocation(data_dir=told.data_dir, file=file, source=source)
    try:
        here = available(task, request.split or "train", where, hidden=True)
    except MissingDataError:
        return False
    return bool(here) and request.language in ("", *here)


def _has_training(task: Task, where: DataLocation) -> bool:
    try:
        return bool(available(task, "train", where))
    except MissingDataError:
        return False


def with_all_data(recipe: GridConfig) -> Iterator[GridConfig]:
    """The recipe as if the data of every language were at hand: once with test data, once with development's.

    What it asks for by name stays as it is.
    """
    everywhere = {name: recipe.languages_of(name) for name in recipe.all_targets}
    languages = {name: "all" if wanted == "at hand" else wanted for name, wanted in everywhere.items()}
    for split in ("test", "dev"):
        splits = {name: recipe.split_of(name) or split for name in recipe.all_targets}
        yield recipe.model_copy(update={"languages": languages, "split": splits})


def _scene(recipe: GridConfig, name: str) -> EvalScope:
    task = registry.get(name)
    wanted = recipe.languages_of(name)
    of_suite = _of_suite(recipe, name, task)
    if wanted == "all":
        return EvalScope(recipe.split_of(name) or _usual_split(task), _ordered(of_suite))
    split, here = _at_hand(recipe, name, task)
    if wanted != "at hand":
        asked = tuple(code for code in task.languages if code in wanted)
        if not asked:
            raise MissingDataError(f"{name} has none of the languages {', '.join(wanted)}")
        return EvalScope(recipe.split_of(name) or (split if here else _usual_split(task)), _ordered(asked))
    if name not in recipe.targets:
        _check_training(recipe, task)
    languages = tuple(code for code in of_suite if code in here)
    if not languages:
        raise MissingDataError(
            f"no evaluation data of {name} is at hand. Wanted is {task.obtain} Name its place in the recipe "
            "(data_dir, or files), or plan without looking for data (languages: all)"
        )
    return EvalScope(split, _ordered(languages))


def _of_suite(recipe: GridConfig, name: str, task: Task) -> tuple[str, ...]:
    """All its languages; of a target that only the suite names, those that count in it."""
    if recipe.suite and name not in recipe.targets:
        return suite_languages(recipe.suite, name)
    return task.languages


def _check_training(recipe: GridConfig, target: Task) -> None:
    if target.trained_on is None:
        return
    chain = stages(recipe.trained_on.get(target.name, target.trained_on))
    for name in (one for stage in chain for one in split_name(stage)):
        trainer = target if name == target.name else registry.get(name)
        files = recipe.files.get(trainer.name)
        where = DataLocation(
            data_dir=recipe.data_dir, file=files.train if files else None, source=recipe.source
        )
        if not available(trainer, "train", where):
            raise MissingDataError(
                f"no training data of {trainer.name} is at hand. Wanted is {trainer.obtain}"
            )


def _at_hand(recipe: GridConfig, name: str, task: Task) -> tuple[Split, tuple[str, ...]]:
    """The split that was asked for, else the one at hand in more languages, test if equal."""
    files = recipe.files.get(task.name)
    where = DataLocation(data_dir=recipe.data_dir, file=files.eval if files else None, source=recipe.source)
    asked = recipe.split_of(name)
    splits: tuple[Split, ...] = (asked,) if asked else ("test", "dev")
    here: Mapping[Split, tuple[str, ...]] = {split: available(task, split, where) for split in splits}
    split = max(splits, key=lambda each: len(here[each]))
    return split, here[split]


def _usual_split(task: Task) -> Split:
    """Test, unless the task has development data alone."""
    known = {split for source in (task.folder, task.bundled) if source for split in source.files}
    return "dev" if "test" not in known and "dev" in known else "test"


def _ordered(languages: tuple[str, ...]) -> tuple[str, ...]:
    """English first, the others by their code."""
    return tuple(sorted(languages, key=lambda code: (code != "en", code)))
