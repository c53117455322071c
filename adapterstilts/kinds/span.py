"""Extractive question answering: the answer is a span of the context, or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import Field
from scipy.special import softmax
from transformers import PreTrainedTokenizerFast

from adapterstilts.data.characters import SPACES, whole
from adapterstilts.data.rows import QuestionRow
from adapterstilts.kinds.answer_normalisation import normaliser
from adapterstilts.kinds.base import (
    LONGEST,
    Batch,
    Classes,
    Counts,
    Encoding,
    Feature,
    Floats,
    HeadSpec,
    Ints,
    Kind,
    Metrics,
    Prediction,
)
from adapterstilts.kinds.bootstrap import percent
from adapterstilts.kinds.spec import SPECS
from adapterstilts.kinds.subwords import Pieces, Template, pieces
from adapterstilts.tasks.spec import Task

N_BEST = 5  # spans in a prediction
NO_ANSWER = (0, 0)  # start and end at the first token: the window does not contain the answer


class SpanEncoding(Encoding):
    """XTREME's protocol for question answering: windows of 384 subwords with a stride of 128."""

    max_length: int = Field(
        384,
        ge=8,
        le=LONGEST,
        description="Subwords of one window, special tokens included; the model's own limit applies too.",
    )
    stride: int = Field(
        128,
        ge=0,
        le=LONGEST,
        description="Subwords that neighbouring windows share, at most half of a context's window.",
    )
    n_best: int = Field(20, ge=1, le=LONGEST, description="Candidate spans per question.")
    max_answer: int = Field(30, ge=1, le=LONGEST, description="Longest answer in subwords.")
    null_threshold: float = Field(
        0.0, description="SQuAD v2: no answer is predicted if null score - best span score exceeds it."
    )


