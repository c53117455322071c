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
from adapterstilts.kinds.base import Feature, Metrics
from adapterstilts.run import checkpoint, distributed
from adapterstilts.run.checkpoint import State
from adapterstilts.run.device import accelerator, autocast
from adapterstilts.run.predict import predict, to_device
from adapterstilts.run.progress import Bar, bar, say
from adapterstilts.run.sampling import Step, Stream, TrainingSchedule
from adapterstilts.store.files import write_whole

LOG_EVERY = 10  # optimizer steps
ESTIMATE_AFTER = 8  # steps that are timed for the estimate
SUMMARY = "seconds"  # the key that only the last line of a log has


class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal after it had written a checkpoint."""


def train(course: TrainingSchedule) -> dict[str, Any]:
    """Trains what the active setup trains; leaves the best step's parameters in the model.

    The same course ends with the same bytes however often it was interrupted: data order, learning
    rate and random numbers are functions of the seed and the step.

    Returns:
        `steps`, `best_step`, and `dev`, the best step's development metrics (where there is dev data): of
        several tasks their mean score, and each one's metrics under its name.

    Raises:
        DataError: there is nothing to train on.
        Interrupted: SIGINT or SIGTERM came; a checkpoint was written.
        StiltsError: the loss is not finite.
    """
    for stream in course.streams:
        if not stream.features:
            raise DataError(f"there are no training examples of {stream.model.task.name}")
    host = course.streams[0].model.host
    host.model.to(accelerator().device)
    parameters = host.trainable()
    optimizer = torch.optim.AdamW(parameters.values(), weight_decay=course.hyperparameters.weight_decay)
    path = course.folder / "checkpoint.safetensors"
    state = _where_it_stopped(path, parameters, optimizer)
    log = Log(course.folder / "out" / "log.jsonl" if distributed.leads() else Path(os.devnull), state.step)

    def save() -> None:
        log.sync()
        checkpoint.save(path, state, parameters, optimizer)

    with bar(f"training {_names(course)}", course.total, state.step) as shown, _until_signal() as stop:
        began_all = saved = time.monotonic()
        first = state.step
        for step in course.steps(state.step):
            if _patience_is_over(state, course.hyperparameters):
                break
            began = time.monotonic()
            loss, stopping = _step(step, course, parameters, optimizer, stop)
            state.step = step.number + 1
            log.step(step, loss, len(step.indices) / (time.monotonic() - began), course, shown)
            if state.step - first == ESTIMATE_AFTER:
                _say_estimate(time.monotonic() - began_all, course.total - state.step)
            if _dev_is_due(state.step, course):
                _measure(course, state, parameters, log)
            due = course.saving.steps and state.step % course.saving.steps == 0
            if distributed.leads() and (due or time.monotonic() - saved > 60 * course.saving.minutes):
                save()
                saved = time.monotonic()
            if stopping or (stop and distributed.count() == 1):
                distributed.from_leader(save)
                raise Interrupted(f"stopped at step {state.step} of {course.total}")
    return _finish(state, parameters, log)


def _where_it_stopped(
    path: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> State:
    """The state of the last checkpoint, the same one in all processes.

    An unusable checkpoint is renamed, and training starts again; otherwise it would block its job for ever.
    """
    state, problem = State(), ""
    try:
        state = checkpoint.load(path, parameters, optimizer)
    except StoreError as error:
        problem = str(error)
    if leaders := distributed.from_leader(lambda: problem):
        if distributed.leads():
            aside = checkpoint.set_aside(path)
            say(f"the checkpoint {path} is damaged ({leaders}): it was renamed to {aside.name}, and this "
                "training starts again from its first step")  # fmt: skip
    elif problem:
        raise StoreError(f"{path}: {problem}")
    if distributed.from_leader(lambda: state.step) != state.step:
        raise StoreError(f"not all processes see {path}: the machines of a launch share one results folder")
    if state.step:
        say(f"going on from step {state.step}")
    return state


def learning_rate(step: int, total: int, hyperparameters: Hyperparameters) -> float:
    """Linear warm-up over the first `warmup` share of the steps, then linear decay to 0.

    Args:
        step: optimizer steps done before this one.
    """
    rise = max(1, math.ceil(hyperparameters.warmup * total))
    if step < rise:
        return hyperparameters.learning_rate * (step + 1) / rise
    return hyperparameters.learning_rate * (total - step) / max(1, total - rise)


def _step(
    step: Step,
    course: TrainingSchedule,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    stop: Sequence[int],
) -> tuple[float, bool]:
    """One optimizer step; returns its loss, and whether a signal had come to any process."""
    hyperparameters, model = course.hyperparameters, step.stream.model
    kind, host = model.kind, model.host
    torch.manual_seed(course.seed * 1_000_003 + step.number + (distributed.number() << 53))
    batch_size = len(step.indices)
    examples = distributed.share(step.stream.batch(step.indices, (course.seed, step.number)))
    host.model.train()
    host.use_training_attention(True)
    total = 0.0
    for part in _parts(examples, math.ceil(hyperparameters.accumulation / distributed.count())):
        batch = to_device(kind.collate(part, host.tokenizer.pad_token_id))
        with autocast(model.precision):
            logits = host.forward(batch, str(model.setup.head))
        loss = kind.loss(logits.float(), batch) * (len(part) / batch_size)
        total += loss.item()
        loss.backward()
    regularisation = host.fusion_regularisation()
    if regularisation is not None and distributed.leads():
        regularisation.backward()
    total, stopping = distributed.sum_gradients(parameters.values(), (total, float(bool(stop))))
    if not math.isfinite(total):
        raise StiltsError(
            f"the loss is {total} at step {step.number + 1}: lower --learning-rate or use --precision fp32"
        )
    nn.utils.clip_grad_norm_(parameters.values(), hyperparameters.max_grad_norm)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step.number, course.total, hyperparameters)
    optimizer.step()
    optimizer.zero_grad()
    return total, stopping > 0


def _parts(examples: Sequence[Feature], count: int) -> Iterator[Sequence[Feature]]:
    """Cuts a batch into `count` nearly equal parts, none empty."""
    size = max(1, math.ceil(len(examples) / count))
    for start in range(0, len(examples), size):
        yield examples[start : start + size]


def _names(course: TrainingSchedule) -> str:
    return " + ".join(stream.model.task.name for stream in course.streams)


def _say_estimate(seconds: float, left: int) -> None:
    """Says how long the remaining steps will take, evaluations not counted, unless that is soon."""
    minutes = seconds / ESTIMATE_AFTER * left / 60
    if minutes >= 1:
        say(f"about {minutes:.0f} min for the {left} steps that are left")


def _dev_is_due(step: int, course: TrainingSchedule) -> bool:
    every = course.hyperparameters.eval_every or course.per_epoch
    measured = any(stream.dev for stream in course.tasks)
    return measured and (step % every == 0 or step == course.total)


def _patience_is_over(state: State, hyperparameters: Hyperparameters) -> bool:
    return hyperparameters.patience is not None and state.worse >= hyperparameters.patience


def _measure(
    course: TrainingSchedule, state: State, parameters: Mapping[str, nn.Parameter], log: Log
) -> None:
    """Scores the development rows and remembers the parameters if they are the best so far."""
    metrics = distributed.from_leader(lambda: _scores(course))
    log.write({"step": state.step, "dev": metrics})
    if state.best_score is None or metrics["score"] > state.best_score:
        state.best_score, state.best_step, state.worse = metrics["score"], state.step, 0
        state.best = {name: value.detach().clone().cpu() for name, value in parameters.items()}
        state.best_metrics = metrics
    else:
        state.worse += 1


def _scores(course: TrainingSchedule) -> dict[str, Any]:
    """Development metrics: a task's own; of several tasks their mean score, and each one's own."""
    found = {stream.model.task.name: _score(stream) for stream in course.tasks if stream.dev}
    if len(course.tasks) == 1:
        return dict(*found.values())
    return {"score": round(sum(each["score"] for each in found.values()) / len(found), 6), **found}


def _score(stream: Stream) -> Metrics:
    model, rows = stream.model, stream.dev
    return model.kind.score(predict(model, rows, f"{model.task.name} en"), rows, model.task, "en")


def _finish(state: State, parameters: Mapping[str, nn.Parameter], log: Log) -> dict[str, Any]:
    """Puts the best parameters back and sums the training up."""
    with torch.no_grad():
        for name, value in state.best.items():
            parameters[name].copy_(value)
    if not all(bool(value.isfinite().all()) for value in parameters.values()):
        raise StiltsError("the trained weights are not finite: lower --learning-rate or use --precision fp32")
    log.write({"step": state.step, SUMMARY: round(log.seconds(), 1)})
    log.close()
    found: dict[str, Any] = {"steps": state.step, "best_step": state.best_step or state.step}
    if state.best_metrics:
        found["dev"] = state.best_metrics
    return found


@contextmanager
def _until_signal() -> Iterator[list[int]]:
    """A list that fills when SIGINT or SIGTERM comes; a second signal acts as usual."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if distributed.count() > 1:  # a launcher passes on what the terminal sends to all anyway
            return
        for each, handler in before.items():
            signal.signal(each, handler)
        with suppress(RuntimeError):  # it came while something was being written
            say("stopping: a checkpoint is written as soon as this step, or evaluation, is through; "
                "once more stops without it")  # fmt: skip

    try:
        before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: whoever started the thread handles signals
        before = {}
    try:
        yield came
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class Log:
    """JSON lines of a training, cut back to the checkpoint when it is taken up again.

    The last line sums the training up. A kill between that line and publishing leaves a whole log beside the
    last checkpoint, so that line is cut off too: it is written again.
    """

    def __init__(self, path: Path, step: int):
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in _lines(path) if line["step"] <= step and SUMMARY not in line]
        if path.is_file():  # in one step: a kill in between must not lose the lines before the checkpoint
            write_whole(path, "".join(json.dumps(line) + "\n" for line in kept).encode("utf-8"))
        self._file = path.open("a", encoding="utf-8")
        self._before = max((line.get("elapsed", 0.0) for line in kept), default=0.0)
        self._began = time.monotonic()

    def write(self, line: Mapping[str, Any]) -> None:
        """Appends one line, at once."""
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def step(self, step: Step, loss: float, speed: float, course: TrainingSchedule, shown: Bar) -> None:
        """Shows a step, and writes every tenth; of several tasks each has losses of its own size."""
        done = step.number + 1
        shown.update(done, f"loss {loss:.4f}  {speed:.0f} examples/s")
        if done % LOG_EVERY == 0 or done == course.total:
            rate = learning_rate(step.number, course.total, course.hyperparameters)
            numbers = {"loss": round(loss, 6), "learning_rate": rate, "examples_per_second": round(speed, 1)}
            whose = {"task": step.stream.model.task.name} if len(course.streams) > 1 else {}
            self.write({"step": done, **whose, **numbers, "elapsed": round(self.seconds(), 1)})

    def sync(self) -> None:
        """Waits until the lines are on the disk: a checkpoint must not outlive the lines before it."""
        os.fsync(self._file.fileno())

    def seconds(self) -> float:
        """Time spent training, over all sittings."""
        return self._before + time.monotonic() - self._began

    def close(self) -> None:
        """Ends the file."""
        self._file.close()


def _lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a log; a line that a kill cut off is dropped."""
    if not path.is_file():  # the log of a process that does not lead is a device
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
