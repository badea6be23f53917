"""An engine that runs tasks in this process, for tests of what surrounds the engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shls.runtime.batch.scheduler import Died, WorkerHandle
from shls.runtime.batch.tasks import Outcome, Task
from shls.runtime.batch.worker import run_task


class Here:
    """Runs one task at a time; `ran` lists the outputs of the tasks."""

    def __init__(self, segmenter: Any) -> None:
        self._segmenter = segmenter
        self.ran: list[str] = []

    def start(self) -> HereWorker:
        return HereWorker()

    def wait(self, workers: Sequence[WorkerHandle]) -> list[tuple[WorkerHandle, Outcome | Died]]:
        (worker,) = workers
        assert isinstance(worker, HereWorker)
        self.ran.append(worker.task.row.output)
        return [(worker, run_task(self._segmenter, worker.task))]


class HereWorker:
    task: Task

    def submit(self, task: Task) -> None:
        self.task = task

    def stop(self) -> None:
        pass
