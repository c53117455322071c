"""Expands a grid config into job specs: shared where they are equal, in the most informative order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from adapterstilts.composition import CompositionName
from adapterstilts.grid.config import TARGET, GridConfig
from adapterstilts.grid.job_settings import INTERMEDIATE, TARGET_ROLE, SettingsResolver, TrainingStage
from adapterstilts.grid.job_spec import JobSettings, JobSpec, JobType, evaluations, training
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Split, Task

# Languages that are evaluated early: ten families and scripts, so that a few show most of a transfer's effect
PRIORITY_LANGUAGES = ("en", "zh", "ar", "de", "sw", "hi", "ru", "tr", "fi", "ja")
PRIORITY_COUNT = 5
# Compositions over `adapter_sets`. The others transfer from one intermediate task.
SET_COMPOSITIONS: tuple[CompositionName, ...] = ("fuse", "average")
BASELINE = "baseline"
# Transfer to a target without training data: the intermediate adapter is evaluated unchanged
AS_IS = "as it is"


@dataclass(frozen=True, slots=True)
class EvalScope:
    """The split and languages that one target is evaluated in, English first."""

    split: Split
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the grid's table for one seed: a training and its evaluations on one target.

    Attributes:
        target: Name of the target.
        intermediate: Label of the intermediate task, or of a set's tasks with commas. "" for the baseline.
        transfer: Name of the composition, or `BASELINE` or `AS_IS`.
        rank: Position of the composition in the grid config, from 1. 0 for the baseline.
        training: Job whose adapter is evaluated.
        reference: Target as `evaluate` takes it: its name, or the YAML file of a custom task.
        settings: Settings of the evaluations.
        priority_languages: Languages that are evaluated before the others.
        other_languages: Languages that are evaluated later.
    """

    backbone: str
    config: str
    target: str
    intermediate: str
    transfer: str
    rank: int
    seed: int
    training: JobSpec
    reference: str
    settings: JobSettings
    split: Split
    priority_languages: tuple[str, ...]
    other_languages: tuple[str, ...]

    @property
    def languages(self) -> tuple[str, ...]:
        """All languages, in the order of evaluation."""
        return self.priority_languages + self.other_languages

    def evaluations(self, languages: Iterable[str]) -> Iterator[JobSpec]:
        """Yields the evaluation jobs in these languages."""
        digest, name = self.training.digest, self.training.name
        return evaluations(self.reference, digest, self.settings, self.split, languages, name)

    @property
    def row_key(self) -> tuple[str, ...]:
        """Key that is the same for all seeds."""
        return self.backbone, self.config, self.target, self.intermediate, self.transfer

    @property
    def evaluations_key(self) -> tuple[str, str, str]:
        """Key of the evaluation jobs. Cells with the same key share them."""
        return self.training.digest, self.settings.digest, self.reference