class _SpanKind(Kind[SpanEncoding]):
    """Start and end of the answer, in windows over the context.

    A feature is one window (question, part of the context). Its target [2] is the positions of the answer's
    outer subwords, (0, 0) if the window does not contain all of it; `align` [L, 2] is each context subword's
    start and end character, -1 for every other position. Labels of a batch are [F, 2].
    """

    spec = SPECS["span"]
    encoding = SpanEncoding

    def head(self, task: Task) -> HeadSpec:
        """Returns a head with two scores per subword: start and end."""
        return HeadSpec("span")

    def encode(
        self,
        rows: Sequence[QuestionRow],
        task: Task,
        tokenizer: PreTrainedTokenizerFast,
        encoding: SpanEncoding,
    ) -> list[Feature]:
        """Returns windows of (question, context); neighbours share `stride` subwords of the context.

        The earliest gold answer is trained on; one that does not end on subword borders becomes the subwords
        that overlap it.
        """
        template, length = Template.of(tokenizer, pair=True), encoding.limit(tokenizer)
        questions = pieces(tokenizer, [row.question for row in rows])
        contexts = pieces(tokenizer, [row.context for row in rows])
        features = []
        for number, row in enumerate(rows):
            # Long questions are truncated, so that half of the window remains for the context.
            question = questions[row.question].ids[: max(length // 2 - template.size, 0)]
            context, budget = contexts[row.context], length - template.size - len(question)
            answer = _answer(row, context)
            for begin, end in _windows(len(context.ids), budget, min(encoding.stride, budget // 2)):
                part = Pieces(context.ids[begin:end], context.offsets[begin:end])
                target = _target(answer, begin, end, template.start(question))
                features.append(_feature(number, template, question, part, target))
        return features

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Returns the mean cross-entropy of start and end over real tokens; `logits` [F, L, 2]."""
        padding = batch["attention_mask"].unsqueeze(2) == 0
        scores = logits.float().masked_fill(padding, -torch.inf)
        return torch.nn.functional.cross_entropy(scores, batch["labels"])

    def split(self, logits: torch.Tensor, features: Sequence[Feature]) -> list[Floats]:
        """Splits logits [F, L, 2] into one array [length, 2] per feature."""
        return Kind.cut(logits, features)

    def classes(self, outputs: Sequence[Floats], features: Sequence[Feature]) -> Classes:
        """Returns start positions in the window; 0, the leading special token, is no answer."""
        predicted = np.array([logits[:, 0].argmax() for logits in outputs], np.int32)
        return predicted, Kind.as_ints([feature.target[:1] for feature in features])

    def decode(
        self,
        outputs: Sequence[Floats],
        features: Sequence[Feature],
        rows: Sequence[QuestionRow],
        task: Task,
        encoding: SpanEncoding,
    ) -> list[Prediction]:
        """Returns `{"id", "text", "start", "end", "score", "n_best"}` per row.

        The text is a part of the context; `start` and `end` are its characters, -1 for no answer, which is
        predicted only if the task has unanswerable questions (or the context is empty). `score` is the sum of
        the start and end logits; `n_best` lists the five best spans, with probabilities over all
        `encoding.n_best` candidates.
        """
        windows: list[list[_Window]] = [[] for _ in rows]
        for logits, feature in zip(outputs, features, strict=True):
            windows[feature.row].append(_Window(logits, feature.align))
        return [
            {"id": row.id, **_best_spans(row.context, row_windows, encoding, null=task.unanswerable)}
            for row, row_windows in zip(rows, windows, strict=True)
        ]

    def counts(
        self, predictions: Sequence[Prediction], rows: Sequence[QuestionRow], task: Task, language: str
    ) -> Counts:
        """Returns exact match and word F1, best over the gold answers, and 1 [questions, 3]."""
        metric = normaliser(task, language)
        counts = []
        for prediction, answers in zip(
            predictions, Kind.gold_of([row.answers for row in rows], rows), strict=True
        ):
            text, gold = prediction["text"], [answer.text for answer in answers]
            counts.append((metric.exact_match(text, gold), metric.word_f1(text, gold), 1))
        return np.array(counts, np.float64)

    def rates(self, sums: Counts) -> dict[str, Counts]:
        """Computes exact match, word F1, and the mean of the two."""
        em, f1 = (percent(sums[..., n], sums[..., 2]) for n in range(2))
        return {"em": em, "f1": f1, "em_f1": (em + f1) / 2}

    def score(
        self, predictions: Sequence[Prediction], rows: Sequence[QuestionRow], task: Task, language: str
    ) -> Metrics:
        """Returns exact match and word F1 with the task's normalisation."""
        rates = self.rates(self.counts(predictions, rows, task, language).sum(axis=0))
        metrics = Kind.headline(rates, task)
        # The mean of the two is reported as the score only.
        return {name: metrics[name] for name in ("em", "f1", "score")}


def _answer(row: QuestionRow, context: Pieces) -> tuple[int, int] | None:
    """Returns the outer context subwords that overlap the row's earliest answer.

    (-1, -1) if the question has no answer, None if the row is for prediction and has no gold at all.
    """
    if row.answers is None:
        return None
    if not row.answers:
        return -1, -1
    text, start = row.answers[0].text, row.answers[0].start
    start += len(text) - len(text.lstrip())
    end = start + len(text.strip())
    overlap = np.flatnonzero((context.offsets[:, 1] > start) & (context.offsets[:, 0] < end))
    return (int(overlap[0]), int(overlap[-1])) if len(overlap) else (-1, -1)


def _target(answer: tuple[int, int] | None, begin: int, end: int, shift: int) -> Ints:
    """Returns the answer's positions in the window [begin, end) of the context, which starts at `shift`."""
    if answer is None:
        return np.empty(0, np.int32)
    inside = begin <= answer[0] and answer[1] < end
    return np.array([at - begin + shift for at in answer] if inside else NO_ANSWER, np.int32)


def _windows(total: int, budget: int, stride: int) -> Iterator[tuple[int, int]]:
    """Yields ranges of at most `budget` subwords that overlap by `stride`; an empty context has one."""
    begin = 0
    while True:
        end = min(begin + budget, total)
        yield begin, end
        if end == total:
            return
        begin = end - stride


def _feature(row: int, template: Template, question: Ints, context: Pieces, target: Ints) -> Feature:
    ids, types = template.build(question, context.ids)
    align = np.full((len(ids), 2), -1, np.int32)
    start = template.start(question)
    align[start : start + len(context.ids)] = context.offsets
    return Feature(row, (ids,), (types,), target, align)


@dataclass(frozen=True, slots=True)
class _Window:
    """One window.

    Attributes:
        logits: Start and end scores [L, 2].
        align: Characters of each subword [L, 2], -1 outside the context.
    """

    logits: Floats
    align: Ints


@dataclass(frozen=True, slots=True)
class _Span:
    """A candidate answer; characters [start, end) of the context, (-1, -1) for no answer."""

    start: int
    end: int
    score: float


def _best_spans(
    context: str, windows: Sequence[_Window], encoding: SpanEncoding, *, null: bool
) -> dict[str, Any]:
    """Returns the prediction for one question: its best span and the runners-up.

    Args:
        null: Whether "no answer" may win. It does if its score exceeds the best span's by more than the
            threshold.
    """
    spans = _merge(context, [span for window in windows for span in _candidates(window, encoding)])
    spans = spans[: encoding.n_best]
    # The minimum over the windows, as in BERT's run_squad.py: a window without the answer says nothing about
    # the others.
    no_answer = _Span(-1, -1, min(float(window.logits[0].sum()) for window in windows))
    if null:
        spans = sorted([*spans, no_answer], key=lambda span: -span.score)
    real = next((span for span in spans if span != no_answer), no_answer)
    best = no_answer if null and no_answer.score - real.score > encoding.null_threshold else real
    chances = softmax([span.score for span in spans]) if spans else []
    n_best = [
        {**_as_json(context, span), "probability": round(float(chance), 6)}
        for span, chance in zip(spans[:N_BEST], chances, strict=False)
    ]
    return {**_as_json(context, best), "score": round(best.score, 6), "n_best": n_best}


def _candidates(window: _Window, encoding: SpanEncoding) -> list[_Span]:
    """Returns the n best spans of one window: every start with every end within `max_answer` subwords."""
    at = np.flatnonzero(window.align[:, 0] >= 0)
    if not len(at):
        return []
    starts, ends = window.logits[at].T.astype(np.float64)
    longest = min(encoding.max_answer, len(at))
    # A strided view [start, length - 1] instead of all pairs; beyond the context's end it is -inf.
    padded = np.concatenate([ends, np.full(longest - 1, -np.inf)])
    scores = starts[:, None] + np.lib.stride_tricks.sliding_window_view(padded, longest)
    flat = scores.ravel()
    count = min(encoding.n_best, len(flat))
    top = np.argpartition(-flat, count - 1)[:count]
    begins, extra = np.divmod(top[np.isfinite(flat[top])], longest)
    characters = np.stack([window.align[at[begins], 0], window.align[at[begins + extra], 1]], axis=1)
    return [
        _Span(int(start), int(end), float(scores[a, b]))
        for (start, end), a, b in zip(characters, begins, extra, strict=True)
    ]


def _merge(context: str, spans: Sequence[_Span]) -> list[_Span]:
    """Returns distinct spans of whole characters without surrounding space, best first."""
    best: dict[tuple[int, int], float] = {}
    for span in spans:
        text = context[span.start : span.end]
        start = span.start + len(text) - len(text.lstrip(SPACES))
        start, end = whole(context, start, start + len(text.strip(SPACES)))
        if start < end and span.score > best.get((start, end), -np.inf):
            best[start, end] = span.score
    order = sorted(best.items(), key=lambda item: (-item[1], item[0]))  # ties: the earlier span
    return [_Span(start, end, score) for (start, end), score in order]


def _as_json(context: str, span: _Span) -> dict[str, Any]:
    text = context[span.start : span.end] if span.start >= 0 else ""
    return {"text": text, "start": span.start, "end": span.end}


KIND = _SpanKind()
