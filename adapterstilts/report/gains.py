"""The table of a grid: the gain of each target from each intermediate task, from the results in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial
from operator import eq
from statistics import fmean

from adapterstilts.errors import DamagedError
from adapterstilts.grid.plan import BASELINE, Cell, Plan
from adapterstilts.grid.records import Record, Records
from adapterstilts.store.effect import MARK, MEANING, Effect

JOIN = "+"  # between precisions
MARKS = {
    "*": "some languages or seeds have no result yet",
    "!": "some of the evaluated items were trained on too",
    "~": "computed in several precisions, or in another one than its baseline (set it in the grid config)",
    "^": "an adapter that it uses was pulled, not trained here",
    MARK: MEANING,
}
Languages = Callable[[str], bool]  # whether a language counts in a mean


@dataclass(frozen=True)
class Scores:
    """The results of one cell, for one seed.

    Attributes:
        by_language: Score in percent by language; None if the labels are hidden.
        leaked: Languages with evaluated items that were trained on, which `allow_leak` permits.
        evaluated_in: Precision of the evaluation by language.
        trained_in: Precisions of the training and of all its sources.
        pulled: Repositories of those trainings that were pulled.
        inert: Whether the run or one of its sources changes nothing; see `store.effect.Effect.inert`.
    """

    by_language: Mapping[str, float | None]
    leaked: AbstractSet[str] = frozenset()
    evaluated_in: Mapping[str, str] = field(default_factory=dict)
    trained_in: AbstractSet[str] = frozenset()
    pulled: AbstractSet[str] = frozenset()
    inert: bool = False


@dataclass(frozen=True, slots=True)
class Gain:
    """The gain of one target from one transfer, or the score of the target's baseline, over seeds.

    Attributes:
        intermediate, transfer: Intermediate task and composition; "" and "baseline" for the baseline.
        mean: Mean over seeds of the mean over languages. For the baseline that of its scores, otherwise that
            of the differences from the baseline of the same seed in the same languages, in points. None
            without a result.
        low, high: Smallest and largest mean of a seed; None if there is only one seed.
        languages, expected_languages: Number of languages in the mean, and the number that the grid config
            requests. Languages with hidden labels do not count.
        seeds, expected_seeds: Number of seeds with results, and the number in the grid config.
        leaked: Number of languages with evaluated items that were trained on, here or in the baseline.
        trained_in, evaluated_in: Precisions of the trainings and of the evaluations in the mean, those of the
            baseline included, joined with "+".
        pulled: Repositories of the pulled adapters that it uses, joined with ", ".
        inert: Number of seeds in which the run, its baseline or one of their sources changes nothing.
    """

    backbone: str
    config: str
    target: str
    intermediate: str
    transfer: str
    mean: float | None
    low: float | None
    high: float | None
    languages: int
    expected_languages: int
    seeds: int
    expected_seeds: int
    leaked: int
    trained_in: str
    evaluated_in: str
    pulled: str
    inert: int

    @property
    def complete(self) -> bool:
        """Whether all languages have results in all seeds."""
        return self.languages == self.expected_languages and self.seeds == self.expected_seeds

    @property
    def mixed(self) -> bool:
        """Whether trainings, or evaluations, of several precisions are compared."""
        return JOIN in self.trained_in or JOIN in self.evaluated_in

    def __str__(self) -> str:
        """For tables: `+1.2 [0.8, 1.9]` and `MARKS`; a dash without a score."""
        if self.mean is None:
            return "-"
        sign = "" if self.transfer == BASELINE else "+"
        mean, low, high = (
            "" if value is None else f"{round(value, 1) + 0.0:{sign}.1f}"  # + 0.0 turns -0.0 into 0.0
            for value in (self.mean, self.low, self.high)
        )
        applies = {
            "*": not self.complete,
            "!": self.leaked,
            "~": self.mixed,
            "^": self.pulled,
            MARK: self.inert,
        }
        marks = "".join(mark for mark, condition in applies.items() if condition)
        return f"{mean}{f' [{low}, {high}]' if low else ''}{marks}"

    @staticmethod
    def by_language(plan: Plan, records: Records, on_damage: Callable[[str], None]) -> dict[str, list[Gain]]:
        """Returns the gains in each language, English first; see `gains`."""
        codes = {code for cell in plan.cells for code in cell.languages}
        reader = _ScoreReader(plan, records, on_damage)
        ordered = sorted(codes, key=lambda code: (code != "en", code))
        return {code: _gains(plan, reader.read, partial(eq, code)) for code in ordered}


def gains(plan: Plan, records: Records, on_damage: Callable[[str], None]) -> list[Gain]:
    """Returns the gains over the languages other than English, in the plan's order.

    Args:
        on_damage: Function that receives a message about each damaged result, which does not count.
    """
    return _gains(plan, _ScoreReader(plan, records, on_damage).read, lambda code: code != "en")


class _ScoreReader:
    """Reads the scores of cells, each run's metrics once: cells of many targets share trainings."""

    def __init__(self, plan: Plan, records: Records, on_damage: Callable[[str], None]):
        self._plan, self._records, self._on_damage = plan, records, on_damage
        self._scores: dict[tuple[str, str, str], Scores] = {}
        self._trainings: dict[str, list[Record]] = {}
        self._inert: dict[str, bool] = {}

    def read(self, cell: Cell) -> Scores:
        """Returns the scores of a cell's finished evaluations."""
        # Cells with the same key have the same evaluations, such as a baseline that many rows refer to.
        if cell.evaluations_key not in self._scores:
            trainings = self._training_records(cell.training.digest)
            scores = self._evaluation_scores(cell)
            self._scores[cell.evaluations_key] = replace(
                scores,
                trained_in={record.precision for record in trainings if record.precision},
                pulled={record.pulled for record in trainings if record.pulled},
                # Without a score there is nothing to mark.
                inert=bool(scores.by_language) and any(map(self._is_inert, trainings)),
            )
        return self._scores[cell.evaluations_key]

    def _training_records(self, digest: str) -> list[Record]:
        """Returns the records of a training and of all its sources."""
        if digest not in self._trainings:
            record = self._records.find_finished(digest)
            needs = self._plan.trainings[digest].needs
            sources = [source for need in needs for source in self._training_records(need)]
            self._trainings[digest] = [*([record] if record else []), *sources]
        return self._trainings[digest]

    def _is_inert(self, record: Record) -> bool:
        """Whether a finished training changes nothing; false if that was not measured."""
        if record.digest not in self._inert:
            try:
                effect = Effect.of(self._records.read_metrics(record))
            except DamagedError as error:
                self._on_damage(str(error))
                effect = None
            self._inert[record.digest] = effect is not None and effect.inert
        return self._inert[record.digest]

    def _evaluation_scores(self, cell: Cell) -> Scores:
        by_language, leaked, evaluated_in = {}, set(), {}
        for job in cell.evaluations(cell.languages):
            record = self._records.find_finished(job.digest)
            if record is None:
                continue
            try:
                metrics = self._records.read_metrics(record)
            except DamagedError as error:
                self._on_damage(str(error))
                continue
            score = metrics.get("score")  # absent if the labels are hidden
            by_language[job.language] = None if score is None else float(score)
            if record.leaked or metrics.get("leaked"):
                leaked.add(job.language)
            if record.precision:
                evaluated_in[job.language] = record.precision
        return Scores(by_language, leaked, evaluated_in)


