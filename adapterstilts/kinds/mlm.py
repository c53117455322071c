"""Masked language modelling on plain text: trains language adapters, and keeps an encoder multilingual."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from adapterstilts.data.rows import TextRow
from adapterstilts.errors import ConfigError
from adapterstilts.kinds.base import (
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
from adapterstilts.kinds.spec import SPECS
from adapterstilts.kinds.subwords import Template, pieces
from adapterstilts.tasks.spec import Task

IGNORED = -100  # in a target: a subword that is not predicted
# Devlin et al. 2019: 15 % of the subwords are predicted; 80 % of these are masked, 10 % replaced at random.
SHARE = 0.15
MASKED, RANDOM = 0.8, 0.1


@dataclass(frozen=True, slots=True)
class _Masking:
    """Chooses the subwords that are predicted, and what replaces them (Devlin et al. 2019).

    Attributes:
        mask: Id of the mask token.
        vocabulary: Number of the tokenizer's subwords.
        special: Ids of special tokens, which are never predicted.
    """

    mask: int
    vocabulary: int
    special: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> _Masking:
        """Returns the masking for a tokenizer.

        Raises:
            ConfigError: It has no mask token.
        """
        if tokenizer.mask_token_id is None:
            raise ConfigError("the backbone's tokenizer has no mask token: no text can be masked for it")
        return cls(tokenizer.mask_token_id, len(tokenizer), tuple(tokenizer.all_special_ids))

    def __call__(self, features: Sequence[Feature], seed: Sequence[int]) -> list[Feature]:
        """Returns the features with new masks, which depend on `seed` and the features alone."""
        random = np.random.default_rng(list(seed))
        return [self._mask(feature, random) for feature in features]

    @staticmethod
    def unmasked(feature: Feature) -> Ints:
        """Returns a copy of the feature's subwords without masks."""
        return np.where(feature.target == IGNORED, feature.ids[0], feature.target)

    def _mask(self, feature: Feature, random: np.random.Generator) -> Feature:
        ids = self.unmasked(feature)
        places = np.flatnonzero(~np.isin(ids, self.special))
        # At least one, so that the shortest text trains too.
        count = min(len(places), max(1, round(SHARE * len(places))))
        positions = np.sort(random.permutation(places)[:count])
        target = np.full(len(ids), IGNORED, np.int32)
        target[positions] = ids[positions]
        # Both are drawn for every position: the same seed gives the same masks whatever the shares are.
        fate, substitutes = random.random(count), random.integers(self.vocabulary, size=count)
        replaced = np.where(fate < MASKED + RANDOM, substitutes, ids[positions])
        ids[positions] = np.where(fate < MASKED, self.mask, replaced).astype(np.int32)
        return replace(feature, ids=(ids,), target=target)


class _MlmKind(Kind[Encoding]):
    """Masked subwords; a long text becomes several features.

    A feature's target [L] holds the true subword where one is masked, -100 elsewhere. The masks of `encode`
    are fixed, for evaluation; training masks each batch anew (`dynamic_masking`).
    """

    spec = SPECS["mlm"]
    encoding = Encoding

    def head(self, task: Task) -> HeadSpec:
        """Returns the backbone's pretrained head, or a new one that shares its input embeddings."""
        return HeadSpec("mlm")

    def encode(
        self, rows: Sequence[TextRow], task: Task, tokenizer: PreTrainedTokenizerFast, encoding: Encoding
    ) -> list[Feature]:
        """Returns windows of each text, which do not overlap."""
        template, masking = Template.of(tokenizer, pair=False), _Masking.of(tokenizer)
        budget = encoding.limit(tokenizer) - template.size
        subwords = pieces(tokenizer, [row.text for row in rows])
        features = []
        for number, row in enumerate(rows):
            for part in _windows(subwords[row.text].ids, budget):
                ids, types = template.build(part)
                features.append(Feature(number, (ids,), (types,), np.full(len(ids), IGNORED, np.int32)))
        return masking(features, seed=(0,))

    def dynamic_masking(self, tokenizer: PreTrainedTokenizerFast) -> _Masking:
        """Returns new masks for each training batch."""
        return _Masking.of(tokenizer)

    def collate(self, features: Sequence[Feature], pad: int) -> Batch:
        """Pads features to one batch; labels are [F, L], -100 where nothing is predicted."""
        batch = Kind.pad_batch(features, pad)
        batch["labels"] = torch.full_like(batch["input_ids"], IGNORED)
        for n, feature in enumerate(features):
            batch["labels"][n, : feature.length] = torch.from_numpy(feature.target)
        return batch

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Returns the mean negative log-likelihood; `logits` [masked, 3] as `split` describes them."""
        return -logits[:, 0].sum() / max(len(logits), 1)

    def split(self, logits: torch.Tensor, features: Sequence[Feature]) -> list[Floats]:
        """Splits the head's outputs into one array [masked, 3] per feature.

        Log-likelihood of the true subword; 1 where none is likelier; id of the likeliest subword. The head
        reduces its logits to these, since [masked, vocabulary] would not fit in memory.
        """
        counts = [int((feature.target != IGNORED).sum()) for feature in features]
        return [part.numpy().copy() for part in torch.split(logits.detach().float().cpu(), counts)]

    def classes(self, outputs: Sequence[Floats], features: Sequence[Feature]) -> Classes:
        """Returns ids of the likeliest and of the true subwords at the masked places."""
        gold = [feature.target[feature.target != IGNORED] for feature in features]
        return Kind.as_ints([values[:, 2] for values in outputs]), Kind.as_ints(gold)

    def decode(
        self,
        outputs: Sequence[Floats],
        features: Sequence[Feature],
        rows: Sequence[TextRow],
        task: Task,
        encoding: Encoding,
    ) -> list[Prediction]:
        """Returns `{"id", "masked": subwords, "right": number, "log_likelihood": sum}` per row."""
        sums = np.zeros((len(rows), 3))
        for values, feature in zip(outputs, features, strict=True):
            sums[feature.row] += (len(values), values[:, 1].sum(), values[:, 0].sum())
        return [
            {"id": row.id, "masked": int(n), "right": int(right), "log_likelihood": round(float(chance), 6)}
            for row, (n, right, chance) in zip(rows, sums, strict=True)
        ]

    def counts(
        self, predictions: Sequence[Prediction], rows: Sequence[TextRow], task: Task, language: str
    ) -> Counts:
        """Returns masked subwords, right ones, and their log-likelihood [rows, 3]."""
        return np.array([[row["masked"], row["right"], row["log_likelihood"]] for row in predictions])

    def rates(self, sums: Counts) -> dict[str, Counts]:
        """Computes accuracy, and the perplexity of masked subwords."""
        masked, right, likelihood = np.moveaxis(sums, -1, 0)
        count = np.maximum(masked, 1)
        return {"accuracy": 100 * right / count, "perplexity": np.exp(-likelihood / count)}


def _windows(ids: Ints, budget: int) -> Iterator[Ints]:
    """Yields parts of at most `budget` subwords; an empty text has one empty part."""
    for start in range(0, max(len(ids), 1), budget):
        yield ids[start : start + budget]


KIND = _MlmKind()
