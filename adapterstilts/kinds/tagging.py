"""Tagging of each word of a sentence (part of speech, named entities)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support
from transformers import PreTrainedTokenizerFast

from adapterstilts.data.rows import TaggedRow
from adapterstilts.errors import ConfigError, DataError, unknown
from adapterstilts.kinds.base import (
    Batch,
    Encoding,
    Feature,
    Floats,
    HeadSpec,
    Ints,
    Metrics,
    Prediction,
    cut,
    gold_of,
    headline,
    pad_batch,
)
from adapterstilts.kinds.subwords import Template, limit, pieces
from adapterstilts.tasks.spec import Task

IGNORED = -100  # PyTorch's cross-entropy skips it


class TaggingKind:
    """One tag for each word, read off its first subword.

    A feature is a window of whole words. Its target [L] holds the tag's index at each word's first
    subword and -100 elsewhere; `align` [words, 2] holds (index of the word in the row, that position).
    """

    name = "tagging"

    def head(self, task: Task) -> HeadSpec:
        """A token classifier over the task's tags."""
        return HeadSpec("tagging", task.labels)

    def encode(
        self, rows: Sequence[TaggedRow], task: Task, tokenizer: PreTrainedTokenizerFast, encoding: Encoding
    ) -> list[Feature]:
        """Each word is tokenised on its own, which is the protocol of XTREME.

        A word that the tokenizer turns into nothing becomes one <unk>, so that it is still predicted and
        scored; a sentence that is too long becomes windows that overlap.

        Raises:
            ConfigError: a tag that the task does not have.
        """
        template, length = Template.of(tokenizer, pair=False), limit(tokenizer, encoding)
        budget, stride = length - template.size, min(encoding.stride, length // 4)
        words = _subwords(rows, tokenizer, budget)
        index = {label: n for n, label in enumerate(task.labels)}
        features = []
        for number, row in enumerate(rows):
            parts = [words[token] for token in row.tokens]
            tags = _tags(row, index, task)
            sizes = np.array([len(part) for part in parts], np.int32)
            for begin, end in _windows(sizes, budget, stride):
                features.append(_feature(number, parts, tags, template, range(begin, end)))
        return features

    def collate(self, features: Sequence[Feature], pad: int) -> Batch:
        """Labels are [F, L], -100 where nothing is predicted."""
        batch = pad_batch(features, pad)
        if all(len(feature.target) for feature in features):
            batch["labels"] = torch.full_like(batch["input_ids"], IGNORED)
            for n, feature in enumerate(features):
                batch["labels"][n, : feature.length] = torch.from_numpy(feature.target)
        return batch

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Cross-entropy over the words of the batch (0 if it has none); `logits` [F, L, tags]."""
        labels = batch["labels"].flatten()
        total = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), labels, ignore_index=IGNORED, reduction="sum"
        )
        return total / (labels != IGNORED).sum().clamp(min=1)

    def split(self, logits: torch.Tensor, features: Sequence[Feature]) -> list[Floats]:
        """One array [length, tags] per feature."""
        return cut(logits, features)

    def decode(
        self,
        outputs: Sequence[Floats],
        features: Sequence[Feature],
        rows: Sequence[TaggedRow],
        task: Task,
        encoding: Encoding,
    ) -> list[Prediction]:
        """`{"id", "tags"}` per row; a word in two windows is read where it is farthest from an edge."""
        tags = [np.zeros(len(row.tokens), np.int32) for row in rows]
        depth = [np.full(len(row.tokens), -1, np.int32) for row in rows]  # distance to the nearer edge
        for logits, feature in zip(outputs, features, strict=True):
            if not len(feature.align):
                continue
            words, at = feature.align.T
            edge = np.minimum(at, feature.length - 1 - at)
            better = edge > depth[feature.row][words]
            tags[feature.row][words[better]] = logits[at[better]].argmax(1)
            depth[feature.row][words[better]] = edge[better]
        return [
            {"id": row.id, "tags": [task.labels[tag] for tag in found]}
            for row, found in zip(rows, tags, strict=True)
        ]

    def score(
        self, predictions: Sequence[Prediction], rows: Sequence[TaggedRow], task: Task, language: str
    ) -> Metrics:
        """Entity F1, precision and recall (seqeval, micro, on the raw tags, as XTREME's script) and accuracy.

        The raw tags also where they are parts of speech: seqeval then reads equal neighbours as one chunk.

        Raises:
            DataError: hidden tags, or a prediction with more or fewer tags than its sentence.
        """
        gold = [list(tags) for tags in gold_of([row.tags for row in rows], rows)]
        found = [list(prediction["tags"]) for prediction in predictions]
        for row, mine in zip(rows, found, strict=True):
            if len(mine) != len(row.tokens):
                raise DataError(
                    f"sentence {row.id} has {len(row.tokens)} words but {len(mine)} predicted tags"
                )
        hits = [a == b for x, y in zip(gold, found, strict=True) for a, b in zip(x, y, strict=True)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that tags are not of the BIO form, or that a class is empty
            precision, recall, f1, _ = precision_recall_fscore_support(gold, found, average="micro")
        accuracy = sum(hits) / max(len(hits), 1)
        shares = {"f1": f1, "precision": precision, "recall": recall, "accuracy": accuracy}
        return headline({name: 100 * share for name, share in shares.items()}, task)


def _subwords(rows: Sequence[TaggedRow], tokenizer: PreTrainedTokenizerFast, budget: int) -> dict[str, Ints]:
    """The subwords of each distinct word: at least one, at most `budget`."""
    found = pieces(tokenizer, [token for row in rows for token in row.tokens])
    if tokenizer.unk_token_id is None:
        raise ConfigError("the tokenizer has no unknown token; tagging needs one for words without subwords")
    nothing = np.array([tokenizer.unk_token_id], np.int32)
    return {word: part.ids[:budget] if len(part.ids) else nothing for word, part in found.items()}


def _tags(row: TaggedRow, index: dict[str, int], task: Task) -> Ints | None:
    if row.tags is None:
        return None
    wrong = next((tag for tag in row.tags if tag not in index), None)
    if wrong is not None:
        raise unknown(f"tag in sentence {row.id} of {task.name}", wrong, task.labels)
    return np.array([index[tag] for tag in row.tags], np.int32)


def _windows(sizes: Ints, budget: int, stride: int) -> Iterator[tuple[int, int]]:
    """Word ranges that fit into `budget` subwords, cover every word and overlap by at most `stride`.

    A window starts later than the stride asks for where it would else end no further than the last one.
    """
    ends = np.cumsum(sizes)
    starts = ends - sizes
    begin = 0
    while True:
        end = int(np.searchsorted(ends, starts[begin] + budget, "right")) if len(sizes) else 0
        yield begin, end
        if end == len(sizes):
            return
        wanted = np.searchsorted(starts, ends[end - 1] - stride)
        needed = np.searchsorted(starts, ends[end] - budget)
        begin = int(max(wanted, needed))


def _feature(row: int, parts: Sequence[Ints], tags: Ints | None, template: Template, words: range) -> Feature:
    """The window of `words`, an index range into `parts` (and `tags`)."""
    inside = [parts[word] for word in words]
    body = np.concatenate(inside) if inside else np.empty(0, np.int32)
    ids, types = template.build(body)
    sizes = np.array([len(part) for part in inside], np.int32)
    positions = template.start() + np.cumsum(sizes) - sizes
    align = np.stack([np.array(words, np.int32), positions.astype(np.int32)], axis=1)
    if tags is None:
        return Feature(row, (ids,), (types,), np.empty(0, np.int32), align)
    target = np.full(len(ids), IGNORED, np.int32)
    target[positions] = tags[words.start : words.stop]
    return Feature(row, (ids,), (types,), target, align)


KIND = TaggingKind()
