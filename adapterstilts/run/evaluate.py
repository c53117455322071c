"""The verb `evaluate`: a finished run on a target's languages, zero-shot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapterstilts.data.load import DataIndex, find_data
from adapterstilts.errors import AdapterError, ConfigError, DataError, MissingDataError, StiltsError
from adapterstilts.job import EvalJob
from adapterstilts.kinds.bootstrap import interval
from adapterstilts.kinds.registry import check_encoding, encoding_for
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.language_adapter import adapter_digest
from adapterstilts.run.device import resolve_precision
from adapterstilts.run.language_adapters import find_language_adapter, language_adapter_reference
from adapterstilts.run.leak_guard import Leak, LeakGuard
from adapterstilts.run.options import EvaluationOptions, TrainingOptions
from adapterstilts.run.predictor import Predictor
from adapterstilts.run.progress import say
from adapterstilts.run.resolve import head_task, task_named, trained_backbone, trained_encoding
from adapterstilts.run.results import Evaluation, Evaluations
from adapterstilts.store import EvalOrigin, Run, Store, write_predictions
from adapterstilts.tasks.lookup import check_language
from adapterstilts.tasks.registry import all_tasks
from adapterstilts.tasks.spec import Split, Task


@dataclass(frozen=True)
class EvalScope:
    """One run on one target: what its languages have in common.

    Attributes:
        store: The store of results.
        run: The trained run.
        data: The target's data, searched once for all languages.
        split: Split that is read.
        options: Options of the evaluation, with `precision` resolved.
        files: The run's backbone.
        guard: Comparison with the items that were trained on.
    """

    store: Store
    run: Run
    data: DataIndex
    split: Split
    options: EvaluationOptions
    files: BackboneFiles
    guard: LeakGuard

    @property
    def target(self) -> Task:
        """The target."""
        return self.data.task

    @property
    def split_name(self) -> str:
        """The split in the stored result: "file" for an explicit file, which may be of any split."""
        return "file" if self.data.location.file else self.split


def evaluate(
    run: Run | str,
    task: str | None = None,
    languages: Sequence[str] = (),
    options: EvaluationOptions | TrainingOptions | None = None,
    split: Split | None = None,
) -> Evaluations:
    """Evaluates a finished run zero-shot; stored results are not computed again.

    Args:
        run: A run, its id, a unique prefix, or its folder.
        task: The target. By default every target that the run's training task trains and whose data is
            available; for an explicit file the first of them.
        languages: ISO codes; by default all available ones.
        options: Backbone, data, store and precision; those of a training may be reused.
        split: "test" or "dev". By default the split that is available in more languages, test if equal. Files
            without labels count if the split is passed, or if no others are available.

    Returns:
        One evaluation per target. Languages whose data is missing or malformed are in its `failures`.

    Raises:
        ConfigError: An unknown language or setting, or a target that the run's head does not fit.
        MissingDataError: No evaluation data was found.
        DataError: Items were trained on, and `options.allow_leak` is not set.
        StiltsError: Nothing could be evaluated; all failures are named.
    """
    options = EvaluationOptions.of(options)
    precision = resolve_precision(options.precision)
    options = options.model_copy(update={"precision": precision})
    store = Store(options.store)
    run = store.find(run)
    targets = [task_named(task, run)] if task else _targets_of(run)
    location = options.location(options.eval_file)
    requests = _with_data([find_data(target, location) for target in targets], tuple(languages), split)
    check_encoding([data.task.kind for data, _ in requests], options.encoding)
    evaluations = Evaluations()
    for data, requested in requests:
        scope, codes = _scope(store, run, data, requested, split, options)
        target = scope.target
        if run.precision not in ("", precision):
            say(f"evaluating in {precision}, but the run was trained in {run.precision}: see --precision")
        runs, leaks, failures = dict[str, Run](), dict[str, Leak](), dict[str, StiltsError]()
        for language in codes:
            try:
                runs[language], leaks[language] = _evaluate_language(scope, language)
            except (DataError, MissingDataError, AdapterError) as error:  # other languages may still work
                failures[language] = error
        evaluations.append(Evaluation(target.name, target.metric, scope.split_name, runs, leaks, failures))
    if not any(evaluation.runs for evaluation in evaluations):
        raise _all_failures(evaluations)
    return evaluations


def _all_failures(evaluations: Sequence[Evaluation]) -> StiltsError:
    """Returns the error for the case that no language of any target could be evaluated."""
    errors = {
        f"{evaluation.task} {language}": error
        for evaluation in evaluations
        for language, error in evaluation.failures.items()
    }
    error = next(iter(errors.values()))
    if len(errors) == 1:
        return error
    return type(error)("\n".join(f"{name}: {error}" for name, error in errors.items()))


def _with_data(
    targets: list[DataIndex], languages: tuple[str, ...], split: Split | None
) -> list[tuple[DataIndex, tuple[str, ...]]]:
    """Returns those targets that have data, each with those of the languages that it has."""
    if targets[0].location.file or len(targets) == 1:
        return [(targets[0], languages)]
    splits: tuple[Split, ...] = (split,) if split else ("test", "dev")
    candidates: list[DataIndex] = []
    skipped: list[DataIndex] = []
    for data in targets:
        has_data = any(data.languages(name, hidden=split is not None) for name in splits)
        (candidates if has_data else skipped).append(data)
    for data in skipped if candidates else ():
        say(f"skipped {data.task.name}: no data found (run with --task {data.task.name} for details)")
    candidates = candidates or targets
    for language in languages:
        if not any(language in data.task.languages for data in candidates):
            check_language(candidates[0].task, language)
    codes = [tuple(code for code in languages if code in data.task.languages) for data in candidates]
    return [pair for pair in zip(candidates, codes, strict=True) if pair[1] or not languages]


def _scope(
    store: Store,
    run: Run,
    data: DataIndex,
    languages: tuple[str, ...],
    split: Split | None,
    options: EvaluationOptions,
) -> tuple[EvalScope, tuple[str, ...]]:
    """Returns what the evaluations of a target have in common, and their languages."""
    target = data.task
    if not target.kind_spec.evaluable:
        raise ConfigError(
            f"plain text cannot be evaluated: pass a target with --task, or train one on top of this adapter "
            f"(--language-adapter {run.id})"
        )
    head_task(run, target)  # refuses a run without a fitting head before any data is read
    if len(languages) > 1 and options.eval_file and "{lang}" not in options.eval_file:
        raise ConfigError(
            f"{options.eval_file} is one file, but {len(languages)} languages were passed: put {{lang}} into "
            "its path, or pass its language only"
        )
    split, languages = _split_and_languages(data, languages, split)
    guard = LeakGuard(store, run, target, split, data.location, options.allow_leak)
    files = trained_backbone(run, options)
    files.check_length(options.encoding)
    return EvalScope(store, run, data, split, options, files, guard), languages


def _evaluate_language(scope: EvalScope, language: str) -> tuple[Run, Leak]:
    """Returns the stored result of one language, computed if necessary, and its leak."""
    run, target, options = scope.run, scope.target, scope.options
    encoding = encoding_for(target, language, {**trained_encoding(run, target), **options.encoding})
    loaded = scope.data.load(scope.split, language, options.limit, options.seed, hidden=True)
    for note in loaded.notes:
        say(f"{target.name} in {language}: {note}")
    leak = scope.guard.check(language, loaded)
    adapter = find_language_adapter(language_adapter_reference(run, options), language, scope.store)
    if (
        target.kind_spec.threshold_from_dev
        and scope.split_name == "test"
        and "threshold" not in options.encoding
    ):
        encoding = encoding.model_copy(update={"threshold": _dev_threshold(scope, language)})
    job = EvalJob(
        run=run.key,
        task=target.name,
        task_version=target.version,
        split=scope.split_name,
        language=language,
        backbone=scope.files.fingerprint,
        data=loaded.fingerprint,
        encoding=encoding.model_dump(mode="json"),
        precision=options.precision,
        language_adapter=adapter_digest(adapter),
    )
    result = scope.store.get(job)
    if result is None:
        with scope.store.work(job) as work:
            result = work.finished
            if result is None:
                predictor = Predictor.load(run, target, scope.files, encoding, job.precision, adapter)
                predictions = predictor.predict(loaded.rows, f"{target.name} {language}")
                metrics: dict[str, Any] = {"labels": "hidden"}
                if not loaded.hidden:
                    kind = predictor.kind
                    metrics = dict(kind.score(predictions, loaded.rows, target, language))
                    counts = kind.counts(predictions, loaded.rows, target, language)
                    metrics["low"], metrics["high"] = interval(
                        counts, lambda sums: kind.rates(sums)[target.metric]
                    )
                folder = work.folder / "out"
                folder.mkdir(parents=True, exist_ok=True)
                write_predictions(folder / "predictions.parquet", predictions)
                EvalOrigin(data=loaded.origin, leak=leak.as_json()).write(folder)
                result = work.publish({**metrics, "examples": len(predictions), **leak.as_metric()})
    # The stored number of leaked items may date from a time when less was known about the training.
    metrics = {name: value for name, value in result.metrics.items() if name != "leaked"}
    return replace(result, metrics={**metrics, **leak.as_metric()}), leak


def _dev_threshold(scope: EvalScope, language: str) -> float:
    """Returns the mining threshold with the best F1 on the language's development data, evaluated first."""
    try:
        guard = replace(scope.guard, split="dev")
        result, _ = _evaluate_language(replace(scope, split="dev", guard=guard), language)
        if "threshold" not in result.metrics:
            raise MissingDataError("that has no gold pairs")
    except MissingDataError as error:
        raise MissingDataError(
            f"{scope.target.name} chooses its mining threshold on development data "
            f"(or pass --encoding threshold=1.05), but {error}"
        ) from None
    return float(result.metrics["threshold"])


