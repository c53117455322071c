"""The search for the best answer spans over all windows of one question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from adapterstilts.data.characters import SPACES, whole
from adapterstilts.kinds.base import Encoding, Floats, Ints

SHOWN = 5  # spans that a prediction lists


@dataclass(frozen=True, slots=True)
class Window:
    """One window: `logits` [L, 2] (start, end) and `align` [L, 2], characters or -1 outside the context."""

    logits: Floats
    align: Ints


@dataclass(frozen=True, slots=True)
class Span:
    """A candidate answer; characters [start, end) of the context, (-1, -1) for no answer."""

    start: int
    end: int
    score: float


def best_spans(context: str, windows: Sequence[Window], encoding: Encoding, *, none: bool) -> dict[str, Any]:
    """The prediction for one question: its best span and the runners-up.

    Args:
        none: whether "no answer" may win. Its score is the least over the windows of the first token's
            start and end logits; it wins if it exceeds the best span's by more than the threshold.
    """
    spans = _merge(context, [span for window in windows for span in _candidates(window, encoding)])
    spans = spans[: encoding.n_best]
    nothing = Span(-1, -1, min(float(window.logits[0].sum()) for window in windows))
    if none:
        spans = sorted([*spans, nothing], key=lambda span: -span.score)
    real = next((span for span in spans if span != nothing), nothing)
    best = nothing if none and nothing.score - real.score > encoding.null_threshold else real
    chances = softmax([span.score for span in spans]) if spans else []
    listed = [
        {**_shown(context, span), "probability": round(float(chance), 6)}
        for span, chance in zip(spans[:SHOWN], chances, strict=False)
    ]
    return {**_shown(context, best), "score": round(best.score, 6), "n_best": listed}


def _candidates(window: Window, encoding: Encoding) -> list[Span]:
    """The n best spans of one window: every start with every end at most `max_answer` subwords long."""
    at = np.flatnonzero(window.align[:, 0] >= 0)
    if not len(at):
        return []
    starts, ends = window.logits[at].T.astype(np.float64)
    longest = min(encoding.max_answer, len(at))
    padded = np.concatenate([ends, np.full(longest - 1, -np.inf)])
    scores = starts[:, None] + np.lib.stride_tricks.sliding_window_view(
        padded, longest
    )  # [start, length - 1]
    flat = scores.ravel()
    count = min(encoding.n_best, len(flat))
    top = np.argpartition(-flat, count - 1)[:count]
    first, extra = np.divmod(top[np.isfinite(flat[top])], longest)
    characters = np.stack([window.align[at[first], 0], window.align[at[first + extra], 1]], axis=1)
    return [
        Span(int(start), int(end), float(scores[a, b]))
        for (start, end), a, b in zip(characters, first, extra, strict=True)
    ]


def _merge(context: str, spans: Sequence[Span]) -> list[Span]:
    """Spans of whole characters without surrounding space, each kept once with its best score, best first."""
    best: dict[tuple[int, int], float] = {}
    for span in spans:
        text = context[span.start : span.end]
        start = span.start + len(text) - len(text.lstrip(SPACES))
        start, end = whole(context, start, start + len(text.strip(SPACES)))
        if start < end and span.score > best.get((start, end), -np.inf):
            best[start, end] = span.score
    order = sorted(best.items(), key=lambda item: (-item[1], item[0]))  # ties: the earlier span
    return [Span(start, end, score) for (start, end), score in order]


def _shown(context: str, span: Span) -> dict[str, Any]:
    text = context[span.start : span.end] if span.start >= 0 else ""
    return {"text": text, "start": span.start, "end": span.end}
