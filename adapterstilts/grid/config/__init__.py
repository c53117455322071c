"""What a grid is made of: a frozen value, read from YAML; whatever is wrong is told with file and line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from adapterstilts.errors import ConfigError, unknown
from adapterstilts.grid.config.schema import (
    ROLES,
    TARGET,
    Backbone,
    Config,
    Files,
    GridConfig,
    canonical,
    stages,
    target_name,
)
from adapterstilts.grid.config.validate import CHECKS, Problem, kinds_under
from adapterstilts.paths import expanded
from adapterstilts.values import SHORT, problem_text
from adapterstilts.yaml_lines import Document, read_document

__all__ = [
    "ROLES",
    "TARGET",
    "Backbone",
    "Config",
    "Files",
    "GridConfig",
    "Problem",
    "config_names",
    "find",
    "kinds_under",
    "load",
    "stages",
]

NAMES = {
    "files": canonical,
    "overrides": canonical,
    "trained_on": target_name,
    "languages": target_name,
    "split": target_name,
}
WANTED = {  # by what pydantic calls the error
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


def load(name: str, *more: Callable[[GridConfig], Iterable[Problem]]) -> GridConfig:
    """Reads a recipe: a YAML file, or the name of one that comes with the package.

    Args:
        more: further checks, of what is not known here, such as models.

    Raises:
        ConfigError: what is wrong, with file and line.
    """
    document = read_document(find(name), NAMES, "targets: [xnli]")
    try:
        grid_config = GridConfig.model_validate(document.data)
    except ValidationError as error:
        raise _invalid(error, document) from None
    for problems in (*CHECKS, *more):
        for keys, text in problems(grid_config):
            raise document.error(keys, text)
    return grid_config


def _invalid(error: ValidationError, document: Document) -> ConfigError:
    """What is wrong with the first value; of the forms that it may have, with the one that fits furthest."""

    def fits(problem: Mapping[str, Any]) -> tuple[int, bool]:
        return len(document.known(problem["loc"])), problem["type"] == "too_short" and not problem["input"]

    found: list[Mapping[str, Any]] = [dict(each) for each in error.errors()]
    first = max(found, key=fits)
    keys = (*first["loc"], str(first.get("ctx", {}).get("key", "")))
    named = ".".join(str(key) for key in document.known(first["loc"]))
    told = _plain(first)
    return document.error(keys, f"{named}: {told}" if named else told)


def _plain(problem: Mapping[str, Any]) -> str:
    """What pydantic says, in the words of someone who writes YAML."""
    given = problem["input"]
    if problem["type"] == "too_short":
        return "name at least one, or leave the key out"
    if problem["type"] not in WANTED:
        return problem_text(problem)
    shown = {"None": "nothing", "True": "true", "False": "false"}.get(str(given)) or SHORT.repr(given)
    quotes = (
        ": put it in quotes" if problem["type"] == "string_type" and isinstance(given, int | float) else ""
    )
    return f"should be {WANTED[problem['type']]}, not {shown}{quotes}"


def config_names() -> tuple[str, ...]:
    """The recipes that come with the package."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def find(name: str) -> Path:
    """The recipe's file.

    Raises:
        ConfigError: there is none.
    """
    path = expanded(name)
    if path.suffix.lower() in (".yaml", ".yml"):
        if not path.is_file():
            raise ConfigError(f"there is no recipe {path}; by name there are: {', '.join(config_names())}")
        return path
    if name in config_names():
        return _folder() / f"{name}.yaml"
    if path.is_file():
        raise ConfigError(f"the name of a recipe's file ends in .yaml: rename {path}")
    raise ConfigError(f"{unknown('hyperparameters', name, config_names())}, or a YAML file")


def _folder() -> Path:
    package = Path(__file__).parents[2]
    inside = package / "grids"
    return inside if inside.is_dir() else package.parent / "grids"