def _gains(plan: Plan, read: Callable[[Cell], Scores], counts: Languages) -> list[Gain]:
    # Rank 0 is the baseline; every other cell is compared with that of its backbone, config and seed.
    baselines = {_baseline_key(cell): cell for cell in plan.cells if cell.rank == 0}
    rows: dict[tuple[str, ...], list[Cell]] = {}
    for cell in plan.cells:
        rows.setdefault(cell.row_key, []).append(cell)
    return [_gain(cells, baselines, read, counts) for cells in rows.values()]


def _baseline_key(cell: Cell) -> tuple[str, str, str, int]:
    return cell.backbone, cell.config, cell.target, cell.seed


def _gain(
    cells: Sequence[Cell],
    baselines: Mapping[tuple[str, str, str, int], Cell],
    read: Callable[[Cell], Scores],
    counts: Languages,
) -> Gain:
    """Returns the gain from one transfer over the cells of its seeds."""
    values: list[dict[str, float]] = []
    hidden: set[str] = set()
    leaked: set[str] = set()
    trained_in: set[str] = set()
    evaluated_in: set[str] = set()
    pulled: set[str] = set()
    inert = 0
    for cell in cells:
        # The cell alone if it is a baseline, otherwise with the baseline of the same seed.
        compared = [read(cell), *([read(baselines[_baseline_key(cell)])] if cell.rank else [])]
        hidden |= {code for code, score in compared[0].by_language.items() if score is None and counts(code)}
        leaked |= {code for scores in compared for code in scores.leaked if counts(code)}
        inert += any(scores.inert for scores in compared)
        transfer, baseline = _counted(compared[0], counts), _counted(compared[-1], counts)
        # A language without a baseline score has no gain, so it is not in the mean.
        codes = transfer.keys() & baseline.keys()
        if codes:
            values.append({code: transfer[code] - (baseline[code] if cell.rank else 0.0) for code in codes})
            for scores in compared:
                trained_in |= scores.trained_in
                evaluated_in |= {scores.evaluated_in[code] for code in codes & scores.evaluated_in.keys()}
                pulled |= scores.pulled
    means = [fmean(differences.values()) for differences in values]
    return Gain(
        backbone=cells[0].backbone,
        config=cells[0].config,
        target=cells[0].target,
        intermediate=cells[0].intermediate,
        transfer=cells[0].transfer,
        mean=fmean(means) if means else None,
        low=min(means) if len(means) > 1 else None,
        high=max(means) if len(means) > 1 else None,
        # The seed with the fewest languages decides whether the mean is complete.
        languages=min((len(differences) for differences in values), default=0),
        expected_languages=sum(counts(code) for code in cells[0].languages if code not in hidden),
        seeds=len(values),
        expected_seeds=len(cells),
        leaked=len(leaked),
        trained_in=JOIN.join(sorted(trained_in)),
        evaluated_in=JOIN.join(sorted(evaluated_in)),
        pulled=", ".join(sorted(pulled)),
        inert=inert,
    )


