"""The frozen value object that every configuration and key is made of, and its canonical JSON."""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Mapping
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from adapterstilts.errors import ConfigError, unknown

SHORT = reprlib.Repr()
SHORT.maxlevel = 2
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 120


class Value(BaseModel):
    """A frozen, validated record; unknown keys are errors that name the nearest key."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls, data: Mapping[str, Any], what: str | None = None) -> Self:
        """Makes a value from untrusted `data`.

        Raises:
            ConfigError: an unknown key (the nearest one is named) or a value of the wrong type.
        """
        what = what or cls.__name__.lower()
        for key in data:
            if key not in cls.model_fields:
                raise unknown(f"{what} key", str(key), cls.model_fields)
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"] if "[" not in str(part))
            raise ConfigError(f"{what}: {where + ': ' if where else ''}{problem_text(first)}") from None


class Numbers(Value):
    """A value whose numbers are no truth values: `true` does not pass for 1."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth(cls, value: Any, info: ValidationInfo) -> Any:
        wanted = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and {int, float}.intersection(get_args(wanted) or (wanted,)):
            raise ValueError(f"should be a number, not {str(value).lower()}")
        return value


def problem_text(problem: Mapping[str, Any]) -> str:
    """What pydantic says of one value, in plain words and with the value.

    >>> problem_text({"type": "greater_than", "msg": "Input should be greater than 0", "input": -1})
    'should be greater than 0, not -1'
    """
    if problem["type"] == "missing":
        return "is missing"
    said = str(problem["msg"])
    if problem["type"] == "value_error":  # one of our own
        return said.removeprefix("Value error, ")
    if said.startswith("Input should"):
        return f"{said.removeprefix('Input ').partition(', unable')[0]}, not {SHORT.repr(problem['input'])}"
    return said


def canonical(data: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN: the same text for the same value, always."""
    if isinstance(data, BaseModel):
        data = data.model_dump(mode="json")
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(data: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of `data`."""
    return hashlib.sha256(canonical(data).encode("utf-8")).hexdigest()


def distinct(first: str, second: str, shown: int = 20) -> tuple[str, str]:
    """Two fingerprints, cut for a message but shown far enough to tell them apart.

    >>> distinct("sha256:aaaab-1", "sha256:aaaab-2", 8)
    ('sha256:aaaab-1', 'sha256:aaaab-2')
    >>> distinct("sha256:abcdef0123456789", "sha256:bcdef01234567890", 10)
    ('sha256:abc…', 'sha256:bcd…')
    """
    same = next((n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), len(first))
    if same >= shown:
        return first, second
    cut = [value if len(value) <= shown else f"{value[:shown]}…" for value in (first, second)]
    return cut[0], cut[1]
