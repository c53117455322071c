"""Predictions as text for the terminal: labels with probabilities, entities and answers in their context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.text import Text

from adapterstilts.cli.console import echo, plain
from adapterstilts.terminal_text import visible

if TYPE_CHECKING:
    from adapterstilts.data.prediction_input import Input

BAR = 20  # terminal cells of a bar for probability 1
MAX_BARS = 10
NO_ENTITIES = plain("  no entities", "yellow")
MARGIN = 120  # characters of the context on each side of an answer


def show(item: Input, prediction: Mapping[str, Any]) -> None:
    """Prints one prediction."""
    for line in lines(item, prediction):
        echo(line)


def lines(item: Input, prediction: Mapping[str, Any]) -> list[Text]:
    """Returns the lines for a prediction of any kind."""
    # The keys of a prediction depend on its kind.
    if "label" in prediction:
        texts = [getattr(item.row, "first", ""), getattr(item.row, "second", None)]
        text = plain(" | ".join(text for text in texts if text))
        return [text, *_bars(prediction["probabilities"], prediction["label"])]
    if "choice" in prediction:
        return _choices(item, prediction)
    if "spans" in prediction:
        spans = prediction["spans"]
        return [_marked(item.text, spans), *([] if spans else [NO_ENTITIES])]
    if "neighbours" in prediction:
        neighbours = [f"  {entry['score']:.3f}  {entry['id']}" for entry in prediction["neighbours"]]
        return [plain(getattr(item.row, "text", "")), *map(plain, neighbours)]
    return _answer(item, prediction)


def _bars(chances: Mapping[str, float], best: str) -> list[Text]:
    order = sorted(chances, key=lambda label: -chances[label])
    width = max(_width(label) for label in order[:MAX_BARS])
    bars = [_bar(label, chances[label], width, label == best) for label in order[:MAX_BARS]]
    count = len(order) - MAX_BARS
    return bars + [plain(f"  and {count} less probable labels", "dim")] * (count > 0)


def _bar(name: str, chance: float, width: int, best: bool) -> Text:
    filled = round(chance * BAR)
    bar = f"{'█' * filled}{'░' * (BAR - filled)}"
    space = " " * max(width - _width(name), 0)
    return plain(f"  {name}{space}  {bar} {chance:6.1%}", "bold green" if best else "dim")


def _width(text: str) -> int:
    # Terminal cells, not characters: Chinese ones take two.
    return cell_len(visible(text))


def _choices(item: Input, prediction: Mapping[str, Any]) -> list[Text]:
    names = [f"{n}. {choice}" for n, choice in enumerate(getattr(item.row, "choices", ()), 1)]
    width = min(max(map(_width, names)), 60)  # a longer choice only moves its own bar
    bars = [
        _bar(name, chance, width, n == prediction["choice"])
        for n, (name, chance) in enumerate(zip(names, prediction["probabilities"], strict=True))
    ]
    return [plain(getattr(item.row, "prompt", "")), *bars]


def _marked(text: str, spans: Sequence[Mapping[str, Any]]) -> Text:
    """Returns the text with each entity in brackets, followed by its label."""
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
    """Returns the question, and the answer in its part of the context."""
    context, start, end = getattr(item.row, "context", ""), prediction["start"], prediction["end"]
    question = plain(getattr(item.row, "question", ""))
    if start < 0:
        return [question, plain("  no answer", "yellow")]
    prefix = "…" * (start > MARGIN) + context[max(start - MARGIN, 0) : start]
    suffix = context[end : end + MARGIN] + "…" * (end + MARGIN < len(context))
    answer = Text.assemble(
        plain(f"  {prefix}"), plain(f"[{context[start:end]}]", "bold green"), plain(suffix)
    )
    chances = [entry["probability"] for entry in prediction["n_best"] if entry["start"] == start]
    return [question, answer, *(plain(f"  probability {chance:.1%}", "dim") for chance in chances[:1])]