def _counted(scores: Scores, counts: Languages) -> dict[str, float]:
    items = scores.by_language.items()
    return {code: score for code, score in items if score is not None and counts(code)}


def table_by_target(column: Sequence[Gain]) -> list[list[str]]:
    """Returns a header and rows of text: a row for each transfer, a column for each target."""
    targets = list(dict.fromkeys(gain.target for gain in column))
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for gain in column:
        key = (gain.backbone, gain.config, gain.transfer, gain.intermediate)
        rows.setdefault(key, {})[gain.target] = str(gain)
    head = ["backbone", "config", "composition", "intermediate", *targets]
    body = [[*key, *(cells.get(target, "") for target in targets)] for key, cells in rows.items()]
    return _without_constant([head, *body])


def table_by_language(columns: Mapping[str, Sequence[Gain]]) -> list[list[str]]:
    """Returns a header and rows of text: a row for each transfer to a target, a column for each language."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for column in columns.values():
        for gain in column:
            key = (gain.backbone, gain.config, gain.target, gain.transfer, gain.intermediate)
            rows.setdefault(key, []).append(str(gain))
    head = ["backbone", "config", "target", "composition", "intermediate", *columns]
    return _without_constant([head, *([*key, *cells] for key, cells in rows.items())])


def _without_constant(rows: list[list[str]]) -> list[list[str]]:
    """Drops the columns of backbone and config if all rows have the same one."""
    constant = [n for n in (0, 1) if len({row[n] for row in rows[1:]}) == 1]
    return [[text for n, text in enumerate(row) if n not in constant] for row in rows]
