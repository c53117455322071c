"""The table of a grid: how much each intermediate task changes each target, from what is in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from statistics import fmean

from adapterstilts.errors import DamagedError
from adapterstilts.grid.plan import Cell, Plan
from adapterstilts.grid.records import Record, Records
from adapterstilts.store.effect import MARK, MEANING, effect_in

JOIN = "+"  # between precisions
MARKS = {
    "*": "not all languages and seeds are there yet",
    "!": "some of the evaluated items were trained on too",
    "~": "computed in several precisions, or in another one than its baseline (set it in the recipe)",
    "^": "an adapter that it uses was pulled, not trained here",
    MARK: MEANING,
}


@dataclass(frozen=True)
class Scores:
    """What is known of one cell.

    Attributes:
        by_language: in percent; None where the labels are hidden.
        leaked: languages with items that were trained on too, which `allow_leak` lets pass.
        evaluated_in: language -> precision of its evaluation.
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
class Effect:
    """One transfer to one target, or the target's baseline, over seeds.

    Attributes:
        intermediate, how: "" and "baseline" of the baseline.
        mean: over seeds of the mean over languages: of the baseline its score, else the difference from the
            baseline of the same seed in the same languages, in points. None without a result.
        low, high: the smallest and the largest over seeds; None where there is only one.
        languages, wanted: how many languages the mean is over, and how many it should be over; those whose
            labels are hidden do not count.
        seeds, wanted_seeds: how many seeds have results, and how many there are in the recipe.
        leaked: of how many languages the scores, or the baseline's, are over items that were trained on too.
        trained_in, evaluated_in: precisions of the trainings, and of the evaluations, that the mean rests on,
            the baseline's included; several are joined with "+".
        pulled: Repositories of the pulled adapters that it uses, joined with ", ".
        inert: Number of seeds in which the run, its baseline or one of their sources changes nothing.
    """

    backbone: str
    config: str
    target: str
    intermediate: str
    how: str
    mean: float | None
    low: float | None
    high: float | None
    languages: int
    wanted: int
    seeds: int
    wanted_seeds: int
    leaked: int
    trained_in: str
    evaluated_in: str
    pulled: str
    inert: int

    @property
    def whole(self) -> bool:
        """Whether all languages are there, in all seeds."""
        return self.languages == self.wanted and self.seeds == self.wanted_seeds

    @property
    def mixed(self) -> bool:
        """Whether trainings, or evaluations, of several precisions are compared."""
        return JOIN in self.trained_in or JOIN in self.evaluated_in


def effects(plan: Plan, records: Records, tell: Callable[[str], None]) -> list[Effect]:
    """The effects over the languages other than English, in the plan's order.

    Args:
        tell: receives what is wrong with each result that is damaged and does not count.
    """
    return _effects(plan, _reader(plan, records, tell), lambda code: code != "en")


def effects_by_language(plan: Plan, records: Records, tell: Callable[[str], None]) -> dict[str, list[Effect]]:
    """The effects in each language alone, English first; see `effects`."""
    codes = dict.fromkeys(code for cell in plan.cells for code in cell.languages)
    read = _reader(plan, records, tell)
    ordered = sorted(codes, key=lambda code: (code != "en", code))
    return {code: _effects(plan, read, lambda each, code=code: each == code) for code in ordered}  # type: ignore[misc]


def _reader(plan: Plan, records: Records, tell: Callable[[str], None]) -> Callable[[Cell], Scores]:
    """Scores of a cell's finished evaluations, each read once."""
    known: dict[tuple[str, str, str], Scores] = {}
    trained: dict[str, list[Record]] = {}
    effects_known: dict[str, bool] = {}

    def trainings(digest: str) -> list[Record]:
        """The records of a training and of all that it was made from."""
        if digest not in trained:
            record = records.find_finished(digest)
            below = [each for need in plan.trainings[digest].needs for each in trainings(need)]
            trained[digest] = [*([record] if record else []), *below]
        return trained[digest]

    def inert(record: Record) -> bool:
        if record.digest not in effects_known:
            effects_known[record.digest] = _inert(record, records, tell)
        return effects_known[record.digest]

    def read(cell: Cell) -> Scores:
        if cell.evaluations_key not in known:
            made_from = trainings(cell.training.digest)
            scores = _scores(cell, records, tell)
            known[cell.evaluations_key] = replace(
                scores,
                trained_in={record.precision for record in made_from if record.precision},
                pulled={record.pulled for record in made_from if record.pulled},
                inert=bool(scores.by_language) and any(map(inert, made_from)),
            )
        return known[cell.evaluations_key]

    return read


def _inert(record: Record, records: Records, tell: Callable[[str], None]) -> bool:
    """Whether a finished training changes nothing; false where that was not measured."""
    try:
        effect = effect_in(records.read_metrics(record))
    except DamagedError as error:
        tell(str(error))
        return False
    return effect is not None and effect.inert


def _scores(cell: Cell, records: Records, tell: Callable[[str], None]) -> Scores:
    found, leaked, evaluated_in = {}, set(), {}
    for job in cell.evaluations(cell.languages):
        record = records.find_finished(job.digest)
        if record is None:
            continue
        try:
            metrics = records.read_metrics(record)
        except DamagedError as error:
            tell(str(error))
            continue
        score = metrics.get("score")
        found[job.language] = None if score is None else float(score)
        if record.leaked or metrics.get("leaked"):
            leaked.add(job.language)
        if record.precision:
            evaluated_in[job.language] = record.precision
    return Scores(found, leaked, evaluated_in)


