"""The layout of a repository, and the part of its card's metadata that programs read.

A run with a single adapter has the weights and configurations of adapter and head at the top of the
repository, where the `adapters` library looks for them. All other files are under `run/`, as in the store.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from adapterstilts.errors import ConfigError
from adapterstilts.model.saved import ACTIVE_ADAPTERS
from adapterstilts.store.files import JOB, MANIFEST, METRICS, ORIGIN
from adapterstilts.values import Value
from adapterstilts.yaml_lines import front_matter

CARD = "README.md"
KEY = "adapterstilts"  # key of our record in the card's metadata, and the tag of our repositories
ATTRIBUTES = ".gitattributes"  # the Hub writes it into every repository
RUN = "run"
LIBRARY = ("adapter.safetensors", "adapter_config.json", "model_head.safetensors", "head_config.json")
PEFT = ("adapter_model.safetensors", "adapter_config.json")
ITEMS, DIGESTS = (
    "items.bin",
    "items.digests",
)  # renamed because the Hub's scanner treats every .bin as a pickle

# Names never begin with "-" or ".": neither an option of a command nor a hidden file
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_+-]*"
_ADAPTER = r"adapter\.safetensors|adapter_config\.json|adapter\.json"
_HEAD = r"model_head\.safetensors|head_config\.json|head\.json"
_FUSION = r"model_adapter_fusion\.safetensors|adapter_fusion_config\.json|fusion\.json"
_TOP = "|".join(
    map(re.escape, (JOB, METRICS, MANIFEST, ACTIVE_ADAPTERS, ORIGIN, "log.jsonl", ITEMS, DIGESTS))
)
# Allow-lists, matched against whole paths: a file that is not listed is neither published nor pulled
OF_RUN = re.compile(
    rf"({_TOP}|adapters/{_NAME}/({_ADAPTER})|head/({_HEAD})|heads/{_NAME}/({_HEAD})|fusion/({_FUSION}))"
)
OF_FOREIGN = re.compile(
    rf"({'|'.join(map(re.escape, (*LIBRARY, PEFT[0], CARD, ATTRIBUTES)))}|LICENSE(\.\w+)?)"
)

LARGEST_CARD = 2**19  # bytes
# Errors that a malformed card or file of a stranger can raise while it is parsed
MALFORMED = (
    KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, NotImplementedError,
    OverflowError, ConfigError,
)  # fmt: skip


class Record(Value):
    """The part of a card's metadata that programs read.

    Attributes:
        run, key: Run id and job key.
        backbone: Name and fingerprint of the backbone.
        sha256: SHA-256 (hex) of every other file of the repository, by its path.
    """

    run: str
    key: str
    backbone: Mapping[str, str]
    sha256: Mapping[str, str]

    @staticmethod
    def read(card: Path) -> Record | None:
        """Reads the record of a card; returns None if another program wrote the card.

        Raises:
            One of `MALFORMED`: The card cannot be parsed.
        """
        with card.open("rb") as file:
            content = file.read(LARGEST_CARD + 1)
        if len(content) > LARGEST_CARD:
            raise ConfigError(f"{CARD} is larger than {LARGEST_CARD:,} bytes")
        document = front_matter(content.decode("utf-8"), CARD)
        record = document.texts().get(KEY) if document else None
        return None if record is None else Record.parse(record, f"{CARD}: {KEY}")


def as_pattern(name: str) -> str:
    """Returns a glob pattern that matches this file name only."""
    # The Hub client takes patterns, so a file called "*" would select, or delete, every file
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def repository_paths(files: Iterable[str], *, at_top: bool) -> dict[str, str]:
    """Maps each path in a run to its path in the repository.

    Args:
        files: Paths of all files of a run.
        at_top: Whether the files of the single adapter and its head go to the top.
    """
    paths = {}
    for name in files:
        base = name.rpartition("/")[2]
        if at_top and name.startswith(("adapters/", "head/")) and base in LIBRARY:
            paths[name] = base
        else:
            paths[name] = f"{RUN}/{DIGESTS if name == ITEMS else name}"
    return paths


def run_paths(names: Collection[str], setup: Mapping[str, object]) -> dict[str, str]:
    """Maps paths in a repository to paths in the run; files that do not belong to the run are skipped.

    Args:
        names: Paths of all files of the repository.
        setup: Adapters in `active_adapters.json`; the target is the folder of the adapter at the top.
    """
    paths = {}
    library = LIBRARY[0] in names  # otherwise the adapter_config.json at the top is PEFT's
    for name in names:
        if name.startswith(f"{RUN}/"):
            path = name.removeprefix(f"{RUN}/")
            paths[name] = ITEMS if path == DIGESTS else path
        elif library and name in LIBRARY[:2]:
            paths[name] = f"adapters/{setup['target']}/{name}"
        elif library and name in LIBRARY[2:]:
            paths[name] = f"head/{name}"
    return paths
