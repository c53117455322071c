"""What a user can do wrong or run into: each error says what, where and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class StiltsError(Exception):
    """Base of every error that the command line prints without a traceback (exit code 2)."""


class ConfigError(StiltsError):
    """An unknown name or key, or a value that does not fit."""


class DataError(StiltsError):
    """A data file that does not hold what it should."""

    def __init__(self, message: str, path: str | Path | None = None, line: int | None = None):
        where = "" if path is None else f"{path}: " if line is None else f"{path}, line {line}: "
        super().__init__(where + message)


class MissingDataError(StiltsError):
    """Data that is not at hand; the message says which file or dataset is wanted and where it is."""


class BackboneError(StiltsError):
    """A backbone that cannot be had or is not of a supported type."""


class AdapterError(StiltsError):
    """An adapter that is damaged, of another backbone, or of a method that cannot do what is asked."""


class StoreError(StiltsError):
    """A run that is unknown, ambiguous, damaged or in use."""


class DamagedError(StoreError):
    """A run whose files are not as they were published.

    Attributes:
        run: its id.
        wanted: it is the result that was asked for, and not something that this is made from.
    """

    def __init__(self, message: str, run: str, wanted: bool = False):
        super().__init__(message)
        self.run = run
        self.wanted = wanted


class HubError(StiltsError):
    """The Hub cannot be reached, refuses, or holds what must not be loaded."""


class ClusterError(StiltsError):
    """A cluster that gives no workers, or whose workers are of another version."""


def unknown(what: str, given: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that is not one of `known`; it names the nearest ones.

    >>> str(unknown("task", "mlni", ["mnli", "squad_v1"]))
    "unknown task 'mlni': did you mean 'mnli'? Known: mnli, squad_v1"
    """
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f" did you mean '{near[0]}'?" if near else ""
    return ConfigError(f"unknown {what} '{given}':{hint} Known: {', '.join(names)}")
