"""The verb `predict`: a finished run on text without labels, as much as fits in memory at a time."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from adapterstilts.data.prediction_input import Input, InputForm, read_inputs
from adapterstilts.data.rows import RetrievalRow, Row, text_size
from adapterstilts.errors import ConfigError
from adapterstilts.kinds.base import Prediction
from adapterstilts.kinds.registry import check_encoding, encoding_for
from adapterstilts.run.device import resolve_precision
from adapterstilts.run.language_adapters import find_language_adapter, language_adapter_reference
from adapterstilts.run.options import EvaluationOptions, ModelOptions, PredictionOptions
from adapterstilts.run.predictor import Predictor, in_portions
from adapterstilts.run.resolve import head_task, task_named, trained_backbone, trained_encoding
from adapterstilts.store import Run, Store
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.registry import all_tasks
from adapterstilts.tasks.spec import Task

NEIGHBOUR_TASK = "tatoeba"  # its encoding and decoding serve nearest-neighbour search of any text

Text = str | tuple[str, ...] | Mapping[str, Any]


def predicted_form(run: Run | str, options: ModelOptions | None = None, task: str | None = None) -> InputForm:
    """Returns what one input of a run's task holds, for `read_inputs`.

    Args:
        run: A run, its id, a unique prefix, or its folder.
        options: Options; only the store is used.
        task: Task whose head predicts, for a multi-task run.

    Raises:
        ConfigError: The run was trained on plain text, or has several heads and none was chosen.
    """
    trained = Store(EvaluationOptions.of(options).store).find(run)
    target = task_named(task, trained) if task else trained.task
    if not target.kind_spec.evaluable:
        raise ConfigError(
            f"{trained.id} was trained on plain text and predicts no labels: train a task on top of it "
            f"(--language-adapter {trained.id}), or pass --candidates FILE to search for neighbours"
        )
    return InputForm(target.kind, target.texts, target.labels)


def predict(
    run: Run | str,
    inputs: Sequence[Text | Row],
    options: ModelOptions | None = None,
    language: str = "en",
    task: str | None = None,
) -> list[Prediction]:
    """Predicts for text without labels.

    Args:
        run: A run, its id, a unique prefix, or its folder.
        inputs: One entry per prediction: a text, a tuple of texts (a pair; a question and its context), a
            mapping with the fields of a JSON line (see `adapterstilts predict --help`), or a canonical row
            (`adapterstilts.data.rows`). Retrieval rows, queries before candidates, fit any run and give one
            prediction per query.
        options: Backbone, store and precision; those of a training or evaluation may be reused.
        language: Language of the text: it selects the language adapter and how words to tag are encoded.
        task: Task whose head predicts, for a multi-task run.

    Returns:
        One dictionary per input, in order: `id`, and by kind `label` and `probabilities`, `tags` and
        `entities`, `answer`, or `neighbour`.

    Raises:
        ConfigError: An unknown language code or setting.
        DataError: An input that does not fit the task.
        AdapterError: The run's outputs are not finite.
    """
    options = EvaluationOptions.of(options)
    if not inputs:
        Store(options.store).find(run)
        return []
    if isinstance(inputs[0], str | tuple | Mapping):
        form = predicted_form(run, options, task)
        lines = (_line(text, form) for text in inputs)
        pairs = predict_inputs(run, read_inputs(form, lines, "the inputs"), options, language, task)
        return [prediction for _, prediction in pairs]
    rows: Sequence[Any] = inputs
    return _load(run, isinstance(rows[0], RetrievalRow), options, language, task).predict(rows)


def _line(text: Any, form: InputForm) -> str:
    """Returns an input as the JSON line that a file would hold."""
    if isinstance(text, Mapping):
        return json.dumps(text)
    parts = (text,) if isinstance(text, str) else text
    if isinstance(text, str) and "\t" in text:  # the parts of a plain line
        parts = tuple(text.split("\t"))
    if len(parts) > len(form.parts):
        raise ConfigError(f"an input has {len(parts)} texts, but the task takes {form.shape}")
    return json.dumps(dict(zip(form.parts, parts, strict=False)))


def predict_inputs(
    run: Run | str,
    inputs: Iterable[Input],
    options: ModelOptions | None = None,
    language: str = "en",
    task: str | None = None,
    retrieval: bool = False,
) -> Iterator[tuple[Input, Prediction]]:
    """Yields each input with its prediction while the inputs are read; tagged entities have offsets.

    Args:
        run: A run, its id, a unique prefix, or its folder.
        inputs: Inputs from `read_inputs`; for retrieval followed by the candidates.
        options: Backbone, store and precision.
        language: Language of the text.
        task: Task whose head predicts, for a multi-task run.
        retrieval: Whether to search for neighbours, whatever the run was trained on.

    Raises:
        ConfigError, AdapterError: See `predict`.
        DataError: An input cannot be read; predictions for earlier portions have been yielded.
    """
    portions = in_portions(inputs, lambda item: text_size(item.row))
    portion = next(portions, [])  # an error in it is raised before the model is loaded
    predictor = _load(run, retrieval, EvaluationOptions.of(options), language, task)
    if predictor.adapters.head is None:  # the nearest neighbours among all candidates
        items = [*portion, *itertools.chain.from_iterable(portions)]
        queries = (item for item in items if isinstance(item.row, RetrievalRow) and item.row.side == "query")
        yield from zip(queries, predictor.predict_neighbours([item.row for item in items]), strict=True)
        return
    for items in itertools.chain([portion], portions):
        for item, prediction in zip(items, predictor.predict([item.row for item in items]), strict=True):
            yield item, predictor.kind.locate(item, prediction, predictor.task)


def _load(
    run: Run | str, retrieval: bool, options: PredictionOptions, language: str, task: str | None
) -> Predictor:
    """Loads the run to predict for its task, or for neighbour search."""
    store = Store(options.store)
    trained = store.find(run)
    if retrieval:
        target = get_task(NEIGHBOUR_TASK)
    else:
        target = task_named(task, trained) if task else trained.task
        head_task(trained, target)  # refuses a run without a fitting head before anything loads
    _check_code(target, language)
    check_encoding([target.kind], options.encoding)
    files = trained_backbone(trained, options)
    files.check_length(options.encoding)
    encoding = encoding_for(target, language, {**trained_encoding(trained, target), **options.encoding})
    adapter = find_language_adapter(language_adapter_reference(trained, options), language, store)
    return Predictor.load(trained, target, files, encoding, resolve_precision(options.precision), adapter)


def _check_code(task: Task, language: str) -> None:
    """Checks that this or any other task has the language code.

    Raises:
        ConfigError: No task has the code; the message suggests the nearest one.
    """
    codes = {code for entry in all_tasks().values() for code in entry.languages} | set(task.languages)
    if language in codes:
        return
    # `de_DE` and `DE` are frequent spellings of `de`
    near = language.lower().replace("_", "-").partition("-")[0]
    hint = f"did you mean '{near}'? " if near in codes else ""
    raise ConfigError(
        f"unknown language code '{language}': {hint}Codes are those of ISO 639-1, such as de, sw or zh, and "
        f"of ISO 639-3 for some others"
    )
