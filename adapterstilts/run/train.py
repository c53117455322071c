"""Training verbs: from names and settings to a job, and from a job to a finished run."""

from __future__ import annotations

from collections.abc import Sequence

from adapterstilts import composition as compositions
from adapterstilts.composition import Composition, CompositionName
from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.hyperparameters import Hyperparameters, hyperparameters_for
from adapterstilts.job import TrainJob
from adapterstilts.model import compatibility
from adapterstilts.model.backbone import locate
from adapterstilts.model.configs import AdapterSpec, adapter_config
from adapterstilts.model.language_adapter import adapter_digest
from adapterstilts.run import distributed
from adapterstilts.run.assemble import Source, as_source, spec_of
from adapterstilts.run.device import resolve_precision
from adapterstilts.run.fit import Fit, fit
from adapterstilts.run.language_reference import language_adapter
from adapterstilts.run.lineage import history, together
from adapterstilts.run.options import Options
from adapterstilts.run.progress import say
from adapterstilts.run.sampling import CheckpointPolicy
from adapterstilts.run.task_data import Taught, lessons
from adapterstilts.run.trained_backbone import backbone_origin
from adapterstilts.store import Run, Store, effect_lines
from adapterstilts.store.origin import TrainOrigin
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.multitask import TEXT, join_names, split_name
from adapterstilts.tasks.spec import Task
from adapterstilts.values import distinct

OF_TRAINING = ("encoding", "train_file", "train_files", "eval_file", "translated", "mlm", "limit")


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
    tasks = _trainers(target, kind, options)
    found = [store.find(adapter) for adapter in adapters]
    joined = compositions.make(kind, tuple(run.key for run in found), tuple(weights))
    plan = _plan(tasks, joined, found, options)
    finished = distributed.from_leader(lambda: store.get(plan.job))
    if finished:
        say(f"{finished.id} is finished already{_not_here(finished)}")
        for line in effect_lines(finished):
            say(line)
        return finished
    return fit(plan, store, CheckpointPolicy(options.checkpoint_minutes, options.checkpoint_steps))


def _not_here(run: Run) -> str:
    """The origin of a result that was pulled; "" for a result that was computed here."""
    pulled = run.pulled
    if pulled is None:
        return ""
    return (
        f": it was pulled from {pulled.repo} (commit {pulled.commit[:12]}), not trained here; to train "
        f"it, remove it first (adapterstilts runs rm {run.id})"
    )


def _trainers(target: str, kind: CompositionName, options: Options) -> list[Task]:
    """The tasks to train: one or, in `a+b+c`, several; plain text that is mixed in stands last."""
    names = split_name(target) + ((TEXT,) if options.mlm else ())
    tasks = {task.name: task for task in (_trainer(get_task(name), kind) for name in names)}
    idle = [task.name for task in tasks.values() if task.trained_on is None]
    if idle and len(tasks) > 1:
        raise ConfigError(f"{idle[0]} has no training data, so it cannot be trained together with others")
    if options.mlm_languages and TEXT not in tasks:
        raise ConfigError("which text is in these languages? Name it with --mlm FILE, or --text FILE")
    return sorted(tasks.values(), key=lambda task: (task.name == TEXT, task.name))


def _trainer(task: Task, kind: CompositionName) -> Task:
    """The task whose English data trains the target; retrieval targets have none."""
    if task.trained_on:
        return task if task.trained_on == task.name else get_task(task.trained_on)
    if kind not in ("single", "average"):
        raise ConfigError(
            f"{task.name} has no training data, so there is nothing for '{kind}' to train: evaluate an "
            f"adapter as it is (adapterstilts evaluate RUN --task {task.name}), or merge several first "
            f"(adapterstilts average {task.name} RUN RUN)"
        )
    return task


def _plan(tasks: Sequence[Task], joined: Composition, found: Sequence[Run], options: Options) -> Fit:
    """Resolves backbone, data and settings into a job with all it needs."""
    files = locate(options.backbone, options.revision)
    files.check_length(options.encoding)
    for run in found:
        if run.training.backbone != files.fingerprint:
            theirs, ours = distinct(run.job.backbone, files.fingerprint)
            raise AdapterError(
                f"{run.id} was trained on another backbone ({theirs}) than {options.backbone} ({ours}): "
                "pass that one with --backbone"
            )
    language = language_adapter(options.language_adapter, "en", Store(options.store))
    _check_language_adapter(found, adapter_digest(language))
    sources = [as_source(run.key, run.job.task, run.path) for run in found]
    if joined.fuses and (options.config or options.adapter):
        raise ConfigError(
            "'fuse' trains no adapter of the target, only the fusion: leave --config and --set out"
        )
    text_alone = tasks[0].name == TEXT
    spec = _adapter_spec(options, sources if joined.start else (), "seq_bn_inv" if text_alone else "seq_bn")
    compatibility.check_composition(joined, [source.spec for source in sources], spec, spec_of(language))
    hyperparameters = _recipe(tasks, options)
    taught = lessons(tasks, options, hyperparameters) if hyperparameters else Taught()
    versions = [task.version for task in tasks]
    job = TrainJob(
        task=join_names(task.name for task in tasks),
        task_version=versions[0] if len(versions) == 1 else "+".join(map(str, versions)),
        backbone=files.fingerprint,
        data=taught.prints,
        adapter=dict(spec.config) if hyperparameters or joined.start else {},
        hyperparameters=hyperparameters,
        encoding=taught.encoding,
        composition=joined,
        language_adapter=adapter_digest(language),
        languages=tuple(sorted(set(options.mlm_languages))),
        seed=options.seed if hyperparameters else 0,
    )
    # The run remembers tasks of one's own, and labels that were read off the data.
    known = [lesson.task for lesson in taught.lessons] or tasks
    own = [task for task in known if task.base or task.open_labels]
    before = together(history(Store(options.store), run) for run in found)
    origin = TrainOrigin(
        backbone=backbone_origin(files),
        language_adapter=options.language_adapter,
        tasks={task.name: task.model_dump(mode="json") for task in own},
        data=taught.origin,
        ancestors=before.as_ancestors(),
    )
    return Fit(job, taught.lessons, files, spec, sources, origin, language, before.items)


def _check_language_adapter(found: Sequence[Run], given: str | None) -> None:
    """Refuses sources that were trained over another language adapter than the target will be."""
    for run in found:
        if run.job.language_adapter not in (None, given):
            raise AdapterError(
                f"{run.id} was trained over a language adapter: give the same one with --language-adapter"
            )


def _adapter_spec(options: Options, starts: Sequence[Source], default: str) -> AdapterSpec:
    """The target adapter's config: the sources' own where it starts from their weights."""
    if not starts:
        return adapter_config(options.config or default, options.adapter)
    own = starts[0].spec
    if options.config:
        return adapter_config(options.config, options.adapter)
    if options.adapter:
        raise AdapterError(f"the target adapter starts from a '{own.name}' adapter: leave --set out")
    return own


def _recipe(tasks: Sequence[Task], options: Options) -> Hyperparameters | None:
    if tasks[0].trained_on is None:
        idle = [*options.hyperparameters, *(name for name in OF_TRAINING if getattr(options, name))]
        if idle:
            say(f"nothing trains {tasks[0].name}: {', '.join(idle)} had no effect (see evaluate --help)")
        return None
    hyperparameters = hyperparameters_for([task.kind for task in tasks], options.hyperparameters)
    return hyperparameters.model_copy(update={"precision": resolve_precision(hyperparameters.precision)})
