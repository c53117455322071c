"""Extractive question answering: the answer is a span of the context, or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from adapterstilts.data.rows import QuestionRow
from adapterstilts.kinds.answer_normalisation import exact_match, normaliser, word_f1
from adapterstilts.kinds.base import (
    Batch,
    Classes,
    Counts,
    Encoding,
    Feature,
    Floats,
    HeadSpec,
    Ints,
    Metrics,
    Prediction,
    attach,
    cut,
    gold_of,
    headline,
    joined,
    pad_batch,
)
from adapterstilts.kinds.bootstrap import percent
from adapterstilts.kinds.span_search import Window, best_spans
from adapterstilts.kinds.subwords import Pieces, Template, limit, pieces
from adapterstilts.tasks.spec import Task

NONE = (0, 0)  # start and end at the first token: the window holds no answer


class SpanKind:
    """Start and end of the answer, in windows over the context.

    A feature is one window (question, part of the context). Its target [2] holds the positions of the
    answer's first and last subword, (0, 0) if the window does not hold all of it; `align` [L, 2] holds each
    context subword's characters (first, one past the last), -1 for every other position.
    """

    name = "span"

    def head(self, task: Task) -> HeadSpec:
        """Two scores per subword: start and end."""
        return HeadSpec("span")

    def encode(
        self, rows: Sequence[QuestionRow], task: Task, tokenizer: PreTrainedTokenizerFast, encoding: Encoding
    ) -> list[Feature]:
        """Windows of (question, context), neighbours sharing `stride` subwords of the context.

        A question is cut so that half of the window is left for the context. Of several answers the first
        is trained on; one that does not fall on subword borders becomes the subwords that overlap it.
        """
        template, length = Template.of(tokenizer, pair=True), limit(tokenizer, encoding)
        questions = pieces(tokenizer, [row.question for row in rows])
        contexts = pieces(tokenizer, [row.context for row in rows])
        features = []
        for number, row in enumerate(rows):
            question = questions[row.question].ids[: max(length // 2 - template.size, 0)]
            context, budget = contexts[row.context], length - template.size - len(question)
            answer = _answer(row, context)
            for begin, end in _windows(len(context.ids), budget, min(encoding.stride, budget // 2)):
                part = Pieces(context.ids[begin:end], context.offsets[begin:end])
                target = _target(answer, begin, end, template.start(question))
                features.append(_feature(number, template, question, part, target))
        return features

    def collate(self, features: Sequence[Feature], pad: int) -> Batch:
        """Labels are [F, 2]: start and end."""
        return attach(pad_batch(features, pad), [feature.target for feature in features])

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean of the cross-entropies of start and end over the real tokens; `logits` [F, L, 2]."""
        padding = batch["attention_mask"].unsqueeze(2) == 0
        scores = logits.float().masked_fill(padding, -torch.inf)
        return torch.nn.functional.cross_entropy(scores, batch["labels"])

    def split(self, logits: torch.Tensor, features: Sequence[Feature]) -> list[Floats]:
        """One array [length, 2] per feature."""
        return cut(logits, features)

    def classes(self, outputs: Sequence[Floats], features: Sequence[Feature]) -> Classes:
        """Where answers begin, as positions in the window; 0, the first special token, for no answer."""
        chosen = np.array([logits[:, 0].argmax() for logits in outputs], np.int32)
        return chosen, joined([feature.target[:1] for feature in features])

    def decode(
        self,
        outputs: Sequence[Floats],
        features: Sequence[Feature],
        rows: Sequence[QuestionRow],
        task: Task,
        encoding: Encoding,
    ) -> list[Prediction]:
        """`{"id", "text", "start", "end", "score", "n_best"}` per row.

        The text is cut from the context itself; `start` and `end` are its characters, -1 for no answer,
        which is predicted only if the task has unanswerable questions (or the context is empty). `score`
        is the sum of the start and end logits; `n_best` holds the five best spans, their probabilities
        over all `encoding.n_best` that were kept.
        """
        windows: list[list[Window]] = [[] for _ in rows]
        for logits, feature in zip(outputs, features, strict=True):
            windows[feature.row].append(Window(logits, feature.align))
        return [
            {"id": row.id, **best_spans(row.context, found, encoding, none=task.unanswerable)}
            for row, found in zip(rows, windows, strict=True)
        ]

    def counts(
        self, predictions: Sequence[Prediction], rows: Sequence[QuestionRow], task: Task, language: str
    ) -> Counts:
        """Exact match and word F1, best over the gold answers, and 1 [questions, 3]."""
        normalise = normaliser(task, language)
        counted = []
        for mine, answers in zip(predictions, gold_of([row.answers for row in rows], rows), strict=True):
            gold = [answer.text for answer in answers]
            counted.append(
                (exact_match(mine["text"], gold, normalise), word_f1(mine["text"], gold, normalise), 1)
            )
        return np.array(counted, np.float64)

    def rates(self, sums: Counts) -> dict[str, Counts]:
        """Exact match, word F1, and the mean of the two."""
        em, f1 = (percent(sums[..., n], sums[..., 2]) for n in range(2))
        return {"em": em, "f1": f1, "em_f1": (em + f1) / 2}

    def score(
        self, predictions: Sequence[Prediction], rows: Sequence[QuestionRow], task: Task, language: str
    ) -> Metrics:
        """Exact match and word F1 with the task's normalisation."""
        rates = self.rates(self.counts(predictions, rows, task, language).sum(axis=0))
        full = headline(rates, task)
        return {name: full[name] for name in ("em", "f1", "score")}


def _answer(row: QuestionRow, context: Pieces) -> tuple[int, int] | None:
    """First and last context subword that overlap the row's first answer.

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
    """The answer's positions in the window [begin, end) of the context, which starts at `shift`."""
    if answer is None:
        return np.empty(0, np.int32)
    inside = begin <= answer[0] and answer[1] < end
    return np.array([at - begin + shift for at in answer] if inside else NONE, np.int32)


def _windows(total: int, budget: int, stride: int) -> Iterator[tuple[int, int]]:
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


KIND = SpanKind()
