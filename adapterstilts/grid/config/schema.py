"""The values that a recipe is made of: each frozen, and what a key in YAML may hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from adapterstilts.composition import CompositionName
from adapterstilts.errors import StiltsError, unknown
from adapterstilts.hyperparameters import MOST_ROWS
from adapterstilts.tasks import registry
from adapterstilts.tasks.multitask import join_names, split_name
from adapterstilts.tasks.spec import Split
from adapterstilts.tasks.suites import suite
from adapterstilts.values import Value

ROLES = ("intermediate", "target")
TARGET = "target"  # in a set: the target's own adapter


def canonical(name: str) -> str:
    """A task's own name for an alias of it or for the file that defines it, or those of several (`a+b`).

    What names no task stays as it is.
    """
    try:
        return join_names(registry.get(one).name for one in split_name(name))
    except (StiltsError, OSError):
        return name


def target_name(name: str) -> str:
    """As `canonical`, but a file that defines a target stays: it alone finds the task."""
    return name if name.endswith((".yaml", ".yml")) else canonical(name)


def _targets(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(target_name, names))


def _listed(given: Any) -> Any:
    """One value stands for a list of one."""
    return [given] if isinstance(given, str | float | int | Mapping) else given


class Part(Value):
    """A part of the recipe; an unknown key names the nearest one."""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        for key in given if isinstance(given, Mapping) else ():
            if key not in cls.model_fields:
                text = str(unknown("key", str(key), cls.model_fields))
                raise PydanticCustomError("unknown_key", "{text}", {"text": text, "key": key})
        return given


class Backbone(Part):
    """A frozen encoder; in YAML its name alone will do."""

    name: str = "me5-small"
    revision: str | None = None

    @property
    def label(self) -> str:
        """For people: the name, with the revision if one is asked for."""
        return f"{self.name}@{self.revision}" if self.revision else self.name

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given


class Config(Part):
    """An adapter config (a name or a YAML file) with settings over it; in YAML its name alone will do.

    Attributes:
        language_adapter: a MAD-X adapter below everything; see `run.options.Options`.
    """

    name: str = "seq_bn"
    set: Mapping[str, Any] = {}
    language_adapter: str | None = None

    @property
    def label(self) -> str:
        """For people: the name with what is set over it."""
        settings = ", ".join(f"{key}={value}" for key, value in self.set.items())
        below = f" over {self.language_adapter}" if self.language_adapter else ""
        return f"{self.name} ({settings}){below}" if settings else f"{self.name}{below}"

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given


class Limits(Part):
    """Rows at the most: of training data, and of evaluation data in each language."""

    train: int | None = Field(None, gt=0, le=MOST_ROWS, strict=True)
    eval: int | None = Field(None, gt=0, le=MOST_ROWS, strict=True)


class Files(Part):
    """Explicit files of one task, as `--train-file` and `--eval-file` take them."""

    train: str | None = None
    dev: str | None = None
    eval: str | None = None


class Settings(Part):
    """What can be set for all jobs, or for some of them alone."""

    hyperparameters: Mapping[str, Any] = {}
    encoding: Mapping[str, Any] = {}
    limits: Limits = Limits()


LISTED = BeforeValidator(_listed)
SOME = Field(min_length=1)
Names = Annotated[tuple[str, ...], LISTED]
LanguageChoice = Literal["at hand", "all"] | Annotated[tuple[str, ...], SOME, LISTED]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]


class GridConfig(Settings):
    """What a grid is made of.

    Attributes:
        intermediate: tasks that an adapter is trained on first; `a+b` are trained together, `a>b` one after
            the other.
        compositions: how adapters are joined to a target, the most interesting one first; the baseline is
            always there. `fuse` and `average` join the adapters of each of the `sets`.
        sets: of tasks, each one list; `target` in it is the target's own adapter.
        targets, suite: what is evaluated; of a suite those targets whose data is at hand.
        trained_on: what trains a target instead of its usual task, such as `siqa>copa` for XCOPA.
        languages: "at hand", "all" that a target (or the suite) has, a list, or for each target one of these.
        split: "test" or "dev" for all targets or for each; by default the one at hand in more languages.
        overrides: settings for a role (`intermediate`, `target`), a kind, a composition, `multitask` or a
            task; a later one of these goes before an earlier one.
        files: explicit files, by task.
        data_dir, source: where data is; see `run.options.Options`.
        allow_leak: evaluate items that were trained on too; the results say so.
    """

    backbones: Annotated[tuple[Backbone, ...], SOME, LISTED] = (Backbone(),)
    configs: Annotated[tuple[Config, ...], SOME, LISTED] = (Config(),)
    intermediate: Names = ()
    compositions: Annotated[tuple[CompositionName, ...], LISTED] = ("sequential",)
    sets: tuple[tuple[str, ...], ...] = ()
    targets: Annotated[Names, AfterValidator(_targets)] = ()
    suite: str | None = None
    trained_on: Mapping[str, str] = {}
    languages: LanguageChoice | Mapping[str, LanguageChoice] = "at hand"
    split: Literal["test", "dev"] | Mapping[str, Literal["test", "dev"]] | None = None
    seeds: Annotated[tuple[Seed, ...], SOME, LISTED] = (1,)
    overrides: Mapping[str, Settings] = {}
    files: Mapping[str, Files] = {}
    data_dir: Path | None = None
    source: Literal["auto", "folder", "hub", "bundled"] = "auto"
    allow_leak: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.targets and not self.suite:
            raise ValueError("name the targets, or a suite of them")
        return self

    @property
    def all_targets(self) -> tuple[str, ...]:
        """The targets named, then those of the suite."""
        return tuple(dict.fromkeys((*self.targets, *(suite(self.suite) if self.suite else ()))))

    def settings_for(self, *names: str) -> Settings:
        """The settings for what goes by these names, the last one first."""
        parts = [self, *(self.overrides[name] for name in names if name in self.overrides)]
        merged: dict[str, dict[str, Any]] = {"hyperparameters": {}, "encoding": {}, "limits": {}}
        for part in parts:
            merged["hyperparameters"] |= part.hyperparameters
            merged["encoding"] |= part.encoding
            merged["limits"] |= part.limits.model_dump(exclude_unset=True)
        return Settings.model_validate(merged)

    def languages_of(self, target: str) -> LanguageChoice:
        """What is wanted of one target."""
        chosen = self.languages
        return chosen.get(target, "at hand") if isinstance(chosen, Mapping) else chosen

    def split_of(self, target: str) -> Split | None:
        """The split that was asked for."""
        return self.split.get(target) if isinstance(self.split, Mapping) else self.split


def stages(name: str) -> tuple[str, ...]:
    """What is trained one after the other: of `siqa>copa` first Social IQa, then COPA from there."""
    return tuple(part.strip() for part in name.split(">"))
