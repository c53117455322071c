"""A crew on a Ray cluster, or on a Ray of this machine; the only file that imports `ray`.

Ray places the workers and tells when one is gone, with its node or alone; the engine gives its request to
another one. A worker counts from the moment it runs: a place that is lost, or not yet free, holds up nothing.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
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
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # "0": Ray listens on loopback only, as on macOS
STARTS = 3  # failed starts of workers, one after another, until the cluster is given up
CONNECT = 15.0  # seconds for a cluster to answer
PATIENCE = 30.0  # seconds between lines about waiting for a first worker
LAST_WORDS = 60.0  # seconds that trainings have to write a checkpoint
TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")  # Ray reads these before the home folder
# Environment variables that affect results: data folders, downloads, the precision of `auto`.
PASSED_ON = ("ADAPTERSTILTS_DATA", "HF_HUB_OFFLINE", "ADAPTERSTILTS_CPU_BF16")


@dataclass(frozen=True)
class RayCluster:
    """Where to work, and with how many.

    Attributes:
        address: of a running cluster ("auto": the one of this machine); "local" starts one here.
        workers: how many; as many as there is room for by default.
        gpus: for each worker, a share of one or a whole number; by default 1 if the cluster has any.
    """

    address: str = LOCAL
    workers: int | None = None
    gpus: float | None = None


class WorkerPlace(NamedTuple):
    """Where a worker runs: its node, its process there, and what decides its results.

    Attributes:
        version: of this package.
        precision: what `precision: auto` stands for there.
    """

    node: str
    process: int
    version: str
    precision: str = ""


class RayOutcome(NamedTuple):
    """What came of a request, and the lines that were said meanwhile."""

    attempt: JobOutcome
    lines: list[str]


class RayWorker:
    """A worker on some node: loads a backbone once and makes one request at a time, with one CPU thread."""

    def __init__(self, saving: WorkerSettings, folder: str, settings: dict[str, str]):
        """Prepares the process.

        Args:
            folder: that relative paths start from, where the node has it.
            settings: environment variables.
        """
        os.environ.update(settings)
        if Path(folder).is_dir():
            os.chdir(folder)
        import torch

        from adapterstilts.grid.remote_records import records_of
        from adapterstilts.grid.worker import Worker

        torch.set_num_threads(1)
        self._lines: list[str] = []
        records = records_of(saving.store, view=False)
        self._worker = Worker(records, saving.checkpoint_minutes, saving.checkpoint_steps, self._listen)

    def place(self) -> WorkerPlace:
        """Where this is."""
        import ray

        from adapterstilts.grid.worker import auto_precision

        node = ray.get_runtime_context().get_node_id()
        return WorkerPlace(node, os.getpid(), __version__, auto_precision())

    def make(self, request: JobSpec) -> RayOutcome:
        """Makes it; SIGTERM ends a training after a checkpoint."""
        from adapterstilts.grid.worker import JobOutcome

        self._lines.clear()
        try:
            return RayOutcome(self._worker.attempt(request), self._lines)
        except KeyboardInterrupt:
            return RayOutcome(JobOutcome(None), self._lines)

    def _listen(self, _: str, line: str) -> None:
        self._lines.append(line)


class _WorkerHandle:
    """One worker, from the moment it is asked for."""

    def __init__(self, actor: Any):
        self.actor = actor
        self.place: Future[WorkerPlace] = actor.place.remote().future()
        self.work: Future[JobOutcome] | None = None

    @property
    def runs(self) -> bool:
        return self.place.done() and self.place.exception() is None

    @property
    def free(self) -> bool:
        return self.runs and (self.work is None or self.work.done())

    @property
    def lost(self) -> bool:
        """Whether the process, or its node, is gone."""
        return bool(self.work and self.work.done() and isinstance(self.work.exception(), BrokenExecutor))

    @property
    def never_ran(self) -> bool:
        return self.place.done() and self.place.exception() is not None


class RayExecutor:
    """Workers that Ray places."""

    def __init__(
        self,
        saving: WorkerSettings,
        cluster: RayCluster,
        listen: Callable[[str, str], None],
        maker: type = RayWorker,
    ):
        """Connects to the cluster.

        Args:
            listen: receives the lines of a request, after its digest, once it is through.
            maker: what makes requests.

        Raises:
            ConfigError: Ray is not installed, or gives no such shares of GPUs.
            ClusterError: there is no cluster, or no room in it.
        """
        self._ray = _connect(cluster)
        self._listen = listen
        gpus, self._workers = _room(cluster, self._ray.cluster_resources())
        store = saving.store if "://" in str(saving.store) else Path(saving.store).absolute()
        settings = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        given = (
            WorkerSettings(store, saving.checkpoint_minutes, saving.checkpoint_steps),
            str(Path.cwd()),
            settings,
        )
        remote = self._ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(maker)
        self._start: Callable[[], _WorkerHandle] = lambda: _WorkerHandle(remote.remote(*given))
        self._hands: list[_WorkerHandle] = []
        self._failed_starts = 0
        self._disagreed = False

    @property
    def size(self) -> int:
        """How many workers run; once there should be some, waits for the first one."""
        if not self._hands:
            return self._workers
        while True:
            self._replace()
            running = [hand for hand in self._hands if hand.runs]
            if running:
                self._compare([hand.place.result() for hand in running])
                return len(running)
            if not wait([hand.place for hand in self._hands], PATIENCE, FIRST_COMPLETED).done:
                self._listen("", f"waiting until the cluster has room for one of {self._workers} workers")

    def give(self, request: JobSpec) -> Future[JobOutcome]:
        """Has a free worker make it."""
        hand = next(hand for hand in self._hands if hand.free)
        work: Future[JobOutcome] = Future()
        hand.work = work
        made: Future[RayOutcome] = hand.actor.make.remote(request).future()
        made.add_done_callback(lambda found: self._settle(request, work, found))
        return work

    def __enter__(self) -> Self:
        """Asks for the workers."""
        self._hands = [self._start() for _ in range(self._workers)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the workers; after an error those that train write a checkpoint first."""
        try:
            if error is not None:
                self._interrupt()
        finally:
            self._hands = []
            self._ray.shutdown()

    def _settle(self, request: JobSpec, work: Future[JobOutcome], found: Future[RayOutcome]) -> None:
        """Passes on what a worker returned, in a thread of Ray's."""
        error = found.exception()
        if isinstance(error, self._ray.exceptions.RayTaskError):
            work.set_exception(error.cause if isinstance(error.cause, BaseException) else error)
        elif error is not None:
            work.set_exception(BrokenExecutor(str(error)))
        else:
            for line in found.result().lines:
                self._listen(request.digest, line)
            work.set_result(found.result().attempt)

    def _replace(self) -> None:
        """Asks for another worker in place of each one that is gone."""
        for number, hand in enumerate(self._hands):
            if hand.never_ran:
                self._failed_starts += 1
                if self._failed_starts >= STARTS:
                    raise ClusterError(f"workers cannot start on the cluster: {hand.place.exception()}")
            elif hand.runs:
                self._failed_starts = 0
                if hand.place.result().version != __version__:
                    raise ClusterError(
                        f"a node has adapterstilts {hand.place.result().version}, this is {__version__}: "
                        "install the same version on all"
                    )
            if hand.never_ran or hand.lost:
                self._ray.kill(hand.actor)  # where it cannot be reached, it may be alive
                self._hands[number] = self._start()

    def _compare(self, places: Sequence[WorkerPlace]) -> None:
        """Warns once if nodes compute `precision: auto` in different precisions."""
        text = disagreement(places)
        if text and not self._disagreed:
            self._disagreed = True
            self._listen("", text)

    def _interrupt(self) -> None:
        """Has busy workers stop, and waits for them."""
        busy = [hand for hand in self._hands if hand.runs and hand.work and not hand.work.done()]
        stop = self._ray.remote(num_cpus=0)(_stop)
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        for hand in busy:
            place = hand.place.result()
            stop.options(scheduling_strategy=strategy(place.node, soft=False)).remote(place.process)
        wait([hand.work for hand in busy if hand.work], LAST_WORDS)


