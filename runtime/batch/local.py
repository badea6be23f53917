"""Engine of one machine: worker processes that keep their model loaded."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ShlsError
from .scheduler import Died, WorkerHandle
from .tasks import Outcome, Task, failure

if TYPE_CHECKING:
    from ..segmenter import VideoSegmenter

WORKER_MEMORY = 700 << 20
"""Memory that is reckoned per worker, bytes: model, kernels and the frames of a video of 1280x720."""
PR_SET_PDEATHSIG = 1
"""Number of the call of Linux that ends a process together with its parent."""


def automatic_jobs(tasks: int, cores: int, meminfo: Path = Path("/proc/meminfo")) -> int:
    """Return the number of workers for this machine: one per core, fewer if memory is short or tasks are few.

    Parameters
    ----------
    tasks : number of tasks
    cores : number of usable cores
    meminfo : file in the format of /proc/meminfo

    Examples
    --------
    >>> automatic_jobs(tasks=3, cores=8, meminfo=Path("/no/such/file"))
    3
    """
    fits = cores
    with suppress(OSError, ValueError, IndexError):
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        fits = int(lines["MemAvailable"].split()[0]) * 1024 // WORKER_MEMORY
    return max(1, min(tasks, cores, fits))


class LocalEngine:
    """Worker processes on this machine, started by spawn: inference engines do not survive a fork.

    Parameters
    ----------
    opened : opens a segmenter; a function of a module, or a `functools.partial` of one
    threads : CPU threads of each worker

    Examples
    --------
    >>> from ..segmenter import open_segmenter
    >>> engine = LocalEngine(open_segmenter, threads=1)
    """

    def __init__(self, opened: Callable[[], VideoSegmenter], threads: int) -> None:
        self._opened, self._threads = opened, threads
        self._context = multiprocessing.get_context("spawn")

    def start(self) -> _Process:
        """Start a worker process, which begins to load its model."""
        here, there = self._context.Pipe()
        arguments = (there, self._opened, self._threads, os.getpid())
        # Not a daemon, which may have no children of its own; the kernel ends the worker with its parent.
        process = self._context.Process(target=_serve, args=arguments, name="shls-worker")
        with _interrupts_ignored():  # Ctrl-C is the parent's, also while the worker starts
            process.start()
        there.close()
        return _Process(process, here)

    def wait(self, workers: Sequence[WorkerHandle]) -> list[tuple[WorkerHandle, Outcome | Died]]:
        """Wait until at least one of the workers has an outcome or died."""
        known = {worker.connection: worker for worker in workers if isinstance(worker, _Process)}
        found: list[tuple[WorkerHandle, Outcome | Died]] = []
        while not found:
            for ready in wait(list(known)):
                if isinstance(ready, Connection) and (event := known[ready].receive()) is not None:
                    found.append((known[ready], event))
        return found


class _Process:
    """A worker process and the connection to it."""

    def __init__(self, process: multiprocessing.process.BaseProcess, connection: Connection) -> None:
        self._process, self.connection = process, connection
        self._loaded = False

    def submit(self, task: Task) -> None:
        with suppress(OSError):  # the worker has died; `wait` says so
            self.connection.send(task)

    def receive(self) -> Outcome | Died | None:
        """Return what the worker sent; None for the message that its model is loaded."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            return Died(_ending(self._process.exitcode), self._loaded)
        if isinstance(message, Outcome):
            return message
        self._loaded = True
        return None

    def stop(self) -> None:
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self.connection.close()


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"ended by signal {-code}" + (", as when memory runs out" if code == -signal.SIGKILL else "")
    return f"ended with code {code}"


def _serve(connection: Connection, opened: Callable[[], VideoSegmenter], threads: int, parent: int) -> None:
    """Run tasks until the connection is closed."""
    _die_with(parent)
    from .worker import open_worker, run_task

    segmenter: VideoSegmenter | None = None
    problem = ""
    try:
        segmenter = open_worker(opened, threads)
    except ShlsError as error:
        problem = str(error)
    with suppress(EOFError, OSError):
        connection.send("loaded")
        while True:
            task = connection.recv()
            connection.send(failure(task, problem, fatal=True) if segmenter is None else run_task(segmenter, task))


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let processes that are started meanwhile ignore Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set a handler
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _die_with(parent: int) -> None:
    """Let Linux end this process when its parent ends, even by signal 9, so that no video is worked on twice."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the call
        os._exit(1)
