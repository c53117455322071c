"""Writes a submission: the folder that XTREME's `evaluate.py` reads, from stored predictions."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterstilts.data.load import DataLocation, Loaded, load
from adapterstilts.data.rows import RetrievalRow, Row
from adapterstilts.errors import ConfigError, DataError, MissingDataError, StoreError, unknown
from adapterstilts.job import EvalJob
from adapterstilts.kinds.base import Prediction
from adapterstilts.kinds.spec import SubmissionFormat
from adapterstilts.run.leak_guard import LeakGuard
from adapterstilts.run.options import Options
from adapterstilts.store import EvalOrigin, Run, Store, read_predictions
from adapterstilts.store.files import write_whole
from adapterstilts.tasks import suites
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Split, Task

UNSUPPORTED = ("lareqa",)  # XTREME-R's evaluate.py lists it but reads no files for it
SPLITS = ("test", "dev", "file")
# Labels that are spelled differently in XTREME's files.
SPELLINGS: Mapping[str, Mapping[str, str]] = {"pawsx": {"different": "0", "paraphrase": "1"}}
REPEATED = re.compile(r"#\d+$")  # the suffix that `data/load.py` adds to repeated ids

Stored = Mapping[tuple[str, str, str], Sequence[Run]]  # (run's key, target, language) -> its evaluations


@dataclass(frozen=True)
class SubmissionFile:
    """One file of a submission.

    Attributes:
        target: Target that it has predictions for.
        language: Language of the predictions.
        path: Path relative to the submission's folder.
        rows: Number of predictions.
        evaluation: Id of the evaluation with the predictions.
        checked: Whether the rows were found and are the evaluated ones.
        leaked: Number of rows that the run was trained on.
    """

    target: str
    language: str
    path: str
    rows: int
    evaluation: str
    checked: bool
    leaked: int = 0


@dataclass(frozen=True)
class Submission:
    """A written submission.

    Attributes:
        folder: Folder of the files.
        suite: Suite that defines its targets and languages.
        files: Files in the order of the suite.
        missing: Reason for each missing file, by target and language.
    """

    folder: Path
    suite: str
    files: tuple[SubmissionFile, ...]
    missing: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class _Request:
    """The evaluations to submit: the runs and the split.

    Attributes:
        split: "test", "dev" or "file", as in the evaluations' jobs.
    """

    store: Store
    runs: tuple[Run, ...]
    split: str
    options: Options

    @property
    def rows_split(self) -> Split:
        """Split whose rows are compared."""
        return "dev" if self.split == "dev" else "test"

    @property
    def location(self) -> DataLocation:
        """Location of these rows."""
        return self.options.location(self.options.eval_file)


def submit(
    runs: Sequence[str],
    out: Path,
    targets: Sequence[str] = (),
    suite: str = "xtreme",
    split: str = "test",
    partial: bool = False,
    options: Options | None = None,
) -> Submission:
    """Writes `<target>/test-<language>.<tsv|json|jsonl>` from the runs' evaluations.

    For each target, the first run with an evaluation of it is used, with the latest evaluation
    of all rows in each language. Each file is compared with the rows if these are found.

    Args:
        runs: Run ids, unique prefixes of ids, or runs' folders.
        out: New or empty folder. It is written completely or not at all.
        targets: Names of targets, by default all of the suite.
        suite: "xtreme" or "xtreme-r".
        split: Split of the evaluations: "test", "dev", or "file" (the file of `options.eval_file`).
        partial: Write a submission even if files are missing.

    Raises:
        ConfigError: An unknown target, suite or split, or a folder that is in use.
        MissingDataError: Files are missing and `partial` is not set; the message lists them.
        StoreError: An unknown or damaged run, or a run that is an evaluation itself.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not empty: pass another folder with --out")
    for name in targets:
        if name in UNSUPPORTED:
            raise ConfigError(f"XTREME's evaluation reads no file for {name}")
    names = [get_task(name).name for name in targets]
    names = names or [name for name in suites.suite(suite) if name not in UNSUPPORTED]
    expected = {name: suites.suite_languages(suite, name) for name in names}
    options = options or Options()
    store = Store(options.store)
    trained = [store.find(run) for run in runs]
    for run in trained:
        if isinstance(run.job, EvalJob):
            raise StoreError(f"{run.id} is an evaluation: pass the run that it evaluates, {run.job.run}")
    files, texts, missing = _collect(_Request(store, tuple(trained), split, options), expected)
    if missing and not partial:
        raise MissingDataError(f"{_missing_text(missing)}\npass --partial to write the other files")
    if not texts:
        raise MissingDataError(f"no file can be written.\n{_missing_text(missing)}")
    _write(out, texts)
    return Submission(out, suite, tuple(files), missing)


