"""Engine of a cluster: actors of Ray, each of which keeps its model loaded."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._support.extras import require
from ..errors import BadInput, ShlsError
from .scheduler import Died, WorkerHandle
from .tasks import Outcome, Task, failure

if TYPE_CHECKING:
    from ..segmenter import VideoSegmenter

ASK_AGAIN = 5.0
"""Seconds after which the state of the machines is asked for again while no task ends."""


CONNECTED_WITHIN = 10.0
"""Seconds within which a cluster has to answer."""
NOTICED_WITHIN = 5.0
"""Seconds within which Ray notices that a machine is lost."""


class _Actor:
    """Actor on the cluster: it loads the model once and runs its tasks."""

    def __init__(self, opened: Callable[[], VideoSegmenter], threads: int) -> None:
        from .worker import open_worker

        self._problem, self._segmenter = "", None
        try:
            self._segmenter = open_worker(opened, threads)
        except ShlsError as error:
            self._problem = str(error)

    def run(self, task: Task) -> Outcome:
        """Run a task; its outcome is a failure if the model could not be loaded."""
        from .worker import run_task

        if self._segmenter is None:
            return failure(task, self._problem, fatal=True)
        return run_task(self._segmenter, task)

    def node(self) -> str:
        """Return the id of the machine, once the model is loaded."""
        import ray

        return str(ray.get_runtime_context().get_node_id())


class RayEngine:
    """Workers on a Ray cluster. Videos and the output folder must have the same path on all machines.

    Parameters
    ----------
    opened : opens a segmenter; a function of a module that is installed on all machines, or a partial of one
    threads : CPU threads of each worker
    address : address of the cluster, as `ray.init` takes it; by default that of the environment, or a new one
    cpus, gpus : cores and GPUs that Ray reserves per worker

    Raises
    ------
    MissingDependency
        If Ray is not installed.
    BadInput
        If the cluster cannot be reached.

    Examples
    --------
    >>> from ..segmenter import open_segmenter
    >>> engine = RayEngine(open_segmenter, threads=1)  # doctest: +SKIP
    """

    def __init__(
        self,
        opened: Callable[[], VideoSegmenter],
        threads: int,
        address: str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
    ) -> None:
        require("ray", "ray")
        import ray

        self._ray: Any = ray
        if not ray.is_initialized():
            _check_address(address)
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
            except (ConnectionError, ValueError, RuntimeError) as error:
                text = str(error).strip().splitlines()
                raise BadInput(
                    f"ray: no cluster (got {text[0] if text else type(error).__name__}, expected a running one at "
                    f"{address or 'the address of RAY_ADDRESS'}). Start it with `ray start --head`"
                ) from error
        self._arguments, self._resources = (opened, threads), (cpus, gpus)
        # The scheduler decides what is tried again, so Ray itself restarts nothing.
        self._actor = ray.remote(max_restarts=0, max_task_retries=0, num_cpus=cpus, num_gpus=gpus)(_Actor)

    def room(self) -> int:
        """Return the number of workers for which the cluster has cores and GPUs."""
        have, (cpus, gpus) = self._ray.cluster_resources(), self._resources
        rooms = [have.get(name, 0) // need for name, need in (("CPU", cpus), ("GPU", gpus)) if need]
        if not rooms or min(rooms) < 1:
            raise BadInput(
                f"ray: no room for a worker (got {have.get('CPU', 0):g} cores and {have.get('GPU', 0):g} GPUs in the "
                f"cluster, expected {cpus:g} and {gpus:g}). Reserve less per worker, or add machines"
            )
        return int(min(rooms))

    def start(self) -> _Remote:
        """Start an actor, which begins to load its model when Ray has found a machine for it."""
        return _Remote(self._ray, self._actor.remote(*self._arguments))

    def wait(self, workers: Sequence[WorkerHandle]) -> list[tuple[WorkerHandle, Outcome | Died]]:
        """Wait until at least one of the workers has an outcome or died."""
        known = {worker.pending: worker for worker in workers if isinstance(worker, _Remote)}
        ready: list[Any] = []
        while not ready:
            ready, _ = self._ray.wait(list(known), num_returns=1, timeout=ASK_AGAIN)
        return [(known[one], known[one].receive()) for one in ready]


class _Remote:
    """An actor and its current task."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self._node = actor.node.remote()  # ready when the model is loaded
        self.pending: Any = None

    def submit(self, task: Task) -> None:
        self.pending = self._actor.run.remote(task)

    def receive(self) -> Outcome | Died:
        """Return the outcome, or the end of the actor and whether its machine was lost with it."""
        errors = self._ray.exceptions
        try:
            outcome: Outcome = self._ray.get(self.pending)
            return outcome
        except (errors.RayActorError, errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
            node = self._loaded_on()
            lost = "its node has died" in str(error) or self._is_lost(node)
            reason = "ended as its machine was lost" if lost else "ended, as when memory runs out"
            return Died(reason, loaded=node is not None, machine_lost=lost)

    def stop(self) -> None:
        with suppress(Exception):  # the actor may have ended, or the cluster
            self._ray.kill(self._actor)

    def _loaded_on(self) -> str | None:
        """Return the machine of the actor; None if the model was never loaded."""
        with suppress(Exception):
            return str(self._ray.get(self._node, timeout=0))
        return None

    def _is_lost(self, node: str | None) -> bool:
        """Return whether a machine is lost; Ray notices some seconds after its actors have ended."""
        end = time.monotonic() + NOTICED_WITHIN
        while node is not None and time.monotonic() < end:
            if not any(one["Alive"] for one in self._ray.nodes() if one["NodeID"] == node):
                return True
            time.sleep(0.2)
        return False


def _check_address(address: str | None) -> None:
    """Raise BadInput if nothing answers at host:port, for which Ray itself would wait for minutes."""
    host, colon, port = (address or os.environ.get("RAY_ADDRESS", "")).rpartition(":")
    if not colon or "/" in host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECTED_WITHIN).close()
    except OSError as error:
        raise BadInput(
            f"ray: no cluster at {host}:{port} (got {error.strerror or error}). Start it with `ray start --head`, or "
            "correct the address"
        ) from error
