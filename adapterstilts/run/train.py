"""The verbs that train: from names and options to a job, and from a job to a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapterstilts.composition import Composition, Single, make
from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.hyperparameters import Hyperparameters, hyperparameters_for
from adapterstilts.job import TrainJob
from adapterstilts.model import compatibility
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.model.language_adapter import adapter_digest
from adapterstilts.run import distributed
from adapterstilts.run.assemble import Source, TrainingPlan, spec_of
from adapterstilts.run.device import resolve_precision
from adapterstilts.run.fit import fit
from adapterstilts.run.language_adapters import find_language_adapter
from adapterstilts.run.lineage import History
from adapterstilts.run.options import TrainingOptions
from adapterstilts.run.progress import say
from adapterstilts.run.resolve import backbone_origin
from adapterstilts.run.sampling import CheckpointPolicy
from adapterstilts.run.training_data import TaskData, load_training_data
from adapterstilts.store import Effect, Run, Store
from adapterstilts.store.origin import TrainOrigin
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.multitask import TEXT, join_names, split_name
from adapterstilts.tasks.spec import Task
from adapterstilts.values import distinct

# Options without effect where nothing is trained.
TRAINING_ONLY = ("encoding", "train_file", "train_files", "dev_file", "translated", "mlm", "limit")


def train_adapter(task: str, options: TrainingOptions | None = None) -> Run:
    """Trains one adapter on a task's English data, or returns the finished run of the same job.

    Args:
        task: Name or YAML file of an intermediate task, or of a target: then the task whose data trains it.
            `a+b` trains several tasks together, `mlm` a language adapter.
        options: Options of the training.

    Raises:
        StiltsError: See `compose`.
    """
    return compose(task, Single(), options)


def compose(target: str, composition: Composition, options: TrainingOptions | None = None) -> Run:
    """Composes adapters for a target and trains on the target's English data what the composition trains.

    An interrupted call resumes when it is repeated. A finished job is returned without training.

    Args:
        target: Name or YAML file of the target.
        composition: `Single()`, `Sequential(run)`, `Stack(run)`, `Fuse(run, run)` or
            `Average(run, run, weights=(0.7, 0.3))`, with runs, their ids, unique prefixes or folders.
        options: Options of the training.

    Raises:
        ConfigError: Unknown names or settings, or adapters and weights that do not fit the composition.
        AdapterError: An adapter of another backbone, damaged, or of an unsuitable method.
        MissingDataError, DataError: The English data was not found or is malformed.
    """
    options = options or TrainingOptions()
    store = Store(options.store)
    tasks = _training_tasks(target, composition, options)
    sources = [store.find(reference) for reference in composition.sources]
    composition = _with_sources(composition, [run.key for run in sources])
    plan = _plan(tasks, composition, sources, options)
    finished = distributed.from_leader(lambda: store.get(plan.job))
    if finished:
        say(f"{finished.id} is finished already{_pulled_note(finished)}")
        for line in Effect.lines_of(finished):
            say(line)
        return finished
    return fit(plan, store, CheckpointPolicy(options.checkpoint_minutes, options.checkpoint_steps))


def _pulled_note(run: Run) -> str:
    """Returns a note on the origin of a pulled result; "" for a result that was computed here."""
    pulled = run.pulled
    if pulled is None:
        return ""
    return (
        f": it was pulled from {pulled.repo} (commit {pulled.commit[:12]}), not trained here; to train "
        f"it, remove it first (adapterstilts runs rm {run.id})"
    )


def _training_tasks(target: str, composition: Composition, options: TrainingOptions) -> list[Task]:
    """Returns the tasks to train, sorted by name, with mixed-in plain text last.

    A target's own entry may name another task that trains it. Retrieval targets have none.
    """
    tasks: dict[str, Task] = {}
    for name in split_name(target) + ((TEXT,) if options.mlm else ()):
        task = get_task(name)
        if task.trained_on not in (None, task.name):
            task = get_task(str(task.trained_on))
        if task.trained_on is None and composition.kind not in ("single", "average"):
            raise ConfigError(
                f"{task.name} has no training data, so '{composition.kind}' has nothing to train: evaluate "
                f"an adapter directly (adapterstilts evaluate RUN --task {task.name}), or merge several "
                f"first (adapterstilts average {task.name} RUN RUN)"
            )
        tasks[task.name] = task
    untrained = [task.name for task in tasks.values() if task.trained_on is None]
    if untrained and len(tasks) > 1:
        raise ConfigError(f"{untrained[0]} has no training data and cannot be trained with other tasks")
    if options.mlm_languages and TEXT not in tasks:
        raise ConfigError(
            "languages of a text were passed without the text: pass it with --mlm FILE or --text FILE"
        )
    return sorted(tasks.values(), key=lambda task: (task.name == TEXT, task.name))


def _plan(
    tasks: Sequence[Task], composition: Composition, runs: Sequence[Run], options: TrainingOptions
) -> TrainingPlan:
    """Resolves backbone, adapters, data and settings into a job with everything that it needs."""
    store = Store(options.store)
    files = BackboneFiles.locate(options.backbone, options.revision)
    files.check_length(options.encoding)
    language = find_language_adapter(options.language_adapter, "en", store)
    _check_sources(runs, files.fingerprint, adapter_digest(language), options)
    sources = [Source.of(run.key, run.job.task, run.path) for run in runs]
    if composition.fuses and (options.config or options.adapter):
        raise ConfigError(
            "'fuse' trains only the fusion, no adapter of the target: remove --config and --set"
        )
    # A language adapter has an invertible part (Pfeiffer et al. 2020).
    default = "seq_bn_inv" if tasks[0].name == TEXT else "seq_bn"
    spec = _adapter_spec(options, sources if composition.start else (), default)
    compatibility.check_composition(composition, [source.spec for source in sources], spec, spec_of(language))
    hyperparameters = _hyperparameters(tasks, options)
    data = load_training_data(tasks, options, hyperparameters) if hyperparameters else ()
    versions = [task.version for task in tasks]
    job = TrainJob(
        task=join_names(task.name for task in tasks),
        task_version=versions[0] if len(versions) == 1 else "+".join(map(str, versions)),
        backbone=files.fingerprint,
        data=_fingerprints(data),
        adapter=dict(spec.config) if hyperparameters or composition.start else {},
        hyperparameters=hyperparameters,
        encoding=_encodings(data),
        composition=composition,
        language_adapter=adapter_digest(language),
        languages=tuple(sorted(set(options.mlm_languages))),
        seed=options.seed if hyperparameters else 0,  # without training the seed has no effect
    )
    # The run stores the definitions of custom tasks, and label sets that were read from the data.
    trained = [part.task for part in data] or tasks
    ancestors = History.union(History.of(store, run) for run in runs)
    origin = TrainOrigin(
        backbone=backbone_origin(files),
        language_adapter=options.language_adapter,
        tasks={task.name: task.model_dump(mode="json") for task in trained if task.base or task.open_labels},
        data={part.task.name: dict(part.origin) for part in data},
        ancestors=ancestors.as_ancestors(),
    )
    return TrainingPlan(job, data, files, spec, sources, origin, language, ancestors.items)


def _check_sources(
    runs: Sequence[Run], fingerprint: str, language: str | None, options: TrainingOptions
) -> None:
    """Refuses adapters of another backbone, or that were trained on top of another language adapter."""
    for run in runs:
        if run.training.backbone != fingerprint:
            theirs, ours = distinct(run.job.backbone, fingerprint)
            raise AdapterError(
                f"{run.id} was trained on another backbone ({theirs}) than {options.backbone} ({ours}): "
                "pass that one with --backbone"
            )
        if run.job.language_adapter not in (None, language):
            raise AdapterError(
                f"{run.id} was trained on top of a language adapter: pass it with --language-adapter too"
            )


def _adapter_spec(options: TrainingOptions, starts: Sequence[Source], default: str) -> AdapterSpec:
    """Returns the target adapter's config: by default that of the sources whose weights it starts from."""
    if options.config or not starts:
        return AdapterSpec.load(options.config or default, options.adapter)
    spec = starts[0].spec
    if options.adapter:
        raise AdapterError(f"the target adapter starts from a '{spec.name}' adapter: remove --set")
    return spec


