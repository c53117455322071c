"""The head that predicts masked subwords: the backbone's pretrained one, or a new one over its embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from adapterstilts.errors import BackboneError
from adapterstilts.kinds.base import Batch
from adapterstilts.model import encoder, weights
from adapterstilts.model.backbone import WEIGHTS, BackboneFiles
from adapterstilts.model.tensor_header import read_header

IGNORED = -100  # in a batch's labels: not to be predicted
LARGEST = 2**26  # logits at once: 256 MB
# The names of the parts of a pretrained head in a checkpoint; old ones of BERT say gamma and beta.
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


class MaskedHead(nn.Module):  # type: ignore[misc]
    """BERT's head (Devlin et al. 2019): dense, GELU, layer norm, the input embeddings as decoder, a bias.

    Attributes:
        pretrained: it came with the backbone, and stays as it is.
    """

    def __init__(self, hidden: int, pieces: int, epsilon: float) -> None:
        """Makes a new one; its weights are drawn from torch's generator."""
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=epsilon)
        self.bias = nn.Parameter(torch.zeros(pieces))
        self.pretrained = False
        nn.init.eye_(self.dense.weight)  # near to the embeddings' own space from the first step on
        nn.init.zeros_(self.dense.bias)

    def forward(
        self,
        states: torch.Tensor,
        gold: torch.Tensor,
        embeddings: torch.Tensor,
        inverse: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Scores of the true subwords.

        Only so many logits as `LARGEST` are kept at a time: with more, they are computed again for the
        gradient.

        Args:
            states: hidden states at the masked places [M, H].
            gold: ids of the true subwords [M].
            embeddings: input embeddings [pieces, H].
            inverse: of an invertible adapter on the embeddings; the decoder reads what it gives.

        Returns:
            [M, 3]: log-likelihood; 1 where no subword is likelier; the id of the likeliest subword.
        """
        states = inverse(self.norm(nn.functional.gelu(self.dense(states))))
        size = max(1, LARGEST // len(embeddings))
        if len(states) <= size:
            return _likelihoods(states, gold, embeddings, self.bias)
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


def head(model: Any, files: BackboneFiles) -> MaskedHead:
    """The pretrained head where the backbone's file holds one that reads its embeddings, else a new one.

    Raises:
        BackboneError: its parts have other shapes than the encoder, or hold NaN or infinity.
    """
    config = model.config
    made = MaskedHead(config.hidden_size, config.vocab_size, config.layer_norm_eps)
    names = BERT if files.model_type == "bert" else ROBERTA
    path = files.folder / WEIGHTS
    header = read_header(path, BackboneError)
    chosen = {part: next((n for n in known if n in header), "") for part, known in names.items()}
    if config.tie_word_embeddings is False or not all(chosen.values()):
        return made
    state = made.state_dict()
    for part, name in chosen.items():
        weights.check_entry(path, name, header[name], tuple(state[part].shape))
    made.load_state_dict(dict(weights.load(path, chosen)))
    made.pretrained = True
    return made


def scores(model: Any, made: MaskedHead, batch: Batch) -> torch.Tensor:
    """What a head says of the masked places of a batch, row by row: see `MaskedHead.forward`."""
    states = model.base_model(**encoder.inputs(model, batch)).last_hidden_state
    places = batch["labels"] != IGNORED
    embeddings = model.get_input_embeddings().weight

    def inverse(found: torch.Tensor) -> torch.Tensor:
        with_axis: torch.Tensor = model.base_model.invertible_adapters_forward(found[None], rev=True)
        return with_axis[0]

    scored: torch.Tensor = made(states[places], batch["labels"][places], embeddings, inverse)
    return scored
