"""The verb `configs`: the named adapter configurations for `--config`."""

from __future__ import annotations

import json

from adapterstilts.cli.console import AsJson, note, print_json, table


def configs(as_json: AsJson = False) -> None:
    """List the adapter configurations; the first is the default.

    Example: adapterstilts configs --json
    """
    # Inside the function: --help must not load pydantic models.
    from adapterstilts.model.configs import AdapterSpec

    specs = [AdapterSpec.load(name) for name in AdapterSpec.names()]
    if as_json:
        entries = [{"name": s.name, "method": s.method, "config": dict(s.config)} for s in specs]
        print_json(entries)
        return
    rows = [(s.name, s.method, ", ".join(s.parts), _settings(s.name)) for s in specs]
    table(("name", "method", "architecture", "settings"), rows)
    note(
        f"Files: {AdapterSpec.folder()}. --config also accepts a YAML file; "
        "--set KEY=VALUE overrides a setting."
    )


def _settings(name: str) -> str:
    """Returns the settings of the configuration's file in one line, without defaults."""
    from adapterstilts.model.configs import AdapterSpec
    from adapterstilts.yaml_lines import Document

    settings = Document.read(AdapterSpec.folder() / f"{name}.yaml").data
    return ", ".join(f"{key}={_short(value)}" for key, value in settings.items() if key != "architecture")


def _short(value: object) -> str:
    # JSON without quotes: lists and true read as in the YAML file.
    return json.dumps(value, separators=(",", ":")).replace('"', "")
