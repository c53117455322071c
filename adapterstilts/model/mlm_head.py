"""The head that predicts masked subwords: the backbone's pretrained one, or a new one over its embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from adapterstilts.errors import BackboneError
from adapterstilts.kinds.base import Batch
from adapterstilts.model import encoder, weights
from adapterstilts.model.backbone import WEIGHTS, BackboneFiles
from adapterstilts.model.tensor_header import read_header

IGNORED = -100  # label of subwords that are not predicted
MAX_LOGITS = 2**26  # logits in memory at once: 256 MB in float32
# The names of a pretrained head's parts in checkpoints. Old ones of BERT use gamma and beta.
CLS = "cls.predictions"
BERT = {
    "dense.weight": (f"{CLS}.transform.dense.weight",),
    "dense.bias": (f"{CLS}.transform.dense.bias",),
    "norm.weight": (f"{CLS}.transform.LayerNorm.weight", f"{CLS}.transform.LayerNorm.gamma"),
    "norm.bias": (f"{CLS}.transform.LayerNorm.bias", f"{CLS}.transform.LayerNorm.beta"),
    "bias": (f"{CLS}.bias",),
}
ROBERTA = {
    "dense.weight": ("lm_head.dense.weight",),
    "dense.bias": ("lm_head.dense.bias",),
    "norm.weight": ("lm_head.layer_norm.weight",),
    "norm.bias": ("lm_head.layer_norm.bias",),
    "bias": ("lm_head.bias",),
}


class MlmHead(nn.Module):  # type: ignore[misc]
    """BERT's head (Devlin et al. 2019): dense, GELU, layer norm, the input embeddings as decoder, a bias.

    Attributes:
        pretrained: Whether the weights are the backbone's, which do not train.
    """

    def __init__(self, hidden: int, pieces: int, epsilon: float) -> None:
        """Creates a new head.

        Args:
            hidden: Hidden size of the encoder.
            pieces: Size of the vocabulary.
            epsilon: Epsilon of the layer norm.
        """
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=epsilon)
        self.bias = nn.Parameter(torch.zeros(pieces))
        self.pretrained = False
        # The identity: the head starts in the space of the embeddings, which are its decoder.
        nn.init.eye_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)

    @classmethod
    def for_backbone(cls, model: Any, files: BackboneFiles) -> Self:
        """Returns the pretrained head if the backbone's file has one over its embeddings, else a new one.

        Raises:
            BackboneError: Parts of the head have another shape than the encoder, or hold NaN or infinity.
        """
        config = model.config
        head = cls(config.hidden_size, config.vocab_size, config.layer_norm_eps)
        path = files.folder / WEIGHTS
        header = read_header(path, BackboneError)
        spellings = BERT if files.model_type == "bert" else ROBERTA
        stored = {part: next((n for n in names if n in header), "") for part, names in spellings.items()}
        # An untied decoder would be a separate matrix, which this head does not have.
        if config.tie_word_embeddings is False or not all(stored.values()):
            return head
        state = head.state_dict()
        for part, name in stored.items():
            header[name].check(path, name, tuple(state[part].shape))
        head.load_state_dict(dict(weights.load(path, stored)))
        head.pretrained = True
        return head

    def score(self, model: Any, batch: Batch) -> torch.Tensor:
        """Scores the true subwords of a batch, row by row.

        Args:
            model: Encoder with the active adapters.
            batch: Batch whose `labels` [N, L] hold the true subwords, and `IGNORED` elsewhere.

        Returns:
            [masked, 3], see `forward`.
        """
        states = model.base_model(**encoder.inputs(model, batch)).last_hidden_state
        masked = batch["labels"] != IGNORED
        embeddings = model.get_input_embeddings().weight

        # An invertible adapter (MAD-X) acts on the input embeddings, so the decoder needs its inverse.
        def inverse(states: torch.Tensor) -> torch.Tensor:
            batched: torch.Tensor = model.base_model.invertible_adapters_forward(states[None], rev=True)
            return batched[0]

        scores: torch.Tensor = self(states[masked], batch["labels"][masked], embeddings, inverse)
        return scores

    def forward(
        self,
        states: torch.Tensor,
        gold: torch.Tensor,
        embeddings: torch.Tensor,
        inverse: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Scores the true subwords.

        Args:
            states: Hidden states of the masked subwords [M, H].
            gold: Ids of the true subwords [M].
            embeddings: Input embeddings [pieces, H].
            inverse: Inverse of the invertible adapter on the embeddings, applied before the decoder.

        Returns:
            [M, 3]: log-likelihood; 1 if no subword is likelier, else 0; id of the likeliest subword.
        """
        states = inverse(self.norm(nn.functional.gelu(self.dense(states))))
        size = max(1, MAX_LOGITS // len(embeddings))
        if len(states) <= size:
            return _likelihoods(states, gold, embeddings, self.bias)
        # A vocabulary of 250,000 makes logits large. Checkpointing recomputes them for the gradient, so that
        # only one part's logits are in memory.
        parts = zip(states.split(size), gold.split(size), strict=True)
        return torch.cat(
            [
                checkpoint(_likelihoods, part, true, embeddings, self.bias, use_reentrant=False)
                for part, true in parts
            ]
        )


def _likelihoods(
    states: torch.Tensor, gold: torch.Tensor, embeddings: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    logits = nn.functional.linear(states, embeddings, bias).float()
    true = logits.gather(1, gold[:, None]).squeeze(1)
    highest, likeliest = logits.detach().max(dim=1)
    right = (true.detach() >= highest).float()
    return torch.stack([true - logits.logsumexp(dim=1), right, likeliest.float()], dim=1)
