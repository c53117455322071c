"""What a grid is made of: a frozen value, read from YAML; whatever is wrong is told with file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from adapterstilts.composition import CompositionName
from adapterstilts.errors import ConfigError, StiltsError, unknown
from adapterstilts.grid.yaml_lines import Document, read_document
from adapterstilts.recipe import Recipe
from adapterstilts.tasks import registry
from adapterstilts.tasks.several import MULTITASK, TEXT, join_names, split_name
from adapterstilts.tasks.spec import KindName, Split, Task
from adapterstilts.tasks.suites import SUITES, suite
from adapterstilts.values import Value, problem_text

ROLES = ("intermediate", "target")
TARGET = "target"  # in a set: the target's own adapter
Problem = tuple[tuple[str | int, ...], str]  # the keys to what is wrong, and what is wrong with it


def _listed(given: Any) -> Any:
    """One value stands for a list of one."""
    return [given] if isinstance(given, str | int | Mapping) else given


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
        language_adapter: a MAD-X adapter below everything; see `api.Options`.
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

    train: int | None = Field(None, gt=0)
    eval: int | None = Field(None, gt=0)


class Files(Part):
    """Explicit files of one task, as `--train-file` and `--eval-file` take them."""

    train: str | None = None
    dev: str | None = None
    eval: str | None = None


class Settings(Part):
    """What can be set for all jobs, or for some of them alone."""

    recipe: Mapping[str, Any] = {}
    encoding: Mapping[str, Any] = {}
    limits: Limits = Limits()


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
LanguageChoice = Literal["at hand", "all"] | Names


class GridRecipe(Settings):
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
        data_dir, source: where data is; see `api.Options`.
        allow_leak: evaluate items that were trained on too; the results say so.
    """

    backbones: Annotated[tuple[Backbone, ...], BeforeValidator(_listed)] = (Backbone(),)
    configs: Annotated[tuple[Config, ...], BeforeValidator(_listed)] = (Config(),)
    intermediate: Names = ()
    compositions: Annotated[tuple[CompositionName, ...], BeforeValidator(_listed)] = ("sequential",)
    sets: tuple[tuple[str, ...], ...] = ()
    targets: Names = ()
    suite: str | None = None
    trained_on: Mapping[str, str] = {}
    languages: LanguageChoice | Mapping[str, LanguageChoice] = "at hand"
    split: Literal["test", "dev"] | Mapping[str, Literal["test", "dev"]] | None = None
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], BeforeValidator(_listed)] = (1,)
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

    def told(self, *names: str) -> Settings:
        """The settings for what goes by these names, the last one first."""
        parts = [self, *(self.overrides[name] for name in names if name in self.overrides)]
        merged: dict[str, dict[str, Any]] = {"recipe": {}, "encoding": {}, "limits": {}}
        for part in parts:
            merged["recipe"] |= part.recipe
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


def load(name: str) -> GridRecipe:
    """Reads a recipe: a YAML file, or the name of one that comes with the package.

    Raises:
        ConfigError: what is wrong, with file and line.
    """
    document = read_document(find(name))
    try:
        recipe = GridRecipe.model_validate(document.data)
    except ValidationError as error:
        first = error.errors()[0]
        keys = (*first["loc"], str(first.get("ctx", {}).get("key", "")))
        named = ".".join(str(key) for key in document.known(first["loc"]))
        told = problem_text(dict(first))
        raise document.error(keys, f"{named}: {told}" if named else told) from None
    _check(recipe, document)
    return recipe


