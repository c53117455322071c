"""Allow-lists for untrusted JSON: known keys at every depth; other keys are dropped or refused."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapterstilts.errors import StiltsError
from adapterstilts.terminal_text import shown


class _JsonRepr(reprlib.Repr):
    """Short texts of values, with true, false and null as in JSON."""

    def repr_bool(self, value: bool, level: int) -> str:
        """Returns `true` or `false`."""
        return "true" if value else "false"

    def repr_NoneType(self, value: None, level: int) -> str:  # noqa: N802
        """Returns `null`."""
        return "null"


# Values in messages may be of any size.
SHORT = _JsonRepr()
SHORT.maxstring = SHORT.maxother = 60
SHORT.maxlevel = 2

# Words in keys whose values a loader could import, run or download. A later library may read keys
# without these words, so values are judged too.
CODE = frozenset(
    "auto autoload backend callable callback class code command compile custom decoder eval exec execute "
    "experts factory func function handler hook impl implementation import jinja kernel kernels lambda "
    "library loader module modules package pickle pipeline pipelines plugin pytorch quant quantization "
    "quantize quantizer remote script template trust".split()
)
PLACE = frozenset(
    "adapter archive base checkpoint commit dir directory download endpoint file filename files folder host "
    "hub link name path paths ref reference registry remote repo repository revision server source src uri "
    "url urls".split()
)
# Words of snake_case and camelCase keys.
WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
FILE = re.compile(
    r".\.(py[cdow]?|so|dll|dylib|sh|bat|js|bin|pt|pth|ckpt|pkl|pickle|joblib|np[yz]|h5|msgpack|onnx|gguf|zip|"
    r"tar|t?gz|json|ya?ml|txt|safetensors)$",
    re.IGNORECASE,
)
MODULE = re.compile(r"[A-Za-z_]\w*((\.|::)[A-Za-z_]\w*)+")
REPOSITORY = re.compile(r"[\w.:-]*(/|\\|--)[\w./\\-]*\S")
PROGRAM = re.compile(r"__\w+__|\{\{|\{%|\b(import|exec|eval|lambda|os\.system)\b")


def danger(key: str, value: Any) -> str | None:
    """Classifies an unknown key whose value must not be followed.

    Args:
        value: Value of the key; keys and texts inside it count too.

    Returns:
        "code", "a module", "a file", "a repository or a path" or "a URL"; None if the key is harmless.
    """
    words = {word.lower() for word in WORD.findall(key)}
    # `trust_remote_code: false` asks for nothing.
    if words & CODE:
        return "code" if value not in (None, False) else None
    inside: Iterable[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        inside = value.items()
    elif isinstance(value, list):
        inside = (("", item) for item in value)
    reasons = (danger(str(inner), item) for inner, item in inside)
    reason = next(filter(None, reasons), None) or (_danger_of(value) if isinstance(value, str) else None)
    if reason is None and words & PLACE and isinstance(value, str) and value:
        return "a repository or a path"
    return reason


def _danger_of(text: str) -> str | None:
    # The most specific reason first: a URL contains slashes, and a file name contains dots.
    if "://" in text:
        return "a URL"
    if PROGRAM.search(text):
        return "code"
    if FILE.search(text):
        return "a file"
    if text.startswith(("~", "..")) or REPOSITORY.fullmatch(text):
        return "a repository or a path"
    return "a module" if MODULE.fullmatch(text) else None


class PlaceError(ValueError):
    """An invalid value.

    Attributes:
        place: Key of the value, with dots between levels.
    """

    def __init__(self, place: str, text: str) -> None:
        super().__init__(f"{place}: {text}" if place else text)
        self.place = place


@dataclass
class Check:
    """Results of checking one file.

    Attributes:
        dropped: Unknown, harmless keys, with dots between levels.
    """

    dropped: list[str] = field(default_factory=list)


class _Absent:
    """Type of `ABSENT`, the value of a known key that is not used."""


ABSENT = _Absent()
Rule = Callable[[Any, str, Check], Any]  # (value, place, check) -> checked value or ABSENT
Rules = Mapping[str, Rule]


class Accept:
    """Rules: the values that a known key accepts."""

    @staticmethod
    def record(rules: Rules, required: Collection[str] = ()) -> Rule:
        """Rule for an object with known keys; unknown keys are dropped or refused, see `danger`."""

        def rule(value: Any, place: str, check: Check) -> dict[str, Any]:
            if not isinstance(value, dict):
                raise PlaceError(place, f"should be an object, not {SHORT.repr(value)}")
            fields = {}
            for key, item in value.items():
                inner = f"{place}.{shown(key)}" if place else shown(key)
                if key in rules:
                    result = rules[key](item, inner, check)
                    if result is not ABSENT:
                        fields[key] = result
                elif reason := danger(str(key), item):
                    raise PlaceError(inner, f"names {reason}, which is never loaded: remove this key")
                else:
                    check.dropped.append(inner)
            for key in required:
                if key not in value:
                    raise PlaceError(place, f"has no '{key}'")
            return fields

        return rule

    @staticmethod
    def ignored(value: Any, place: str, check: Check) -> Any:
        """Rule for a known key that is not used, with any value."""
        return ABSENT

    @staticmethod
    def refused(reason: str) -> Rule:
        """Rule for a known key that must be absent or empty."""

        def rule(value: Any, place: str, check: Check) -> Any:
            if value in (None, False, "", [], {}):
                return ABSENT
            raise PlaceError(place, reason)

        return rule

    @staticmethod
    def whole(low: int, high: int) -> Rule:
        """Rule for a whole number in a range; truth values, texts and fractions are refused."""

        def rule(value: Any, place: str, check: Check) -> int:
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise PlaceError(
                    place, f"should be a whole number from {low:,} to {high:,}, not {SHORT.repr(value)}"
                )
            return value

        return rule

    @staticmethod
    def number(low: float, high: float) -> Rule:
        """Rule for a finite number in a range."""

        def rule(value: Any, place: str, check: Check) -> float:
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise PlaceError(
                    place, f"should be a number from {low:g} to {high:g}, not {SHORT.repr(value)}"
                )
            return value

        return rule

    @staticmethod
    def flag(value: Any, place: str, check: Check) -> bool:
        """Rule for true or false."""
        if not isinstance(value, bool):
            raise PlaceError(place, f"should be true or false, not {SHORT.repr(value)}")
        return value

    @staticmethod
    def text(longest: int = 1_000) -> Rule:
        """Rule for a text of limited length."""

        def rule(value: Any, place: str, check: Check) -> str:
            if not isinstance(value, str) or len(value) > longest:
                raise PlaceError(
                    place, f"should be a text of at most {longest:,} characters, not {SHORT.repr(value)}"
                )
            return value

        return rule

    @staticmethod
    def choice(*values: str | bool | int | None) -> Rule:
        """Rule for one of a few values, of the same type."""

        def rule(value: Any, place: str, check: Check) -> Any:
            # In Python, 1 == True.
            if not any(value == option and type(value) is type(option) for option in values):
                options = ", ".join(SHORT.repr(option) for option in values)
                raise PlaceError(
                    place, f"should be {'one of ' * (len(values) > 1)}{options}, not {SHORT.repr(value)}"
                )
            return value

        return rule

    @staticmethod
    def nullable(inner: Rule) -> Rule:
        """Rule for null or a value that `inner` accepts."""

        def rule(value: Any, place: str, check: Check) -> Any:
            return None if value is None else inner(value, place, check)

        return rule

    @staticmethod
    def either(*rules: Rule) -> Rule:
        """Rule for a value that one of several rules accepts; the message is from the last rule."""

        def rule(value: Any, place: str, check: Check) -> Any:
            for inner in rules[:-1]:
                attempt = Check()  # of its own: a rule that fails half-way must not report dropped keys
                try:
                    result = inner(value, place, attempt)
                except PlaceError:
                    continue
                check.dropped += attempt.dropped
                return result
            return rules[-1](value, place, check)

        return rule

    @staticmethod
    def items(inner: Rule, longest: int) -> Rule:
        """Rule for a list of limited length."""

        def rule(value: Any, place: str, check: Check) -> list[Any]:
            if not isinstance(value, list):
                raise PlaceError(place, f"should be a list, not {SHORT.repr(value)}")
            if len(value) > longest:
                raise PlaceError(place, f"has {len(value):,} items, at most {longest:,} are read")
            return [inner(item, f"{place}[{n}]", check) for n, item in enumerate(value)]

        return rule

    @staticmethod
    def table(inner: Rule, longest: int) -> Rule:
        """Rule for an object of limited size whose keys are data, such as subwords or labels."""

        def rule(value: Any, place: str, check: Check) -> dict[str, Any]:
            if not isinstance(value, dict):
                raise PlaceError(place, f"should be an object, not {SHORT.repr(value)}")
            if len(value) > longest:
                raise PlaceError(place, f"has {len(value):,} entries, at most {longest:,} are read")
            return {key: inner(item, f"{place}.{shown(key, 40)}", check) for key, item in value.items()}

        return rule


def keep_known(
    data: Mapping[str, Any], rules: Rules, source: object, error: type[StiltsError]
) -> tuple[dict[str, Any], list[str]]:
    """Returns the known keys of an untrusted file.

    Args:
        rules: Known keys, with a rule for the value of each.
        source: Name of the file, for messages.

    Returns:
        The known keys with checked values, and the names of harmless unknown keys, which were dropped.

    Raises:
        error: A value breaks its rule, or an unknown key names code, a module, a file, a repository, a path
            or a URL.
    """
    # Rules below the top know only the place in the file; its name is added here.
    check = Check()
    try:
        return Accept.record(rules)(data, "", check), check.dropped
    except PlaceError as problem:
        raise error(f"{source}: {problem}") from None
