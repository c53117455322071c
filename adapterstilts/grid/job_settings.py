"""What each job is told: the recipe's settings, with those of a role, a kind and a task over them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapterstilts.composition import CompositionName
from adapterstilts.errors import ConfigError
from adapterstilts.grid.config import ROLES, Backbone, Config, Files, GridConfig, stages
from adapterstilts.grid.job_spec import JobSettings
from adapterstilts.hyperparameters import hyperparameters_for
from adapterstilts.paths import expanded
from adapterstilts.tasks import registry
from adapterstilts.tasks.multitask import MULTITASK, join_names, split_name
from adapterstilts.tasks.spec import Task

INTERMEDIATE, TARGET_ROLE = ROLES
OWN_CONFIG = ("single", "stack")  # compositions whose new adapter has a config of its own


@dataclass(frozen=True, slots=True)
class TrainedTasks:
    """What one training trains.

    Attributes:
        reference: as the verb takes it.
        label: for people, and for files and settings in the recipe.
    """

    reference: str
    label: str
    tasks: tuple[Task, ...]


@dataclass
class SettingsResolver:
    """Settings of the jobs of one backbone and one adapter config; each made once."""

    grid_config: GridConfig
    backbone: Backbone
    config: Config
    get: Callable[[str], Task] = registry.get
    fingerprint: str = ""
    _tasks: dict[str, Task] = field(default_factory=dict)
    _made: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def task(self, name: str) -> Task:
        """The task of that name."""
        if name not in self._tasks:
            self._tasks[name] = self.get(name)
        return self._tasks[name]

    def trained(self, name: str) -> TrainedTasks:
        """What trains a task, or several (`a+b`): the tasks that have English data."""
        if ("trained", name) not in self._made:
            self._made["trained", name] = self._trained(name)
        found: TrainedTasks = self._made["trained", name]
        return found

    def chain(self, name: str) -> tuple[TrainedTasks, ...]:
        """What is trained one after the other for a name such as `siqa>copa`."""
        return tuple(self.trained(stage) for stage in stages(name))

    def training(self, what: TrainedTasks, role: str, composition: CompositionName) -> JobSettings:
        """The settings of a training."""
        keys = ("training", what.reference, role, composition)
        if keys not in self._made:
            self._made[keys] = self._training(what, role, composition)
        settings: JobSettings = self._made[keys]
        return settings

    def evaluation(self, target: str) -> JobSettings:
        """The settings of a target's evaluations."""
        if ("evaluation", target) not in self._made:
            self._made["evaluation", target] = self._evaluation(target)
        settings: JobSettings = self._made["evaluation", target]
        return settings

    def _trained(self, name: str) -> TrainedTasks:
        found = {}
        for one in split_name(name):
            task = self.task(one)
            own = task.trained_on in (None, task.name)
            reference = one if own and task.base else task.name if own else str(task.trained_on)
            found[reference] = task if own else self.task(reference)
        references = sorted(found)
        tasks = tuple(found[each] for each in references)
        return TrainedTasks("+".join(references), join_names(task.name for task in tasks), tasks)

    def _training(self, what: TrainedTasks, role: str, composition: CompositionName) -> JobSettings:
        kind = what.tasks[0].kind if len(what.tasks) == 1 else None
        settings = self.grid_config.settings_for(role, kind or MULTITASK, composition, what.label)
        trains = what.tasks[0].trained_on is not None
        files = {task.name: self.grid_config.files.get(task.name, Files()) for task in what.tasks}
        alone = files[what.label] if kind else Files()
        own = composition in OWN_CONFIG
        return self._settings(
            what.tasks,
            kind=kind,
            config=self.config.name if own else None,
            adapter=self.config.set if own else {},
            hyperparameters=hyperparameters_for([task.kind for task in what.tasks], settings.hyperparameters)
            if trains
            else None,
            encoding=settings.encoding,
            train_file=alone.train,
            eval_file=alone.dev,
            train_files={} if kind else {name: each.train for name, each in files.items() if each.train},
            limit=settings.limits.train,
        )

    def _evaluation(self, target: str) -> JobSettings:
        task = self.task(target)
        settings = self.grid_config.settings_for(TARGET_ROLE, task.kind, task.name)
        files = self.grid_config.files.get(task.name, Files())
        given = {"kind": task.kind, "encoding": settings.encoding, "eval_file": files.eval}
        given["precision"] = settings.hyperparameters.get("precision")
        return self._settings(
            (task,), **given, limit=settings.limits.eval, allow_leak=self.grid_config.allow_leak
        )

    def _settings(self, tasks: Sequence[Task], **given: Any) -> JobSettings:
        return JobSettings(
            version=self._version(tasks, given.get("config")),
            backbone=self.backbone.name,
            revision=self.backbone.revision,
            language_adapter=self.config.language_adapter,
            data_dir=self.grid_config.data_dir,
            source=self.grid_config.source,
            **given,
        )

    def _version(self, tasks: Sequence[Task], config: str | None) -> str:
        """See `Told.version`."""
        parts = ["+".join(str(task.version) for task in tasks), _config_version(config), self.fingerprint]
        return " ".join(filter(None, parts))


def _config_version(config: str | None) -> str:
    """The digest of an adapter config in a file of one's own."""
    if config is None or not config.endswith((".yaml", ".yml")):
        return ""
    try:
        return hashlib.sha256(expanded(config).read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise ConfigError(f"the adapter config {config} cannot be read ({error.strerror})") from None
