"""The frozen value class of all configurations and jobs, and the canonical JSON that keys are hashes of."""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Mapping
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from adapterstilts.errors import ConfigError, unknown

# Values in messages may be a stranger's, of any size.
SHORT = reprlib.Repr()
SHORT.maxlevel = 2
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 120


class Value(BaseModel):
    """A frozen, validated record; unknown keys are errors that name the nearest key."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls, data: Mapping[str, Any], kind: str | None = None) -> Self:
        """Parses untrusted `data`.

        Args:
            kind: Noun for messages, by default the name of the class.

        Raises:
            ConfigError: An unknown key (the message names the nearest one) or a value of the wrong type.
        """
        kind = kind or cls.__name__.lower()
        for key in data:
            if key not in cls.model_fields:
                raise unknown(f"{kind} key", str(key), cls.model_fields)
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            problem = error.errors()[0]
            # Parts with brackets are pydantic's names of validators, such as `function-after[...]`.
            place = ".".join(str(part) for part in problem["loc"] if "[" not in str(part))
            raise ConfigError(f"{kind}: {place + ': ' if place else ''}{problem_text(problem)}") from None


class Numbers(Value):
    """A value whose numeric fields reject `true` and `false`."""

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_values(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic would read `true` as 1.
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and {int, float}.intersection(get_args(annotation) or (annotation,)):
            raise ValueError(f"should be a number, not {str(value).lower()}")
        return value


def problem_text(problem: Mapping[str, Any]) -> str:
    """Returns pydantic's message about one value in plain words, with the value.

    >>> problem_text({"type": "greater_than", "msg": "Input should be greater than 0", "input": -1})
    'should be greater than 0, not -1'
    """
    if problem["type"] == "missing":
        return "is missing"
    message = str(problem["msg"])
    if problem["type"] == "value_error":  # raised by a validator of this package
        return message.removeprefix("Value error, ")
    if message.startswith("Input should"):
        return (
            f"{message.removeprefix('Input ').partition(', unable')[0]}, not {SHORT.repr(problem['input'])}"
        )
    return message


def canonical(data: Any) -> str:
    """Returns JSON with sorted keys, no spaces and no NaN: equal values always give equal texts."""
    if isinstance(data, BaseModel):
        data = data.model_dump(mode="json")
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(data: Any) -> str:
    """Returns the SHA-256 (hex) of the canonical JSON of `data`."""
    return hashlib.sha256(canonical(data).encode("utf-8")).hexdigest()


def distinct(mine: str, theirs: str, length: int = 20) -> tuple[str, str]:
    """Returns two fingerprints shortened to `length` characters, or whole if they differ only later.

    >>> distinct("sha256:aaaab-1", "sha256:aaaab-2", 8)
    ('sha256:aaaab-1', 'sha256:aaaab-2')
    >>> distinct("sha256:abcdef0123456789", "sha256:bcdef01234567890", 10)
    ('sha256:abc…', 'sha256:bcd…')
    """
    same = next((n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), len(mine))
    if same >= length:
        return mine, theirs
    short = [value if len(value) <= length else f"{value[:length]}…" for value in (mine, theirs)]
    return short[0], short[1]
