"""YAML with the lines that its keys stand on, and with `no` as the language that it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from adapterstilts.errors import ConfigError

LARGEST = 100_000  # values of one file, what its aliases stand for counted each time
FORMS = {
    "bool": re.compile(r"(true|false)$"),
    "int": re.compile(r"[-+]?(0|[1-9][0-9]{0,99})$"),
    "float": re.compile(
        r"([-+]?((\.\d+|\d+\.\d*)([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(inf|Inf|INF))|\.(nan|NaN|NAN))$"
    ),
}
STARTS = {"bool": "tf", "int": "-+0123456789", "float": "-+.0123456789"}


class Loader(yaml.SafeLoader):
    """As YAML 1.2: only true and false are of that type, 1e-3 is a number, 010, 1:30 and dates are text."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As the parent does; a value that is not what its tag says is an error with its line."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError):
            name = node.tag.rpartition(":")[2]
            raise ConstructorError(None, None, f"the value is no {name}", node.start_mark) from None


Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag.rpartition(":")[2] not in (*FORMS, "timestamp")]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _form in FORMS.items():
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _form, list(STARTS[_name]))


@dataclass(frozen=True)
class Document:
    """A YAML file that holds keys with values."""

    path: Path
    data: dict[str, Any]
    node: yaml.MappingNode

    def error(self, keys: Sequence[str | int], message: str) -> ConfigError:
        """The error about what stands under these keys."""
        return _error(self.path, self._line(keys), message)

    def known(self, keys: Sequence[str | int]) -> tuple[str | int, ...]:
        """Those of the keys that are the file's own; a validator names its types among them."""
        return tuple(key for key, _, _ in self._way(keys))

    def _line(self, keys: Sequence[str | int]) -> int:
        return next((line for _, line, _ in reversed(list(self._way(keys)))), 1)

    def _way(self, keys: Sequence[str | int]) -> list[tuple[str | int, int, yaml.Node]]:
        """Each key with its line and its value's node."""
        node: yaml.Node = self.node
        found: list[tuple[str | int, int, yaml.Node]] = []
        for key in keys:
            step = _step(node, key)
            if step:
                found.append((key, step[0], step[1]))
                node = step[1]
        return found


def _step(node: yaml.Node, key: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == str(key):
                return name.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key].start_mark.line + 1, node.value[key]
    return None


def read_document(path: Path, names: Mapping[str, Callable[[str], str]] | None = None) -> Document:
    """Reads a YAML file.

    Args:
        names: for some keys of the file, what turns each key of the mapping there into its one name.

    Raises:
        ConfigError: it cannot be read, is not YAML, or a key stands twice in it; with file and line.
    """
    try:
        loader = Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{path}: it should hold keys with values, such as `targets: [xnli]`")
        _Check(path, {}).size(node)
        _rename(path, node, names or {})
        return Document(path, loader.construct_document(node), node)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    except RecursionError:
        raise ConfigError(f"{path}: a value is nested too deep, or holds itself") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or str(error)
        raise _error(path, mark.line + 1 if mark else None, f"not YAML: {said}") from None


def _error(path: Path, line: int | None, message: str) -> ConfigError:
    return ConfigError(f"{path}: {message}" if line is None else f"{path}, line {line}: {message}")


@dataclass(frozen=True)
class _Check:
    """Refuses what no recipe holds; each node is looked at once, however many aliases stand for it."""

    path: Path
    sizes: dict[int, int]

    def size(self, node: yaml.Node) -> int:
        """How many values a node stands for."""
        if id(node) not in self.sizes:
            self.sizes[id(node)] = LARGEST + 1  # of a node that holds itself
            self.sizes[id(node)] = 1 + self._inside(node)
        if self.sizes[id(node)] > LARGEST:
            raise self._error(node, f"a value holds itself, or more than {LARGEST} others")
        return self.sizes[id(node)]

    def _inside(self, node: yaml.Node) -> int:
        if isinstance(node, yaml.MappingNode):
            self._keys(node)
            return sum(self.size(key) + self.size(value) for key, value in node.value)
        if isinstance(node, yaml.SequenceNode):
            return sum(self.size(each) for each in node.value)
        if re.search("[\0\ud800-\udfff]", node.value):
            raise self._error(node, "a character that is in no text and no file's name")
        return 0

    def _keys(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a list or a mapping is no key")
            if key.value in seen:
                raise self._error(key, f"'{key.value}' stands there twice")
            seen.add(key.value)

    def _error(self, node: yaml.Node, message: str) -> ConfigError:
        return _error(self.path, node.start_mark.line + 1, message)


def _rename(path: Path, node: yaml.MappingNode, names: Mapping[str, Callable[[str], str]]) -> None:
    """Gives the keys of the mappings under some keys their one name."""
    for section, value in node.value:
        if section.value in names and isinstance(value, yaml.MappingNode):
            seen: set[str] = set()
            for key, _ in value.value:
                key.value = names[section.value](key.value)
                if key.value in seen:
                    message = f"'{key.value}' stands there twice, by two of its names"
                    raise _error(path, key.start_mark.line + 1, message)
                seen.add(key.value)