def _split_and_languages(
    data: DataIndex, languages: tuple[str, ...], split: Split | None
) -> tuple[Split, tuple[str, ...]]:
    """Returns the split and the languages to evaluate: the requested ones, else the available ones."""
    target, location = data.task, data.location
    for language in languages:
        check_language(target, language)
    splits: tuple[Split, ...] = ("test", "dev") if split is None else (split,)
    codes = {name: data.languages(name, hidden=split is not None) for name in splits}
    if not any(codes.values()):
        codes = {name: data.languages(name, hidden=True) for name in splits}
    if location.file and not languages and not any(codes.values()):
        raise ConfigError(
            f"{location.file}: cannot infer the language from the file name: pass --languages CODE, or put "
            "{lang} in place of the language code"
        )
    if not location.file and not any(codes.values()) and target.hub and location.source in ("auto", "hub"):
        codes = {name: target.languages for name in splits if name in target.hub.splits}
    usable = {
        name: [code for code in available_codes if not languages or code in languages]
        for name, available_codes in codes.items()
    }
    best = max(usable, key=lambda name: len(usable[name]), default=splits[0])
    # English first: it is what the others are compared with.
    requested = languages or tuple(sorted(usable.get(best, ()), key=lambda code: (code != "en", code)))
    if not requested:
        raise MissingDataError(
            f"no evaluation data found for {target.name}. Required: {target.obtain} Pass it with "
            "--data-dir FOLDER or --eval-file PATH (with {lang}, or with --languages too)."
        )
    return best, requested


def _targets_of(run: Run) -> list[Task]:
    """Returns every target that one of the run's tasks trains.

    Raises:
        ConfigError: There is none.
    """
    run_tasks = {task.name: task for task in run.tasks}
    targets = [
        task
        for task in {**all_tasks(), **run_tasks}.values()
        if task.role not in ("intermediate", "language")
        and run_tasks.keys() & {task.name, task.trained_on, *task.then_trained_on}
    ]
    if not targets:
        raise ConfigError(
            f"{run.id} was trained on {run.job.task}, which trains no target: pass --task TARGET"
        )
    return targets
