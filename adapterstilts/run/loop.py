"""The training loop: one for every kind and every composition, exact across interruptions."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn

from adapterstilts.errors import DataError, StiltsError, StoreError
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.run import checkpoint, distributed
from adapterstilts.run.checkpoint import TrainingState
from adapterstilts.run.device import accelerator, autocast
from adapterstilts.run.predictor import to_device
from adapterstilts.run.progress import Bar, bar, say
from adapterstilts.run.sampling import TrainingSchedule
from adapterstilts.run.training_data import TaskData
from adapterstilts.store.files import write_whole

LOG_EVERY = 10  # optimizer steps
ESTIMATE_AFTER = 8  # steps that are timed for the estimate
SUMMARY = "seconds"  # key that only the last line of a log has

Step = tuple[int, TaskData, list[int]]  # number from 0, data of the task, indices of the batch


class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal after it had written a checkpoint."""


def train(schedule: TrainingSchedule) -> dict[str, Any]:
    """Trains the active adapters and leaves the best step's parameters in the host.

    The same schedule ends with the same bytes however often it is interrupted: data order, learning rate and
    random numbers are functions of the seed and the step.

    Returns:
        `steps`, `best_step`, and, if there is development data, `dev`: the best step's metrics. For several
        tasks that is their mean score, and the metrics of each task under its name.

    Raises:
        DataError: A task has no training examples.
        Interrupted: SIGINT or SIGTERM was received; a checkpoint was written.
        StiltsError: The loss is not finite.
    """
    for data in schedule.data:
        if not data.features:
            raise DataError(f"there are no training examples of {data.task.name}")
    hyperparameters, policy = schedule.hyperparameters, schedule.policy
    schedule.host.model.to(accelerator().device)
    parameters = schedule.host.trainable()
    optimizer = torch.optim.AdamW(parameters.values(), weight_decay=hyperparameters.weight_decay)
    path = schedule.folder / "checkpoint.safetensors"
    state = _resume(path, parameters, optimizer)
    # Only the leader of a launch writes a log.
    log = Log(schedule.folder / "out" / "log.jsonl" if distributed.leads() else Path(os.devnull), state.step)

    def save() -> None:
        log.sync()
        checkpoint.save(path, state, parameters, optimizer)

    with bar(f"training {schedule.title}", schedule.total, state.step) as display, _signals() as signals:
        start_time = save_time = time.monotonic()
        start_step = state.step
        for step in schedule.steps(state.step):
            if hyperparameters.patience is not None and state.worse >= hyperparameters.patience:
                break
            step_time = time.monotonic()
            loss, interrupted = _step(step, schedule, parameters, optimizer, signals)
            state.step = step[0] + 1
            log.step(step, loss, len(step[2]) / (time.monotonic() - step_time), schedule, display)
            if state.step - start_step == ESTIMATE_AFTER:
                _say_estimate(time.monotonic() - start_time, schedule.total - state.step)
            if _dev_is_due(state.step, schedule):
                _score_dev(schedule, state, parameters, log)
            due = policy.steps and state.step % policy.steps == 0
            if distributed.leads() and (due or time.monotonic() - save_time > 60 * policy.minutes):
                save()
                save_time = time.monotonic()
            # In a launch all processes stop at the same step, the one at which they shared the signal. A
            # single process also reacts to a signal that came during the evaluation.
            if interrupted or (signals and distributed.count() == 1):
                distributed.from_leader(save)
                raise Interrupted(f"stopped at step {state.step} of {schedule.total}")
    return _finish(state, parameters, log)


