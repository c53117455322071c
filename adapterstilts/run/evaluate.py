"""Evaluation verbs: a finished run on a target's languages, and on text without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from adapterstilts.data.load import DataLocation, Loaded, available, load
from adapterstilts.errors import AdapterError, ConfigError, DataError, MissingDataError, StiltsError
from adapterstilts.job import EvalJob
from adapterstilts.kinds.base import Encoding
from adapterstilts.kinds.registry import check_encoding, encoding_for, kind_of
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.language_adapter import adapter_digest
from adapterstilts.run.assemble import restore
from adapterstilts.run.device import resolve_precision
from adapterstilts.run.fit import fresh_host
from adapterstilts.run.language_reference import language_adapter
from adapterstilts.run.leak_guard import Leak, LeakGuard
from adapterstilts.run.options import Options
from adapterstilts.run.predict import Model
from adapterstilts.run.predict import evaluate as evaluate_rows
from adapterstilts.run.predict import predict as predict_rows
from adapterstilts.run.progress import say
from adapterstilts.run.resolve import head_for, named, own_encoding, targets_of
from adapterstilts.run.trained_backbone import backbone_of
from adapterstilts.store import EvalOrigin, Run, Store, TrainOrigin, write_predictions
from adapterstilts.tasks.lookup import check_language
from adapterstilts.tasks.spec import Split, Task


@dataclass(frozen=True)
class Evaluation:
    """One run on one target: a stored result per language.

    Attributes:
        task: the target's name.
        metric: name of its headline metric.
        split: which split was scored, or "file" for an explicit one.
        runs: language -> stored result; its `metrics["score"]` is the headline metric in percent. Without
            it where the labels are hidden; then `metrics["labels"]` says so.
        leaks: language -> which of its items were trained on.
        failures: language -> why it could not be evaluated.
    """

    task: str
    metric: str
    split: str
    runs: Mapping[str, Run]
    leaks: Mapping[str, Leak] = field(default_factory=dict)
    failures: Mapping[str, StiltsError] = field(default_factory=dict)

    @property
    def scores(self) -> dict[str, float]:
        """Language -> headline metric, percent, of those that have labels."""
        scored = {code: run.metrics["score"] for code, run in self.runs.items() if "score" in run.metrics}
        return {language: float(score) for language, score in scored.items()}

    @property
    def written(self) -> tuple[str, ...]:
        """The languages that were tagged as their sentences are written, not word by word."""
        return tuple(code for code, run in self.runs.items() if run.job.encoding.get("words") == "written")

    @property
    def mean_of_others(self) -> float | None:
        """Mean over all languages but English; None where there is none."""
        others = [score for language, score in self.scores.items() if language != "en"]
        return sum(others) / len(others) if others else None

    @property
    def transfer_gap(self) -> float | None:
        """English minus the mean of the others, in points (Hu et al. 2020); None without both."""
        if "en" not in self.scores or self.mean_of_others is None:
            return None
        return self.scores["en"] - self.mean_of_others


def evaluate(
    run: str,
    task: str | None = None,
    languages: Sequence[str] = (),
    options: Options | None = None,
    split: Split | None = None,
) -> list[Evaluation]:
    """Evaluates a finished run zero-shot; what the store has is not computed again.

    Args:
        run: run id, unique prefix of one, or a run's folder.
        task: the target; by default every target that the run's training task trains and whose data is at
            hand. An explicit file is of one target: by default the first of them.
        languages: ISO codes; by default all that are at hand.
        split: "test" or "dev"; by default the one at hand for more languages, test if equal. Files without
            labels count where it is named, or where nothing else is at hand.

    Returns:
        One evaluation per target; those languages whose data is missing or wrong stand in its `failures`.

    Raises:
        ConfigError: an unknown language or setting, or a target that the run's head does not fit.
        MissingDataError: no evaluation data is at hand.
        DataError: its items were trained on, and `options.allow_leak` is not set.
        StiltsError: nothing could be evaluated; every failure is named.
    """
    options = options or Options()
    store = Store(options.store)
    found = store.find(run)
    target = named(task, found) if task else None
    asked = _asked([target] if target else targets_of(found), tuple(languages), options, split)
    check_encoding([each.kind for each, _ in asked], options.encoding)
    evaluations = [_evaluate_target(store, found, each, own, split, options) for each, own in asked]
    if not any(each.runs for each in evaluations):
        raise _nothing(evaluations)
    return evaluations


def _nothing(evaluations: Sequence[Evaluation]) -> StiltsError:
    """The error where no language of any target could be evaluated."""
    failures = {
        f"{each.task} {language}": error for each in evaluations for language, error in each.failures.items()
    }
    first, *others = failures.values()
    return type(first)("\n".join(f"{what}: {error}" for what, error in failures.items())) if others else first


def _asked(
    targets: list[Task], languages: tuple[str, ...], options: Options, split: Split | None
) -> list[tuple[Task, tuple[str, ...]]]:
    """Of the targets that a run may be for those with data at hand, each with those languages it has."""
    if options.eval_file or len(targets) == 1:
        return [(targets[0], languages)]
    location = options.location(None)
    splits: tuple[Split, ...] = (split,) if split else ("test", "dev")
    at_hand = [
        target
        for target in targets
        if any(available(target, each, location, hidden=split is not None) for each in splits)
    ]
    for left in targets if at_hand else ():
        if left not in at_hand:
            say(f"{left.name} is left out: no data of it is at hand (--task {left.name} says what is wanted)")
    chosen = at_hand or targets
    for language in languages:
        if not any(language in target.languages for target in chosen):
            check_language(chosen[0], language)
    fitting = [(target, tuple(code for code in languages if code in target.languages)) for target in chosen]
    return [(target, own) for target, own in fitting if own or not languages]


@dataclass(frozen=True)
class _Order:
    """One run on one target, in whichever language."""

    store: Store
    run: Run
    target: Task
    split: Split
    location: DataLocation
    options: Options
    files: BackboneFiles
    guard: LeakGuard

    @property
    def shown(self) -> str:
        """What stands for the split in the result."""
        return "file" if self.location.file else self.split


def _evaluate_target(
    store: Store, run: Run, target: Task, languages: tuple[str, ...], split: Split | None, options: Options
) -> Evaluation:
    if not target.kind_spec.evaluable:
        raise ConfigError(
            f"plain text is trained on, not evaluated: name a target with --task, or train one over this "
            f"adapter (--language-adapter {run.id})"
        )
    head_for(run, target)
    location = options.location(options.eval_file)
    if len(languages) > 1 and options.eval_file and "{lang}" not in options.eval_file:
        raise ConfigError(
            f"{options.eval_file} is one file, but {len(languages)} languages are named: put {{lang}} into "
            "its path, or name its language only"
        )
    chosen, wanted = _split_and_languages(target, location, languages, split)
    guard = LeakGuard(store, run, target, chosen, location, options.allow_leak)
    files = backbone_of(run, options)
    files.check_length(options.encoding)
    order = _Order(store, run, target, chosen, location, options, files, guard)
    runs, leaks, failures = dict[str, Run](), dict[str, Leak](), dict[str, StiltsError]()
    precision = resolve_precision(str(options.hyperparameters.get("precision", "auto")))
    if run.precision not in ("", precision):
        say(f"evaluating in {precision}, but the run was trained in {run.precision}: see --precision")
    for language in wanted:
        try:
            runs[language], leaks[language] = _evaluate_language(order, language)
        except (DataError, MissingDataError, AdapterError) as error:  # the others can be evaluated still
            failures[language] = error
    return Evaluation(target.name, target.metric, order.shown, runs, leaks, failures)


def _evaluate_language(order: _Order, language: str) -> tuple[Run, Leak]:
    run, target, options = order.run, order.target, order.options
    encoding = encoding_for(target, language, {**own_encoding(run, target), **options.encoding})
    loaded = load(target, order.split, language, order.location, options.limit, options.seed, hidden=True)
    for known in loaded.notes:
        say(f"{target.name} in {language}: {known}")
    leak = order.guard.check(language, loaded)
    adapter = language_adapter(language_reference(run, options), language, order.store)
    if target.kind_spec.threshold_from_dev and order.shown == "test" and "threshold" not in options.encoding:
        encoding = encoding.model_copy(update={"threshold": _threshold(order, language)})
    job = EvalJob(
        run=run.key,
        task=target.name,
        task_version=target.version,
        split=order.shown,
        language=language,
        backbone=order.files.fingerprint,
        data=loaded.fingerprint,
        encoding=encoding.model_dump(mode="json"),
        precision=resolve_precision(str(options.hyperparameters.get("precision", "auto"))),
        language_adapter=adapter_digest(adapter),
    )
    scene = _Scene(target, order.files, encoding, adapter, loaded, leak)
    scored = order.store.get(job) or _evaluate_one(order.store, job, run, scene)
    return _with_leak(scored, leak), leak


def _with_leak(scored: Run, leak: Leak) -> Run:
    """The result with what was found now: it may have been stored when less was known of its items."""
    metrics = {name: value for name, value in scored.metrics.items() if name != "leaked"}
    return replace(scored, metrics={**metrics, **leak.as_metric()})


def _threshold(order: _Order, language: str) -> float:
    """Mining's threshold of best F1 on the language's development data, which is evaluated first."""
    try:
        guard = replace(order.guard, split="dev")
        dev, _ = _evaluate_language(replace(order, split="dev", guard=guard), language)
        if "threshold" not in dev.metrics:
            raise MissingDataError("that has no gold pairs")
    except MissingDataError as error:
        raise MissingDataError(
            f"the threshold from which on {order.target.name} takes a pair for a translation is set on "
            f"development data (or given: --encoding threshold=1.05), but {error}"
        ) from None
    return float(dev.metrics["threshold"])


@dataclass(frozen=True)
class _Scene:
    """What one evaluation needs beside its job."""

    task: Task
    files: BackboneFiles
    encoding: Encoding
    language: Path | None
    loaded: Loaded
    leak: Leak


def _evaluate_one(store: Store, job: EvalJob, run: Run, scene: _Scene) -> Run:
    with store.work(job) as work:
        if work.finished:
            return work.finished
        model = model_of(run, scene.task, scene.files, scene.encoding, job.precision, scene.language)
        metrics: Mapping[str, float | str]
        if scene.loaded.hidden:
            predictions = predict_rows(model, scene.loaded.rows, f"{scene.task.name} {job.language}")
            metrics = {"labels": "hidden"}
        else:
            metrics, predictions = evaluate_rows(model, scene.loaded.rows, job.language)
        out = work.folder / "out"
        out.mkdir(parents=True, exist_ok=True)
        write_predictions(out / "predictions.parquet", predictions)
        EvalOrigin(data=scene.loaded.origin, leak=scene.leak.as_json()).write(out)
        return work.publish({**metrics, "examples": len(predictions), **scene.leak.as_metric()})


def model_of(
    run: Run, task: Task, files: BackboneFiles, encoding: Encoding, precision: str, language: Path | None
) -> Model:
    """The run, loaded and active, with the head that answers the task."""
    host = fresh_host(files)
    answering = head_for(run, task)
    setup = restore(host, run.path, language, answering.name if answering else None)
    kind = kind_of(task)
    if kind.head(task) is None:
        setup = replace(setup, head=None)
        host.activate(setup, train=False)
    return Model(host, setup, kind, task, encoding, precision)


def _split_and_languages(
    target: Task, location: DataLocation, languages: tuple[str, ...], split: Split | None
) -> tuple[Split, tuple[str, ...]]:
    """Which split and languages are evaluated: what was asked for, else what is at hand."""
    for language in languages:
        check_language(target, language)
    splits: tuple[Split, ...] = ("test", "dev") if split is None else (split,)
    at_hand = {each: available(target, each, location, hidden=split is not None) for each in splits}
    if not any(at_hand.values()):
        at_hand = {each: available(target, each, location, hidden=True) for each in splits}
    if location.file and not languages and not any(at_hand.values()):
        raise ConfigError(
            f"{location.file}: cannot infer the language from the file name: pass --languages CODE, or put "
            "{lang} in place of the language code"
        )
    if not location.file and not any(at_hand.values()) and target.hub and location.source in ("auto", "hub"):
        at_hand = {each: target.languages for each in splits if each in target.hub.splits}
    fitting = {
        each: [code for code in found if not languages or code in languages]
        for each, found in at_hand.items()
    }
    chosen = max(fitting, key=lambda each: len(fitting[each]), default=splits[0])
    wanted = languages or tuple(sorted(fitting.get(chosen, ()), key=lambda code: (code != "en", code)))
    if not wanted:
        raise MissingDataError(
            f"no evaluation data of {target.name} is at hand. Wanted is {target.obtain} Provide it with "
            "--data-dir FOLDER or --eval-file PATH ({lang} in it is replaced; else say --languages)."
        )
    return chosen, wanted


def language_reference(run: Run, options: Options) -> str | None:
    """The language adapter that was asked for, else the run's own where it names one per language.

    None leaves what the run was trained with, in every language.
    """
    if options.language_adapter is not None or run.job.language_adapter is None:
        return options.language_adapter
    own = TrainOrigin.require(run.path).language_adapter
    return own if own and "{lang}" in own else None