def _collect(
    request: _Request, expected: Mapping[str, Sequence[str]]
) -> tuple[list[SubmissionFile], dict[str, str], dict[str, dict[str, str]]]:
    """Returns the files, their texts by path, and the reasons for missing ones."""
    stored = _stored(request)
    files: list[SubmissionFile] = []
    texts: dict[str, str] = {}
    missing: dict[str, dict[str, str]] = {}
    for name, languages in expected.items():
        # One run per target: a file set from several models would be no model's result.
        run = next((run for run in request.runs if any(key[:2] == (run.key, name) for key in stored)), None)
        if run is None:
            missing[name] = dict.fromkeys(languages, "not evaluated")
            continue
        # Leaks are counted, not refused: the evaluation was permitted, and the submission reports them.
        guard = LeakGuard(
            request.store, run, get_task(name), request.rows_split, request.location, allowed=True
        )
        for language in languages:
            try:
                file, text = _file(guard, language, stored.get((run.key, name, language), ()))
            except MissingDataError as error:
                missing.setdefault(name, {})[language] = str(error)
            else:
                files.append(file)
                texts[file.path] = text
    return files, texts, missing


def _stored(request: _Request) -> Stored:
    """Returns the evaluations of the runs on the split, by run, target and language, the latest first."""
    keys = {run.key for run in request.runs}
    runs = [run for run in request.store.scan(quick=True) if isinstance(run, Run)]
    stored: dict[tuple[str, str, str], list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.created, run.id), reverse=True):
        job = run.job
        if isinstance(job, EvalJob) and job.run in keys and job.split == request.split:
            stored.setdefault((job.run, job.task, job.language), []).append(run)
    return stored


def _file(guard: LeakGuard, language: str, evaluations: Sequence[Run]) -> tuple[SubmissionFile, str]:
    """Returns one file and its text, from the first evaluation of all rows.

    Raises:
        MissingDataError: There is no such evaluation; the message is about the first one.
    """
    task = guard.target
    try:
        rows = load(task, guard.split, language, guard.location, hidden=True)
    except (MissingDataError, DataError):
        rows = None  # the stored predictions are enough; the file is reported as unchecked
    evaluation = _complete_evaluation(evaluations, rows)
    predictions = read_predictions(evaluation.file("predictions.parquet"))
    text = text_of(Answers(task, predictions, evaluation.metrics, rows.rows if rows else None))
    path = f"{task.name}/test-{language}.{suffix(task)}"
    leaked = guard.check(language, rows).items if rows else int(evaluation.metrics.get("leaked", 0))
    checked = rows is not None
    return SubmissionFile(task.name, language, path, len(predictions), evaluation.id, checked, leaked), text


def _complete_evaluation(evaluations: Sequence[Run], rows: Loaded | None) -> Run:
    """Returns the first evaluation of all rows."""
    problems = []
    for evaluation in evaluations:
        try:
            _check_rows(evaluation, rows)
        except MissingDataError as error:
            problems.append(error)
        else:
            return evaluation
    raise problems[0] if problems else MissingDataError("not evaluated")


def _check_rows(evaluation: Run, rows: Loaded | None) -> None:
    """Refuses an evaluation of other rows, or of some of the rows."""
    count = evaluation.metrics["examples"]
    origin = EvalOrigin.read(evaluation.path)
    record = origin.data if origin else {}
    if rows is not None and rows.fingerprint != evaluation.job.data:
        # Of retrieval rows only the queries have predictions.
        expected = sum(getattr(row, "side", "query") == "query" for row in rows.rows)
        raise MissingDataError(f"evaluated on other rows ({count}) than those found ({expected})")
    if record.get("slice") or (record.get("limit") and rows is None):
        raise MissingDataError(f"evaluated on some rows only ({count})")
    if record.get("dropped"):
        raise MissingDataError(f"{record['dropped']} rows without a gold label were skipped")


def _missing_text(missing: Mapping[str, Mapping[str, str]]) -> str:
    """Returns a line for each target and reason."""
    lines: dict[tuple[str, str], list[str]] = {}
    for target, languages in missing.items():
        for language, reason in languages.items():
            lines.setdefault((target, reason), []).append(language)
    texts = [f"{target} ({', '.join(codes)}): {reason}" for (target, reason), codes in lines.items()]
    return "\n".join(["the submission is not complete:", *texts])