@dataclass(frozen=True)
class Plan:
    """All jobs of a grid.

    Attributes:
        trainings: Digest -> training, each after those that it needs.
        cells: Cells of the table.
        skipped: Target of the suite -> reason why it cannot be evaluated.
        duplicates: Names of skipped compositions that would combine an adapter with itself, which happens if
            the target's baseline adapter equals an intermediate one.
    """

    trainings: Mapping[str, JobSpec]
    cells: tuple[Cell, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    duplicates: tuple[str, ...] = ()

    def jobs(self) -> Iterator[JobSpec]:
        """Yields every job once, after those that it needs, the most informative first.

        For each seed: the baselines and the first composition of every pair in the priority languages, then
        the same in the other languages, then the other compositions.
        """
        # Generated, never stored: cells hold languages, and a large grid has millions of evaluations
        trained: set[str] = set()
        # Several cells may have the same evaluations, such as those of targets that share a training
        evaluated: set[tuple[tuple[str, str, str], bool]] = set()
        for cell, priority in self._ordered_cells():
            yield from self._with_needs(cell.training.digest, trained)
            if (cell.evaluations_key, priority) not in evaluated:
                evaluated.add((cell.evaluations_key, priority))
                yield from cell.evaluations(cell.priority_languages if priority else cell.other_languages)

    def _ordered_cells(self) -> Iterator[tuple[Cell, bool]]:
        """Yields each cell twice: for its priority languages and for the other ones."""
        by_seed: dict[int, list[Cell]] = {}
        for cell in self.cells:
            by_seed.setdefault(cell.seed, []).append(cell)
        # One complete table first, its repetitions with other seeds later
        for cells in by_seed.values():
            main = [cell for cell in cells if cell.rank == 0] + [cell for cell in cells if cell.rank == 1]
            yield from ((cell, True) for cell in main)
            yield from ((cell, False) for cell in main)
            secondary = sorted((cell for cell in cells if cell.rank > 1), key=lambda cell: cell.rank)
            yield from ((cell, priority) for cell in secondary for priority in (True, False))

    def _with_needs(self, digest: str, trained: set[str]) -> Iterator[JobSpec]:
        """Yields a training after those that it needs, unless it is already in `trained`."""
        if digest not in trained:
            trained.add(digest)
            for need in self.trainings[digest].needs:
                yield from self._with_needs(need, trained)
            yield self.trainings[digest]

    def counts(self) -> Counter[JobType]:
        """Returns the number of jobs of each type."""
        # Without generating the jobs, which takes seconds for a large grid
        counts = Counter(job.type for job in self.trainings.values())
        language_counts = {cell.evaluations_key: len(cell.languages) for cell in self.cells}
        counts["evaluate"] = sum(language_counts.values())
        return counts


def expand(
    grid_config: GridConfig,
    scopes: Mapping[str, EvalScope],
    skipped: Mapping[str, str] | None = None,
    get: Callable[[str], Task] = get_task,
    fingerprints: Mapping[str, str] | None = None,
) -> Plan:
    """Returns the plan of a grid config.

    Args:
        scopes: Target -> split and languages to evaluate it in.
        skipped: Target -> reason why it is not evaluated.
        get: Function that returns the task of a name.
        fingerprints: Backbone -> fingerprint of its weights, for folders whose content may change.

    Raises:
        ConfigError: Settings that have no effect on a task, such as multi-task settings of a single task.
    """
    trainings: dict[str, JobSpec] = {}
    cells: dict[tuple[Any, ...], Cell] = {}  # by key: what a grid config lists twice is planned once
    duplicates: dict[str, None] = {}
    resolvers = [
        SettingsResolver(grid_config, backbone, config, get, (fingerprints or {}).get(backbone.name, ""))
        for backbone, config in product(grid_config.backbones, grid_config.adapter_configs)
    ]
    # `dict.fromkeys` removes repetitions and keeps the order
    for seed, resolver in product(dict.fromkeys(grid_config.seeds), resolvers):
        label = f"({resolver.backbone.label}, {resolver.config.label})" if len(resolvers) > 1 else ""
        column = _Column(resolver, seed, label, trainings, duplicates)
        for target, scope in scopes.items():
            for cell in column.cells(target, scope):
                cells.setdefault((*cell.row_key, cell.seed), cell)
    return Plan(trainings, tuple(cells.values()), skipped or {}, tuple(duplicates))


@dataclass(frozen=True)
class _Column:
    """Plans the cells of one backbone, adapter config and seed.

    Attributes:
        label: Backbone and adapter config for the names of jobs. Empty if the grid has only one of each.
        trainings: Trainings of the whole grid by digest; extended by `cells`.
        duplicates: Names of skipped compositions; extended by `cells`.
    """

    resolver: SettingsResolver
    seed: int
    label: str
    trainings: dict[str, JobSpec]
    duplicates: dict[str, None]

    def cells(self, target: str, scope: EvalScope) -> Iterator[Cell]:
        """Yields the cells of one target."""
        grid_config = self.resolver.grid_config
        chain = self.resolver.chain(grid_config.trained_on.get(target, target))
        baseline = self._train(chain, TARGET_ROLE, "single", ())
        trainable = baseline.settings.hyperparameters is not None
        yield self._cell(target, scope, baseline, "", BASELINE, 0)
        if not trainable:
            for name in grid_config.intermediate:
                yield self._cell(target, scope, self._intermediate(name), self._task_label(name), AS_IS, 1)
        for rank, composition in enumerate(grid_config.compositions, 1):
            # Average is the only composition that does not need training data of the target
            if composition == "single" or not (trainable or composition == "average"):
                continue
            single_sets = tuple((name,) for name in grid_config.intermediate)
            for names in grid_config.adapter_sets if composition in SET_COMPOSITIONS else single_sets:
                sources = tuple(baseline if name == TARGET else self._intermediate(name) for name in names)
                digests = tuple(source.digest for source in sources)
                # Digests and not names decide: different names may lead to the same training
                if len(set(digests)) < len(digests):
                    self.duplicates[f"{composition} {', '.join(names)} for {target}"] = None
                    continue
                job = self._train(chain, TARGET_ROLE, composition, digests)
                label = ", ".join(name if name == TARGET else self._task_label(name) for name in names)
                yield self._cell(target, scope, job, label, composition, rank)

    def _task_label(self, name: str) -> str:
        return ">".join(stage.label for stage in self.resolver.chain(name))

    def _intermediate(self, name: str) -> JobSpec:
        return self._train(self.resolver.chain(name), INTERMEDIATE, "single", ())

    def _train(
        self, chain: Sequence[TrainingStage], role: str, composition: CompositionName, needs: tuple[str, ...]
    ) -> JobSpec:
        """Returns the final training of a chain and adds all its trainings to `trainings`.

        The composition combines the needed adapters in the first stage; each later stage continues from the
        stage before it.
        """
        stage, *later_stages = chain
        settings = self.resolver.training(stage, role, composition)
        sources = ", ".join(self.trainings[need].task for need in needs)
        detail = " ".join(filter(None, (f"from {sources}" if sources else "", self.label)))
        job = training(stage.reference, composition, needs, settings, self.seed, detail)
        # The same training may be part of several chains; the name of the first one stays
        job = self.trainings.setdefault(job.digest, job)
        return self._train(later_stages, role, "sequential", (job.digest,)) if later_stages else job

    def _cell(
        self, target: str, scope: EvalScope, job: JobSpec, intermediate: str, transfer: str, rank: int
    ) -> Cell:
        task = self.resolver.task(target)
        priority = tuple(code for code in PRIORITY_LANGUAGES if code in scope.languages)[:PRIORITY_COUNT]
        # A target may have none of them
        priority = priority or scope.languages[:PRIORITY_COUNT]
        return Cell(
            backbone=self.resolver.backbone.label,
            config=self.resolver.config.label,
            target=task.name,
            intermediate=intermediate,
            transfer=transfer,
            rank=rank,
            seed=self.seed,
            training=job,
            reference=target if task.base else task.name,
            settings=self.resolver.evaluation(target),
            split=scope.split,
            priority_languages=priority,
            other_languages=tuple(code for code in scope.languages if code not in priority),
        )
