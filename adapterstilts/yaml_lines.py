"""The only reader of YAML: bounded in size, depth and aliases, with the line of each key."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml
from yaml import YAMLError
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError
from yaml.reader import ReaderError

from adapterstilts.errors import ConfigError

# YAMLError is exported so that no other module has to import the library.
__all__ = ["Document", "YAMLError", "front_matter", "read_text", "read_value"]

LARGEST_FILE = 2**19  # bytes; parsing as many takes some seconds
MAX_VALUES = 100_000  # in one file; the value of an alias counts each time
MAX_DEPTH = 50
MAX_ALIASES = 1000
NULL, TEXT, MERGE = (f"tag:yaml.org,2002:{name}" for name in ("null", "str", "merge"))
# As in YAML 1.2. A whole number has at most 100 digits: converting more takes quadratic time.
FORMS = {
    "bool": re.compile(r"(true|false)$"),
    "int": re.compile(r"[-+]?(0|[1-9][0-9]{0,99})$"),
    "float": re.compile(
        r"([-+]?((\.\d+|\d+\.\d*)([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(inf|Inf|INF))|\.(nan|NaN|NAN))$"
    ),
}
# First characters of each form: the library tries a pattern only if the first character fits.
STARTS = {"bool": "tf", "int": "-+0123456789", "float": "-+.0123456789"}
KNOWN = {NULL, TEXT, MERGE, *(f"tag:yaml.org,2002:{name}" for name in (*FORMS, "seq", "map"))}


class _Loader(yaml.SafeLoader):
    """Reads scalars as YAML 1.2 does: `no` and dates are texts, and `1e-3` is a number.

    Depth, values and aliases are counted while reading, so that a YAML bomb is refused at its line.
    """

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = self._values = self._aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Composes a node within the limits."""
        # Before the node is built: a limit that is checked afterwards protects nothing.
        mark = self.peek_event().start_mark
        self._aliases += self.check_event(yaml.AliasEvent)
        self._values += 1
        self._depth += 1
        for count, limit, noun in (
            (self._depth, MAX_DEPTH, "levels"),
            (self._values, MAX_VALUES, "values"),
            (self._aliases, MAX_ALIASES, "aliases"),
        ):
            if count > limit:
                raise ComposerError(None, None, f"it has more than {limit} {noun}", mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Constructs a value; one that contradicts its tag is an error with its line."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, OverflowError):
            name = node.tag.rpartition(":")[2]
            raise ConstructorError(None, None, f"the value is not of type {name}", node.start_mark) from None


_Loader.yaml_implicit_resolvers = {
    letter: [
        (tag, form) for tag, form in forms if tag.rpartition(":")[2] not in (*FORMS, "timestamp", "value")
    ]
    for letter, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _form in FORMS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _form, list(STARTS[_name]))


@dataclass(frozen=True)
class Document:
    """A YAML mapping.

    Attributes:
        source: Name of the file, for messages.
        data: Keys and values.
        node: Root of the syntax tree, with the lines.
        skipped: Number of lines in the file before the YAML.
    """

    source: str
    data: dict[str, Any]
    node: yaml.MappingNode
    skipped: int = 0

    def error(self, keys: Sequence[str | int], message: str) -> ConfigError:
        """Returns the error about the value at these keys."""
        return _error(self.source, self.skipped + self._line(keys), message)

    def known(self, keys: Sequence[str | int]) -> tuple[str | int, ...]:
        """Returns the keys that are in the file; in errors of pydantic, names of types are among them."""
        return tuple(key for key, _, _ in self._steps(keys))

    def texts(self) -> dict[str, Any]:
        """Returns the data with every scalar as text: `no` is a language, and `0` a label."""
        return {str(key.value): _texts(value) for key, value in self.node.value}

    def lines(self) -> dict[str, int]:
        """Returns the line of each top-level key."""
        return {str(key.value): self.skipped + key.start_mark.line + 1 for key, _ in self.node.value}

    def _line(self, keys: Sequence[str | int]) -> int:
        return next((line for _, line, _ in reversed(list(self._steps(keys)))), 1)

    def _steps(self, keys: Sequence[str | int]) -> list[tuple[str | int, int, yaml.Node]]:
        """Returns each key with its line and the node of its value."""
        node: yaml.Node = self.node
        steps: list[tuple[str | int, int, yaml.Node]] = []
        for key in keys:
            step = _step(node, key)
            if step:
                steps.append((key, step[0], step[1]))
                node = step[1]
        return steps

    @staticmethod
    def read(
        path: Path, names: Mapping[str, Callable[[str], str]] | None = None, example: str = "name: value"
    ) -> Document:
        """Reads a YAML file with a mapping.

        Args:
            names: Functions by top-level key that return the canonical name of each key in the mapping there.
            example: Line of such a file, for the message about a file without a mapping.

        Raises:
            ConfigError: It cannot be read, is too large, is not YAML, or has the same key twice. The message
                file and line.
        """
        try:
            with path.open("rb") as file:
                content = file.read(LARGEST_FILE + 1)  # the size of a pipe or device is unknown
            text = content[:LARGEST_FILE].decode("utf-8") if len(content) <= LARGEST_FILE else None
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: cannot be read as UTF-8 text ({error})") from None
        if text is None:
            raise ConfigError(f"{path}: larger than {LARGEST_FILE:,} bytes, the limit of YAML files")
        return read_text(text, str(path), names=names, example=example)


def _texts(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _texts(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_texts(value) for value in node.value]
    return None if node.tag == NULL else node.value


def _step(node: yaml.Node, key: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == str(key):
                return name.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark.line + 1, node.value[key]
    return None


def read_text(
    text: str,
    source: str,
    *,
    skipped: int = 0,
    names: Mapping[str, Callable[[str], str]] | None = None,
    example: str = "name: value",
) -> Document:
    """Reads YAML with a mapping.

    Args:
        source: Name of the source, for messages.
        skipped: Number of lines before the text in the source.

    Raises:
        ConfigError: See `read_document`.
    """
    with _Checked(source, skipped) as check:
        loader = _Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{source}: it should hold keys with values, such as `{example}`")
        check.size(node)
        _rename(check, node, names or {})
        return Document(source, loader.construct_document(node), node, skipped)


def read_value(text: str, name: str) -> Any:
    """Reads a value in YAML: `0.5`, `true`, `[1, 2]`.

    Args:
        name: Name of the value, for messages.

    Raises:
        ConfigError: It is not YAML, too large or too deep.
    """
    with _Checked(name, None) as check:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        check.size(node)
        return loader.construct_document(node)


def front_matter(text: str, source: str) -> Document | None:
    """Reads the YAML at the top of a Markdown file, between two lines of `---`; None if there is none.

    Raises:
        ConfigError: See `read_document`; lines are counted in the Markdown file.
    """
    lines = re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff"))
    start = next((number for number, line in enumerate(lines) if line.strip()), None)
    if start is None or lines[start].strip() != "---":
        return None
    end = next((n for n, line in enumerate(lines[start + 1 :], start + 1) if line.rstrip() == "---"), None)
    if end is None:
        return None
    return read_text("\n".join(lines[start + 1 : end]), source, skipped=start + 1)


def _error(source: str, line: int | None, message: str) -> ConfigError:
    return ConfigError(f"{source}: {message}" if line is None else f"{source}, line {line}: {message}")


class _Checked:
    """Turns errors of the YAML library into ConfigErrors, and refuses values that no file needs.

    Each node is checked once, however many aliases refer to it.
    """

    def __init__(self, source: str, skipped: int | None):
        self._source, self._skipped = source, skipped
        self._sizes: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ReaderError):
            message = f"not YAML: the character {error.character:#x} is not allowed"
            raise self._at(None, message) from None
        if isinstance(error, YAMLError):
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error)
            raise self._at(mark, f"not YAML: {problem}") from None
        if isinstance(error, RecursionError):
            raise self._at(None, "a value is nested too deep, or contains itself") from None

    def error(self, node: yaml.Node, message: str) -> ConfigError:
        """Returns the error about a node."""
        return self._at(node.start_mark, message)

    def _at(self, mark: yaml.Mark | None, message: str) -> ConfigError:
        line = None if mark is None or self._skipped is None else self._skipped + mark.line + 1
        return _error(self._source, line, message)

    def size(self, node: yaml.Node) -> int:
        """Returns the number of values in a node, with those of its aliases."""
        if id(node) not in self._sizes:
            # Aliases make a node count many times: sizes are remembered, or ten lines could take hours.
            self._sizes[id(node)] = (
                MAX_VALUES + 1
            )  # until it is known: a node that contains itself asks again
            self._sizes[id(node)] = 1 + self._inside(node)
        if self._sizes[id(node)] > MAX_VALUES:
            raise self.error(node, f"a value contains itself, or more than {MAX_VALUES} others")
        return self._sizes[id(node)]

    def _inside(self, node: yaml.Node) -> int:
        if node.tag not in KNOWN:
            raise self.error(node, f"the type {node.tag.rpartition(':')[2][:80]} is not read")
        if isinstance(node, yaml.MappingNode):
            self._keys(node)
            return sum(self.size(key) + self.size(value) for key, value in node.value)
        if isinstance(node, yaml.SequenceNode):
            return sum(self.size(value) for value in node.value)
        form = FORMS.get(node.tag.rpartition(":")[2])
        if form and not form.match(node.value):  # an explicit tag, such as !!int 1:30
            raise self.error(node, f"the value is not of type {node.tag.rpartition(':')[2]}")
        # Both are valid YAML escapes, but neither paths nor UTF-8 files can hold them.
        if "\0" in node.value:
            raise self.error(node, "the value holds a NUL character")
        if re.search("[\ud800-\udfff]", node.value):
            raise self.error(node, "the value holds half of a surrogate pair")
        return 0

    def _keys(self, node: yaml.MappingNode) -> None:
        keys: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.error(key, "a list or a mapping cannot be a key")
            if key.value in keys:
                raise self.error(key, f"'{key.value}' occurs twice")
            keys.add(key.value)


def _rename(check: _Checked, node: yaml.MappingNode, names: Mapping[str, Callable[[str], str]]) -> None:
    """Replaces keys by their canonical names in the mappings at some top-level keys."""
    for section, value in node.value:
        if section.value in names and isinstance(value, yaml.MappingNode):
            keys: set[str] = set()
            for key, _ in value.value:
                key.value = names[section.value](key.value)
                if key.value in keys:
                    raise check.error(key, f"'{key.value}' occurs twice, under two of its names")
                keys.add(key.value)
