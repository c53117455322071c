"""Tagging of each word of a sentence (part of speech, named entities)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from transformers import PreTrainedTokenizerFast

from adapterstilts.data.characters import whole
from adapterstilts.data.converters import OTHER
from adapterstilts.data.prediction_input import Input
from adapterstilts.data.rows import TaggedRow
from adapterstilts.errors import ConfigError, DataError, unknown
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
    Prediction,
)
from adapterstilts.kinds.bootstrap import f1_rates, percent
from adapterstilts.kinds.entities import Chunk, chunks
from adapterstilts.kinds.spec import SPECS
from adapterstilts.kinds.subwords import Pieces, Template, pieces
from adapterstilts.kinds.unspaced_scripts import _UNSPACED, WRITTEN_LANGUAGES, marks, written
from adapterstilts.tasks.spec import Task

# seqeval reads B, I, E and S; other schemes spell the same four differently.
_SPELLINGS = ({"L": "E", "U": "S"}, {"L": "E"}, {"U": "S"}, {"M": "I", "W": "S"}, {"M": "I"})
_POSITIONS = frozenset("BIESLUMWO")

Entity = tuple[str, int, int]  # label, index of the first token, index of the last one

IGNORED = -100  # the label that PyTorch's cross-entropy skips


class TaggingEncoding(Encoding):
    """How sentences become subwords."""

    stride: int = Field(
        128,
        ge=0,
        le=LONGEST,
        description="Subwords that neighbouring windows share, at most a quarter of max_length.",
    )
    words: Literal["auto", "separate", "written"] = Field(
        "auto",
        description="Text that a word's subwords are made from: the word alone (separate) or the sentence as "
        "it is written (written); auto depends on the language.",
    )

    def for_language(self, language: str) -> TaggingEncoding:
        """Resolves `words`: scripts without spaces are tokenised as written."""
        if self.words != "auto":
            return self
        words = "written" if language in WRITTEN_LANGUAGES else "separate"
        return self.model_copy(update={"words": words})

    def inherited(self) -> dict[str, Any]:
        """Returns all settings but separate words, so that each language's default is evaluated."""
        return self.model_dump(mode="json", exclude={"words"} if self.words == "separate" else None)


