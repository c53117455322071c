"""Errors that a user can cause; each message has the problem, the place and a remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class StiltsError(Exception):
    """Base class of the errors that the command line prints without a traceback (exit code 2)."""


class ConfigError(StiltsError):
    """An unknown name or key, or an invalid value."""


class DataError(StiltsError):
    """A data file with invalid content."""

    def __init__(self, message: str, path: str | Path | None = None, line: int | None = None):
        place = "" if path is None else f"{path}: " if line is None else f"{path}, line {line}: "
        super().__init__(place + message)


class MissingDataError(StiltsError):
    """Data that was not found; the message names the required file or data set and its source."""


class BackboneError(StiltsError):
    """A backbone that is not available or not of a supported type."""


class AdapterError(StiltsError):
    """An adapter that is damaged, of another backbone, or of a method that does not support the operation."""


class StoreError(StiltsError):
    """A run that is unknown, ambiguous, damaged or in use."""


# A class of its own: whoever can recompute the run does so, and all others report it.
class DamagedError(StoreError):
    """A run whose files have changed since it was published.

    Attributes:
        run: Id of the run.
        requested: Whether the run is the requested result itself, not one of its sources.
    """

    def __init__(self, message: str, run: str, requested: bool = False):
        super().__init__(message)
        self.run = run
        self.requested = requested


class HubError(StiltsError):
    """The Hub cannot be reached or refuses, or a repository on it must not be loaded."""


class ClusterError(StiltsError):
    """A cluster without workers, or with workers of another version."""


def unknown(kind: str, name: str, names: Iterable[str]) -> ConfigError:
    """Returns the error for a name that is not one of `names`, with the nearest one as a hint.

    >>> str(unknown("task", "mlni", ["mnli", "squad_v1"]))
    "unknown task 'mlni': did you mean 'mnli'? Known: mnli, squad_v1"
    """
    options = sorted(names)
    # 0.5: one wrong letter in a short name is still near.
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    hint = f" did you mean '{near[0]}'?" if near else ""
    return ConfigError(f"unknown {kind} '{name}':{hint} Known: {', '.join(options)}")
