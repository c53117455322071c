"""Schema of a grid config: every key that its YAML file may contain, with type and description."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from adapterstilts.composition import CompositionName
from adapterstilts.errors import StiltsError, unknown
from adapterstilts.hyperparameters import MOST_ROWS
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.multitask import join_names, split_name
from adapterstilts.tasks.spec import Split
from adapterstilts.tasks.suites import suite
from adapterstilts.values import Value

ROLES = ("intermediate", "target")
# Stands for the target's baseline adapter in a list of `adapter_sets`
TARGET = "target"


def _canonical(name: str) -> str:
    """Returns a task's canonical name for an alias or YAML file; `a+b` is resolved task by task.

    A name that does not resolve is returned unchanged, so that validation reports it with its line.
    """
    try:
        return join_names(get_task(part).name for part in split_name(name))
    except (StiltsError, OSError):
        return name


def _canonical_target(name: str) -> str:
    """Returns the canonical name of a target. The path of a YAML file is kept: only it locates the task."""
    return name if name.endswith((".yaml", ".yml")) else _canonical(name)


# Keys below these sections are names of tasks. Aliases are resolved while reading, so that `squad` and
# `squad_v1` count as the same key and a repetition is an error.
CANONICAL_KEYS = {
    "files": _canonical,
    "overrides": _canonical,
    "trained_on": _canonical_target,
    "languages": _canonical_target,
    "split": _canonical_target,
}


def stages(name: str) -> tuple[str, ...]:
    """Returns the consecutive trainings of a chain: `siqa>copa` trains on Social IQa, then on COPA."""
    return tuple(stage.strip() for stage in name.split(">"))


def _canonical_targets(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(_canonical_target, names))


def _as_list(value: Any) -> Any:
    """Wraps a single value in a list, so that `seeds: 1` means `seeds: [1]`."""
    return [value] if isinstance(value, str | float | int | Mapping) else value


class _Section(Value):
    """A mapping of the grid config. An unknown key is an error that suggests the nearest one."""

    # Before pydantic's own check, whose message suggests nothing
    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, data: Any) -> Any:
        for key in data if isinstance(data, Mapping) else ():
            if key not in cls.model_fields:
                text = str(unknown("key", str(key), cls.model_fields))
                raise PydanticCustomError("unknown_key", "{text}", {"text": text, "key": key})
        return data


class Backbone(_Section):
    """A frozen encoder. A string in YAML is its name."""

    name: str = Field("me5-small", description="Name of a known backbone, Hub id, or folder.")
    revision: str | None = Field(None, description="Commit, tag or branch of a Hub model.")

    @property
    def label(self) -> str:
        """Name for tables, with the revision if one is set."""
        return f"{self.name}@{self.revision}" if self.revision else self.name

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data


class AdapterConfig(_Section):
    """An adapter config with its settings and language adapter. A string in YAML is its name."""

    name: str = Field("seq_bn", description="Name of an adapter config, or a YAML file.")
    settings: Mapping[str, Any] = Field({}, description="Settings that replace those of the adapter config.")
    language_adapter: str | None = Field(
        None,
        description="Language adapter (MAD-X) below every task adapter: run id, folder or Hub id. `{lang}` "
        "is replaced by the language: en in training, the evaluated language in evaluations.",
    )

    @property
    def label(self) -> str:
        """Name for tables, with the settings and the language adapter."""
        settings = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        language = f" over {self.language_adapter}" if self.language_adapter else ""
        return f"{self.name}{f' ({settings})' if settings else ''}{language}"

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data


class RowLimits(_Section):
    """Maximum numbers of rows. Larger data is subsampled with a fixed seed."""

    train: int | None = Field(
        None, gt=0, le=MOST_ROWS, strict=True, description="Maximum number of training rows."
    )
    eval: int | None = Field(
        None, gt=0, le=MOST_ROWS, strict=True, description="Maximum number of evaluated rows per language."
    )


class TaskFiles(_Section):
    """Explicit files of one task, relative to the working directory or to `data_dir`."""

    train: str | None = Field(None, description="English training file. May end in #FIRST-LAST (rows).")
    dev: str | None = Field(None, description="English development file of the training.")
    eval: str | None = Field(
        None, description="Evaluation file. `{lang}` is replaced by each language; may end in #FIRST-LAST."
    )


class JobDefaults(_Section):
    """Settings that apply to all jobs, or under `overrides` to some of them."""

    hyperparameters: Mapping[str, Any] = Field(
        {}, description="Hyperparameters, named like the options of train-adapter."
    )
    encoding: Mapping[str, Any] = Field({}, description="Text encoding, such as max_length.")
    limits: RowLimits = Field(RowLimits(), description="Maximum numbers of rows.")


AS_LIST = BeforeValidator(_as_list)
NOT_EMPTY = Field(min_length=1)
Names = Annotated[tuple[str, ...], AS_LIST]
LanguageChoice = Literal["available", "all"] | Annotated[tuple[str, ...], NOT_EMPTY, AS_LIST]
# PyTorch accepts larger seeds, NumPy does not. Strict, since YAML's `true` would pass for 1.
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]


class GridConfig(JobDefaults):
    """A grid of transfers: every intermediate task to every target, in every language."""

    backbones: Annotated[tuple[Backbone, ...], NOT_EMPTY, AS_LIST] = Field(
        (Backbone(),), description="Frozen encoders; each multiplies the grid."
    )
    adapter_configs: Annotated[tuple[AdapterConfig, ...], NOT_EMPTY, AS_LIST] = Field(
        (AdapterConfig(),), description="Adapter configs; each multiplies the grid."
    )
    intermediate: Names = Field(
        (), description="Intermediate tasks. `a+b` is trained jointly, `a>b` one after the other."
    )
    compositions: Annotated[tuple[CompositionName, ...], AS_LIST] = Field(
        ("sequential",),
        description="Transfers to each target, the most interesting one first: sequential, stack, fuse or "
        "average. The baseline is always included.",
    )
    adapter_sets: tuple[tuple[str, ...], ...] = Field(
        (),
        description="Sets of tasks whose adapters fuse and average combine. `target` is the target's "
        "baseline adapter.",
    )
    targets: Annotated[Names, AfterValidator(_canonical_targets)] = Field(
        (), description="Target tasks to evaluate."
    )
    suite: str | None = Field(
        None, description="Benchmark whose tasks are added to the targets if their data is available."
    )
    trained_on: Mapping[str, str] = Field(
        {},
        description="Target -> training that replaces its usual one, such as `siqa>copa` for XCOPA.",
    )
    languages: LanguageChoice | Mapping[str, LanguageChoice] = Field(
        "available",
        description="`available` (languages with data), `all` (no search for data), a list of codes, or one "
        "of these for each target.",
    )
    split: Literal["test", "dev"] | Mapping[str, Literal["test", "dev"]] | None = Field(
        None,
        description="Evaluated split: test, dev, or one of these for each target. Default: the split that "
        "is available in more languages.",
    )
    seeds: Annotated[tuple[Seed, ...], NOT_EMPTY, AS_LIST] = Field((1,), description="Training seeds.")
    overrides: Mapping[str, JobDefaults] = Field(
        {},
        description="Settings for a role (intermediate, target), kind, composition, multitask or task. "
        "They apply in this order; later ones win.",
    )
    files: Mapping[str, TaskFiles] = Field(
        {}, description="Task -> explicit files. Other files are found in data_dir."
    )
    data_dir: Path | None = Field(
        None, description="Folder in XTREME's layout. Default: the variable ADAPTERSTILTS_DATA."
    )
    source: Literal["auto", "folder", "hub", "bundled"] = Field(
        "auto", description="Source of data. auto tries bundled data, the folder and the Hub, in this order."
    )
    allow_leak: bool = Field(
        False, description="Whether items that were also trained on are evaluated. Results are marked."
    )

    @model_validator(mode="after")
    def _check_targets(self) -> Self:
        if not self.targets and not self.suite:
            raise ValueError("`targets` or `suite` is required")
        return self

    @property
    def all_targets(self) -> tuple[str, ...]:
        """Explicit targets, then those of the suite."""
        return tuple(dict.fromkeys((*self.targets, *(suite(self.suite) if self.suite else ()))))

    def settings_for(self, *names: str) -> JobDefaults:
        """Returns the settings merged with the overrides of these names; later names win."""
        layers = [self, *(self.overrides[name] for name in names if name in self.overrides)]
        values: dict[str, dict[str, Any]] = {"hyperparameters": {}, "encoding": {}, "limits": {}}
        for layer in layers:
            values["hyperparameters"] |= layer.hyperparameters
            values["encoding"] |= layer.encoding
            # An unset limit must not replace one of an earlier layer; an explicit null does
            values["limits"] |= layer.limits.model_dump(exclude_unset=True)
        return JobDefaults.model_validate(values)

    def languages_for(self, target: str) -> LanguageChoice:
        """Returns the languages to evaluate a target in, as configured."""
        if isinstance(self.languages, Mapping):
            return self.languages.get(target, "available")
        return self.languages

    def split_for(self, target: str) -> Split | None:
        """Returns the split to evaluate a target on. None if it is not configured."""
        return self.split.get(target) if isinstance(self.split, Mapping) else self.split
