"""The only reader of YAML: bounded in size, depth and aliases, with the lines that keys stand on."""

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

__all__ = ["Document", "YAMLError", "front_matter", "read_document", "read_text", "read_value"]

LARGEST_FILE = 2**19  # bytes; the reader takes some seconds for as many
LARGEST = 100_000  # values of one file, what its aliases stand for counted each time
DEEPEST = 50  # levels
MOST_ALIASES = 1000
NULL, TEXT, MERGE = (f"tag:yaml.org,2002:{name}" for name in ("null", "str", "merge"))
FORMS = {
    "bool": re.compile(r"(true|false)$"),
    "int": re.compile(r"[-+]?(0|[1-9][0-9]{0,99})$"),
    "float": re.compile(
        r"([-+]?((\.\d+|\d+\.\d*)([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(inf|Inf|INF))|\.(nan|NaN|NAN))$"
    ),
}
STARTS = {"bool": "tf", "int": "-+0123456789", "float": "-+.0123456789"}
KNOWN = {NULL, TEXT, MERGE, *(f"tag:yaml.org,2002:{name}" for name in (*FORMS, "seq", "map"))}


class Loader(yaml.SafeLoader):
    """As YAML 1.2: only true and false are of that type, 1e-3 is a number, 010, 1:30 and dates are text.

    Depth, values and aliases are counted while they are read, so that a bomb stops at its line.
    """

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = self._values = self._aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As the parent does, within the limits."""
        mark = self.peek_event().start_mark
        self._aliases += self.check_event(yaml.AliasEvent)
        self._values += 1
        self._depth += 1
        for count, most, what in (
            (self._depth, DEEPEST, "levels"),
            (self._values, LARGEST, "values"),
            (self._aliases, MOST_ALIASES, "aliases"),
        ):
            if count > most:
                raise ComposerError(None, None, f"it has more than {most} {what}", mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As the parent does; a value that is not what its tag says is an error with its line."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, OverflowError):
            name = node.tag.rpartition(":")[2]
            raise ConstructorError(None, None, f"the value is no {name}", node.start_mark) from None


Loader.yaml_implicit_resolvers = {
    first: [
        (tag, form) for tag, form in forms if tag.rpartition(":")[2] not in (*FORMS, "timestamp", "value")
    ]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _form in FORMS.items():
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _form, list(STARTS[_name]))


@dataclass(frozen=True)
class Document:
    """A YAML mapping.

    Attributes:
        source: the file, for messages.
        data: keys and values.
        node: the same as it was written.
        skipped: lines of the file before the YAML begins.
    """

    source: str
    data: dict[str, Any]
    node: yaml.MappingNode
    skipped: int = 0

    def error(self, keys: Sequence[str | int], message: str) -> ConfigError:
        """The error about what stands under these keys."""
        return _error(self.source, self.skipped + self._line(keys), message)

    def known(self, keys: Sequence[str | int]) -> tuple[str | int, ...]:
        """Those of the keys that are the file's own; a validator names its types among them."""
        return tuple(key for key, _, _ in self._way(keys))

    def texts(self) -> dict[str, Any]:
        """The data with every scalar as the text it is: `no` is a language, and 0 a label."""
        return {str(key.value): _texts(value) for key, value in self.node.value}

    def lines(self) -> dict[str, int]:
        """The line of each key at the top."""
        return {str(key.value): self.skipped + key.start_mark.line + 1 for key, _ in self.node.value}

    def _line(self, keys: Sequence[str | int]) -> int:
        return next((line for _, line, _ in reversed(list(self._way(keys)))), 1)

    def _way(self, keys: Sequence[str | int]) -> list[tuple[str | int, int, yaml.Node]]:
        """Each key with its line and its value's node."""
        node: yaml.Node = self.node
        steps: list[tuple[str | int, int, yaml.Node]] = []
        for key in keys:
            step = _step(node, key)
            if step:
                steps.append((key, step[0], step[1]))
                node = step[1]
        return steps


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


