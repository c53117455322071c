"""The backbones with a short name. Nothing here loads torch, so that listing them is fast."""

from __future__ import annotations

from adapterstilts.values import Value


class _NamedBackbone(Value):
    """A backbone with a short name.

    Attributes:
        repo: Hub id.
        title: Short description.
        layers: Number of layers of the encoder.
        hidden_size: Hidden size of the encoder.
        embedded: Whether the extra `embedded` installs its weights, without the Hub.
    """

    repo: str
    title: str
    layers: int
    hidden_size: int
    embedded: bool = False


NAMES: dict[str, _NamedBackbone] = {
    "mbert": _NamedBackbone(
        repo="google-bert/bert-base-multilingual-cased",
        title="Multilingual BERT, cased, 104 languages",
        layers=12,
        hidden_size=768,
    ),
    "xlmr-base": _NamedBackbone(
        repo="FacebookAI/xlm-roberta-base", title="XLM-R base, 100 languages", layers=12, hidden_size=768
    ),
    "xlmr-large": _NamedBackbone(
        repo="FacebookAI/xlm-roberta-large", title="XLM-R large, 100 languages", layers=24, hidden_size=1024
    ),
    "me5-small": _NamedBackbone(
        repo="intfloat/multilingual-e5-small",
        title="Multilingual E5 small, about 100 languages; the embedded default",
        layers=12,
        hidden_size=384,
        embedded=True,
    ),
}
