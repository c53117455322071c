"""Training verbs: from names and settings to a job, and from a job to a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapterstilts import composition as compositions
from adapterstilts.api.options import Options
from adapterstilts.composition import Composition, CompositionName
from adapterstilts.data.files import HiddenLabelsError
from adapterstilts.data.holdout import hold_out
from adapterstilts.data.rows import Row
from adapterstilts.data.source import Loaded, load
from adapterstilts.errors import AdapterError, ConfigError, MissingDataError
from adapterstilts.job import TrainJob
from adapterstilts.kinds import default_encoding
from adapterstilts.model import rules
from adapterstilts.model.backbone import locate
from adapterstilts.model.configs import AdapterSpec, adapter_config
from adapterstilts.model.language import digest_of, language_adapter
from adapterstilts.recipe import Recipe, recipe_for
from adapterstilts.run.assemble import Source, as_source, spec_of
from adapterstilts.run.device import resolve_precision
from adapterstilts.run.fit import Fit, fit
from adapterstilts.run.progress import say
from adapterstilts.run.train import Saving
from adapterstilts.store import Run, Store
from adapterstilts.tasks import registry
from adapterstilts.tasks.spec import Task


def train_adapter(task: str, options: Options | None = None) -> Run:
    """Trains one adapter on a task's English data, or returns the finished run of the same job.

    Args:
        task: an intermediate task, or a target: the task whose data trains it is trained.

    Raises:
        StiltsError: see `compose`.
    """
    return compose(task, "single", (), options)


def compose(
    target: str,
    kind: CompositionName,
    adapters: Sequence[str],
    options: Options | None = None,
    weights: Sequence[float] = (),
) -> Run:
    """Joins adapters to a target and trains what the composition trains, on the target's English data.

    An interrupted call goes on where it stopped when it is made again.

    Args:
        adapters: run ids, unique prefixes of them, or folders of runs.
        weights: of `average`; equal by default.

    Raises:
        ConfigError: unknown names or settings, or a number of adapters that does not fit.
        AdapterError: an adapter of another backbone, damaged, or of a method that cannot be joined so.
        MissingDataError, DataError: the English data is not at hand or not as it should be.
    """
    options = options or Options()
    store = Store(options.store)
    task = _trainer(registry.get(target), kind)
    found = [store.find(adapter) for adapter in adapters]
    joined = compositions.make(kind, tuple(run.key for run in found), tuple(weights))
    plan = _plan(task, joined, found, options)
    finished = store.get(plan.job.key)
    if finished:
        say(f"{finished.id} is finished already")
        return finished
    return fit(plan, store, Saving(options.checkpoint_minutes, options.checkpoint_steps))


def _trainer(task: Task, kind: CompositionName) -> Task:
    """The task whose English data trains the target; retrieval targets have none."""
    if task.trained_on:
        return registry.get(task.trained_on)
    if kind not in ("single", "average"):
        raise ConfigError(
            f"{task.name} has no training data, so there is nothing for '{kind}' to train: evaluate an "
            f"adapter as it is (adapterstilts evaluate RUN --task {task.name}), or merge several first "
            f"(adapterstilts average {task.name} RUN RUN)"
        )
    return task


def _plan(task: Task, joined: Composition, found: Sequence[Run], options: Options) -> Fit:
    """Resolves backbone, data and settings into a job with all it needs."""
    files = locate(options.backbone, options.revision)
    for run in found:
        if run.job["backbone"] != files.fingerprint:
            raise AdapterError(
                f"{run.id} was trained on another backbone ({run.job['backbone'][:20]}…) than "
                f"{options.backbone} ({files.fingerprint[:20]}…): name that one with --backbone"
            )
    language = language_adapter(options.language_adapter, "en")
    _check_language_adapter(found, digest_of(language))
    sources = [as_source(run.key, run.job["task"], run.path) for run in found]
    if joined.fuses and (options.config or options.adapter):
        raise ConfigError(
            "'fuse' trains no adapter of the target, only the fusion: leave --config and --set out"
        )
    spec = _adapter_spec(options, sources if joined.start else ())
    rules.check_composition(joined, [source.spec for source in sources], spec, spec_of(language))
    encoding = default_encoding(task.kind, options.encoding)
    recipe = _recipe(task, options)
    train, dev, fingerprints, origin = _training_rows(task, options, recipe)
    job = TrainJob(
        task=task.name,
        task_version=task.version,
        backbone=files.fingerprint,
        data=fingerprints,
        adapter=dict(spec.config) if recipe or joined.start else {},
        recipe=recipe,
        encoding=encoding.model_dump(mode="json") if recipe else {},
        composition=joined,
        language_adapter=digest_of(language),
        seed=options.seed if recipe else 0,
    )
    name = str(files.folder.resolve()) if Path(files.name).is_dir() else files.name
    backbone = {"name": name, "commit": files.commit, "fingerprint": files.fingerprint}
    origin |= {"backbone": backbone, "language_adapter": options.language_adapter}
    return Fit(job, task, files, spec, sources, encoding, train, dev, origin, language)


def _check_language_adapter(found: Sequence[Run], given: str | None) -> None:
    """Refuses sources that were trained over another language adapter than the target will be."""
    for run in found:
        if run.job["language_adapter"] not in (None, given):
            raise AdapterError(
                f"{run.id} was trained over a language adapter: give the same one with --language-adapter"
            )


def _adapter_spec(options: Options, starts: Sequence[Source]) -> AdapterSpec:
    """The target adapter's config: the sources' own where it starts from their weights."""
    if not starts:
        return adapter_config(options.config or "seq_bn", options.adapter)
    own = starts[0].spec
    if options.config:
        return adapter_config(options.config, options.adapter)
    if options.adapter:
        raise AdapterError(f"the target adapter starts from a '{own.name}' adapter: leave --set out")
    return own


def _recipe(task: Task, options: Options) -> Recipe | None:
    if task.trained_on is None:
        return None
    recipe = recipe_for(task.kind, options.recipe)
    return recipe.model_copy(update={"precision": resolve_precision(recipe.precision)})


def _training_rows(
    task: Task, options: Options, recipe: Recipe | None
) -> tuple[tuple[Row, ...], tuple[Row, ...], dict[str, str], dict[str, Any]]:
    """English training and development rows, their fingerprints, and where they came from."""
    if recipe is None:
        return (), (), {}, {}
    train = load(task, "train", "en", options.where(options.train_file), options.limit, options.seed)
    dev = _dev_rows(task, options, recipe)
    prints = {"train": train.fingerprint, "dev": dev.fingerprint if dev else ""}
    origin = {"train": dict(train.origin), "dev": dict(dev.origin) if dev else None}
    if dev:
        return train.rows, dev.rows, prints, origin
    kept, held = hold_out(train.rows, recipe.holdout, recipe.dev_rows, options.seed)
    if held:
        say(f"{task.name}: no English development data given: {len(held)} training rows are held out for it")
    else:
        say(f"{task.name}: no English development data: the last step is kept")
    origin["dev"] = {"held_out": len(held)}
    return kept, held, prints, origin


def _dev_rows(task: Task, options: Options, recipe: Recipe) -> Loaded | None:
    """The task's own English development data; None where it is not at hand with labels."""
    where = options.where(options.eval_file)
    if options.eval_file is None and options.train_file is not None:
        return None  # data of the user's own: other development data would not belong to it
    try:
        return load(task, "dev", "en", where, recipe.dev_rows, options.seed)
    except (MissingDataError, HiddenLabelsError):  # XTREME hands TyDiQA's out without answers
        if options.eval_file:
            raise
        return None
