"""Writes a submission: the folder that XTREME's evaluation reads, from stored predictions."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapterstilts.data.load import DataLocation, Loaded, load
from adapterstilts.data.rows import Row
from adapterstilts.errors import ConfigError, DataError, MissingDataError, StoreError, unknown
from adapterstilts.job import EvalJob
from adapterstilts.report.submission_forms import Answers, suffix, text_of
from adapterstilts.run.leak_guard import LeakGuard
from adapterstilts.run.options import EvaluationOptions
from adapterstilts.store import EvalOrigin, Run, Store, read_predictions
from adapterstilts.store.files import write_whole
from adapterstilts.tasks import registry, suites
from adapterstilts.tasks.spec import Split

NOT_READ = ("lareqa",)  # XTREME-R's evaluate.py names it but reads no files for it
SPLITS = ("test", "dev", "file")

Stored = Mapping[tuple[str, str, str], Sequence[Run]]  # run's key, target, language -> its evaluations


@dataclass(frozen=True)
class File:
    """One file of a submission.

    Attributes:
        target, language: what it answers.
        path: relative to the submission's folder.
        rows: how many rows it answers.
        evaluation: id of the evaluation whose predictions it holds.
        checked: whether the rows were at hand and are the ones that were evaluated.
        leaked: how many of them the run was trained on.
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
    """What was written.

    Attributes:
        folder: where.
        suite: whose targets and languages it should have.
        files: in the order of the suite.
        missing: target -> language -> why there is no file.
    """

    folder: Path
    suite: str
    files: tuple[File, ...]
    missing: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class _Order:
    """What is asked for."""

    store: Store
    runs: tuple[Run, ...]
    split: str
    options: EvaluationOptions

    @property
    def read(self) -> Split:
        """The split whose rows are compared."""
        return "dev" if self.split == "dev" else "test"

    @property
    def location(self) -> DataLocation:
        """Where these rows are."""
        return self.options.location(self.options.eval_file)


