"""Options that several verbs share, declared once: data, backbone and adapter, training, results."""

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
    from adapterstilts.run.options import EvaluationOptions, PredictionOptions, TrainingOptions

DATA, MODEL, TRAINING, RESULTS = "Data", "Backbone and adapter", "Training", "Results"
# The hyperparameters that most users set; the others are listed after them.
COMMON = ("epochs", "learning_rate", "batch_size", "max_steps", "precision")


def _option(kind: Any, panel: str, text: str, *names: str, env: str | None = None) -> Any:
    return Annotated[
        kind, typer.Option(*names, help=text, rich_help_panel=panel, envvar=env, show_default=False)
    ]


def _hyperparameter(name: str) -> Any:
    """Returns the option of one hyperparameter, with the text and the default of its field."""
    field = Hyperparameters.model_fields[name]
    kind = next(iter(get_args(field.annotation)), field.annotation)
    default = "by kind" if name in ("epochs", "batch_size") else field.default
    text = f"{field.description}{'' if default is None else f' (default: {default})'}"
    return _option((kind if kind in (int, float, bool) else str) | None, TRAINING, text)


STORE = {
    "store": _option(
        Path | None, RESULTS, "Folder of results (default: checkpoints).", "--store", "-C",
        env="ADAPTERSTILTS_STORE",
    )
}  # fmt: skip
MODEL_OPTIONS = {
    "backbone": _option(
        str | None, MODEL, "Name, Hub id or folder (default: me5-small).", env="ADAPTERSTILTS_BACKBONE"
    ),
    "revision": _option(str | None, MODEL, "Commit or tag of the backbone."),
    "language_adapter": _option(
        str | None, MODEL, "MAD-X adapter below everything: run, folder or Hub id, may contain {lang}."
    ),
    "encoding": _option(
        list[str] | None, MODEL, "KEY=VALUE setting of the encoding: max_length=256, stride=64, layer=7."
    ),
}
DATA_OPTIONS = {
    "data_dir": _option(Path | None, DATA, "Folder in XTREME's layout.", env="ADAPTERSTILTS_DATA"),
    "source": _option(str | None, DATA, "auto, folder, hub or bundled (default: auto)."),
    "data_revision": _option(str | None, DATA, "Commit or tag of a Hub dataset."),
    "limit": _option(int | None, DATA, "Maximum number of rows: a seeded subsample."),
    "seed": _option(int | None, TRAINING, "Random seed (default: 1)."),
}
TRAINING_OPTIONS = {
    "data_dir": DATA_OPTIONS["data_dir"],
    "train_file": _option(
        str | None, DATA, "English training data in the release's form; #first-last selects rows."
    ),
    "dev_file": _option(str | None, DATA, "English development data in the same form."),
    "limit": DATA_OPTIONS["limit"],
    "source": DATA_OPTIONS["source"],
    "data_revision": DATA_OPTIONS["data_revision"],
    "translated": _option(
        str | None, DATA, "Translated training data to add: en-{lang}-translated.tsv, or SQuAD's JSON."
    ),
    "translated_languages": _option(list[str] | None, DATA, "Replacements of {lang} in it: de,fr."),
    "translated_only": _option(bool | None, DATA, "Train on the translated data without the English."),
    "mlm": _option(
        str | None, DATA, "Plain text for masked language modelling: a file (may contain {lang}) or Hub id.",
        "--mlm", "--text",
    ),
    "mlm_languages": _option(
        list[str] | None, DATA, "Languages of that text: sw,de,ar.", "--mlm-languages", "--language"
    ),
    "backbone": MODEL_OPTIONS["backbone"],
    "config": _option(
        str | None, MODEL, "Adapter config: a name (adapterstilts configs) or YAML file (default: seq_bn)."
    ),
    "set": _option(list[str] | None, MODEL, "KEY=VALUE setting of the adapter config: reduction_factor=8."),
    **{name: option for name, option in MODEL_OPTIONS.items() if name != "backbone"},
    **{name: _hyperparameter(name) for name in COMMON},
    "seed": DATA_OPTIONS["seed"],
    **{name: _hyperparameter(name) for name in Hyperparameters.model_fields if name not in COMMON},
    "checkpoint_minutes": _option(float | None, TRAINING, "Minutes between checkpoints (default: 5)."),
    "checkpoint_steps": _option(int | None, TRAINING, "Optimizer steps between checkpoints."),
    **STORE,
}  # fmt: skip
PREDICTION_OPTIONS = {**MODEL_OPTIONS, "precision": _hyperparameter("precision"), **STORE}
EVALUATION_OPTIONS = {
    "data_dir": DATA_OPTIONS["data_dir"],
    "eval_file": _option(
        str | None, DATA, "File in the release's form; may contain {lang}, and #first-last selects rows."
    ),
    **DATA_OPTIONS,
    **PREDICTION_OPTIONS,
}