def _write(out: Path, texts: Mapping[str, str]) -> None:
    """Writes the folder under a temporary name beside it, then renames it."""
    # The temporary folder is a sibling: a rename works only within one file system.
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        folder.chmod(0o755)  # mkdtemp makes folders that only their owner reads
        for path, text in texts.items():
            write_whole(folder / path, text.encode("utf-8"))
        folder.rename(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@dataclass(frozen=True)
class Answers:
    """The predictions for one target in one language.

    Attributes:
        metrics: Metrics of their evaluation.
        rows: Rows that were predicted; None if they were not found.
    """

    task: Task
    predictions: Sequence[Prediction]
    metrics: Mapping[str, Any]
    rows: Sequence[Row] | None


Format = tuple[str, Callable[[Answers], str]]  # ending of the files, and the function that returns their text


def suffix(task: Task) -> str:
    """Returns the ending of the target's files."""
    return _format_of(task)[0]


def text_of(answers: Answers) -> str:
    """Returns the text of a file.

    Raises:
        MissingDataError: The predictions lack something that the file needs, or its rows were not found.
    """
    return _format_of(answers.task)[1](answers)


def _format_of(task: Task) -> Format:
    # LAReQA and Mewsli-X rank candidates although they are retrieval tasks like Tatoeba.
    if task.metric == "map20":
        return RANKED
    assert task.kind_spec.submission_format is not None
    return FORMATS[task.kind_spec.submission_format]


def _lines(values: Iterable[object]) -> str:
    return "".join(f"{value}\n" for value in values)


def _labels(answers: Answers) -> str:
    """Returns one label per line."""
    spellings = SPELLINGS.get(answers.task.name, {})
    labels = [prediction["label"] for prediction in answers.predictions]
    return _lines(spellings.get(label, label) for label in labels)


def _tags(answers: Answers) -> str:
    """Returns one tag per line, with an empty line between sentences."""
    return "\n".join(_lines(prediction["tags"]) for prediction in answers.predictions)


def _answers(answers: Answers) -> str:
    """Returns `{question id: answer}`."""
    texts: dict[str, str] = {}
    for prediction in answers.predictions:
        # XTREME reads one answer for all questions that share an id: that to the first question.
        plain = REPEATED.sub("", prediction["id"])
        texts.setdefault(plain if plain in texts else prediction["id"], prediction["text"])
    return json.dumps(texts, ensure_ascii=False, indent=1) + "\n"


def _choices(answers: Answers) -> str:
    """Returns `{"label": index}` per line."""
    return _lines(json.dumps({"label": prediction["choice"]}) for prediction in answers.predictions)


def _pairs(answers: Answers) -> str:
    """Returns the tab-separated ids of each pair whose margin reaches the threshold."""
    thresholds = (prediction["threshold"] for prediction in answers.predictions if "threshold" in prediction)
    threshold = answers.metrics.get("threshold", next(thresholds, None))
    if threshold is None:
        raise MissingDataError("without labels a threshold is required: pass --encoding threshold=1.05")
    pairs = [pair for pair in answers.predictions if pair.get("score", threshold - 1) >= threshold]
    return _lines(f"{pair['id']}\t{pair['candidate']}" for pair in pairs)


def _positions(answers: Answers) -> str:
    """Returns for each English sentence the position of its nearest one in the other file, from 0."""
    if answers.rows is None:
        raise MissingDataError("cannot sort the file: its sentences were not found")
    if any("reverse" not in prediction for prediction in answers.predictions):
        raise MissingDataError("the evaluation has no search for the English sentences: repeat it")
    positions = {prediction["id"]: n for n, prediction in enumerate(answers.predictions)}
    english = [row.text for row in answers.rows if isinstance(row, RetrievalRow) and row.side == "candidate"]
    # XTREME's copy of the English side is sorted, and its script searches for the English sentences, not
    # among them.
    order = sorted(range(len(english)), key=lambda n: english[n].strip())
    return _lines(positions[answers.predictions[n]["reverse"]] for n in order)


def _ranked(answers: Answers) -> str:
    """Returns `{query id: [candidate ids, best first]}`."""
    candidates = {
        prediction["id"]: [neighbour["id"] for neighbour in prediction["neighbours"]]
        for prediction in answers.predictions
    }
    return json.dumps(candidates, ensure_ascii=False) + "\n"


FORMATS: Mapping[SubmissionFormat, Format] = {
    "labels": ("tsv", _labels),
    "tags": ("tsv", _tags),
    "answers": ("json", _answers),
    "choices": ("jsonl", _choices),
    "pairs": ("tsv", _pairs),
    "positions": ("tsv", _positions),
}
RANKED: Format = ("json", _ranked)
