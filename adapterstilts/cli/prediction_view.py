"""Predictions for a person at a terminal: labels with probabilities, entities and answers in their text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.text import Text

from adapterstilts.cli.console import echo, plain
from adapterstilts.terminal_text import visible

if TYPE_CHECKING:
    from adapterstilts.data.prediction_input import Input

BAR = 20  # cells of a probability of one
MOST_BARS = 10  # labels that are shown
NO_ENTITIES = plain("  no entities", "yellow")
AROUND = 120  # characters of a context that are shown on either side of an answer


def show(item: Input, prediction: Mapping[str, Any]) -> None:
    """Prints one prediction in lines that a person can read."""
    for line in lines(item, prediction):
        echo(line)


def lines(item: Input, prediction: Mapping[str, Any]) -> list[Text]:
    """The lines that show a prediction, whatever its kind."""
    if "label" in prediction:
        texts = [getattr(item.row, "first", ""), getattr(item.row, "second", None)]
        shown = plain(" | ".join(text for text in texts if text))
        return [shown, *_bars(prediction["probabilities"], prediction["label"])]
    if "choice" in prediction:
        return _choices(item, prediction)
    if "spans" in prediction:
        spans = prediction["spans"]
        return [_marked(item.text, spans), *([] if spans else [NO_ENTITIES])]
    if "neighbours" in prediction:
        near = [f"  {each['score']:.3f}  {each['id']}" for each in prediction["neighbours"]]
        return [plain(getattr(item.row, "text", "")), *map(plain, near)]
    return _answer(item, prediction)


def _bars(chances: Mapping[str, float], best: str) -> list[Text]:
    order = sorted(chances, key=lambda label: -chances[label])
    width = max(_width(label) for label in order[:MOST_BARS])
    bars = [_bar(label, chances[label], width, label == best) for label in order[:MOST_BARS]]
    others = len(order) - MOST_BARS
    return bars + [plain(f"  and {others} less probable labels", "dim")] * (others > 0)


def _bar(name: str, chance: float, width: int, best: bool) -> Text:
    filled = round(chance * BAR)
    bar = f"{'█' * filled}{'░' * (BAR - filled)}"
    space = " " * max(width - _width(name), 0)
    return plain(f"  {name}{space}  {bar} {chance:6.1%}", "bold green" if best else "dim")


def _width(text: str) -> int:
    """Cells that a text takes at a terminal."""
    return cell_len(visible(text))


def _choices(item: Input, prediction: Mapping[str, Any]) -> list[Text]:
    names = [f"{n}. {choice}" for n, choice in enumerate(getattr(item.row, "choices", ()), 1)]
    width = min(max(map(_width, names)), 60)
    bars = [
        _bar(name, chance, width, n == prediction["choice"])
        for n, (name, chance) in enumerate(zip(names, prediction["probabilities"], strict=True))
    ]
    return [plain(getattr(item.row, "prompt", "")), *bars]


def _marked(text: str, spans: Sequence[Mapping[str, Any]]) -> Text:
    """The text with each entity in brackets, its label behind."""
    parts: list[Text] = []
    at = 0
    for span in spans:
        entity = text[span["start"] : span["end"]]
        parts += [
            plain(text[at : span["start"]]),
            plain(f"[{entity}]", "bold"),
            plain(f"({span['label']})", "cyan"),
        ]
        at = max(span["end"], at)
    return Text.assemble(*parts, plain(text[at:]))


def _answer(item: Input, prediction: Mapping[str, Any]) -> list[Text]:
    """The question, and the answer in the part of the context around it."""
    context, start, end = getattr(item.row, "context", ""), prediction["start"], prediction["end"]
    question = plain(getattr(item.row, "question", ""))
    if start < 0:
        return [question, plain("  no answer", "yellow")]
    before, after = context[max(start - AROUND, 0) : start], context[end : end + AROUND]
    before = f"…{before}" if start > AROUND else before
    after = f"{after}…" if end + AROUND < len(context) else after
    chance = next((each["probability"] for each in prediction["n_best"] if each["start"] == start), None)
    shown = Text.assemble(plain(f"  {before}"), plain(f"[{context[start:end]}]", "bold green"), plain(after))
    return [question, shown, *([] if chance is None else [plain(f"  probability {chance:.1%}", "dim")])]
