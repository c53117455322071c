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
    joined,
    pad_batch,
)
from adapterstilts.kinds.spec import SPECS
from adapterstilts.kinds.subwords import Template, limit, pieces
from adapterstilts.tasks.spec import Task

IGNORED = -100  # in a target: a subword that is not to be predicted
SHARE = 0.15  # of the subwords are to be predicted
MASKED, RANDOM = 0.8, 0.1  # of those: behind the mask, exchanged; the rest is left as it is


@dataclass(frozen=True, slots=True)
class Masking:
    """Which subwords are to be predicted, and what stands in their place (Devlin et al. 2019).

    Attributes:
        mask: id of the mask.
        pieces: number of the tokenizer's subwords.
        special: ids of special tokens, which are never predicted.
    """

    mask: int
    pieces: int
    special: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> Masking:
        """That of a tokenizer.

        Raises:
            ConfigError: it has no mask.
        """
        if tokenizer.mask_token_id is None:
            raise ConfigError("the backbone's tokenizer has no mask token: no text can be masked for it")
        return cls(tokenizer.mask_token_id, len(tokenizer), tuple(tokenizer.all_special_ids))

    def __call__(self, features: Sequence[Feature], seed: Sequence[int]) -> list[Feature]:
        """The features under other masks, which depend on `seed` and the features alone."""
        random = np.random.default_rng(list(seed))
        return [self._mask(feature, random) for feature in features]

    def _mask(self, feature: Feature, random: np.random.Generator) -> Feature:
        ids = plain(feature)
        places = np.flatnonzero(~np.isin(ids, self.special))
        count = min(len(places), max(1, round(SHARE * len(places))))
        chosen = np.sort(random.permutation(places)[:count])
        target = np.full(len(ids), IGNORED, np.int32)
        target[chosen] = ids[chosen]
        fate, drawn = random.random(count), random.integers(self.pieces, size=count)
        seen = np.where(fate < MASKED, self.mask, np.where(fate < MASKED + RANDOM, drawn, ids[chosen]))
        ids[chosen] = seen.astype(np.int32)
        return replace(feature, ids=(ids,), target=target)


def plain(feature: Feature) -> Ints:
    """A copy of the feature's subwords without masks."""
    return np.where(feature.target == IGNORED, feature.ids[0], feature.target)


class MlmKind(Kind[Encoding]):
    """Masked subwords; a long text is cut into several features.

    A feature's target [L] holds the true subword where one is masked, -100 elsewhere. The masks that `encode`
    gives are fixed, for evaluation; training lays new ones on each batch (`Masking`).
    """

    spec = SPECS["mlm"]
    encoding = Encoding

    def head(self, task: Task) -> HeadSpec:
        """The backbone's own pretrained head, or a new one over its input embeddings."""
        return HeadSpec("mlm")

    def encode(
        self, rows: Sequence[TextRow], task: Task, tokenizer: PreTrainedTokenizerFast, encoding: Encoding
    ) -> list[Feature]:
        """Windows of each text that do not overlap."""
        template, masking = Template.of(tokenizer, pair=False), Masking.of(tokenizer)
        budget = limit(tokenizer, encoding) - template.size
        found = pieces(tokenizer, [row.text for row in rows])
        features = []
        for number, row in enumerate(rows):
            for part in _cut(found[row.text].ids, budget):
                ids, types = template.build(part)
                features.append(Feature(number, (ids,), (types,), np.full(len(ids), IGNORED, np.int32)))
        return masking(features, seed=(0,))

    def dynamic_masking(self, tokenizer: PreTrainedTokenizerFast) -> Masking:
        """Returns new masks for each training batch."""
        return Masking.of(tokenizer)

    def collate(self, features: Sequence[Feature], pad: int) -> Batch:
        """Labels are [F, L], -100 where nothing is predicted."""
        batch = pad_batch(features, pad)
        batch["labels"] = torch.full_like(batch["input_ids"], IGNORED)
        for n, feature in enumerate(features):
            batch["labels"][n, : feature.length] = torch.from_numpy(feature.target)
        return batch

    def loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean negative log-likelihood; `logits` [masked, 3] as `split` describes them."""
        return -logits[:, 0].sum() / max(len(logits), 1)

    def split(self, logits: torch.Tensor, features: Sequence[Feature]) -> list[Floats]:
        """One array [masked, 3] per feature.

        Log-likelihood of the true subword; 1 where none is likelier; id of the likeliest subword.
        """
        counts = [int((feature.target != IGNORED).sum()) for feature in features]
        return [part.numpy().copy() for part in torch.split(logits.detach().float().cpu(), counts)]

    def classes(self, outputs: Sequence[Floats], features: Sequence[Feature]) -> Classes:
        """Ids of the likeliest and of the true subwords at the masked places."""
        gold = [feature.target[feature.target != IGNORED] for feature in features]
        return joined([values[:, 2] for values in outputs]), joined(gold)

    def decode(
        self,
        outputs: Sequence[Floats],
        features: Sequence[Feature],
        rows: Sequence[TextRow],
        task: Task,
        encoding: Encoding,
    ) -> list[Prediction]:
        """`{"id", "masked": subwords, "right": of them, "log_likelihood": their sum}` per row."""
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
        """Masked subwords, right ones, and their log-likelihood [rows, 3]."""
        return np.array([[each["masked"], each["right"], each["log_likelihood"]] for each in predictions])

    def rates(self, sums: Counts) -> dict[str, Counts]:
        """Accuracy, and the perplexity of masked subwords."""
        masked, right, likelihood = np.moveaxis(sums, -1, 0)
        count = np.maximum(masked, 1)
        return {"accuracy": 100 * right / count, "perplexity": np.exp(-likelihood / count)}


def _cut(ids: Ints, budget: int) -> Iterator[Ints]:
    """Parts of at most `budget` subwords, one at least."""
    for start in range(0, max(len(ids), 1), budget):
        yield ids[start : start + budget]


KIND = MlmKind()
