"""From a recipe to the jobs of its grid: pure data, shared where it can be, in a useful order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from adapterstilts.composition import CompositionName
from adapterstilts.grid.config import TARGET, GridConfig
from adapterstilts.grid.job_settings import INTERMEDIATE, TARGET_ROLE, SettingsResolver, TrainedTasks
from adapterstilts.grid.job_spec import JobSettings, JobSpec, JobType, evaluations, training
from adapterstilts.tasks import registry
from adapterstilts.tasks.spec import Split, Task

SPREAD = ("en", "zh", "ar", "de", "sw", "hi", "ru", "tr", "fi", "ja")  # languages evaluated before the others
FIRST = 5  # how many of them
JOINT: tuple[CompositionName, ...] = ("fuse", "average")  # over sets; the others over one adapter
AS_IS = "as it is"  # how an intermediate adapter meets a target that nothing trains


@dataclass(frozen=True, slots=True)
class EvalScope:
    """One target as it is evaluated.

    Attributes:
        languages: English first, if it is among them.
    """

    split: Split
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One training seen from one target: what a table compares, for one seed.

    Attributes:
        target: its name.
        intermediate: "" of the baseline; of a set the names with commas between.
        how: the composition, "baseline" or `AS_IS`.
        rank: place of the composition in the recipe, from 1; 0 of the baseline.
        first: languages that are evaluated before the others; `rest`: the others.
    """

    backbone: str
    config: str
    target: str
    intermediate: str
    how: str
    rank: int
    seed: int
    training: JobSpec
    reference: str
    settings: JobSettings
    split: Split
    first: tuple[str, ...]
    rest: tuple[str, ...]

    @property
    def languages(self) -> tuple[str, ...]:
        """All of them, the first ones first."""
        return self.first + self.rest

    def evaluations(self, languages: Iterable[str]) -> Iterator[JobSpec]:
        """The jobs for its evaluations in these languages."""
        made = self.training
        return evaluations(self.reference, made.digest, self.settings, self.split, languages, made.name)

    @property
    def row(self) -> tuple[str, ...]:
        """What it has in common with the other seeds."""
        return self.backbone, self.config, self.target, self.intermediate, self.how

    @property
    def group(self) -> tuple[str, str, str]:
        """What its evaluations have in common."""
        return self.training.digest, self.settings.digest, self.reference


