"""What can be wrong with a recipe beyond its form: each check yields the keys to it, and says what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adapterstilts.errors import ConfigError, StiltsError, unknown
from adapterstilts.grid.config.schema import ROLES, TARGET, GridConfig, Settings, stages
from adapterstilts.hyperparameters import MULTITASK_FIELDS, Hyperparameters
from adapterstilts.tasks import registry
from adapterstilts.tasks.multitask import MULTITASK, TEXT, join_names, split_name
from adapterstilts.tasks.spec import KindName, Task
from adapterstilts.tasks.suites import SUITES

MOST_STAGES = 10  # trainings one after the other
MOST_TASKS = 100  # trained together
MOST_FUSED = 9  # see composition.Fuse
MOST_CELLS = 1_000_000  # of the table, over all seeds; a plan is held in memory
Problem = tuple[tuple[str | int, ...], str]  # the keys to what is wrong, and what is wrong with it
INTERMEDIATE = ROLES[0]


def _about_tasks(grid_config: GridConfig) -> Iterator[Problem]:
    if grid_config.suite is not None and grid_config.suite not in SUITES:
        yield ("suite",), str(unknown("suite", grid_config.suite, SUITES))
        return
    for n, name in enumerate(grid_config.targets):
        yield from ((("targets", n), text) for text in _wrong(name, ()))
    for n, name in enumerate(grid_config.intermediate):
        yield from ((("intermediate", n), text) for text in _wrong(name, ROLES))
    for n, group in enumerate(grid_config.sets):
        for name in group:
            yield from ((("sets", n), text) for text in _wrong(name, ROLES) if name != TARGET)


def _wrong(name: str, trained: Sequence[str]) -> Iterator[str]:
    """What is wrong with the name of a task, or of several where it is to be trained."""
    try:
        if trained and (text := _too_many(name)):
            yield text
            return
        tasks = [registry.get(each) for each in (_names(name) if trained else (name,))]
    except (StiltsError, OSError) as error:
        yield str(error)
        return
    for task in tasks:
        if task.name == TEXT:
            yield "plain text (mlm) has no place in a grid: train language adapters by themselves"
        elif trained and task.trained_on is None:
            yield f"{task.name} has no training data, so it is no intermediate task"


def _too_many(name: str) -> str | None:
    """What to say where a name stands for more trainings, or tasks in one, than anybody means."""
    chain = stages(name)
    if len(chain) > MOST_STAGES:
        return f"{len(chain)} trainings one after the other: at most {MOST_STAGES} are possible"
    together = max(len(split_name(stage)) for stage in chain)
    if together > MOST_TASKS:
        return f"{together} tasks trained together: at most {MOST_TASKS} are possible"
    return None


def _about_chains(grid_config: GridConfig) -> Iterator[Problem]:
    for name, chain in grid_config.trained_on.items():
        keys = ("trained_on", name)
        if name not in grid_config.all_targets:
            yield keys, str(unknown("target", name, grid_config.all_targets))
            return
        yield from ((keys, text) for text in _wrong(chain, ROLES))
        target = registry.get(name)
        fitting = [each for each in (target.trained_on, *target.then_trained_on) if each]
        if stages(chain)[-1] not in fitting:
            yield keys, f"the training of {name} ends with {' or '.join(fitting) or 'nothing'}"
        for how in {"stack", "fuse"}.intersection(grid_config.compositions) if len(stages(chain)) > 1 else ():
            yield keys, f"after '{how}' there is no one adapter to go on from: leave one of the two out"


def _about_joining(grid_config: GridConfig) -> Iterator[Problem]:
    for n, name in enumerate(grid_config.compositions):
        if name in ("fuse", "average") and not grid_config.sets:
            yield ("compositions", n), f"'{name}' joins several adapters: list them under `sets`"
    for n, group in enumerate(grid_config.sets):
        trained = {name if name == TARGET else tuple(map(_trainers, stages(name))) for name in group}
        if len(trained) < 2 or len(trained) != len(group):
            yield ("sets", n), "a set is of two or more different tasks"
        if "fuse" in grid_config.compositions and len(group) > MOST_FUSED:
            yield ("sets", n), f"{len(group)} adapters: 'fuse' joins at most {MOST_FUSED}"
    if grid_config.sets and not {"fuse", "average"} & set(grid_config.compositions):
        yield ("sets",), "sets are what `fuse` and `average` join, but neither is among the compositions"


def _about_languages(grid_config: GridConfig) -> Iterator[Problem]:
    targets = {name: registry.get(name) for name in grid_config.all_targets}
    everywhere = {code for task in targets.values() for code in task.languages}
    chosen = grid_config.languages
    for name, choice in chosen.items() if isinstance(chosen, Mapping) else [("", chosen)]:
        if name and name not in targets:
            yield ("languages", name), str(unknown("target", name, targets))
            continue
        known = set(targets[name].languages) if name else everywhere
        for code in choice if isinstance(choice, tuple) else ():
            if code not in known:
                yield ("languages", name), str(unknown("language", code, known))
    for name in grid_config.targets if isinstance(chosen, tuple) else ():
        if not set(targets[name].languages).intersection(chosen):
            yield (
                ("languages",),
                f"{name} has none of them: leave it out, or set the languages for each target",
            )
    for name in grid_config.split if isinstance(grid_config.split, Mapping) else ():
        if name not in targets:
            yield ("split", name), str(unknown("target", name, targets))


def _about_files(grid_config: GridConfig) -> Iterator[Problem]:
    targets = {registry.get(name).name for name in grid_config.all_targets}
    tasks = {task.name: task for task in _tasks(grid_config)}
    alone = _alone(grid_config)
    for name, files in grid_config.files.items():
        if name not in tasks:
            yield ("files", name), f"no effect: {unknown('task of this recipe', name, tasks)}"
        elif (files.dev and name not in alone) or (files.train and tasks[name].trained_on != name):
            yield ("files", name), _not_alone(tasks[name])
        elif files.eval and name not in targets:
            yield ("files", name), f"{name} is no target: what is read while it trains is `dev`, not `eval`"


def _about_settings(grid_config: GridConfig) -> Iterator[Problem]:
    yield from (
        (("hyperparameters", key), text)
        for key, text in _about_recipe(grid_config, "", grid_config.hyperparameters)
    )
    for name, part in grid_config.overrides.items():
        keys = ("overrides", name)
        yield from (
            ((*keys, "hyperparameters", key), text)
            for key, text in _about_recipe(grid_config, name, part.hyperparameters)
        )
        yield from ((keys, text) for text in _about_override(grid_config, name, part))


def _about_recipe(
    grid_config: GridConfig, name: str, settings: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """What is wrong with training settings that stand under a name, and the key that it is about."""
    for key, value in settings.items():
        try:
            Hyperparameters.parse({key: value}, "hyperparameters")
        except ConfigError as error:
            yield str(key), str(error)
        if key == "mlm_ratio":
            yield key, "mlm_ratio has no effect: a grid mixes no plain text into its trainings"
        elif key in MULTITASK_FIELDS and _reaches_one(grid_config, name):
            yield (
                key,
                f"{key} is for tasks that are trained together: set it under overrides, for {MULTITASK}",
            )


def _reaches_one(grid_config: GridConfig, name: str) -> bool:
    """Whether settings under this name reach a training of one task alone."""
    if name == MULTITASK or "+" in name:
        return False
    if name == INTERMEDIATE:
        return any(len(_trainers(stage)) == 1 for stage in _stages(grid_config))
    return bool(_alone(grid_config))


def _about_override(grid_config: GridConfig, name: str, part: Settings) -> Iterator[str]:
    """What is wrong with a name: nothing of the recipe goes by it; or with training settings for it."""
    tasks = {task.name: task for task in _tasks(grid_config)}
    general = _general(grid_config)
    known = general | tasks.keys() | {join_names(_trainers(stage)) for stage in _stages(grid_config)}
    if name not in known:
        yield f"no effect: {unknown('task, kind, composition or role of this recipe', name, known)}"
    elif name in tasks and name not in _alone(grid_config) and (part.hyperparameters or part.limits.train):
        yield _not_alone(tasks[name])


def kinds_under(grid_config: GridConfig, name: str) -> set[KindName]:
    """The kinds that settings under this name can reach; "" is the whole recipe."""
    kinds = {task.name: task.kind for task in _tasks(grid_config)}
    reached: set[KindName] = {kind for task, kind in kinds.items() if name in (task, kind)}
    return reached or set(kinds.values())


def _general(grid_config: GridConfig) -> set[str]:
    """The roles, kinds and compositions that something of the recipe has."""
    several = any(len(_trainers(stage)) > 1 for stage in _stages(grid_config))
    kinds = {task.kind for task in _tasks(grid_config)}
    return {*ROLES, *kinds, "single", *grid_config.compositions, *([MULTITASK] if several else [])}


def _not_alone(task: Task) -> str:
    if task.trained_on == task.name:
        return f"{task.name} is trained together with others alone: set it for them"
    return (
        f"{task.name} is trained {f'on {task.trained_on}: set it there' if task.trained_on else 'on nothing'}"
    )


def _names(name: str) -> Iterator[str]:
    """Every task of those that are trained together, or one after the other."""
    for stage in stages(name):
        yield from split_name(stage)


def _trainers(stage: str) -> tuple[str, ...]:
    """The tasks whose data one stage trains on."""
    tasks = map(registry.get, split_name(stage))
    return tuple(sorted({task.trained_on or task.name for task in tasks}))


def _trained(grid_config: GridConfig) -> Iterator[str]:
    yield from grid_config.intermediate
    yield from grid_config.trained_on.values()
    yield from (name for group in grid_config.sets for name in group if name != TARGET)


def _stages(grid_config: GridConfig) -> Iterator[str]:
    return (stage for each in _trained(grid_config) for stage in stages(each))


def _alone(grid_config: GridConfig) -> set[str]:
    """The tasks that are trained by themselves."""
    found = {registry.get(name).trained_on for name in grid_config.all_targets}
    found |= {each[0] for each in map(_trainers, _stages(grid_config)) if len(each) == 1}
    return {name for name in found if name}


def _tasks(grid_config: GridConfig) -> Iterator[Task]:
    """Every task of the recipe, and those that train them."""
    for name in (*grid_config.all_targets, *(one for each in _trained(grid_config) for one in _names(each))):
        task = registry.get(name)
        yield task
        if task.trained_on and task.trained_on != task.name:
            yield registry.get(task.trained_on)


def _about_size(grid_config: GridConfig) -> Iterator[Problem]:
    """A grid that could not even be planned in memory."""
    transfers = (len(grid_config.intermediate) + len(grid_config.sets)) * len(grid_config.compositions)
    columns = len(grid_config.backbones) * len(grid_config.configs) * len(grid_config.seeds)
    cells = columns * len(grid_config.all_targets) * (1 + transfers)
    if cells > MOST_CELLS:
        key = "seeds" if len(grid_config.seeds) > len(grid_config.intermediate) else "intermediate"
        yield (key,), f"a table of up to {cells:,} cells: at most {MOST_CELLS:,} are possible"


CHECKS = (
    _about_tasks,
    _about_size,
    _about_chains,
    _about_joining,
    _about_languages,
    _about_files,
    _about_settings,
)