class _TaggingKind(Kind[TaggingEncoding]):
    """One tag for each word, read off its leading subword.

    A feature is a window of whole words. Its target [L] is the tag's index at each word's leading subword and
    -100 elsewhere; `align` [words, 2] is (index of the word in the row, that position). Words at one position
    share a subword, whose target is the earliest word's tag.
    """

    spec = SPECS["tagging"]
    encoding = TaggingEncoding

    def head(self, task: Task) -> HeadSpec:
        """Returns a token classifier over the task's tags."""
        return HeadSpec("tagging", task.labels)

    def encode(
        self,
        rows: Sequence[TaggedRow],
        task: Task,
        tokenizer: PreTrainedTokenizerFast,
        encoding: TaggingEncoding,
    ) -> list[Feature]:
        """Returns windows of words, tokenised one by one (XTREME's protocol) or as the sentence is written.

        A word that the tokenizer drops becomes one <unk>, or in a written sentence shares the previous word's
        subword, so that it is predicted and scored even so. The windows of a long sentence overlap.

        Raises:
            ConfigError: A tag that the task does not have.
        """
        template, length = Template.of(tokenizer, pair=False), encoding.limit(tokenizer)
        budget, stride = length - template.size, min(encoding.stride, length // 4)
        tokenise = _written if encoding.words == "written" else _separate
        sentences = tokenise(rows, tokenizer, budget)
        index = {label: n for n, label in enumerate(task.labels)}
        features = []
        for number, (row, sentence) in enumerate(zip(rows, sentences, strict=True)):
            tags = _tags(row, index, task)
            sizes = np.array([len(part) for part in sentence.parts], np.int32)
            for begin, end in _windows(sizes, budget, stride):
                features.append(_feature(number, sentence, tags, template, slice(begin, end)))
        return features

    def collate(self, features: Sequence[Feature], pad: int) -> Batch:
        """Pads features to one batch; labels are [F, L], -100 where nothing is predicted."""
        batch = Kind.pad_batch(features, pad)
        if all(len(feature.target) for feature in features):
            batch["labels"] = torch.full_like(batch["input_ids"], IGNORED)
            for n, feature in enumerate(features):
                batch["labels"][n, : feature.length] = torch.from_numpy(feature.target)
        return batch

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Returns the cross-entropy over the words of the batch (0 if it has none); `logits` [F, L, tags]."""
        labels = batch["labels"].flatten()
        total = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), labels, ignore_index=IGNORED, reduction="sum"
        )
        # A sum and a division, since the mean over no words is NaN.
        return total / (labels != IGNORED).sum().clamp(min=1)

    def split(self, logits: torch.Tensor, features: Sequence[Feature]) -> list[Floats]:
        """Splits logits [F, L, tags] into one array [length, tags] per feature."""
        return Kind.cut(logits, features)

    def classes(self, outputs: Sequence[Floats], features: Sequence[Feature]) -> Classes:
        """Returns indices of tags, one for each word in each window."""
        pairs = [
            (logits[feature.target != IGNORED].argmax(1), feature.target[feature.target != IGNORED])
            for logits, feature in zip(outputs, features, strict=True)
        ]
        return Kind.as_ints([predicted for predicted, _ in pairs]), Kind.as_ints([gold for _, gold in pairs])

    def decode(
        self,
        outputs: Sequence[Floats],
        features: Sequence[Feature],
        rows: Sequence[TaggedRow],
        task: Task,
        encoding: TaggingEncoding,
    ) -> list[Prediction]:
        """Returns `{"id", "tags"}` per row; the window in which a word is farther from an edge decides."""
        tags = [np.zeros(len(row.tokens), np.int32) for row in rows]
        # Distance of a word's reading so far to the nearer edge of its window
        depth = [np.full(len(row.tokens), -1, np.int32) for row in rows]
        inside = _inside(task)
        for logits, feature in zip(outputs, features, strict=True):
            if not len(feature.align):
                continue
            words, at = feature.align.T
            best = logits[at].argmax(1)
            # A word that shares its subword with the previous one continues its entity (B-PER, then I-PER).
            shared = np.append(False, at[1:] == at[:-1])
            best[shared] = inside[best[shared]]
            edge = np.minimum(at, feature.length - 1 - at)
            better = edge > depth[feature.row][words]
            tags[feature.row][words[better]] = best[better]
            depth[feature.row][words[better]] = edge[better]
        return [
            {"id": row.id, "tags": [task.labels[tag] for tag in row_tags]}
            for row, row_tags in zip(rows, tags, strict=True)
        ]

    def locate(self, item: Input, prediction: Prediction, task: Task) -> Prediction:
        """Adds the entities as spans of the original text."""
        return _with_spans(item, prediction, _predicted_chunks(prediction["tags"], task.labels))

    def counts(
        self, predictions: Sequence[Prediction], rows: Sequence[TaggedRow], task: Task, language: str
    ) -> Counts:
        """Returns right, predicted and gold chunks, right tags, and words [sentences, 5].

        Chunks are seqeval's reading of the tags, as in XTREME's script. Parts of speech are read like this
        too: equal neighbours are one chunk.

        Raises:
            DataError: Hidden tags, or a prediction with more or fewer tags than its sentence.
        """
        gold = [list(tags) for tags in Kind.gold_of([row.tags for row in rows], rows)]
        predicted = [list(prediction["tags"]) for prediction in predictions]
        for row, tags in zip(rows, predicted, strict=True):
            if len(tags) != len(row.tokens):
                raise DataError(
                    f"sentence {row.id} has {len(row.tokens)} words but {len(tags)} predicted tags"
                )
        # It replaces all rare labels, so predicting it names none of them.
        never = OTHER if task.open_labels else None
        return np.array([_counts(*pair, never) for pair in zip(predicted, gold, strict=True)], np.float64)

    def rates(self, sums: Counts) -> dict[str, Counts]:
        """Computes chunk F1, precision and recall (micro), and the accuracy of the tags."""
        hits, predicted, gold, right, words = np.moveaxis(sums, -1, 0)
        return {**f1_rates(hits, predicted, gold), "accuracy": percent(right, words)}


def _counts(predicted: list[str], gold: list[str], never: str | None) -> tuple[int, ...]:
    """Returns one sentence's counts; chunks end with their sentence, so counts of sentences add up.

    Args:
        never: Label that is never a right answer, or None.
    """
    predicted_entities, gold_entities = set(chunks(predicted)), set(chunks(gold))
    hits = sum(label != never for label, _, _ in predicted_entities & gold_entities)
    right = sum(a == b != never for a, b in zip(predicted, gold, strict=True))
    return hits, len(predicted_entities), len(gold_entities), right, len(gold)


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence's subwords, in parts that no window divides.

    Attributes:
        parts: Subwords of each part: at least one, and no more than a window takes.
        part: Part that each word is read in, ascending [words].
        at: Subword of that part which the word is read off [words].
    """

    parts: Sequence[Ints]
    part: Ints
    at: Ints


def _separate(
    rows: Sequence[TaggedRow], tokenizer: PreTrainedTokenizerFast, budget: int
) -> Iterator[_Sentence]:
    """Tokenises word by word; every word is a part."""
    subwords = pieces(tokenizer, [token for row in rows for token in row.tokens])
    unk = _unknown_token(tokenizer)
    words = {word: piece.ids[:budget] if len(piece.ids) else unk for word, piece in subwords.items()}
    for row in rows:
        numbers = np.arange(len(row.tokens), dtype=np.int32)
        yield _Sentence([words[token] for token in row.tokens], numbers, np.zeros_like(numbers))


def _written(
    rows: Sequence[TaggedRow], tokenizer: PreTrainedTokenizerFast, budget: int
) -> Iterator[_Sentence]:
    """Tokenises the whole text; a part extends from a word's leading subword to the next word's."""
    texts = [written(row) for row in rows]
    subwords, unk = pieces(tokenizer, [text for text, _ in texts]), _unknown_token(tokenizer)
    spaces = marks(tokenizer)
    for text, spans in texts:
        ids = subwords[text].ids if len(subwords[text].ids) else unk
        edges, part = np.unique(_read_off(text, spans, subwords[text], spaces), return_inverse=True)
        # The leading part also contains what precedes the first word's subword, such as a space mark.
        at = np.where(part == 0, min(edges[0], budget - 1), 0) if len(edges) else part
        parts = [section[:budget] for section in np.split(ids, edges[1:])] if len(edges) else []
        yield _Sentence(parts, part.astype(np.int32), at.astype(np.int32))


def _unknown_token(tokenizer: PreTrainedTokenizerFast) -> Ints:
    """Returns what replaces a word without subwords."""
    if tokenizer.unk_token_id is None:
        raise ConfigError("the tokenizer has no unknown token; tagging needs one for words without subwords")
    return np.array([tokenizer.unk_token_id], np.int32)


def _inside(task: Task) -> Ints:
    """Returns for each tag the tag of the entity's next word: I-PER for B-PER, else the tag itself [tags]."""
    index = {label: n for n, label in enumerate(task.labels)}
    following = (f"I-{label[2:]}" if label.startswith("B-") else label for label in task.labels)
    return np.array([index.get(label, n) for n, label in enumerate(following)], np.int32)


def _tags(row: TaggedRow, index: dict[str, int], task: Task) -> Ints | None:
    if row.tags is None:
        return None
    wrong = next((tag for tag in row.tags if tag not in index), None)
    if wrong is not None:
        raise unknown(f"tag in sentence {row.id} of {task.name}", wrong, task.labels)
    return np.array([index[tag] for tag in row.tags], np.int32)


def _windows(sizes: Ints, budget: int, stride: int) -> Iterator[tuple[int, int]]:
    """Yields word ranges that fit into `budget` subwords, cover all words and overlap by at most `stride`."""
    ends = np.cumsum(sizes)
    starts = ends - sizes
    begin = 0
    while True:
        end = int(np.searchsorted(ends, starts[begin] + budget, "right")) if len(sizes) else 0
        yield begin, end
        if end == len(sizes):
            return
        overlapping = np.searchsorted(starts, ends[end - 1] - stride)
        # A window begins later than that if it would otherwise end no further than the previous one, as
        # happens with words of many subwords.
        advancing = np.searchsorted(starts, ends[end] - budget)
        begin = int(max(overlapping, advancing))


def _feature(row: int, sentence: _Sentence, tags: Ints | None, template: Template, window: slice) -> Feature:
    """Builds the window of these parts of the sentence, with the words that are read in it."""
    inside = sentence.parts[window]
    body = np.concatenate(inside) if inside else np.empty(0, np.int32)
    ids, types = template.build(body)
    sizes = np.array([len(part) for part in inside], np.int32)
    starts = template.start() + np.cumsum(sizes) - sizes
    begin, end = np.searchsorted(sentence.part, [window.start, window.stop])
    positions = starts[sentence.part[begin:end] - window.start] + sentence.at[begin:end]
    align = np.stack([np.arange(begin, end), positions], axis=1).astype(np.int32)
    if tags is None:
        return Feature(row, (ids,), (types,), np.empty(0, np.int32), align)
    target = np.full(len(ids), IGNORED, np.int32)
    # In reverse, so that the earliest word at a position wins.
    target[positions[::-1]] = tags[begin:end][::-1]
    return Feature(row, (ids,), (types,), target, align)


KIND = _TaggingKind()


def _with_spans(item: Input, prediction: Mapping[str, Any], entities: Sequence[Entity]) -> dict[str, Any]:
    """Returns a tagging prediction with its entities as spans: label, text and character offsets.

    The offsets are those of whole characters in the original text; given tokens count as joined by spaces.
    """
    spans = []
    for label, first, last in entities:
        start, end = whole(item.text, item.offsets[first][0], item.offsets[last][1])
        spans.append({"label": label, "start": start, "end": end, "text": item.text[start:end]})
    return {**prediction, "spans": spans}


def _predicted_chunks(tags: Sequence[str], labels: Iterable[str]) -> list[Chunk]:
    """Returns the entities that a prediction shows: as `chunks`, and also BILOU, BMES and suffixes (PER-B).

    Args:
        labels: Label set of the task, which decides the scheme.
    """
    parts = [label.rsplit("-", 1) for label in labels if "-" in label]
    prefixes = {start.partition("-")[0] for start, _ in parts}
    suffixes = {end for _, end in parts}
    positions = prefixes
    if suffixes and suffixes <= _POSITIONS and not prefixes & _POSITIONS:  # PER-B
        tags = ["-".join(reversed(tag.rsplit("-", 1))) for tag in tags]
        positions = suffixes
    elif not prefixes <= _POSITIONS and not prefixes & {"B", "I"}:  # plain tags, some with a hyphen
        tags = [tag if tag == "O" else f"{tag[:1]}-{tag}" for tag in tags]
    spelling = next((letters for letters in _SPELLINGS if {"B", *letters} <= positions), {})
    return chunks([spelling.get(tag[:1], tag[:1]) + tag[1:] if tag[1:2] == "-" else tag for tag in tags])


def _read_off(text: str, spans: Sequence[tuple[int, int]], subwords: Pieces, spaces: Ints) -> Ints:
    """Returns the subword that each word is read off [words], ascending.

    It is the earliest subword with a character of the word. If the tokenizer drops a whole word, it is the
    previous word's subword, or that of the earliest word with one.

    Args:
        spaces: Ids of subwords that are nothing but a space, see `marks`.
    """
    starts, stops = np.array(spans, np.int32).reshape(-1, 2).T
    begins, ends = (np.maximum.accumulate(edge) for edge in subwords.offsets.T)
    # The space before a word counts as part of it, as it does where each word is tokenised alone.
    spaced = np.array([text[start - 1 : start] == " " for start, _ in spans], bool)
    earliest = np.searchsorted(ends, starts - spaced, "right")
    pasts = np.searchsorted(begins, stops)
    readable = (starts < stops) & (earliest < pasts)
    if not readable.any():
        return np.zeros(len(spans), np.int32)
    # In scripts without spaces a bare mark carries nothing of the word, so the next subword is read.
    unspaced = np.array([bool(_UNSPACED.match(text, start)) for start, _ in spans], bool)
    mark = np.append(np.isin(subwords.ids, spaces), False)[earliest]
    earliest = earliest + (mark & unspaced & (earliest + 1 < pasts))
    source = np.maximum.accumulate(np.where(readable, np.arange(len(spans)), readable.argmax()))
    positions: Ints = earliest[source].astype(np.int32)
    return positions
