"""Writes the reference pages of the documentation from the program: its verbs, and the keys of its YAML files.

python scripts/reference_pages.py docs/reference
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

MADE = "<!-- Written by scripts/reference_pages.py from the program. -->\n"
EXAMPLE = re.compile(r"^\s*(?:Example: )?(adapterstilts .+)$", re.MULTILINE)


def cli_page() -> str:
    """Returns the page of all verbs: usage, text, examples, and one table of options for each group."""
    from adapterstilts.cli.app import app

    command = typer.main.get_command(app)
    exits = (
        "Shell completion: `adapterstilts --install-completion`. Every verb exits with 0, with 2 after an error "
        "that the message explains, and with 130 after Ctrl-C.\n"
    )
    parts = [MADE, "# Command line\n", f"{_plain(command.help or '')}\n", exits]
    for name, verb in sorted(_verbs(command, "adapterstilts"), key=lambda pair: pair[0]):
        parts.append(_verb(name, verb))
    return "\n".join(parts)


def _verbs(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
        return
    if getattr(command, "invoke_without_command", False) and name != "adapterstilts":
        yield name, command
    for child, verb in children.items():
        if not verb.hidden:
            yield from _verbs(verb, f"{name} {child}")


def _verb(name: str, verb: Any) -> str:
    text = inspect.cleandoc(verb.help or "")
    examples = EXAMPLE.findall(text)
    prose = EXAMPLE.sub("", text).strip()
    arguments = [p for p in verb.params if p.param_type_name == "argument"]
    usage = " ".join([name, *(_metavar(a) for a in arguments), "[OPTIONS]"])
    parts = [f"## {name}\n", f"{_plain(prose)}\n", f"```text\n{usage}\n```\n"]
    if examples:
        parts.append("Examples:\n\n```sh\n" + "\n".join(examples) + "\n```\n")
    if arguments:
        rows = [(f"`{_metavar(a)}`", _cell(getattr(a, "help", "") or "")) for a in arguments]
        parts.append(_table(("argument", "description"), rows))
    panels: dict[str, list[tuple[str, ...]]] = {}
    for option in verb.params:
        if option.param_type_name == "option" and not option.hidden and option.name != "help":
            names = ", ".join(f"`{text}`" for text in (*option.opts, *option.secondary_opts))
            kind = "" if option.is_flag else _type(option.type_descriptor.annotation)
            default = option.default if isinstance(option.default, str | int | float) else None
            shown = "" if default is None or option.is_flag else f"`{default}`"
            variable = f" Environment: `{option.envvar}`." if option.envvar else ""
            panel = getattr(option, "rich_help_panel", None) or "Options"
            panels.setdefault(panel, []).append((names, kind, shown, _cell(option.help or "") + variable))
    for panel, rows in panels.items():
        parts.append(f"**{panel}**\n\n" + _table(("option", "type", "default", "description"), rows))
    return "\n".join(parts)


def _metavar(argument: Any) -> str:
    name = (argument.metavar or argument.name).upper()
    shown = f"{name}..." if argument.nargs == -1 else name
    return shown if argument.required else f"[{shown}]"


def model_table(model: type[BaseModel]) -> str:
    """Returns a table of a model's fields: key, type, default, description."""
    fallback = _attributes(model)
    rows = []
    for name, field in model.model_fields.items():
        text = field.description or fallback.get(name, "")
        rows.append((f"`{name}`", _cell(_type(field.annotation)), _default(field), _cell(text)))
    return _table(("key", "type", "default", "description"), rows)


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """Returns the entries of the Attributes section of a docstring, by name."""
    section = inspect.getdoc(model) or ""
    _, _, section = section.partition("Attributes:\n")
    entries: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if start := re.match(r"^    (\w[\w, ]*): (.*)", line):
            names = [name.strip() for name in start[1].split(",")]
            entries.update(dict.fromkeys(names, start[2]))
        elif names and line.startswith("      "):
            entries.update({name: f"{entries[name]} {line.strip()}" for name in names})
        else:
            names = []
    return entries


def _type(annotation: Any) -> str:
    """Returns a type in the words of someone who writes YAML."""
    if annotation is type(None):
        return "nothing"
    words = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        Path: "path",
        Any: "value",
    }
    if annotation in words:
        return words[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is None:
        name = getattr(annotation, "__name__", str(annotation))
        return f"[{name}](#{name.lower()})" if inspect.isclass(annotation) else name
    if str(origin) == "<class 'tuple'>":
        return f"list of {_type(arguments[0])}"
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return f"{_type(arguments[0])} → {_type(arguments[1])}"
    if "Literal" in str(origin):
        return ", ".join(f"`{value}`" for value in arguments)
    if "Annotated" in str(annotation)[:18]:
        return _type(arguments[0])
    return " or ".join(dict.fromkeys(_type(part) for part in arguments if part is not type(None)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ({}, ()):
        return ""
    if isinstance(value, BaseModel):
        return "" if value == type(value)() else f"`{value}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{getattr(part, 'name', part)}`" for part in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def _plain(text: str) -> str:
    """Returns prose with option names and placeholders as code."""
    return re.sub(r"(?<![`\w])(--[a-z][\w-]*)", r"`\1`", text.replace("\b", "").replace("{lang}", "`{lang}`"))


def task_page() -> str:
    """Returns the page of a task file's keys."""
    from adapterstilts.tasks.yaml_task import Definition

    example = (Path(__file__).parents[1] / "examples" / "sib200.yaml").read_text(encoding="utf-8")
    return "\n".join(
        (
            MADE,
            "# Task file\n",
            (
                "A YAML file with these keys is a task wherever a task's name is expected. Unknown keys are "
                "errors. See [Use your own data](../custom-task.md) for the steps.\n"
            ),
            f"```yaml\n{example}```\n",
            model_table(Definition),
        )
    )


def grid_page() -> str:
    """Returns the page of a grid file's keys, and of the values that some of them hold."""
    from adapterstilts.grid.config import schema
    from adapterstilts.hyperparameters import Hyperparameters

    parts = [
        MADE,
        "# Grid file\n",
        (
            "The YAML file that `adapterstilts grid` takes. Unknown keys are errors with file and line. See "
            "[Compare many transfers](../grid.md) for the steps.\n"
        ),
        model_table(schema.GridConfig),
    ]
    nested = [
        value
        for value in vars(schema).values()
        if inspect.isclass(value)
        and issubclass(value, BaseModel)
        and value.__module__ == schema.__name__
        and value is not schema.GridConfig
        and set(value.model_fields) - set(getattr(value.__bases__[0], "model_fields", {}))
    ]
    for model in nested:
        parts += [
            f"## {model.__name__}\n",
            f"{(inspect.getdoc(model) or '').splitlines()[0]}\n",
            model_table(model),
        ]
    parts += ["## Hyperparameters\n", "The keys of `hyperparameters`.\n", model_table(Hyperparameters)]
    return "\n".join(parts)


def main() -> None:
    """Writes the pages into the folder that the command names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("cli", cli_page()), ("task-file", task_page()), ("grid-file", grid_page())):
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
