"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path


def expanded(path: str | Path) -> Path:
    """The path with the home folder for `~`; unchanged if there is no such user or no home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
