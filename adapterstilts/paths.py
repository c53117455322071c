"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path


def expanded(path: str | Path) -> Path:
    """Returns the path with `~` replaced by the home folder, or unchanged if that is unknown."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user, or a user without a home folder
        return Path(path)
