"""Where the files of a run stand in a repository.

Of a run that is one adapter, the weights and configurations of adapter and head stand at the top, where the
`adapters` library looks for them; everything else stands under `run/`, as in the store.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from adapterstilts.model.saved import ACTIVE_ADAPTERS
from adapterstilts.store.files import JOB, MANIFEST, METRICS, ORIGIN

CARD = "README.md"
KEY = "adapterstilts"  # of our own part of its metadata
ATTRIBUTES = ".gitattributes"  # the Hub writes it
RUN = "run"
LIBRARY = ("adapter.safetensors", "adapter_config.json", "model_head.safetensors", "head_config.json")
PEFT = ("adapter_model.safetensors", "adapter_config.json")
ITEMS, DIGESTS = "items.bin", "items.digests"  # the Hub takes every .bin for a pickle

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_+-]*"
_ADAPTER = r"adapter\.safetensors|adapter_config\.json|adapter\.json"
_HEAD = r"model_head\.safetensors|head_config\.json|head\.json"
_FUSION = r"model_adapter_fusion\.safetensors|adapter_fusion_config\.json|fusion\.json"
_TOP = "|".join(
    map(re.escape, (JOB, METRICS, MANIFEST, ACTIVE_ADAPTERS, ORIGIN, "log.jsonl", ITEMS, DIGESTS))
)
OF_RUN = re.compile(
    rf"({_TOP}|adapters/{_NAME}/({_ADAPTER})|head/({_HEAD})|heads/{_NAME}/({_HEAD})|fusion/({_FUSION}))"
)
OF_FOREIGN = re.compile(
    rf"({'|'.join(map(re.escape, (*LIBRARY, PEFT[0], CARD, ATTRIBUTES)))}|LICENSE(\.\w+)?)"
)


def places(files: Iterable[str], adapters: int) -> dict[str, str]:
    """Path in the run -> path in the repository.

    Args:
        files: the paths of all files of a run.
        adapters: how many the run has; the files of one, and of its head, stand at the top.
    """
    return {name: _top(name) if adapters == 1 and _at_top(name) else _in_repository(name) for name in files}


def _top(name: str) -> str:
    return name.rpartition("/")[2]


def _in_repository(name: str) -> str:
    return f"{RUN}/{DIGESTS if name == ITEMS else name}"


def _at_top(name: str) -> bool:
    return name.startswith(("adapters/", "head/")) and _top(name) in LIBRARY


def back(names: Collection[str], setup: Mapping[str, object]) -> dict[str, str]:
    """Path in the repository -> path in the run, of those that are of the run.

    Args:
        setup: as in `active_adapters.json`, whose target names the folder of what stands at the top.
    """
    found = {}
    at_top = LIBRARY[0] in names  # else what stands there is PEFT's
    for name in names:
        if name.startswith(f"{RUN}/"):
            own = name.removeprefix(f"{RUN}/")
            found[name] = ITEMS if own == DIGESTS else own
        elif at_top and name in LIBRARY[:2]:
            found[name] = f"adapters/{setup['target']}/{name}"
        elif at_top and name in LIBRARY[2:]:
            found[name] = f"head/{name}"
    return found