def _hyperparameters(tasks: Sequence[Task], options: TrainingOptions) -> Hyperparameters | None:
    """Returns the hyperparameters with `precision` resolved; None where nothing is trained (retrieval)."""
    if tasks[0].trained_on is None:
        ignored = [*options.hyperparameters, *(name for name in TRAINING_ONLY if getattr(options, name))]
        if ignored:
            say(f"nothing trains {tasks[0].name}: {', '.join(ignored)} had no effect (see evaluate --help)")
        return None
    hyperparameters = hyperparameters_for([task.kind for task in tasks], options.hyperparameters)
    return hyperparameters.model_copy(update={"precision": resolve_precision(hyperparameters.precision)})


def _fingerprints(data: Sequence[TaskData]) -> dict[str, str]:
    """Returns the digests of the rows by split; for several tasks by "TASK/SPLIT"."""
    if len(data) == 1:
        return dict(data[0].fingerprints)
    return {f"{part.task.name}/{split}": value for part in data for split, value in part.fingerprints.items()}


def _encodings(data: Sequence[TaskData]) -> dict[str, Any]:
    """Returns the encoding; for several tasks each one's under its name."""
    encodings = {part.task.name: part.encoding.model_dump(mode="json") for part in data}
    return encodings[data[0].task.name] if len(data) == 1 else encodings


def _with_sources(composition: Composition, sources: Sequence[str]) -> Composition:
    """Returns the same composition over other sources, such as the keys of the runs that were referenced.

    Raises:
        ConfigError: Two references mean the same run.
    """
    return make(composition.kind, sources, composition.start if composition.kind == "average" else ())