def disagreement(places: Iterable[WorkerPlace]) -> str | None:
    """A warning if nodes compute `precision: auto` in different precisions; None if they agree."""
    nodes: dict[str, set[str]] = {}
    for place in places:
        nodes.setdefault(place.precision, set()).add(place.node[:12])
    if len(nodes) < 2:
        return None
    parts = [f"{precision} on {', '.join(sorted(names))}" for precision, names in sorted(nodes.items())]
    return f"`precision: auto` differs between nodes: {'; '.join(parts)}. {REMEDY}"


def _connect(cluster: RayCluster) -> Any:
    """Ray, connected."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    if cluster.address == LOCAL:
        _close_off()
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError:
        raise ConfigError("--engine ray needs Ray: pip install 'adapterstilts[ray]'") from None
    here = {"num_cpus": cluster.workers or os.cpu_count(), "include_dashboard": False}
    try:
        _knock(cluster.address)
        ray.init(
            address=cluster.address, log_to_driver=False, logging_level="error",
            **(here if cluster.address == LOCAL else {}),
        )  # fmt: skip
    except Exception as error:  # Ray raises a bare one where it does not start in time
        raise ClusterError(f"there is no Ray cluster at {cluster.address}: {error}") from error
    if cluster.address == LOCAL:
        _check_closed(ray)
    return ray


def _close_off() -> None:
    """Makes a Ray of one machine listen on the loopback interface only and require a token.

    Ray executes whatever it receives, and listens on all interfaces by default. The token is generated for
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


def _check_closed(ray: Any) -> None:
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


def _knock(address: str) -> None:
    """Refuses a host and port where nobody answers; Ray would try for many minutes."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=CONNECT).close()


def _room(cluster: RayCluster, has: dict[str, float]) -> tuple[float, int]:
    """GPUs for each worker, and how many workers."""
    all_gpus, cpus = has.get("GPU", 0.0), has.get("CPU", 0.0)
    gpus = cluster.gpus if cluster.gpus is not None else min(1.0, all_gpus)
    if gpus > 1 and gpus != int(gpus):
        raise ConfigError(f"--gpus-per-worker wants a share of one GPU or a whole number, not {gpus:g}")
    room = int(min(cpus, all_gpus // gpus if gpus else cpus))
    if not (cluster.workers or room):
        raise ClusterError(
            f"no room for a worker with {gpus:g} GPUs: {cpus:g} CPUs, {all_gpus:g} GPUs in all"
        )
    return gpus, cluster.workers or room


def _stop(process: int) -> None:
    os.kill(process, signal.SIGTERM)