def read_document(
    path: Path, names: Mapping[str, Callable[[str], str]] | None = None, example: str = "name: value"
) -> Document:
    """Reads a YAML file that holds keys with values.

    Args:
        names: for some keys of the file, what turns each key of the mapping there into its one name.
        example: a line of such a file, for the message about one that holds something else.

    Raises:
        ConfigError: it cannot be read, is too large, is not YAML, or has the same key twice; with file
            and line.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        text = content[:LARGEST_FILE].decode("utf-8") if len(content) <= LARGEST_FILE else None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    if text is None:
        raise ConfigError(f"{path}: larger than {LARGEST_FILE:,} bytes, the most that is read of a YAML file")
    return read_text(text, str(path), names=names, example=example)


def read_text(
    text: str,
    source: str,
    *,
    skipped: int = 0,
    names: Mapping[str, Callable[[str], str]] | None = None,
    example: str = "name: value",
) -> Document:
    """Reads YAML that holds keys with values.

    Args:
        source: where the text comes from, for messages.
        skipped: lines that stand before it there.

    Raises:
        ConfigError: see `read_document`.
    """
    with _Checked(source, skipped) as check:
        loader = Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{source}: it should hold keys with values, such as `{example}`")
        check.size(node)
        _rename(check, node, names or {})
        return Document(source, loader.construct_document(node), node, skipped)


def read_value(text: str, what: str) -> Any:
    """A value as it is written in YAML: `0.5`, `true`, `[1, 2]`.

    Args:
        what: names the value in messages.

    Raises:
        ConfigError: it is not YAML, or larger or deeper than is read.
    """
    with _Checked(what, None) as check:
        loader = Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        check.size(node)
        return loader.construct_document(node)


def front_matter(text: str, source: str) -> Document | None:
    """The YAML that a Markdown file begins with, between two lines of `---`; None where it has none.

    Raises:
        ConfigError: see `read_document`; the lines are the Markdown file's.
    """
    lines = re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff"))
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None or lines[first].strip() != "---":
        return None
    last = next((n for n, line in enumerate(lines[first + 1 :], first + 1) if line.rstrip() == "---"), None)
    if last is None:
        return None
    return read_text("\n".join(lines[first + 1 : last]), source, skipped=first + 1)


def _error(source: str, line: int | None, message: str) -> ConfigError:
    return ConfigError(f"{source}: {message}" if line is None else f"{source}, line {line}: {message}")


class _Checked:
    """Turns the reader's errors into ours, and refuses what no file of ours holds.

    Each node is looked at once, however many aliases stand for it.
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
            said = getattr(error, "problem", None) or str(error)
            raise self._at(mark, f"not YAML: {said}") from None
        if isinstance(error, RecursionError):
            raise self._at(None, "a value is nested too deep, or holds itself") from None

    def error(self, node: yaml.Node, message: str) -> ConfigError:
        """The error about a node."""
        return self._at(node.start_mark, message)

    def _at(self, mark: yaml.Mark | None, message: str) -> ConfigError:
        line = None if mark is None or self._skipped is None else self._skipped + mark.line + 1
        return _error(self._source, line, message)

    def size(self, node: yaml.Node) -> int:
        """How many values a node stands for."""
        if id(node) not in self._sizes:
            self._sizes[id(node)] = LARGEST + 1  # of a node that holds itself
            self._sizes[id(node)] = 1 + self._inside(node)
        if self._sizes[id(node)] > LARGEST:
            raise self.error(node, f"a value holds itself, or more than {LARGEST} others")
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
        if form and not form.match(node.value):  # a tag that the file gives itself: !!int 1:30
            raise self.error(node, f"the value is no {node.tag.rpartition(':')[2]}")
        if "\0" in node.value:
            raise self.error(node, "the value holds a NUL character")
        if re.search("[\ud800-\udfff]", node.value):
            raise self.error(node, "the value holds half of a surrogate pair")
        return 0

    def _keys(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.error(key, "a list or a mapping is no key")
            if key.value in seen:
                raise self.error(key, f"'{key.value}' occurs twice")
            seen.add(key.value)


def _rename(check: _Checked, node: yaml.MappingNode, names: Mapping[str, Callable[[str], str]]) -> None:
    """Gives the keys of the mappings under some keys their one name."""
    for section, value in node.value:
        if section.value in names and isinstance(value, yaml.MappingNode):
            seen: set[str] = set()
            for key, _ in value.value:
                key.value = names[section.value](key.value)
                if key.value in seen:
                    raise check.error(key, f"'{key.value}' occurs twice, under two of its names")
                seen.add(key.value)
