"""How each kind of task is encoded, trained, decoded and scored: one file per kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapterstilts.kinds import choice, mining, mlm, retrieval, sequence, span, tagging
from adapterstilts.kinds.base import Encoding, Kind
from adapterstilts.kinds.writing import WRITTEN_LANGUAGES
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
