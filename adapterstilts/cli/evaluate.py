"""The verb `evaluate`: one run on a target's languages, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapterstilts.cli.console import echo, fail, print_json, table
from adapterstilts.cli.options import comma_separated, evaluation_options

if TYPE_CHECKING:
    from adapterstilts import Evaluation, EvaluationOptions

APART = ("score", "low", "high", "examples", "leaked", "labels")  # not a column like the other metrics


@evaluation_options
def evaluate(
    run: Annotated[
        str, typer.Argument(help="Run id, unique prefix of one, or a run's folder.", show_default=False)
    ],
    options: EvaluationOptions,
    task: Annotated[
        str | None,
        typer.Option(help="Target (default: all that the run's task trains).", show_default=False),
    ] = None,
    languages: Annotated[
        str | None, typer.Option(help="Comma-separated codes (default: all available).", show_default=False)
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Split: test or dev (default: the one with more languages).", show_default=False),
    ] = None,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Score items that were trained on; the result reports them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Evaluate a run zero-shot in every language of a target.

    Results are stored: a repeated command computes only what is new. Languages that fail are listed at the
    end, and the exit code is then 2. For a file without labels, only predictions are stored.

    Example: adapterstilts evaluate single-squad_v1-1a2b --task xquad --languages de,hi,zh
    """
    from adapterstilts import evaluate as run_evaluation
    from adapterstilts.errors import unknown

    if split not in (None, "test", "dev"):
        raise unknown("split", str(split), ("test", "dev"))
    codes = comma_separated([languages], "--languages") if languages is not None else []
    options = options.model_copy(update={"allow_leak": allow_leak})
    evaluations = run_evaluation(
        run, task, codes, options, "test" if split == "test" else "dev" if split else None
    )
    if as_json:
        print_json([_as_dict(evaluation) for evaluation in evaluations])
    else:
        for evaluation in evaluations:
            _print_table(evaluation)
        _note_effect(run, options)
    failures = {
        f"{evaluation.task} in {code}": error
        for evaluation in evaluations
        for code, error in evaluation.failures.items()
    }
    for place, error in failures.items():
        fail(f"{place}: {error}")
    if failures:
        raise typer.Exit(2)


def _note_effect(reference: str, options: EvaluationOptions) -> None:
    """Repeats what was found after training where the run changes nothing."""
    from adapterstilts.cli.console import note
    from adapterstilts.store import Effect, Store

    run = Store(options.store).find(reference)
    effect = Effect.of(run.metrics)
    for line in Effect.lines_of(run) if effect and effect.inert else ():
        note(line)


def _as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as JSON values."""
    return {
        "task": evaluation.task,
        "metric": evaluation.metric,
        "split": evaluation.split,
        "written": list(evaluation.written),
        "languages": {
            code: {"run": run.id, "score": None, **run.metrics} for code, run in evaluation.runs.items()
        },
        "failures": {code: str(error) for code, error in evaluation.failures.items()},
        "leaks": {code: leak.as_json() for code, leak in evaluation.leaks.items() if str(leak)},
        "mean_of_others": evaluation.mean_of_others,
        "transfer_gap": evaluation.transfer_gap,
    }


def _print_table(evaluation: Evaluation) -> None:
    """One row per language and the mean of the others, with every metric."""
    runs = evaluation.runs
    if not runs:
        return
    names = dict.fromkeys(name for run in runs.values() for name in run.metrics if name not in APART)
    columns = ("language", "score", "95 % interval", *names, "examples")
    rows = []
    for code, run in runs.items():
        score, *cells = _cells([run.metrics.get(name) for name in ("score", *names)])
        rows.append(
            (code, score or "no labels", _interval(run.metrics), *cells, str(run.metrics["examples"]))
        )
    means = [
        (name, *_cells([value]))
        for name, value in (
            ("mean without en", evaluation.mean_of_others),
            ("transfer gap", evaluation.transfer_gap),
        )
        if value is not None
    ]
    title = f"{evaluation.task} ({evaluation.split}), score = {evaluation.metric}"
    table(columns, rows, right=columns[1:], title=title, footer=means)
    if written := evaluation.written:
        text = "tagged as the sentence is written (--encoding words=separate for word by word)"
        echo(f"{', '.join(written)}: {text}")
    for text, codes in _leaks(evaluation).items():
        echo(f"{', '.join(codes)}: {text}")


def _leaks(evaluation: Evaluation) -> dict[str, list[str]]:
    """What was found out about trained items, with the languages that it is true of."""
    languages: dict[str, list[str]] = {}
    for code, leak in evaluation.leaks.items():
        if str(leak):
            languages.setdefault(str(leak), []).append(code)
    return languages


def _interval(metrics: Mapping[str, float]) -> str:
    """The confidence interval of the score; an older result has none."""
    return f"[{metrics['low']:.1f}, {metrics['high']:.1f}]" if "low" in metrics else ""


def _cells(values: Sequence[float | None]) -> list[str]:
    return ["" if value is None else f"{value:.1f}" for value in values]
