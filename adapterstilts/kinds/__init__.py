"""How each kind of task is encoded, trained, decoded and scored: one file per kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapterstilts.kinds import choice, retrieval, sequence, span, tagging
from adapterstilts.kinds.base import Encoding, Kind
from adapterstilts.tasks.spec import KindName, Task

KINDS: Mapping[KindName, Kind] = {
    "sequence": sequence.KIND,
    "tagging": tagging.KIND,
    "span": span.KIND,
    "choice": choice.KIND,
    "retrieval": retrieval.KIND,
}

# XTREME's protocol: sequences of 128 subwords, question answering 384 with a stride of 128
KIND_ENCODINGS: Mapping[KindName, Mapping[str, Any]] = {
    "sequence": {"max_length": 128},
    "tagging": {"max_length": 128},
    "span": {"max_length": 384, "stride": 128},
    "choice": {"max_length": 128},
    "retrieval": {"max_length": 128},
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
