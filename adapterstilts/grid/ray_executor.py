"""Executor on a Ray cluster, or on a Ray of this machine; the only file that imports `ray`.

Ray places the workers and reports lost ones, whether a process or its whole node is gone; the scheduler
then retries the job on another worker. Only running workers count as available, so a worker that cannot be
placed, or not yet, delays nothing.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from adapterstilts.errors import ClusterError, ConfigError
from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.process_executor import WorkerSettings
from adapterstilts.grid.provenance import REMEDY
from adapterstilts.version import __version__

if TYPE_CHECKING:
    from adapterstilts.grid.worker import JobOutcome

LOCAL = "local"
# Ray's name for listening on all interfaces: with "0" it listens on loopback only, as it does on macOS.
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
MAX_FAILED_STARTS = 3  # consecutive failed starts after which the cluster is given up
CONNECT_TIMEOUT = 15.0  # seconds for a cluster to answer
REPORT_INTERVAL = 30.0  # seconds between messages while no worker runs
SHUTDOWN_TIMEOUT = 60.0  # seconds for trainings to write a checkpoint
TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")  # Ray reads these before the home folder
# Environment variables that affect results: data folders, downloads, the precision of `auto`.
FORWARDED_VARIABLES = ("ADAPTERSTILTS_DATA", "HF_HUB_OFFLINE", "ADAPTERSTILTS_CPU_BF16")


@dataclass(frozen=True)
class RayCluster:
    """A cluster and the workers to start on it.

    Attributes:
        address: Address of a running cluster. "auto" is this machine's cluster, "local" starts one here.
        workers: Number of workers. The default is as many as there is room for.
        gpus: GPUs per worker: a fraction of one or a whole number. The default is 1 if the cluster has any.
    """

    address: str = LOCAL
    workers: int | None = None
    gpus: float | None = None


class _WorkerPlace(NamedTuple):
    """Place of a worker, and what decides its results there.

    Attributes:
        node: Id of the Ray node.
        process: Process id on that node.
        version: Version of this package.
        precision: Precision that `precision: auto` means there.
    """

    node: str
    process: int
    version: str
    precision: str = ""


class _RayOutcome(NamedTuple):
    """Outcome of a job and the messages that it printed."""

    outcome: JobOutcome
    messages: list[str]


class RayWorker:
    """Worker on some node: loads a backbone once and runs one job at a time with one CPU thread."""

    def __init__(self, settings: WorkerSettings, folder: str, environment: dict[str, str]):
        """Prepares the process.

        Args:
            settings: Settings of the grid run.
            folder: Folder that relative paths start from, used if the node has it.
            environment: Environment variables to set.
        """
        # Before torch is imported, which reads some of them.
        os.environ.update(environment)
        if Path(folder).is_dir():
            os.chdir(folder)
        import torch

        from adapterstilts.grid.remote_records import open_records
        from adapterstilts.grid.worker import Worker

        torch.set_num_threads(1)
        self._messages: list[str] = []
        records = open_records(settings.store, list_all=False)
        self._worker = Worker(
            records,
            settings.checkpoint_minutes,
            settings.checkpoint_steps,
            lambda _, message: self._messages.append(message),
        )

    def place(self) -> _WorkerPlace:
        """Returns where this worker runs."""
        import ray

        from adapterstilts.grid.worker import auto_precision

        node = ray.get_runtime_context().get_node_id()
        return _WorkerPlace(node, os.getpid(), __version__, auto_precision())

    def run_job(self, job: JobSpec) -> _RayOutcome:
        """Runs a job; SIGTERM ends a training after a checkpoint."""
        from adapterstilts.grid.worker import JobOutcome

        self._messages.clear()
        try:
            return _RayOutcome(self._worker.run_job(job), self._messages)
        except KeyboardInterrupt:
            # Ray would report it as a lost worker, and the job would be retried.
            return _RayOutcome(JobOutcome(None), self._messages)


class _WorkerHandle:
    """One worker, from the moment it is requested."""

    def __init__(self, actor: Any):
        self.actor = actor
        self.place: Future[_WorkerPlace] = actor.place.remote().future()
        self.job: Future[JobOutcome] | None = None

    @property
    def is_running(self) -> bool:
        return self.place.done() and self.place.exception() is None

    @property
    def is_free(self) -> bool:
        return self.is_running and (self.job is None or self.job.done())

    @property
    def is_lost(self) -> bool:
        """Whether the process or its node died during a job."""
        return bool(self.job and self.job.done() and isinstance(self.job.exception(), BrokenExecutor))

    @property
    def failed_to_start(self) -> bool:
        return self.place.done() and self.place.exception() is not None


class RayExecutor:
    """Runs jobs on workers that Ray places."""

    def __init__(
        self,
        settings: WorkerSettings,
        cluster: RayCluster,
        on_message: Callable[[str, str], None],
        worker_class: type = RayWorker,
    ):
        """Connects to the cluster.

        Args:
            settings: Settings of the grid run.
            cluster: Cluster and number of workers.
            on_message: Receiver of a job's messages, after its digest, once the job has ended.
            worker_class: Class of the workers.

        Raises:
            ConfigError: Ray is not installed, or cannot share GPUs in this way.
            ClusterError: There is no cluster, or no room in it.
        """
        self._ray = _connect(cluster)
        self._on_message = on_message
        gpus, self._worker_count = _available_workers(cluster, self._ray.cluster_resources())
        # A relative path would start from another folder on a node that lacks this one.
        if "://" not in str(settings.store):
            settings = replace(settings, store=Path(settings.store).absolute())
        environment = {name: os.environ[name] for name in FORWARDED_VARIABLES if name in os.environ}
        # Without restarts: Ray would restart a lost worker unseen, and its job would never end.
        remote = self._ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(worker_class)
        arguments = (settings, str(Path.cwd()), environment)
        self._start: Callable[[], _WorkerHandle] = lambda: _WorkerHandle(remote.remote(*arguments))
        self._workers: list[_WorkerHandle] = []
        self._failed_starts = 0
        self._warned = False

    @property
    def size(self) -> int:
        """Number of running workers. Once workers were requested, waits for the first one."""
        if not self._workers:
            return self._worker_count
        while True:
            self._replace_lost_workers()
            running = [worker.place.result() for worker in self._workers if worker.is_running]
            if running:
                self._warn_of_disagreement(running)
                return len(running)
            places = [worker.place for worker in self._workers]
            if not wait(places, REPORT_INTERVAL, FIRST_COMPLETED).done:
                self._on_message("", f"waiting for room on the cluster for one of {len(places)} workers")

    def submit(self, job: JobSpec) -> Future[JobOutcome]:
        """Runs a job on a free worker."""
        worker = next(worker for worker in self._workers if worker.is_free)
        future: Future[JobOutcome] = Future()
        worker.job = future
        ray_future: Future[_RayOutcome] = worker.actor.run_job.remote(job).future()
        ray_future.add_done_callback(lambda ended: self._set_outcome(job, future, ended))
        return future

    def __enter__(self) -> Self:
        """Requests the workers."""
        self._workers = [self._start() for _ in range(self._worker_count)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the workers; after an error, those that train write a checkpoint first."""
        try:
            if error is not None:
                self._interrupt()
        finally:
            self._workers = []
            self._ray.shutdown()

    def _set_outcome(self, job: JobSpec, future: Future[JobOutcome], ended: Future[_RayOutcome]) -> None:
        """Passes on what a worker returned. Runs in a thread of Ray's."""
        error = ended.exception()
        if isinstance(error, self._ray.exceptions.RayTaskError):
            # The job raised an error; the worker is alive.
            future.set_exception(error.cause if isinstance(error.cause, BaseException) else error)
        elif error is not None:
            future.set_exception(BrokenExecutor(str(error)))
        else:
            for message in ended.result().messages:
                self._on_message(job.digest, message)
            future.set_result(ended.result().outcome)

    def _replace_lost_workers(self) -> None:
        """Requests another worker for each lost one."""
        for number, worker in enumerate(self._workers):
            if worker.failed_to_start:
                self._failed_starts += 1
                if self._failed_starts >= MAX_FAILED_STARTS:
                    raise ClusterError(f"workers cannot start on the cluster: {worker.place.exception()}")
            elif worker.is_running:
                self._failed_starts = 0
                version = worker.place.result().version
                if version != __version__:
                    raise ClusterError(
                        f"a node has adapterstilts {version}, but this machine has {__version__}: install "
                        "the same version on all nodes"
                    )
            if worker.failed_to_start or worker.is_lost:
                # An unreachable worker may still be alive and compute.
                self._ray.kill(worker.actor)
                self._workers[number] = self._start()

    def _warn_of_disagreement(self, places: Sequence[_WorkerPlace]) -> None:
        """Warns once if nodes compute `precision: auto` in different precisions."""
        text = disagreement(places)
        if text and not self._warned:
            self._warned = True
            self._on_message("", text)

    def _interrupt(self) -> None:
        """Interrupts busy workers and waits for them to save checkpoints."""
        busy = [worker for worker in self._workers if worker.is_running and not worker.is_free]
        stop = self._ray.remote(num_cpus=0)(_stop_process)
        affinity = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        for worker in busy:
            # A worker runs one method at a time, so a second process on its node has to send the signal.
            place = worker.place.result()
            stop.options(scheduling_strategy=affinity(place.node, soft=False)).remote(place.process)
        wait([worker.job for worker in busy if worker.job], SHUTDOWN_TIMEOUT)


