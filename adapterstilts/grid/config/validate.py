"""Checks a grid config beyond its schema: names, combinations and settings that would have no effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from adapterstilts.errors import ConfigError, StiltsError, unknown
from adapterstilts.grid.config.schema import ROLES, TARGET, GridConfig, JobDefaults, stages
from adapterstilts.hyperparameters import MULTITASK_FIELDS, Hyperparameters
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.multitask import MULTITASK, TEXT, join_names, split_name
from adapterstilts.tasks.spec import KindName, Task
from adapterstilts.tasks.suites import SUITES

# Limits against typos and aliases in YAML that would plan for hours; no study comes near them
MAX_STAGES = 10  # trainings of one chain
MAX_JOINT_TASKS = 100  # tasks of one multi-task training
MAX_FUSED = 9  # see composition.Fuse
MAX_CELLS = 1_000_000  # table cells over all seeds: a plan is held in memory
# Keys that lead to the invalid value, and the message about it
Problem = tuple[tuple[str | int, ...], str]
INTERMEDIATE = ROLES[0]


def check(grid_config: GridConfig) -> Iterator[Problem]:
    """Yields the problems of a grid config, each with the keys that lead to it."""
    checks = _Checks(grid_config)
    # The names of tasks come first: all later checks look tasks up and would raise an error without a line
    yield from checks.task_names()
    yield from checks.size()
    yield from checks.chains()
    yield from checks.adapter_sets()
    yield from checks.languages()
    yield from checks.files()
    yield from checks.settings()


def affected_kinds(grid_config: GridConfig, name: str) -> set[KindName]:
    """Returns the kinds of task that an override of this name affects; "" is the top level."""
    kinds = {task.name: task.kind for task in _Checks(grid_config).tasks.values()}
    matches: set[KindName] = {kind for task, kind in kinds.items() if name in (task, kind)}
    return matches or set(kinds.values())


class _Checks:
    """The checks of one grid config; each yields problems."""

    def __init__(self, grid_config: GridConfig):
        self.grid_config = grid_config

    @cached_property
    def targets(self) -> dict[str, Task]:
        """Target, as written in the grid config -> task."""
        return {name: get_task(name) for name in self.grid_config.all_targets}

    @cached_property
    def trainings(self) -> list[str]:
        """Explicitly configured trainings; each may be a chain."""
        config = self.grid_config
        in_sets = [name for group in config.adapter_sets for name in group if name != TARGET]
        return [*config.intermediate, *config.trained_on.values(), *in_sets]

    @cached_property
    def stages(self) -> list[str]:
        """The single trainings of all chains."""
        return [stage for name in self.trainings for stage in stages(name)]

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """All tasks of the grid by canonical name, with those that train them."""
        tasks = [*self.targets.values()]
        tasks += [get_task(name) for stage in self.stages for name in split_name(stage)]
        tasks += [
            get_task(task.trained_on) for task in tasks if task.trained_on and task.trained_on != task.name
        ]
        return {task.name: task for task in tasks}

    @cached_property
    def single_trainings(self) -> set[str]:
        """Tasks that are trained by themselves, not jointly with other tasks."""
        trainings = [_training_tasks(stage) for stage in self.stages]
        names = {tasks[0] for tasks in trainings if len(tasks) == 1}
        return names | {task.trained_on for task in self.targets.values() if task.trained_on}

    def task_names(self) -> Iterator[Problem]:
        """Unknown tasks, and tasks that cannot have the role in which they are listed."""
        config = self.grid_config
        if config.suite is not None and config.suite not in SUITES:
            yield ("suite",), str(unknown("suite", config.suite, SUITES))
            return
        for n, name in enumerate(config.targets):
            yield from ((("targets", n), text) for text in _check_target(name))
        for n, name in enumerate(config.intermediate):
            yield from ((("intermediate", n), text) for text in _check_training(name))
        for n, group in enumerate(config.adapter_sets):
            names = [name for name in group if name != TARGET]
            yield from ((("adapter_sets", n), text) for name in names for text in _check_training(name))

    def size(self) -> Iterator[Problem]:
        """A grid that would not fit into memory."""
        config = self.grid_config
        # An upper bound, since repetitions are planned once; the size of lists in YAML is what matters
        transfers = (len(config.intermediate) + len(config.adapter_sets)) * len(config.compositions)
        columns = len(config.backbones) * len(config.adapter_configs) * len(config.seeds)
        cells = columns * len(config.all_targets) * (1 + transfers)
        if cells > MAX_CELLS:
            key = "seeds" if len(config.seeds) > len(config.intermediate) else "intermediate"
            yield (key,), f"the grid has up to {cells:,} table cells: at most {MAX_CELLS:,} are supported"

    def chains(self) -> Iterator[Problem]:
        """Trainings under `trained_on` that do not end with data of the target's form."""
        config = self.grid_config
        for name, chain in config.trained_on.items():
            keys = ("trained_on", name)
            if name not in self.targets:
                yield keys, str(unknown("target", name, self.targets))
                return
            yield from ((keys, text) for text in _check_training(chain))
            target = self.targets[name]
            final = [task for task in (target.trained_on, *target.then_trained_on) if task]
            if not final:
                yield keys, f"{name} has no training data: remove it from `trained_on`"
            elif stages(chain)[-1] not in final:
                yield keys, f"the last training for {name} must be {' or '.join(final)}"
            # The next stage continues from one adapter; stack and fuse leave several active ones
            for composition in sorted({"stack", "fuse"}.intersection(config.compositions)):
                if len(stages(chain)) > 1:
                    text = (
                        f"a chain cannot continue after '{composition}', which does not yield a single "
                        f"adapter: remove the chain, or '{composition}' from `compositions`"
                    )
                    yield keys, text

    def adapter_sets(self) -> Iterator[Problem]:
        """Sets that fuse and average cannot combine, and sets without fuse or average."""
        config = self.grid_config
        for n, name in enumerate(config.compositions):
            if name in ("fuse", "average") and not config.adapter_sets:
                yield ("compositions", n), f"'{name}' combines several adapters: list them in `adapter_sets`"
        for n, group in enumerate(config.adapter_sets):
            # Compared by training data: `mnli` and `xnli` are trained on the same rows
            trainings = {
                name if name == TARGET else tuple(map(_training_tasks, stages(name))) for name in group
            }
            if len(trainings) < 2 or len(trainings) != len(group):
                yield ("adapter_sets", n), "a set requires two or more different tasks"
            if "fuse" in config.compositions and len(group) > MAX_FUSED:
                yield (
                    ("adapter_sets", n),
                    f"a set of {len(group)} adapters: 'fuse' combines at most {MAX_FUSED}",
                )
        if config.adapter_sets and not {"fuse", "average"} & set(config.compositions):
            yield ("adapter_sets",), "no effect: neither 'fuse' nor 'average' is listed in `compositions`"

    def languages(self) -> Iterator[Problem]:
        """Languages and splits of unknown targets, and languages that a target does not have."""
        config = self.grid_config
        all_codes = {code for task in self.targets.values() for code in task.languages}
        by_target = config.languages if isinstance(config.languages, Mapping) else {"": config.languages}
        for name, choice in by_target.items():
            if name and name not in self.targets:
                yield ("languages", name), str(unknown("target", name, self.targets))
                continue
            codes = set(self.targets[name].languages) if name else all_codes
            for code in choice if isinstance(choice, tuple) else ():
                if code not in codes:
                    yield ("languages", name), str(unknown("language", code, codes))
        # Targets of the suite without these languages are skipped later; an explicit one is a mistake
        for name in config.targets if isinstance(config.languages, tuple) else ():
            if not set(self.targets[name].languages).intersection(config.languages):
                text = f"{name} has none of these languages: remove it, or list the languages for each target"
                yield ("languages",), text
        for name in config.split if isinstance(config.split, Mapping) else ():
            if name not in self.targets:
                yield ("split", name), str(unknown("target", name, self.targets))

    def files(self) -> Iterator[Problem]:
        """Explicit files that no job would read."""
        target_names = {task.name for task in self.targets.values()}
        for name, files in self.grid_config.files.items():
            keys = ("files", name)
            if name not in self.tasks:
                yield keys, f"no effect: {unknown('task of this grid', name, self.tasks)}"
            elif (files.dev and name not in self.single_trainings) or (
                files.train and self.tasks[name].trained_on != name
            ):
                yield keys, _where_trained(self.tasks[name])
            elif files.eval and name not in target_names:
                yield keys, f"{name} is not a target: `dev` is its development file, `eval` has no effect"

    def settings(self) -> Iterator[Problem]:
        """Settings at the top level and under `overrides`."""
        config = self.grid_config
        for key, text in self._hyperparameters("", config.hyperparameters):
            yield ("hyperparameters", key), text
        for name, override in config.overrides.items():
            keys = ("overrides", name)
            for key, text in self._hyperparameters(name, override.hyperparameters):
                yield (*keys, "hyperparameters", key), text
            yield from ((keys, text) for text in self._override(name, override))

    def _hyperparameters(self, name: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Invalid hyperparameters of an override ("" is the top level): key and message."""
        # One by one, so that an error has the line of its key
        for key, value in values.items():
            try:
                Hyperparameters.parse({key: value}, "hyperparameters")
            except ConfigError as error:
                yield str(key), str(error)
            if key == "mlm_ratio":
                yield key, "mlm_ratio has no effect: grids do not mix plain text into a training"
            elif key in MULTITASK_FIELDS and self._affects_single_training(name):
                yield key, f"{key} applies to multi-task trainings: set it under overrides, for {MULTITASK}"

    def _affects_single_training(self, name: str) -> bool:
        """Whether an override of this name affects the training of a single task."""
        if name == MULTITASK or "+" in name:
            return False
        if name == INTERMEDIATE:
            return any(len(_training_tasks(stage)) == 1 for stage in self.stages)
        return bool(self.single_trainings)

    def _override(self, name: str, override: JobDefaults) -> Iterator[str]:
        """An override that nothing in the grid matches."""
        joint = {join_names(_training_tasks(stage)) for stage in self.stages}
        kinds = {task.kind for task in self.tasks.values()}
        multitask = {MULTITASK} if any(len(_training_tasks(stage)) > 1 for stage in self.stages) else set()
        general = {*ROLES, *kinds, "single", *self.grid_config.compositions, *multitask}
        names = general | self.tasks.keys() | joint
        if name not in names:
            yield f"no effect: {unknown('task, kind, composition or role of this grid', name, names)}"
        elif (
            name in self.tasks
            and name not in self.single_trainings
            and (override.hyperparameters or override.limits.train)
        ):
            yield _where_trained(self.tasks[name])


def _check_target(name: str) -> Iterator[str]:
    try:
        if get_task(name).name == TEXT:
            yield _text_message()
    # An OSError for a name that is too long for a file
    except (StiltsError, OSError) as error:
        yield str(error)


def _check_training(name: str) -> Iterator[str]:
    """Yields what prevents a task, joint tasks (`a+b`) or a chain (`a>b`) from being trained."""
    chain = stages(name)
    if len(chain) > MAX_STAGES:
        yield f"a chain of {len(chain)} trainings: at most {MAX_STAGES} are supported"
        return
    try:
        largest = max(len(split_name(stage)) for stage in chain)
        if largest > MAX_JOINT_TASKS:
            yield f"{largest} tasks in one training: at most {MAX_JOINT_TASKS} are supported"
            return
        tasks = [get_task(part) for stage in chain for part in split_name(stage)]
    except (StiltsError, OSError) as error:
        yield str(error)
        return
    for task in tasks:
        if task.name == TEXT:
            yield _text_message()
        elif task.trained_on is None:
            yield f"{task.name} has no training data and cannot be an intermediate task"


def _text_message() -> str:
    return f"{TEXT} (plain text) cannot be part of a grid: train language adapters with train-adapter {TEXT}"


def _training_tasks(stage: str) -> Sequence[str]:
    """Returns the names of the tasks whose data one stage trains on."""
    tasks = map(get_task, split_name(stage))
    return tuple(sorted({task.trained_on or task.name for task in tasks}))


def _where_trained(task: Task) -> str:
    """Returns a message on where the training of a task has to be configured."""
    if task.trained_on == task.name:
        return f"{task.name} is trained jointly with other tasks only: set this for the joint training"
    if task.trained_on is None:
        return f"no effect: {task.name} is never trained"
    return f"{task.name} is trained on {task.trained_on}: set this for {task.trained_on}"