@dataclass(frozen=True)
class Plan:
    """All jobs of a grid.

    Attributes:
        trainings: by digest, each after those that it needs.
        cells: of the table.
        left_out: targets of the suite that cannot be evaluated, and why.
        doubled: what would join one adapter with itself, and is not there: sets with a target's own adapter
            where an intermediate one is the same.
    """

    trainings: Mapping[str, JobSpec]
    cells: tuple[Cell, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    doubled: tuple[str, ...] = ()

    def jobs(self) -> Iterator[JobSpec]:
        """Every job once, after those that it needs, the most informative first.

        For each seed: the baselines and then the first composition of every pair, in English and a spread of
        languages; then the same in the other languages; then the other compositions.
        """
        trained: set[str] = set()
        evaluated: set[tuple[tuple[str, str, str], bool]] = set()
        for cell, first in self._stages():
            yield from self._chain(cell.training.digest, trained)
            if (cell.group, first) not in evaluated:
                evaluated.add((cell.group, first))
                yield from cell.evaluations(cell.first if first else cell.rest)

    def _stages(self) -> Iterator[tuple[Cell, bool]]:
        by_seed: dict[int, list[Cell]] = {}
        for cell in self.cells:
            by_seed.setdefault(cell.seed, []).append(cell)
        for cells in by_seed.values():
            base = [cell for cell in cells if cell.rank == 0] + [cell for cell in cells if cell.rank == 1]
            yield from ((cell, True) for cell in base)
            yield from ((cell, False) for cell in base)
            more = sorted((cell for cell in cells if cell.rank > 1), key=lambda cell: cell.rank)
            yield from ((cell, first) for cell in more for first in (True, False))

    def _chain(self, digest: str, trained: set[str]) -> Iterator[JobSpec]:
        """A training after all that it needs."""
        if digest not in trained:
            trained.add(digest)
            for need in self.trainings[digest].needs:
                yield from self._chain(need, trained)
            yield self.trainings[digest]

    def counts(self) -> Counter[JobType]:
        """How many jobs there are of each type."""
        found = Counter(job.type for job in self.trainings.values())
        groups = {cell.group: len(cell.languages) for cell in self.cells}
        found["evaluate"] = sum(groups.values())
        return found


def expand(
    grid_config: GridConfig,
    scenes: Mapping[str, EvalScope],
    left_out: Mapping[str, str] | None = None,
    get: Callable[[str], Task] = registry.get,
    fingerprints: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of a recipe.

    Args:
        scenes: the targets that are evaluated, with what of them is at hand.
        left_out: targets that are not, and why.
        get: finds a task by its name.
        fingerprints: of the weights of backbones that may change under their names.

    Raises:
        ConfigError: settings that have no effect on a task, such as those of several tasks on one.
    """
    trainings: dict[str, JobSpec] = {}
    cells: dict[tuple[Any, ...], Cell] = {}  # what a recipe names twice is there once
    doubled: dict[str, None] = {}
    tellers = [
        SettingsResolver(grid_config, backbone, config, get, (fingerprints or {}).get(backbone.name, ""))
        for backbone, config in product(grid_config.backbones, grid_config.configs)
    ]
    for seed, teller in product(dict.fromkeys(grid_config.seeds), tellers):
        named = f"({teller.backbone.label}, {teller.config.label})" if len(tellers) > 1 else ""
        column = _Column(teller, seed, named, trainings, doubled)
        for target, scene in scenes.items():
            for cell in column.cells(target, scene):
                cells.setdefault((*cell.row, cell.seed), cell)
    return Plan(trainings, tuple(cells.values()), left_out or {}, tuple(doubled))


@dataclass(frozen=True)
class _Column:
    """The cells of one backbone, adapter config and seed; fills `trainings` and `doubled`.

    Attributes:
        named: backbone and config, where there are several.
    """

    teller: SettingsResolver
    seed: int
    named: str
    trainings: dict[str, JobSpec]
    doubled: dict[str, None]

    def cells(self, target: str, scene: EvalScope) -> Iterator[Cell]:
        grid_config = self.teller.grid_config
        chain = self.teller.chain(grid_config.trained_on.get(target, target))
        base = self._train(chain, TARGET_ROLE, "single", ())
        yield self._cell(target, scene, base, "", "baseline", 0)
        if base.settings.hyperparameters is None:
            for name in grid_config.intermediate:
                yield self._cell(target, scene, self._intermediate(name), self._label(name), AS_IS, 1)
        for rank, composition in enumerate(grid_config.compositions, 1):
            if composition == "single" or (
                base.settings.hyperparameters is None and composition != "average"
            ):
                continue
            for group in (
                grid_config.sets if composition in JOINT else [(name,) for name in grid_config.intermediate]
            ):
                needs = tuple(base if name == TARGET else self._intermediate(name) for name in group)
                if len({need.digest for need in needs}) < len(needs):
                    self.doubled[f"{composition} {', '.join(group)} for {target}"] = None
                    continue
                made = self._train(chain, TARGET_ROLE, composition, tuple(need.digest for need in needs))
                label = ", ".join(name if name == TARGET else self._label(name) for name in group)
                yield self._cell(target, scene, made, label, composition, rank)

    def _label(self, name: str) -> str:
        return ">".join(what.label for what in self.teller.chain(name))

    def _intermediate(self, name: str) -> JobSpec:
        return self._train(self.teller.chain(name), INTERMEDIATE, "single", ())

    def _train(
        self, chain: Sequence[TrainedTasks], role: str, composition: CompositionName, needs: tuple[str, ...]
    ) -> JobSpec:
        """The last training of a chain: the first joins what is needed, each other goes on from it."""
        first, *others = chain
        settings = self.teller.training(first, role, composition)
        sources = ", ".join(self.trainings[need].task for need in needs)
        about = (f"from {sources}" if sources else "", self.named)
        made = training(
            first.reference, composition, needs, settings, self.seed, " ".join(filter(None, about))
        )
        made = self.trainings.setdefault(made.digest, made)
        return self._train(others, role, "sequential", (made.digest,)) if others else made

    def _cell(
        self, target: str, scene: EvalScope, made: JobSpec, intermediate: str, how: str, rank: int
    ) -> Cell:
        task = self.teller.task(target)
        first = tuple(code for code in SPREAD if code in scene.languages)[:FIRST] or scene.languages[:FIRST]
        return Cell(
            backbone=self.teller.backbone.label,
            config=self.teller.config.label,
            target=task.name,
            intermediate=intermediate,
            how=how,
            rank=rank,
            seed=self.seed,
            training=made,
            reference=target if task.base else task.name,
            settings=self.teller.evaluation(target),
            split=scene.split,
            first=first,
            rest=tuple(code for code in scene.languages if code not in first),
        )
