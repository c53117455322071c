"""The verb `backbones`: the encoders that have a short name."""

from __future__ import annotations

from adapterstilts.cli.console import AsJson, note, print_json, table


def backbones(as_json: AsJson = False) -> None:
    """List the named backbones.

    Any Hub id or local folder of a BERT- or XLM-R-type encoder works too.

    Example: adapterstilts backbones
    """
    from adapterstilts.model.known_backbones import NAMES

    if as_json:
        entries = [{"name": name, **backbone.model_dump(mode="json")} for name, backbone in NAMES.items()]
        print_json(entries)
        return
    columns = ("name", "layers", "hidden", "Hub id", "description")
    rows = [(name, str(b.layers), str(b.hidden_size), b.repo, b.title) for name, b in NAMES.items()]
    table(columns, rows, right=("layers", "hidden"))
    note("--backbone also accepts any Hub id or folder of a BERT- or XLM-R-type encoder.")
