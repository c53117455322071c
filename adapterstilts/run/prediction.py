"""Prediction verbs: a finished run on text without labels, as much as fits in memory at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from adapterstilts.data.prediction_input import Input, InputForm
from adapterstilts.data.rows import RetrievalRow, Row, text_size
from adapterstilts.errors import ConfigError
from adapterstilts.kinds.base import Prediction
from adapterstilts.kinds.registry import check_encoding, encoding_for
from adapterstilts.run.device import resolve_precision
from adapterstilts.run.evaluate import language_reference, model_of
from adapterstilts.run.language_reference import language_adapter
from adapterstilts.run.options import Options
from adapterstilts.run.predict import Model, in_portions, predict_neighbours
from adapterstilts.run.predict import predict as predict_rows
from adapterstilts.run.resolve import head_for, named, own_encoding
from adapterstilts.run.trained_backbone import backbone_of
from adapterstilts.store import Run, Store, task_of
from adapterstilts.tasks.lookup import check_code, get_task
from adapterstilts.tasks.spec import KindName, Task


def predicted_kind(run: str, options: Options | None = None, task: str | None = None) -> KindName:
    """What kind of task a run predicts; retrieval for a bare backbone or a merged adapter.

    Args:
        task: the task whose head predicts, for a run that has several.
    """
    return predicted_form(run, options, task).kind


def predicted_form(run: str, options: Options | None = None, task: str | None = None) -> InputForm:
    """What one input of a run's task holds, for `read_inputs`.

    Args:
        task: the task whose head predicts, for a run that has several.

    Raises:
        ConfigError: the run was trained on plain text, or has several heads and none is named.
    """
    trained = Store((options or Options()).store).find(run)
    target = named(task, trained) if task else task_of(trained)
    if not target.kind_spec.evaluable:
        raise ConfigError(
            f"{trained.id} was trained on plain text and predicts no labels: train a task over it "
            f"(--language-adapter {trained.id}), or pass --candidates FILE to search for neighbours"
        )
    return InputForm(target.kind, target.texts, target.labels)


def predict(
    run: str,
    rows: Sequence[Row],
    options: Options | None = None,
    language: str = "en",
    task: str | None = None,
) -> list[Prediction]:
    """Predictions of a finished run for rows without labels, in row order.

    Args:
        run: run id, unique prefix of one, or a run's folder.
        rows: canonical rows (`adapterstilts.data.rows`) of the kind that the run predicts; retrieval
            rows (queries, then candidates) fit any run and give one prediction per query.
        language: language of the text: which language adapter is used, if the run has one, and how words
            to tag are encoded.
        task: the task whose head predicts, for a run that has several.

    Raises:
        ConfigError: an unknown language code or setting.
        AdapterError: the run's outputs are not finite.
    """
    if not rows:
        Store((options or Options()).store).find(run)
        return []
    _, model = _loaded(run, isinstance(rows[0], RetrievalRow), options or Options(), language, task)
    return predict_rows(model, rows)


def predict_inputs(
    run: str,
    inputs: Iterable[Input],
    options: Options | None = None,
    language: str = "en",
    task: str | None = None,
    retrieval: bool = False,
) -> Iterator[tuple[Input, Prediction]]:
    """Each input with its prediction, computed as the inputs are read; tagged entities come with offsets.

    Args:
        inputs: what `read_inputs` gives; for retrieval followed by the candidates.
        retrieval: search for neighbours, whatever the run was trained on.

    Raises:
        ConfigError, AdapterError: see `predict`.
        DataError: an input that cannot be read; predictions for those long before it were given already.
    """
    portions = in_portions(inputs, lambda item: text_size(item.row))
    first = next(portions, [])  # what is wrong with it is said before the model is loaded
    target, model = _loaded(run, retrieval, options or Options(), language, task)
    if model.setup.head is None:  # neighbours are searched for among all candidates
        items = [*first, *itertools.chain.from_iterable(portions)]
        queries = (item for item in items if isinstance(item.row, RetrievalRow) and item.row.side == "query")
        yield from zip(queries, predict_neighbours(model, [item.row for item in items]), strict=True)
        return
    for portion in itertools.chain([first], portions):
        for item, prediction in zip(
            portion, predict_rows(model, [item.row for item in portion]), strict=True
        ):
            yield item, model.kind.locate(item, prediction, target)


def _loaded(
    run: str, retrieval: bool, options: Options, language: str, task: str | None
) -> tuple[Task, Model]:
    """The task that answers, and the run, ready to predict for it."""
    store = Store(options.store)
    trained = store.find(run)
    target = _target(trained, retrieval, task)
    check_code(target, language)
    check_encoding([target.kind], options.encoding)
    files = backbone_of(trained, options)
    files.check_length(options.encoding)
    encoding = encoding_for(target, language, {**own_encoding(trained, target), **options.encoding})
    precision = resolve_precision(str(options.hyperparameters.get("precision", "auto")))
    adapter = language_adapter(language_reference(trained, options), language, store)
    return target, model_of(trained, target, files, encoding, precision, adapter)


def _target(run: Run, retrieval: bool, task: str | None) -> Task:
    if retrieval:
        return get_task("tatoeba")
    target = named(task, run) if task else task_of(run)
    head_for(run, target)
    return target