def submit(
    runs: Sequence[str],
    out: Path,
    targets: Sequence[str] = (),
    suite: str = "xtreme",
    split: str = "test",
    partial: bool = False,
    options: EvaluationOptions | None = None,
) -> Submission:
    """Writes `<target>/test-<language>.<tsv|json|jsonl>` from the runs' evaluations.

    A target is taken from the first of the runs that has evaluated it, in each language from the latest such
    evaluation of all rows. Each file is checked against the rows where they are at hand.

    Args:
        runs: run ids, unique prefixes of such, or runs' folders.
        out: a folder that is not there yet, or is empty; it is made whole or not at all.
        targets: by default all of the suite.
        suite: "xtreme" or "xtreme-r".
        split: which evaluations: "test", "dev", or "file" (`options.eval_file` then names the file).
        partial: write what there is, though something is missing.

    Raises:
        ConfigError: an unknown target, suite or split, or a folder that is in use.
        MissingDataError: something is missing, and `partial` is not set; the message names it.
        StoreError: an unknown or damaged run, or one that is an evaluation itself.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there already and not empty: name another folder with --out")
    wanted = {name: suites.suite_languages(suite, name) for name in _targets(targets, suite)}
    options = options or EvaluationOptions()
    store = Store(options.store)
    order = _Order(store, tuple(_trained(store, run) for run in runs), split, options)
    files, texts, missing = _collect(order, wanted)
    if missing and not partial:
        raise MissingDataError(f"{_told(missing)}\n--partial writes what there is.")
    if not texts:
        raise MissingDataError(f"there is nothing to write.\n{_told(missing)}")
    _write(out, texts)
    return Submission(out, suite, tuple(files), missing)


def _targets(given: Sequence[str], suite: str) -> list[str]:
    for name in given:
        if name in NOT_READ:
            raise ConfigError(f"XTREME's evaluation reads no file for {name}")
    names = [registry.get(name).name for name in given]
    return names or [name for name in suites.suite(suite) if name not in NOT_READ]


def _trained(store: Store, reference: str) -> Run:
    found = store.find(reference)
    if isinstance(found.job, EvalJob):
        raise StoreError(f"{found.id} is an evaluation: name the run that it evaluates, {found.job.run}")
    return found


def _collect(
    order: _Order, wanted: Mapping[str, Sequence[str]]
) -> tuple[list[File], dict[str, str], dict[str, dict[str, str]]]:
    stored = _stored(order)
    files: list[File] = []
    texts: dict[str, str] = {}
    missing: dict[str, dict[str, str]] = {}
    for name, languages in wanted.items():
        run = next((run for run in order.runs if any(key[:2] == (run.key, name) for key in stored)), None)
        if run is None:
            missing[name] = dict.fromkeys(languages, "not evaluated")
            continue
        guard = LeakGuard(order.store, run, registry.get(name), order.read, order.location, allowed=True)
        for language in languages:
            try:
                file, text = _file(guard, language, stored.get((run.key, name, language), ()))
            except MissingDataError as error:
                missing.setdefault(name, {})[language] = str(error)
            else:
                files.append(file)
                texts[file.path] = text
    return files, texts, missing


def _stored(order: _Order) -> Stored:
    """The evaluations by each of the runs of each target and language on the split, the latest first."""
    keys = {run.key for run in order.runs}
    runs = [run for run in order.store.scan(quick=True) if isinstance(run, Run)]
    stored: dict[tuple[str, str, str], list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.created, run.id), reverse=True):
        job = run.job
        if isinstance(job, EvalJob) and job.run in keys and job.split == order.split:
            stored.setdefault((job.run, job.task, job.language), []).append(run)
    return stored


def _file(guard: LeakGuard, language: str, evaluations: Sequence[Run]) -> tuple[File, str]:
    """One file and its text, from the first of the evaluations that is of all rows.

    Raises:
        MissingDataError: there is none; what is wrong with the first of them.
    """
    task, rows = guard.target, _rows(guard, language)
    evaluation = _whole(evaluations, rows)
    predictions = read_predictions(evaluation.file("predictions.parquet"))
    text = text_of(Answers(task, predictions, evaluation.metrics, rows.rows if rows else None))
    path = f"{task.name}/test-{language}.{suffix(task)}"
    leaked = guard.check(language, rows).items if rows else int(evaluation.metrics.get("leaked", 0))
    return File(task.name, language, path, len(predictions), evaluation.id, rows is not None, leaked), text


def _rows(guard: LeakGuard, language: str) -> Loaded | None:
    """The rows; None where they are not at hand."""
    try:
        return load(guard.target, guard.split, language, guard.location, hidden=True)
    except (MissingDataError, DataError):
        return None


def _whole(evaluations: Sequence[Run], rows: Loaded | None) -> Run:
    """The first of the evaluations that is of all rows."""
    problems = []
    for evaluation in evaluations:
        try:
            _check(evaluation, rows)
        except MissingDataError as error:
            problems.append(error)
        else:
            return evaluation
    raise problems[0] if problems else MissingDataError("not evaluated")


def _check(evaluation: Run, rows: Loaded | None) -> None:
    """Refuses an evaluation of other rows, or of some of them only."""
    count = evaluation.metrics["examples"]
    origin = EvalOrigin.read(evaluation.path)
    record = origin.data if origin else {}
    if rows is not None and rows.fingerprint != evaluation.job.data:
        raise MissingDataError(f"evaluated on other rows ({count}) than those at hand ({_asked(rows.rows)})")
    if record.get("slice") or (record.get("limit") and rows is None):
        raise MissingDataError(f"evaluated on some rows only ({count})")
    if record.get("dropped"):
        raise MissingDataError(f"{record['dropped']} rows without a gold label were left out")


def _asked(rows: Sequence[Row]) -> int:
    return sum(getattr(row, "side", "query") == "query" for row in rows)


def _told(missing: Mapping[str, Mapping[str, str]]) -> str:
    """What is missing: a line for each target and reason."""
    lines: dict[tuple[str, str], list[str]] = {}
    for target, languages in missing.items():
        for language, reason in languages.items():
            lines.setdefault((target, reason), []).append(language)
    told = [f"{target} ({', '.join(codes)}): {reason}" for (target, reason), codes in lines.items()]
    return "\n".join(["the submission is not complete:", *told])


def _write(out: Path, texts: Mapping[str, str]) -> None:
    """Makes the folder under another name beside it, then renames it."""
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        folder.chmod(0o755)
        for path, text in texts.items():
            write_whole(folder / path, text.encode("utf-8"))
        folder.rename(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
