"""How each kind of task is encoded, trained, decoded and scored: one file per kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adapterstilts.errors import ConfigError
from adapterstilts.kinds import choice, mining, mlm, retrieval, sequence, span, tagging
from adapterstilts.kinds.base import Encoding, Kind
from adapterstilts.kinds.unspaced_scripts import WRITTEN_LANGUAGES
from adapterstilts.tasks.spec import KindName, Task

KINDS: Mapping[KindName, Kind] = {
    "sequence": sequence.KIND,
    "tagging": tagging.KIND,
    "span": span.KIND,
    "choice": choice.KIND,
    "retrieval": retrieval.KIND,
    "mining": mining.KIND,
    "mlm": mlm.KIND,
}

# XTREME's protocol: sequences of 128 subwords, question answering 384 with a stride of 128
KIND_ENCODINGS: Mapping[KindName, Mapping[str, Any]] = {
    "sequence": {"max_length": 128},
    "tagging": {"max_length": 128},
    "span": {"max_length": 384, "stride": 128},
    "choice": {"max_length": 128},
    "retrieval": {"max_length": 128},
    "mining": {"max_length": 128, "similarity": "margin"},
    "mlm": {"max_length": 128},
}

# Which kinds a setting has an effect on, where those are not all.
USED_BY: Mapping[str, tuple[KindName, ...]] = {
    "stride": ("span", "tagging"),
    "words": ("tagging",),
    "n_best": ("span",),
    "max_answer": ("span",),
    "null_threshold": ("span",),
    "layer": ("retrieval", "mining"),
    "pooling": ("retrieval", "mining"),
    "similarity": ("retrieval",),
    "neighbours": ("retrieval", "mining"),
    "context": ("retrieval",),
    "threshold": ("mining",),
}


def check_encoding(kinds: Iterable[KindName], settings: Mapping[str, Any]) -> None:
    """Refuses a setting that has an effect on none of the kinds.

    Raises:
        ConfigError: naming the kinds on which it has one.
    """
    kinds = set(kinds)
    for key in settings.keys() - effective(kinds, settings).keys():
        raise ConfigError(
            f"encoding: {key} has an effect on {' and '.join(USED_BY[key])} tasks only, not on "
            f"{' or '.join(sorted(kinds))} tasks: leave it out"
        )


def effective(kinds: Iterable[KindName], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that have an effect on one of the kinds, and those that are unknown."""
    kinds = set(kinds)
    return {key: value for key, value in settings.items() if kinds & set(USED_BY.get(key, kinds))}


def kind_of(task: Task) -> Kind:
    """The kind that encodes, decodes and scores `task`."""
    return KINDS[task.kind]


def default_encoding(kind_name: KindName, settings: Mapping[str, Any]) -> Encoding:
    """The kind's defaults with `settings` over them.

    Raises:
        ConfigError: an unknown key (the nearest one is named) or a value that does not fit.
    """
    return Encoding.parse({**KIND_ENCODINGS[kind_name], **settings}, "encoding")


def encoding_for(task: Task, language: str, settings: Mapping[str, Any]) -> Encoding:
    """As `default_encoding`, with what depends on the language settled: how words to tag are encoded.

    Raises:
        ConfigError: see `default_encoding`.
    """
    encoding = default_encoding(task.kind, settings)
    if task.kind != "tagging" or encoding.words != "auto":
        return encoding
    words = "written" if language in WRITTEN_LANGUAGES else "separate"
    return encoding.model_copy(update={"words": words})
