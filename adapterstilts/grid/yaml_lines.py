"""YAML with the lines that its keys stand on, and with `no` as the language that it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from adapterstilts.errors import ConfigError

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")


class Loader(yaml.SafeLoader):
    """As YAML 1.2: only true and false are of that type, and 1e-3 is a number."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag != "tag:yaml.org,2002:bool"]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true$|false$"), list("tf"))
Loader.add_implicit_resolver("tag:yaml.org,2002:float", NUMBER, list("-+.0123456789"))


@dataclass(frozen=True)
class Document:
    """A YAML file that holds keys with values."""

    path: Path
    data: dict[str, Any]
    node: yaml.MappingNode

    def error(self, keys: Sequence[str | int], message: str) -> ConfigError:
        """The error about what stands under these keys."""
        return ConfigError(f"{self.path}, line {self._line(keys)}: {message}")

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


def read_document(path: Path) -> Document:
    """Reads a YAML file.

    Raises:
        ConfigError: it cannot be read, is not YAML, or a key stands twice in it; with file and line.
    """
    try:
        loader = Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{path}: it should hold keys with values, such as `targets: [xnli]`")
        _check_twice(path, node)
        return Document(path, loader.construct_document(node), node)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    except RecursionError:
        raise ConfigError(f"{path}: a value is nested too deep, or holds itself") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        said = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{path}{where}: not YAML: {said}") from None


def _check_twice(path: Path, node: yaml.Node) -> None:
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            _check_twice(path, each)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise ConfigError(f"{path}, line {key.start_mark.line + 1}: '{key.value}' stands there twice")
            seen.add(key.value)
            _check_twice(path, value)