def _resume(
    path: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> TrainingState:
    """Returns the state of the last checkpoint, the same one in all processes.

    An unusable checkpoint is renamed, and training starts again: it would otherwise block its job for ever.
    """
    state, problem = TrainingState(), ""
    try:
        state = checkpoint.load(path, parameters, optimizer)
    except StoreError as error:
        problem = str(error)
    if leader_problem := distributed.from_leader(lambda: problem):
        if distributed.leads():
            renamed = _set_aside(path)
            say(
                f"the checkpoint {path} is damaged ({leader_problem}): it was renamed to {renamed.name}, and "
                "this training starts again from its first step"
            )
    elif problem:
        raise StoreError(f"{path}: {problem}")
    if distributed.from_leader(lambda: state.step) != state.step:
        raise StoreError(
            f"not all processes see {path}: the machines of a launch must share the results folder"
        )
    if state.step:
        say(f"resuming from step {state.step}")
    return state


def learning_rate(step: int, total: int, hyperparameters: Hyperparameters) -> float:
    """Returns the rate of a step: linear warm-up over a share of the steps, then linear decay to 0.

    Args:
        step: Number of optimizer steps before this one.
        total: Number of all steps.
        hyperparameters: `learning_rate` (the peak) and `warmup` (the share).
    """
    rise = max(1, math.ceil(hyperparameters.warmup * total))
    if step < rise:
        return hyperparameters.learning_rate * (step + 1) / rise
    return hyperparameters.learning_rate * (total - step) / max(1, total - rise)


def _step(
    step: Step,
    schedule: TrainingSchedule,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    signals: Sequence[int],
) -> tuple[float, bool]:
    """Makes one optimizer step; returns its loss, and whether any process received a signal."""
    (number, data, indices), host = step, schedule.host
    hyperparameters = schedule.hyperparameters
    # Dropout depends on seed and step only, so a resumed training draws the same masks; each process of a
    # launch has its own. The factor keeps the seeds of neighbouring trainings apart.
    torch.manual_seed(schedule.seed * 1_000_003 + number + (distributed.number() << 53))
    examples = distributed.share(data.batch(indices, (schedule.seed, number)))
    host.model.train()
    host.use_training_attention(True)
    total = 0.0
    parts = math.ceil(hyperparameters.accumulation / distributed.count())
    size = max(1, math.ceil(len(examples) / parts))
    for start in range(0, len(examples), size):
        part = examples[start : start + size]
        batch = to_device(data.kind.collate(part, host.tokenizer.pad_token_id))
        with autocast(hyperparameters.precision):
            logits = host.forward(batch, data.task.name)
        # Weighted by its share of the whole batch, so that neither accumulation nor the number of processes
        # changes the gradient.
        loss = data.kind.loss(logits.float(), batch) * (len(part) / len(indices))
        total += loss.item()
        loss.backward()
    regularisation = host.fusion_regularisation()
    if regularisation is not None and distributed.leads():  # once, not once per process
        regularisation.backward()
    total, interrupted = distributed.sum_gradients(parameters.values(), (total, float(bool(signals))))
    if not math.isfinite(total):
        raise StiltsError(
            f"the loss is {total} at step {number + 1}: lower --learning-rate or use --precision fp32"
        )
    nn.utils.clip_grad_norm_(parameters.values(), hyperparameters.max_grad_norm)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(number, schedule.total, hyperparameters)
    optimizer.step()
    optimizer.zero_grad()
    return total, interrupted > 0


def _say_estimate(seconds: float, steps: int) -> None:
    """Reports the time for the remaining steps, without evaluations, unless it is short."""
    minutes = seconds / ESTIMATE_AFTER * steps / 60
    if minutes >= 1:
        say(f"about {minutes:.0f} min for the remaining {steps} steps")


def _dev_is_due(step: int, schedule: TrainingSchedule) -> bool:
    every = schedule.hyperparameters.eval_every or schedule.per_epoch
    return any(data.dev for data in schedule.tasks) and (step % every == 0 or step == schedule.total)


def _score_dev(
    schedule: TrainingSchedule, state: TrainingState, parameters: Mapping[str, nn.Parameter], log: Log
) -> None:
    """Scores the development rows and copies the parameters if they are the best so far."""

    def score() -> dict[str, Any]:
        scores = {}
        for data in schedule.tasks:
            if data.dev:
                predictions = schedule.predictor(data).predict(data.dev, f"{data.task.name} en")
                scores[data.task.name] = data.kind.score(predictions, data.dev, data.task, "en")
        if len(schedule.tasks) == 1:
            return dict(*scores.values())
        mean = sum(metrics["score"] for metrics in scores.values()) / len(scores)
        return {"score": round(mean, 6), **scores}

    metrics = distributed.from_leader(score)
    log.write({"step": state.step, "dev": metrics})
    if state.best_score is None or metrics["score"] > state.best_score:
        state.best_score, state.best_step, state.worse = metrics["score"], state.step, 0
        state.best = {name: value.detach().clone().cpu() for name, value in parameters.items()}
        state.best_metrics = metrics
    else:
        state.worse += 1


def _finish(state: TrainingState, parameters: Mapping[str, nn.Parameter], log: Log) -> dict[str, Any]:
    """Restores the best parameters and returns the training's metrics."""
    with torch.no_grad():
        for name, value in state.best.items():
            parameters[name].copy_(value)
    if not all(bool(value.isfinite().all()) for value in parameters.values()):
        raise StiltsError("the trained weights are not finite: lower --learning-rate or use --precision fp32")
    log.write({"step": state.step, SUMMARY: round(log.seconds(), 1)})
    log.close()
    metrics: dict[str, Any] = {"steps": state.step, "best_step": state.best_step or state.step}
    if state.best_metrics:
        metrics["dev"] = state.best_metrics
    return metrics


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM in a list; a second signal has its usual effect."""
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if distributed.count() > 1:  # a launcher repeats the terminal's signal to all processes
            return
        for name, handler in handlers.items():
            signal.signal(name, handler)
        with suppress(RuntimeError):  # the signal may interrupt a write to the same stream
            say(
                "stopping: a checkpoint is written after this step or evaluation; "
                "interrupt again to stop without it"
            )

    try:
        handlers = {name: signal.signal(name, receive) for name in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: the program that started the thread handles signals
        handlers = {}
    try:
        yield received
    finally:
        for name, handler in handlers.items():
            signal.signal(name, handler)


class Log:
    """JSON lines of a training; when it resumes, lines after the checkpoint are removed.

    The last line summarizes the training. A kill between that line and publishing leaves a complete log
    beside the last checkpoint, so that line is removed too and written again.
    """

    def __init__(self, path: Path, step: int):
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [line for line in _lines(path) if line["step"] <= step and SUMMARY not in line]
        if path.is_file():  # atomic: a kill in between must not lose the lines before the checkpoint
            write_whole(path, "".join(json.dumps(line) + "\n" for line in lines).encode("utf-8"))
        self._file = path.open("a", encoding="utf-8")
        self._elapsed = max((line.get("elapsed", 0.0) for line in lines), default=0.0)
        self._start_time = time.monotonic()

    def write(self, line: Mapping[str, Any]) -> None:
        """Appends one line immediately."""
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def step(self, step: Step, loss: float, speed: float, schedule: TrainingSchedule, display: Bar) -> None:
        """Shows a step, and writes every tenth.

        Args:
            step: The step.
            loss: Its loss. With several tasks the line names the task, since losses differ in size.
            speed: Examples per second.
            schedule: The training's schedule.
            display: The progress bar.
        """
        number, data, _ = step
        display.update(number + 1, f"loss {loss:.4f}  {speed:.0f} examples/s")
        if (number + 1) % LOG_EVERY == 0 or number + 1 == schedule.total:
            rate = learning_rate(number, schedule.total, schedule.hyperparameters)
            task = {"task": data.task.name} if len(schedule.data) > 1 else {}
            numbers = {"loss": round(loss, 6), "learning_rate": rate, "examples_per_second": round(speed, 1)}
            self.write({"step": number + 1, **task, **numbers, "elapsed": round(self.seconds(), 1)})

    def sync(self) -> None:
        """Waits until the lines are on the disk: a checkpoint must not outlive the lines before it."""
        os.fsync(self._file.fileno())

    def seconds(self) -> float:
        """Returns the training time, including the time before interruptions."""
        return self._elapsed + time.monotonic() - self._start_time

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _lines(path: Path) -> list[dict[str, Any]]:
    """Returns the complete lines of a log; a line that a kill truncated is dropped."""
    if not path.is_file():  # a process that does not lead logs to a device
        return []
    lines = []
    for number, text in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            line = json.loads(text)
            line["step"] = int(line["step"])
            lines.append(line)
        except (ValueError, RecursionError, TypeError, KeyError):
            say(f"{path}, line {number} is damaged and was removed from the log; training is not affected")
    return lines


def _set_aside(path: Path) -> Path:
    """Renames an unusable checkpoint, which is removed with the working folder when the job is done."""
    aside = path.with_suffix(".damaged")
    path.replace(aside)
    return aside
