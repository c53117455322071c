"""The backbones that have a name of their own; nothing here loads torch."""

from __future__ import annotations

from adapterstilts.values import Value


class NamedBackbone(Value):
    """A backbone with a short name.

    Attributes:
        repo: its Hub id.
        title: what it is.
        layers, hidden_size: of the encoder.
        embedded: its weights also come with the extra `embedded`, without the Hub.
    """

    repo: str
    title: str
    layers: int
    hidden_size: int
    embedded: bool = False


NAMES: dict[str, NamedBackbone] = {
    "mbert": NamedBackbone(
        repo="google-bert/bert-base-multilingual-cased",
        title="Multilingual BERT, cased, 104 languages",
        layers=12,
        hidden_size=768,
    ),
    "xlmr-base": NamedBackbone(
        repo="FacebookAI/xlm-roberta-base", title="XLM-R base, 100 languages", layers=12, hidden_size=768
    ),
    "xlmr-large": NamedBackbone(
        repo="FacebookAI/xlm-roberta-large", title="XLM-R large, 100 languages", layers=24, hidden_size=1024
    ),
    "me5-small": NamedBackbone(
        repo="intfloat/multilingual-e5-small",
        title="Multilingual E5 small, about 100 languages; the embedded default",
        layers=12,
        hidden_size=384,
        embedded=True,
    ),
}