def _effects(plan: Plan, read: Callable[[Cell], Scores], counts: Callable[[str], bool]) -> list[Effect]:
    base = {_base_key(cell): cell for cell in plan.cells if cell.rank == 0}
    rows: dict[tuple[str, ...], list[Cell]] = {}
    for cell in plan.cells:
        rows.setdefault(cell.row_key, []).append(cell)
    return [_effect(cells, base, read, counts) for cells in rows.values()]


def _base_key(cell: Cell) -> tuple[str, str, str, int]:
    return cell.backbone, cell.config, cell.target, cell.seed


def _effect(
    cells: Sequence[Cell],
    base: Mapping[tuple[str, str, str, int], Cell],
    read: Callable[[Cell], Scores],
    counts: Callable[[str], bool],
) -> Effect:
    """The effect of one transfer over the cells of its seeds."""
    cell = cells[0]
    values: list[dict[str, float]] = []
    hidden: set[str] = set()
    leaked: set[str] = set()
    trained_in: set[str] = set()
    evaluated_in: set[str] = set()
    pulled: set[str] = set()
    inert = 0
    for each in cells:
        reads = [read(each), *([read(base[_base_key(each)])] if each.rank else [])]
        hidden |= {code for code, score in reads[0].by_language.items() if score is None and counts(code)}
        leaked |= {code for found in reads for code in found.leaked if counts(code)}
        inert += any(scores.inert for scores in reads)
        scores, before = _known(reads[0], counts), _known(reads[-1], counts)
        both = scores.keys() & before.keys()
        if both:
            values.append({code: scores[code] - (before[code] if each.rank else 0.0) for code in both})
            trained_in |= {precision for scored in reads for precision in scored.trained_in}
            evaluated_in |= {
                scored.evaluated_in[code] for scored in reads for code in both & scored.evaluated_in.keys()
            }
            pulled |= {repository for scored in reads for repository in scored.pulled}
    means = [fmean(differences.values()) for differences in values]
    return Effect(
        backbone=cell.backbone,
        config=cell.config,
        target=cell.target,
        intermediate=cell.intermediate,
        how=cell.transfer,
        mean=fmean(means) if means else None,
        low=min(means) if len(means) > 1 else None,
        high=max(means) if len(means) > 1 else None,
        languages=min((len(differences) for differences in values), default=0),
        wanted=sum(counts(code) for code in cell.languages if code not in hidden),
        seeds=len(values),
        wanted_seeds=len(cells),
        leaked=len(leaked),
        trained_in=JOIN.join(sorted(trained_in)),
        evaluated_in=JOIN.join(sorted(evaluated_in)),
        pulled=", ".join(sorted(pulled)),
        inert=inert,
    )


def _known(scores: Scores, counts: Callable[[str], bool]) -> dict[str, float]:
    found = scores.by_language.items()
    return {code: score for code, score in found if score is not None and counts(code)}


def cell_text(effect: Effect) -> str:
    """For people: `+1.2 [0.8, 1.9]`; see `MARKS` for what follows; a dash without a score."""
    if effect.mean is None:
        return "-"
    sign = "" if effect.how == "baseline" else "+"
    mean, low, high = (
        "" if value is None else f"{round(value, 1) + 0.0:{sign}.1f}"  # + 0.0 takes the sign off -0.0
        for value in (effect.mean, effect.low, effect.high)
    )
    applies = {
        "*": not effect.whole,
        "!": effect.leaked,
        "~": effect.mixed,
        "^": effect.pulled,
        MARK: effect.inert,
    }
    marks = "".join(mark for mark, holds in applies.items() if holds)
    return f"{mean}{f' [{low}, {high}]' if low else ''}{marks}"


def grid_of(
    found: Iterable[Effect], columns: Mapping[str, Iterable[Effect]] | None = None
) -> list[list[str]]:
    """Rows of text with a header: a row for each transfer, a column for each target.

    Args:
        columns: instead of the targets, such as languages; then a row for each transfer to each target.
    """
    if columns is None:
        return _by_target(list(found))
    rows: dict[tuple[str, ...], list[str]] = {}
    for effects_there in columns.values():
        for each in effects_there:
            key = (each.backbone, each.config, each.target, each.how, each.intermediate)
            rows.setdefault(key, []).append(cell_text(each))
    head = ["backbone", "config", "target", "composition", "intermediate", *columns]
    return _without_constant([head, *([*key, *cells] for key, cells in rows.items())])


def _by_target(found: Sequence[Effect]) -> list[list[str]]:
    targets = list(dict.fromkeys(each.target for each in found))
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for each in found:
        key = (each.backbone, each.config, each.how, each.intermediate)
        rows.setdefault(key, {})[each.target] = cell_text(each)
    head = ["backbone", "config", "composition", "intermediate", *targets]
    body = [[*key, *(cells.get(target, "") for target in targets)] for key, cells in rows.items()]
    return _without_constant([head, *body])


def _without_constant(rows: list[list[str]]) -> list[list[str]]:
    """Without the columns of backbone and config where there is only one."""
    dropped = [n for n in (0, 1) if len({row[n] for row in rows[1:]}) == 1]
    return [[text for n, text in enumerate(row) if n not in dropped] for row in rows]