def disagreement(places: Iterable[_WorkerPlace]) -> str | None:
    """A warning if nodes compute `precision: auto` in different precisions; None if they agree."""
    nodes: dict[str, set[str]] = {}
    for place in places:
        nodes.setdefault(place.precision, set()).add(place.node[:12])
    if len(nodes) < 2:
        return None
    parts = [f"{precision} on {', '.join(sorted(names))}" for precision, names in sorted(nodes.items())]
    return f"`precision: auto` differs between nodes: {'; '.join(parts)}. {REMEDY}"


def _connect(cluster: RayCluster) -> Any:
    """Connects to a cluster, or starts one on this machine, and returns the module `ray`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports usage to its makers by default
    if cluster.address == LOCAL:
        _restrict_to_loopback()
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError:
        raise ConfigError("--engine ray needs Ray: pip install 'adapterstilts[ray]'") from None
    # Ray refuses these settings for a cluster that runs already.
    local = {"num_cpus": cluster.workers or os.cpu_count(), "include_dashboard": False}
    try:
        _check_reachable(cluster.address)
        ray.init(
            address=cluster.address, log_to_driver=False, logging_level="error",
            **(local if cluster.address == LOCAL else {}),
        )  # fmt: skip
    except Exception as error:  # Ray raises a bare Exception if it does not start in time
        raise ClusterError(f"no Ray cluster at {cluster.address}: {error}") from error
    if cluster.address == LOCAL:
        _check_loopback(ray)
    return ray


def _restrict_to_loopback() -> None:
    """Makes a Ray of one machine listen on the loopback interface only and require a token.

    Ray executes whatever it receives and listens on all interfaces by default. The token is generated for
    this run and kept in the environment of its processes; an existing token or mode is used instead.
    """
    os.environ[LOOPBACK] = "0"
    if constants := sys.modules.get("ray._private.ray_constants"):
        # Ray is already imported and has read its settings; recent versions require a token by default.
        constants.ENABLE_RAY_CLUSTER = False  # type: ignore[attr-defined]
    else:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    if os.environ.get("RAY_AUTH_MODE", "token") == "token" and not any(map(os.environ.get, TOKENS)):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _check_loopback(ray: Any) -> None:
    """Shuts down a local Ray that other machines can reach.

    Raises:
        ClusterError: Ray listens on an interface other than loopback.
    """
    addresses = {node["NodeManagerAddress"] for node in ray.nodes()}
    if not all(ip_address(address).is_loopback for address in addresses):
        ray.shutdown()
        raise ClusterError(
            f"Ray listens on {', '.join(sorted(addresses))}, not only on loopback, so other machines could "
            "send it jobs: use --engine local, or start a cluster with a token and pass --ray-address"
        )


def _check_reachable(address: str) -> None:
    """Refuses a host and port that do not answer; Ray would retry for many minutes."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT).close()


def _available_workers(cluster: RayCluster, resources: dict[str, float]) -> tuple[float, int]:
    """Returns the GPUs per worker and the number of workers."""
    all_gpus, cpus = resources.get("GPU", 0.0), resources.get("CPU", 0.0)
    gpus = cluster.gpus if cluster.gpus is not None else min(1.0, all_gpus)
    if gpus > 1 and gpus != int(gpus):
        raise ConfigError(f"--gpus-per-worker requires a fraction of one GPU or a whole number, not {gpus:g}")
    room = int(min(cpus, all_gpus // gpus if gpus else cpus))
    if not (cluster.workers or room):
        raise ClusterError(
            f"no room for a worker with {gpus:g} GPUs: {cpus:g} CPUs, {all_gpus:g} GPUs in total"
        )
    return gpus, cluster.workers or room


def _stop_process(process: int) -> None:
    os.kill(process, signal.SIGTERM)
