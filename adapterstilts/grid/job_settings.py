"""Resolves the settings of each job from a grid config and its overrides."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapterstilts.composition import CompositionName
from adapterstilts.errors import ConfigError
from adapterstilts.grid.config import ROLES, AdapterConfig, Backbone, GridConfig, TaskFiles, stages
from adapterstilts.grid.job_spec import JobSettings
from adapterstilts.hyperparameters import hyperparameters_for
from adapterstilts.paths import expanded
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.multitask import MULTITASK, join_names, split_name
from adapterstilts.tasks.spec import Task

INTERMEDIATE, TARGET_ROLE = ROLES
# Compositions whose new adapter has an adapter config. The others continue from adapters that have theirs.
WITH_NEW_ADAPTER = ("single", "stack")


@dataclass(frozen=True, slots=True)
class TrainingStage:
    """One training of a chain.

    Attributes:
        reference: Tasks as the verb takes them: a name, joint names (`a+b`) or a YAML file.
        label: Canonical name in tables, and the key under `files` and `overrides`.
        tasks: Tasks with English training data. More than one for a multi-task training.
    """

    reference: str
    label: str
    tasks: tuple[Task, ...]


@dataclass
class SettingsResolver:
    """Resolves job settings for one backbone and one adapter config.

    Every result is cached: millions of jobs share a few hundred settings, and whoever holds the same object
    computes its digest only once.

    Attributes:
        get: Function that returns the task of a name.
        fingerprint: Fingerprint of a backbone folder, whose weights may change. Empty for other backbones.
    """

    grid_config: GridConfig
    backbone: Backbone
    config: AdapterConfig
    get: Callable[[str], Task] = get_task
    fingerprint: str = ""
    _tasks: dict[str, Task] = field(default_factory=dict)
    _stages: dict[str, TrainingStage] = field(default_factory=dict)
    _settings: dict[tuple[str, ...], JobSettings] = field(default_factory=dict)

    def task(self, name: str) -> Task:
        """Returns the task of a name."""
        if name not in self._tasks:
            self._tasks[name] = self.get(name)
        return self._tasks[name]

    def chain(self, name: str) -> tuple[TrainingStage, ...]:
        """Returns the consecutive trainings of a name such as `siqa>copa`."""
        return tuple(self._stage(stage) for stage in stages(name))

    def _stage(self, name: str) -> TrainingStage:
        """Returns the training for one task or joint tasks. A target stands for the task that trains it."""
        if name not in self._stages:
            by_reference = {}
            for part in split_name(name):
                task = self.task(part)
                if task.trained_on in (None, task.name):
                    # A custom task is located by its YAML file, all others by their canonical name
                    by_reference[part if task.base else task.name] = task
                else:
                    by_reference[str(task.trained_on)] = self.task(str(task.trained_on))
            # Sorted, so that `a+b` and `b+a` are one job
            references = sorted(by_reference)
            tasks = tuple(by_reference[reference] for reference in references)
            label = join_names(task.name for task in tasks)
            self._stages[name] = TrainingStage("+".join(references), label, tasks)
        return self._stages[name]

    def training(self, stage: TrainingStage, role: str, composition: CompositionName) -> JobSettings:
        """Returns the settings of a training."""
        key = ("training", stage.reference, role, composition)
        if key not in self._settings:
            # Joint tasks may differ in kind, so overrides address them as `multitask`
            kind = stage.tasks[0].kind if len(stage.tasks) == 1 else None
            settings = self.grid_config.settings_for(role, kind or MULTITASK, composition, stage.label)
            files = {task.name: self.grid_config.files.get(task.name, TaskFiles()) for task in stage.tasks}
            # One option for the file of a single task, and one file per task for joint ones
            single_files = files[stage.label] if kind else TaskFiles()
            joint_files = {} if kind else {name: task.train for name, task in files.items() if task.train}
            hyperparameters = None
            # Tasks without English data (Tatoeba) are only encoded: nothing is trained
            if stage.tasks[0].trained_on is not None:
                kinds = [task.kind for task in stage.tasks]
                hyperparameters = hyperparameters_for(kinds, settings.hyperparameters)
            has_config = composition in WITH_NEW_ADAPTER
            self._settings[key] = self._job_settings(
                stage.tasks,
                kind=kind,
                config=self.config.name if has_config else None,
                adapter=self.config.settings if has_config else {},
                hyperparameters=hyperparameters,
                encoding=settings.encoding,
                train_file=single_files.train,
                dev_file=single_files.dev,
                train_files=joint_files,
                limit=settings.limits.train,
            )
        # The same object each time, so that its digest is computed once
        return self._settings[key]

    def evaluation(self, target: str) -> JobSettings:
        """Returns the settings of a target's evaluations."""
        key = ("evaluation", target)
        if key not in self._settings:
            task = self.task(target)
            # Without the composition: all transfers to a target are evaluated alike
            settings = self.grid_config.settings_for(TARGET_ROLE, task.kind, task.name)
            self._settings[key] = self._job_settings(
                (task,),
                kind=task.kind,
                encoding=settings.encoding,
                eval_file=self.grid_config.files.get(task.name, TaskFiles()).eval,
                precision=settings.hyperparameters.get("precision"),
                limit=settings.limits.eval,
                allow_leak=self.grid_config.allow_leak,
            )
        return self._settings[key]

    def _job_settings(self, tasks: Sequence[Task], config: str | None = None, **fields: Any) -> JobSettings:
        """Adds the fields that all jobs of the grid share."""
        versions = "+".join(str(task.version) for task in tasks)
        return JobSettings(
            version=" ".join(filter(None, (versions, _config_digest(config), self.fingerprint))),
            backbone=self.backbone.name,
            revision=self.backbone.revision,
            config=config,
            language_adapter=self.config.language_adapter,
            data_dir=self.grid_config.data_dir,
            source=self.grid_config.source,
            **fields,
        )


def _config_digest(config: str | None) -> str:
    """Returns the digest of an adapter config in a YAML file, "" for a bundled one."""
    if config is None or not config.endswith((".yaml", ".yml")):
        return ""
    # Enough digits to notice a change, while settings stay readable in JSON
    try:
        return hashlib.sha256(expanded(config).read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise ConfigError(f"cannot read the adapter config {config} ({error.strerror})") from None
