"""Verbs that train: an adapter for a task, or a composition for a target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from adapterstilts.cli.options import training_options
from adapterstilts.errors import ConfigError

if TYPE_CHECKING:
    from adapterstilts import Run, TrainingOptions

Target = Annotated[str, typer.Argument(help="Target task (adapterstilts tasks).", show_default=False)]
Adapter = Annotated[
    str, typer.Argument(help="Run id, unique prefix of one, or a run's folder.", show_default=False)
]
Adapters = Annotated[
    list[str], typer.Argument(help="Run ids, unique prefixes, or folders.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the run as JSON on standard output.")]


@training_options
def train_adapter(
    task: Annotated[
        str,
        typer.Argument(
            help="Task (adapterstilts tasks), a+b+c for several tasks, multitask, or mlm for plain text.",
            show_default=False,
        ),
    ],
    options: TrainingOptions,
    as_json: AsJson = False,
) -> None:
    """Train an adapter on a task's English data, on several tasks together, or on plain text.

    Example: adapterstilts train-adapter squad --train-file train-v1.1.json --epochs 2

    Example: adapterstilts train-adapter mnli+squad+hellaswag --data-dir download --max-steps 20000

    Example: adapterstilts train-adapter mnli --mlm "text/{lang}.txt" --mlm-languages sw,de,ar

    Example: adapterstilts train-adapter mlm --language sw --text sw.txt
    """
    from adapterstilts import Single, compose

    show(compose(task, Single(), options), as_json)


@training_options
def baseline(target: Target, options: TrainingOptions, as_json: AsJson = False) -> None:
    """Train a target's adapter without an intermediate task, for comparison.

    Example: adapterstilts baseline panx --data-dir download
    """
    from adapterstilts import Single, compose

    show(compose(target, Single(), options), as_json)


@training_options
def sequential(target: Target, adapter: Adapter, options: TrainingOptions, as_json: AsJson = False) -> None:
    """Start the target's adapter from an intermediate adapter.

    Example: adapterstilts sequential panx single-mnli-1a2b --data-dir download
    """
    from adapterstilts import Sequential, compose

    show(compose(target, Sequential(adapter), options), as_json)


@training_options
def stack(target: Target, adapter: Adapter, options: TrainingOptions, as_json: AsJson = False) -> None:
    """Train a new adapter on top of a frozen intermediate adapter.

    Example: adapterstilts stack panx single-mnli-1a2b --data-dir download
    """
    from adapterstilts import Stack, compose

    show(compose(target, Stack(adapter), options), as_json)


@training_options
def fuse(target: Target, adapters: Adapters, options: TrainingOptions, as_json: AsJson = False) -> None:
    """Train an AdapterFusion layer over two to nine frozen adapters.

    The target's own adapter (a baseline run) may be among them.

    Example: adapterstilts fuse panx single-mnli-1a2b single-squad_v1-3c4d --data-dir download
    """
    from adapterstilts import Fuse, compose

    show(compose(target, Fuse(*adapters), options), as_json)


@training_options
def average(
    target: Target,
    adapters: Adapters,
    options: TrainingOptions,
    weights: Annotated[
        str | None,
        typer.Option(help="Comma-separated weights that sum to 1 (default: equal).", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Merge adapters in weight space; the target's adapter starts from the mean.

    A retrieval target trains nothing: the merged adapter is evaluated as it is.

    Example: adapterstilts average xnli single-mnli-1a2b single-squad_v1-3c4d --weights 0.7,0.3
    """
    from adapterstilts import Average, compose

    show(compose(target, Average(*adapters, weights=_weights(weights)), options), as_json)


def _weights(text: str | None) -> list[float]:
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise ConfigError(
            f"--weights requires numbers separated by commas, such as 0.7,0.3, not '{text}'"
        ) from None


def show(run: Run, as_json: bool) -> None:
    """Prints a finished run: one line and what to do next, or JSON."""
    from adapterstilts.cli.console import echo, plain, print_json

    if as_json:
        print_json({"id": run.id, "key": run.key, "path": str(run.path), "metrics": run.metrics})
        return
    text, dev = run.job.task == "mlm", run.metrics.get("dev")
    label = "accuracy on masked subwords" if text else "English development score"
    score = f", {label} {dev['score']:.1f} at step {run.metrics['best_step']}" if dev else ""
    echo(plain(run.id, "bold"), score)
    for task, metrics in (dev or {}).items():  # metrics per task of a multi-task run
        if isinstance(metrics, dict):
            echo(f"  {task} {metrics['score']:.1f}")
    for number, layer in enumerate(run.metrics.get("fusion_attention", ())):
        echo(f"  layer {number:2d} attention  " + "  ".join(f"{share:.3f}" for share in layer))
    after = f"train-adapter TASK --language-adapter {run.id}" if text else f"evaluate {run.id}"
    echo(f"next: adapterstilts {after}")