def training_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Adds all training options to a verb, which receives them as one `options` argument."""

    def parse(values: dict[str, Any]) -> TrainingOptions:
        from adapterstilts.run.options import TrainingOptions

        names = [name for name in Hyperparameters.model_fields if name in values]
        values["hyperparameters"] = {name: values.pop(name) for name in names}
        values["adapter"] = pairs(values.pop("set", ()), "--set")
        for name in ("translated_languages", "mlm_languages"):
            if name in values:
                values[name] = comma_separated(values[name], f"--{name.replace('_', '-')}")
        return TrainingOptions.parse(values, "option")

    return _with(verb, TRAINING_OPTIONS, parse)


def evaluation_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of evaluations to a verb, which receives them as one `options` argument."""

    def parse(values: dict[str, Any]) -> EvaluationOptions:
        from adapterstilts.run.options import EvaluationOptions

        return EvaluationOptions.parse(values, "option")

    return _with(verb, EVALUATION_OPTIONS, parse)


def prediction_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of predictions to a verb, which receives them as one `options` argument."""

    def parse(values: dict[str, Any]) -> PredictionOptions:
        from adapterstilts.run.options import PredictionOptions

        return PredictionOptions.parse(values, "option")

    return _with(verb, PREDICTION_OPTIONS, parse)


def _with(
    verb: Callable[..., None], options: dict[str, Any], parse: Callable[[dict[str, Any]], Any]
) -> Callable[..., None]:
    """Returns the verb with `options` in its signature, from which typer makes the command line.

    Args:
        parse: Function that makes the verb's `options` argument of the values that the user set.
    """
    signature = inspect.signature(verb)
    # The annotation of `options` is imported for type checking only, to keep --help fast.
    classes = dict.fromkeys(("TrainingOptions", "EvaluationOptions", "PredictionOptions"), object)
    hints = get_type_hints(verb, localns=classes, include_extras=True)
    parameters = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in signature.parameters.items()
        if name != "options"
    ]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in options.items()
    ]

    @functools.wraps(verb)
    def wrapped(**arguments: Any) -> None:
        values = {name: arguments.pop(name) for name in options}
        values = {name: value for name, value in values.items() if value not in (None, [])}
        if "encoding" in values:
            values["encoding"] = pairs(values["encoding"], "--encoding")
        verb(**arguments, options=parse(values))

    wrapped.__signature__ = signature.replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {
        "return": None
    }
    return wrapped


def comma_separated(values: Sequence[str], option: str) -> list[str]:
    """Returns the names in values that are separated by commas.

    Raises:
        ConfigError: A name is empty.
    """
    names = [name.strip() for name in ",".join(values).split(",")]
    if not all(names):
        raise ConfigError(
            f"{option} requires names separated by commas, such as de,fr, not '{','.join(values)}'"
        )
    return names


def pairs(settings: Sequence[str], option: str) -> dict[str, Any]:
    """Returns KEY=VALUE settings as a dictionary; values are read as YAML scalars.

    Raises:
        ConfigError: A setting without "=", or a value that is not YAML.
    """
    from adapterstilts.yaml_lines import read_value

    values = {}
    for setting in settings:
        key, sign, value = setting.partition("=")
        if not sign:
            raise ConfigError(f"{option} requires KEY=VALUE, not '{setting}'")
        values[key.strip()] = read_value(value, f"{option} {key.strip()}={value[:80]}")
    return values
