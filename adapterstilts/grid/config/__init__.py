"""Grid configs: frozen values read from YAML. Errors name the file and the line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from adapterstilts.errors import ConfigError, unknown
from adapterstilts.grid.config.schema import (
    CANONICAL_KEYS,
    ROLES,
    TARGET,
    AdapterConfig,
    Backbone,
    GridConfig,
    TaskFiles,
    stages,
)
from adapterstilts.grid.config.validate import Problem, affected_kinds, check
from adapterstilts.paths import expanded
from adapterstilts.values import SHORT, problem_text
from adapterstilts.yaml_lines import Document

__all__ = [
    "ROLES",
    "TARGET",
    "AdapterConfig",
    "Backbone",
    "GridConfig",
    "Problem",
    "TaskFiles",
    "affected_kinds",
    "config_names",
    "find_config",
    "load_config",
    "stages",
]

EXPECTED = {  # pydantic's error type -> what the value should be
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "keys with values",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "mapping_type": "keys with values",
    "model_type": "keys with values",
    "path_type": "a path",
    "string_type": "text",
    "tuple_type": "a list",
}


def load_config(name: str, *checks: Callable[[GridConfig], Iterable[Problem]]) -> GridConfig:
    """Reads and checks a grid config.

    Args:
        name: Name of a bundled grid config, or path of a YAML file.
        checks: Additional checks that need more than task definitions, such as those of models.

    Raises:
        ConfigError: First invalid value, with file and line.
    """
    document = Document.read(find_config(name), CANONICAL_KEYS, "targets: [xnli]")
    try:
        grid_config = GridConfig.model_validate(document.data)
    except ValidationError as error:
        raise _schema_error(error, document) from None
    # The first problem is reported: later checks may depend on earlier ones
    for problems in (check, *checks):
        for keys, text in problems(grid_config):
            raise document.error(keys, text)
    return grid_config


def _schema_error(error: ValidationError, document: Document) -> ConfigError:
    """Converts pydantic's errors to one message with a line."""

    # For a union such as `languages` pydantic reports an error of every member. The member whose error lies
    # deepest in the document is the one that the user meant.
    def depth(problem: Mapping[str, Any]) -> tuple[int, bool]:
        return len(document.known(problem["loc"])), problem["type"] == "too_short" and not problem["input"]

    problems: list[Mapping[str, Any]] = [dict(details) for details in error.errors()]
    problem = max(problems, key=depth)
    # An unknown key is no part of the location, but its line is the one to report
    keys = (*problem["loc"], str(problem.get("ctx", {}).get("key", "")))
    path = ".".join(str(key) for key in document.known(problem["loc"]))
    text = _plain_text(problem)
    return document.error(keys, f"{path}: {text}" if path else text)


def _plain_text(problem: Mapping[str, Any]) -> str:
    """Returns pydantic's message in the terms of YAML."""
    value = problem["input"]
    if problem["type"] == "too_short":
        return "list at least one value, or remove the key"
    if problem["type"] not in EXPECTED:
        return problem_text(problem)
    value_text = {"None": "nothing", "True": "true", "False": "false"}.get(str(value)) or SHORT.repr(value)
    # YAML reads `1` and `no` as other types; the user most likely meant a name
    is_number = problem["type"] == "string_type" and isinstance(value, int | float)
    return f"should be {EXPECTED[problem['type']]}, not {value_text}{': put it in quotes' * is_number}"


def config_names() -> tuple[str, ...]:
    """Returns the names of the bundled grid configs."""
    return tuple(sorted(path.stem for path in _bundled_folder().glob("*.yaml")))


def find_config(name: str) -> Path:
    """Returns the file of a grid config.

    Raises:
        ConfigError: No bundled grid config has this name, and no YAML file is at this path.
    """
    # A path is recognised by its ending, so that a folder named `quick` does not hide the bundled grid
    path = expanded(name)
    if path.suffix.lower() in (".yaml", ".yml"):
        if not path.is_file():
            raise ConfigError(f"grid config {path} not found. Bundled: {', '.join(config_names())}")
        return path
    if name in config_names():
        return _bundled_folder() / f"{name}.yaml"
    if path.is_file():
        raise ConfigError(f"the file name of a grid config ends in .yaml: rename {path}")
    raise ConfigError(f"{unknown('grid config', name, config_names())}, or a YAML file")


def _bundled_folder() -> Path:
    package = Path(__file__).parents[2]
    # A wheel has the folder inside the package, a checkout has it beside the package
    installed = package / "grids"
    return installed if installed.is_dir() else package.parent / "grids"
