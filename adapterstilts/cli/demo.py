"""The verb `demo`: the whole idea in a few minutes, on bundled data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapterstilts.composition import CompositionName

if TYPE_CHECKING:
    from adapterstilts.api import Evaluation, Options

INTERMEDIATE = ("mini_nli", "mini_qa")
COMPOSITIONS: tuple[CompositionName, ...] = ("sequential", "stack")
TARGET_ROWS = {"mini_paraphrase": 200, "mini_ner": 160}  # little English data: most to gain
EVALUATED = 20  # rows of each language that are scored, of 60
AT_THE_END = 10**6  # steps between development scores: one, after the last step, is enough here
# Chosen on the English development data of each task, for seed 1 and without an intermediate task.
RECIPES: dict[str, dict[str, float]] = {
    "mini_nli": {"epochs": 2, "batch_size": 8},
    "mini_qa": {"epochs": 1, "batch_size": 4},
    "mini_paraphrase": {"epochs": 3, "batch_size": 4},
    "mini_ner": {"epochs": 2, "batch_size": 4, "learning_rate": 3e-3},
}


@dataclass(frozen=True)
class Line:
    """One transfer to one target and what it gained, in points over the baseline.

    Attributes:
        how: composition and intermediate task, "" for the baseline.
        english, others: score in English and mean over the other languages, in percent.
        gain: `others` minus the baseline's.
        better: languages other than English in which it beats the baseline.
        languages: how many those are.
    """

    target: str
    how: str
    english: float
    others: float
    gain: float
    better: int
    languages: int


def demo(
    store: Annotated[
        Path, typer.Option("--store", "-C", help="Folder of results.", envvar="ADAPTERSTILTS_STORE")
    ] = Path("checkpoints"),
    backbone: Annotated[str, typer.Option(help="Name, Hub id or folder.")] = "me5-small",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Train two intermediate adapters on bundled data and transfer each to two targets.

    Everything is evaluated zero-shot in all bundled languages; it takes a few minutes on two cores.

    Example: adapterstilts demo
    """
    from adapterstilts.api import Options
    from adapterstilts.run.progress import say

    options = Options(backbone=backbone, store=store, seed=seed, source="bundled")
    trainings = len(INTERMEDIATE) + len(TARGET_ROWS) * (1 + len(INTERMEDIATE) * len(COMPOSITIONS))
    say(f"{trainings} short trainings on bundled data; about six minutes on two cores, once.")
    lines = _lines(options)
    if as_json:
        print(json.dumps([vars(line) for line in lines]))
        return
    _print(lines)


def _lines(options: Options) -> list[Line]:
    from adapterstilts.api import compose, evaluate, train_adapter

    def trained(task: str, rows: int | None = None) -> Options:
        return options.model_copy(
            update={"recipe": {**RECIPES[task], "eval_every": AT_THE_END}, "limit": rows}
        )

    scored = options.model_copy(update={"limit": EVALUATED})
    sources = {name: train_adapter(name, trained(name)).id for name in INTERMEDIATE}
    lines = []
    for target, rows in TARGET_ROWS.items():
        few = trained(target, rows)
        base = evaluate(train_adapter(target, few).id, target, options=scored)[0]
        lines.append(_line(target, "", base, base))
        for source, run in sources.items():
            for kind in COMPOSITIONS:
                found = evaluate(compose(target, kind, [run], few).id, target, options=scored)[0]
                lines.append(_line(target, f"{kind} from {source}", found, base))
    return lines


def _line(target: str, how: str, found: Evaluation, base: Evaluation) -> Line:
    others = [code for code in found.scores if code != "en"]
    mean, before = found.mean_of_others or 0.0, base.mean_of_others or 0.0
    better = sum(found.scores[code] > base.scores[code] for code in others)
    return Line(target, how, found.scores["en"], mean, mean - before, better, len(others))


def _print(lines: list[Line]) -> None:
    from rich.table import Table

    from adapterstilts.cli.console import OUT

    table = Table(title="Zero-shot transfer, score in percent", title_justify="left")
    for name in ("target", "intermediate task"):
        table.add_column(name)
    for name in ("English", "other languages", "gain", "languages better"):
        table.add_column(name, justify="right")
    for line in lines:
        gain = f"{line.gain:+.1f}" if line.how else ""
        better = f"{line.better} of {line.languages}" if line.how else ""
        name = line.how or "none (baseline)"
        table.add_row(line.target, name, f"{line.english:.1f}", f"{line.others:.1f}", gain, better)
    OUT.print(table)
    for text in summary(lines):
        OUT.print(text, highlight=False)


def summary(lines: list[Line]) -> tuple[str, str]:
    """What the table shows, in two lines."""
    moved = [line for line in lines if line.how]
    best, worst = max(moved, key=lambda line: line.gain), min(moved, key=lambda line: line.gain)
    helped = sum(line.gain > 0 for line in moved)
    first = (
        f"{helped} of {len(moved)} transfers help languages without any labelled data; the most: "
        f"{best.target}, {best.how}, {best.gain:+.1f} points over {best.languages} languages."
    )
    second = (
        f"The least: {worst.target}, {worst.how}, {worst.gain:+.1f} points. One seed on small data: it shows "
        "that the path works, not which task is best."
    )
    return first, second
