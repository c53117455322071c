"""The options that the training verbs share, declared once: settings, data, backbone, store."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from adapterstilts.errors import ConfigError
from adapterstilts.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from adapterstilts import Options

DATA, MODEL, TRAINING, RESULTS = "Data", "Backbone and adapter", "Training", "Results"


def _option(kind: Any, panel: str, text: str, *names: str, env: str | None = None) -> Any:
    return Annotated[
        kind, typer.Option(*names, help=text, rich_help_panel=panel, envvar=env, show_default=False)
    ]


SHARED: dict[str, Any] = {
    "backbone": _option(
        str | None, MODEL, "Name, Hub id or folder (default: me5-small).", env="ADAPTERSTILTS_BACKBONE"
    ),
    "revision": _option(str | None, MODEL, "Commit or tag of the backbone."),
    "language_adapter": _option(
        str | None, MODEL, "MAD-X adapter below everything: run, folder or Hub id; {lang} is replaced."
    ),
    "encoding": _option(
        list[str] | None, MODEL, "KEY=VALUE of how text is encoded: max_length=256, stride=64, layer=7 …"
    ),
    "eval_file": _option(
        str | None, DATA, "A file in the release's form; may hold {lang} and end in #first-last (rows)."
    ),
    "data_dir": _option(Path | None, DATA, "Folder in XTREME's layout.", env="ADAPTERSTILTS_DATA"),
    "source": _option(str | None, DATA, "auto, folder, hub or bundled (default: auto)."),
    "data_revision": _option(str | None, DATA, "Commit or tag of a Hub dataset."),
    "limit": _option(int | None, DATA, "A seeded subsample of that many rows."),
    "seed": _option(int | None, TRAINING, "Seed of everything random (default: 1)."),
    "store": _option(
        Path | None,
        RESULTS,
        "Folder of results (default: checkpoints).",
        "--store",
        "-C",
        env="ADAPTERSTILTS_STORE",
    ),
}
TRAIN_ONLY: dict[str, Any] = {
    "config": _option(
        str | None, MODEL, "Adapter config: a name (adapterstilts configs) or a YAML file (default: seq_bn)."
    ),
    "set": _option(list[str] | None, MODEL, "KEY=VALUE over the adapter config: reduction_factor=8."),
    "train_file": _option(
        str | None, DATA, "English training data in the release's form; may end in #first-last."
    ),
    "translated": _option(
        str | None, DATA, "Translated training data, mixed in: en-{lang}-translated.tsv, or SQuAD's JSON."
    ),
    "translated_languages": _option(list[str] | None, DATA, "What replaces {lang} in it: de,fr."),
    "translated_only": _option(bool | None, DATA, "Train on the translated data without the English."),
    "mlm": _option(
        str | None,
        DATA,
        "Plain text to mix in, or to train `mlm` on: a file ({lang} is replaced) or Hub id.",
        "--mlm",
        "--text",
    ),
    "mlm_languages": _option(
        list[str] | None, DATA, "Languages of that text: sw,de,ar.", "--mlm-languages", "--language"
    ),
    "checkpoint_minutes": _option(float | None, TRAINING, "Minutes between checkpoints (default: 5)."),
    "checkpoint_steps": _option(int | None, TRAINING, "Optimizer steps between checkpoints."),
}


def _recipe_options() -> dict[str, Any]:
    """One option per training hyperparameter, with its own text."""
    found = {}
    for name, field in Hyperparameters.model_fields.items():
        plain = next(iter(get_args(field.annotation)), field.annotation)
        kind = plain if plain in (int, float, bool) else str
        default = "by kind" if name in ("epochs", "batch_size") else field.default
        shown = "" if default is None else f" (default: {default})"
        found[name] = _option(kind | None, TRAINING, f"{field.description}{shown}")
    return found


def training_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Gives a verb all training options; it gets them as one `options` argument."""
    return _with(verb, {**TRAIN_ONLY, **_recipe_options(), **SHARED})


def evaluation_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Gives a verb the options of evaluation, as one `options` argument."""
    return _with(verb, {"precision": _recipe_options()["precision"], **SHARED})


def prediction_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Gives a verb those options of evaluation that are not about data, as one `options` argument."""
    about_model = ("backbone", "revision", "language_adapter", "encoding", "store")
    shared = {name: SHARED[name] for name in about_model}
    return _with(verb, {"precision": _recipe_options()["precision"], **shared})


def _with(verb: Callable[..., None], declared: dict[str, Any]) -> Callable[..., None]:
    signature = inspect.signature(verb)
    hints = get_type_hints(verb, localns={"Options": object}, include_extras=True)
    own = [
        each.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, each in signature.parameters.items()
        if name != "options"
    ]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in declared.items()
    ]

    @functools.wraps(verb)
    def wrapped(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in declared}
        verb(**given, options=_options(chosen))

    wrapped.__signature__ = signature.replace(parameters=own + added, return_annotation=None)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in own + added} | {"return": None}
    return wrapped


def _options(given: dict[str, Any]) -> Options:
    """The typed options; only what was given on the command line counts as set."""
    from adapterstilts import Options

    hyperparameters = {name: given.pop(name) for name in Hyperparameters.model_fields if name in given}
    settings = {name: value for name, value in given.items() if value not in (None, [])}
    for name in ("translated_languages", "mlm_languages"):
        if name in settings:
            settings[name] = listed(settings[name], f"--{name.replace('_', '-')}")
    settings["adapter"] = pairs(settings.pop("set", ()), "--set")
    settings["encoding"] = pairs(settings.pop("encoding", ()), "--encoding")
    settings["hyperparameters"] = {
        name: value for name, value in hyperparameters.items() if value is not None
    }
    return Options.parse(settings, "option")


def listed(given: Sequence[str], option: str) -> list[str]:
    """The names in values that have commas between them.

    Raises:
        ConfigError: a name is empty.
    """
    names = [name.strip() for name in ",".join(given).split(",")]
    if not all(names):
        raise ConfigError(f"{option} wants names with commas between, such as de,fr, not '{','.join(given)}'")
    return names


def pairs(given: Sequence[str], option: str) -> dict[str, Any]:
    """KEY=VALUE settings; values are read as YAML scalars.

    Raises:
        ConfigError: a setting without "=", or a value that is not YAML.
    """
    from adapterstilts.yaml_lines import read_value

    found = {}
    for setting in given:
        key, sign, value = setting.partition("=")
        if not sign:
            raise ConfigError(f"{option} wants KEY=VALUE, not '{setting}'")
        found[key.strip()] = read_value(value, f"{option} {key.strip()}={value[:80]}")
    return found