def recipe_names() -> tuple[str, ...]:
    """The recipes that come with the package."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def find(name: str) -> Path:
    """The recipe's file.

    Raises:
        ConfigError: there is none.
    """
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise ConfigError(f"there is no recipe {path}; by name there are: {', '.join(recipe_names())}")
        return path
    if name not in recipe_names():
        raise ConfigError(f"{unknown('recipe', name, recipe_names())}, or a YAML file")
    return _folder() / f"{name}.yaml"


def _folder() -> Path:
    package = Path(__file__).parents[1]
    inside = package / "grids"
    return inside if inside.is_dir() else package.parent / "grids"


def _check(recipe: GridRecipe, document: Document) -> None:
    for problems in (_about_tasks, _about_chains, _about_joining, _about_languages, _about_settings):
        for keys, text in problems(recipe):
            raise document.error(keys, text)


def _about_tasks(recipe: GridRecipe) -> Iterator[Problem]:
    if recipe.suite and recipe.suite not in SUITES:
        yield ("suite",), str(unknown("suite", recipe.suite, SUITES))
        return
    for n, name in enumerate(recipe.targets):
        yield from ((("targets", n), text) for text in _wrong(name, ()))
    for n, name in enumerate(recipe.intermediate):
        yield from ((("intermediate", n), text) for text in _wrong(name, ROLES))
    for n, group in enumerate(recipe.sets):
        for name in group:
            yield from ((("sets", n), text) for text in _wrong(name, ROLES) if name != TARGET)
    for name in recipe.files:
        yield from ((("files", name), text) for text in _wrong(name, ()))


def _wrong(name: str, trained: Sequence[str]) -> Iterator[str]:
    """What is wrong with the name of a task, or of several where it is to be trained."""
    try:
        tasks = [registry.get(each) for each in (_names(name) if trained else (name,))]
    except StiltsError as error:
        yield str(error)
        return
    for task in tasks:
        if task.name == TEXT:
            yield "plain text (mlm) has no place in a grid: train language adapters by themselves"
        elif trained and task.trained_on is None:
            yield f"{task.name} has no training data, so it is no intermediate task"


def _about_chains(recipe: GridRecipe) -> Iterator[Problem]:
    for name, chain in recipe.trained_on.items():
        keys = ("trained_on", name)
        if name not in recipe.all_targets:
            yield keys, str(unknown("target", name, recipe.all_targets))
            return
        yield from ((keys, text) for text in _wrong(chain, ROLES))
        target = registry.get(name)
        fitting = [each for each in (target.trained_on, *target.then_trained_on) if each]
        if stages(chain)[-1] not in fitting:
            yield keys, f"the training of {name} ends with {' or '.join(fitting) or 'nothing'}"
        for how in {"stack", "fuse"}.intersection(recipe.compositions) if len(stages(chain)) > 1 else ():
            yield keys, f"after '{how}' there is no one adapter to go on from: leave one of the two out"


def _about_joining(recipe: GridRecipe) -> Iterator[Problem]:
    for n, name in enumerate(recipe.compositions):
        if name in ("fuse", "average") and not recipe.sets:
            yield ("compositions", n), f"'{name}' joins several adapters: list them under `sets`"
    for n, group in enumerate(recipe.sets):
        if len(set(group)) < 2 or len(set(group)) != len(group):
            yield ("sets", n), "a set is of two or more different tasks"
    if recipe.sets and not {"fuse", "average"} & set(recipe.compositions):
        yield ("sets",), "sets are what `fuse` and `average` join, but neither is among the compositions"


def _about_languages(recipe: GridRecipe) -> Iterator[Problem]:
    targets = {name: registry.get(name) for name in recipe.all_targets}
    everywhere = {code for task in targets.values() for code in task.languages}
    chosen = recipe.languages
    for name, choice in chosen.items() if isinstance(chosen, Mapping) else [("", chosen)]:
        if name and name not in targets:
            yield ("languages", name), str(unknown("target", name, targets))
            continue
        known = set(targets[name].languages) if name else everywhere
        for code in choice if isinstance(choice, tuple) else ():
            if code not in known:
                yield ("languages", name), str(unknown("language", code, known))
    for name in recipe.split if isinstance(recipe.split, Mapping) else ():
        if name not in targets:
            yield ("split", name), str(unknown("target", name, targets))


def _about_settings(recipe: GridRecipe) -> Iterator[Problem]:
    yield from ((("recipe",), text) for text in _about_recipe(recipe.recipe))
    general = (*ROLES, *get_args(KindName), *get_args(CompositionName), MULTITASK)
    for name, part in recipe.overrides.items():
        keys = ("overrides", name)
        yield from (((*keys, "recipe"), text) for text in _about_recipe(part.recipe))
        if name not in general:
            yield from ((keys, text) for text in _about_override(recipe, name, part))


def _about_recipe(settings: Mapping[str, Any]) -> Iterator[str]:
    try:
        Recipe.parse(settings, "recipe")
    except ConfigError as error:
        yield str(error)


def _about_override(recipe: GridRecipe, name: str, part: Settings) -> Iterator[str]:
    """What is wrong with the settings of a task: none of that name is there, or another one trains it."""
    known = {task.name for task in _tasks(recipe)}
    known |= {join_names(split_name(stage)) for each in _trained(recipe) for stage in stages(each)}
    if name not in known:
        yield str(unknown("task, kind, composition or role of this recipe", name, known))
        return
    task = registry.get(name) if "+" not in name else None
    if task and task.trained_on != name and (part.recipe or part.limits.train):
        whose = f"on {task.trained_on}: set it there" if task.trained_on else "on nothing"
        yield f"{name} is trained {whose}"


def _names(name: str) -> Iterator[str]:
    """Every task of those that are trained together, or one after the other."""
    for stage in stages(name):
        yield from split_name(stage)


def _trained(recipe: GridRecipe) -> Iterator[str]:
    yield from recipe.intermediate
    yield from recipe.trained_on.values()
    yield from (name for group in recipe.sets for name in group if name != TARGET)


def _tasks(recipe: GridRecipe) -> Iterator[Task]:
    """Every task of the recipe, and those that train them."""
    for name in (*recipe.all_targets, *(one for each in _trained(recipe) for one in _names(each))):
        task = registry.get(name)
        yield task
        if task.trained_on and task.trained_on != task.name:
            yield registry.get(task.trained_on)
