"""Order of the tasks: workers that are idle get the next task, and a task whose worker died is tried once alone."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from ..errors import BadInput
from .tasks import Outcome, Task, failure

log = logging.getLogger("shls")

MOST_MOVES = 3
"""Times that a task is moved to another machine after its machine was lost."""
MOST_DEATHS = 3
"""Workers that may die while they load the model, before the batch ends."""


class Died(NamedTuple):
    """End of a worker in the middle of a task.

    reason : what is known of its end, such as `ended by signal 9`
    loaded : whether the worker had loaded its model
    machine_lost : the whole machine was lost, so the task is not to blame

    Examples
    --------
    >>> Died("ended by signal 9", loaded=True).machine_lost
    False
    """

    reason: str
    loaded: bool
    machine_lost: bool = False


class WorkerHandle(Protocol):
    """A worker as its engine controls it."""

    def submit(self, task: Task) -> None:
        """Send the worker a task; one task at a time."""

    def stop(self) -> None:
        """End the worker at once."""


class Engine(Protocol):
    """Starts workers and waits for them."""

    def start(self) -> WorkerHandle:
        """Start a worker, which begins to load its model."""

    def wait(self, workers: Sequence[WorkerHandle]) -> list[tuple[WorkerHandle, Outcome | Died]]:
        """Wait until at least one of the workers has an outcome or died."""


def run_tasks(
    tasks: Sequence[Task], engine: Engine, jobs: int, begun: Callable[[Task], None] | None = None
) -> Iterator[Outcome]:
    """Run tasks on several workers; yield the outcomes as they come.

    A task whose worker died, as happens when memory runs out, is run once more after all others, alone. If its worker
    dies again, the task has failed.

    Parameters
    ----------
    tasks : tasks in the order in which they begin
    engine : starts the workers
    jobs : number of workers
    begun : called with each task when it begins

    Raises
    ------
    BadInput
        If an outcome is fatal, or if workers die before they have loaded the model. Workers are stopped.

    Examples
    --------
    >>> list(run_tasks([], engine=None, jobs=2))
    []
    """
    crew = _Crew(engine, begun)
    alone: list[tuple[Task, Died]] = []
    try:
        yield from _together(deque(tasks), crew, jobs, alone)
        crew.stop_all()
        for task, died in alone:
            yield from _alone(task, died, crew)
    finally:
        crew.stop_all()


class _Crew:
    """The workers, and the task that each of them has."""

    def __init__(self, engine: Engine, begun: Callable[[Task], None] | None) -> None:
        self._engine, self._begun = engine, begun
        self.idle: list[WorkerHandle] = []
        self.busy: dict[int, tuple[WorkerHandle, Task]] = {}
        self._deaths_in_loading = 0

    @property
    def size(self) -> int:
        return len(self.idle) + len(self.busy)

    def give(self, task: Task) -> None:
        worker = self.idle.pop() if self.idle else self._engine.start()
        worker.submit(task)
        self.busy[id(worker)] = worker, task
        if self._begun:
            self._begun(task)

    def wait(self) -> list[tuple[Task, Outcome | Died]]:
        found = []
        for worker, event in self._engine.wait([worker for worker, _ in self.busy.values()]):
            _, task = self.busy.pop(id(worker))
            if isinstance(event, Died):
                worker.stop()
                self._note_death(event)
            else:
                self.idle.append(worker)
                self._deaths_in_loading = 0
            found.append((task, event))
        return found

    def dismiss_idle(self) -> None:
        """Stop the idle workers: on a cluster, one that has not begun yet may wait for their cores."""
        for worker in self.idle:
            worker.stop()
        self.idle = []

    def stop_all(self) -> None:
        for worker in [*self.idle, *(worker for worker, _ in self.busy.values())]:
            worker.stop()
        self.idle, self.busy = [], {}

    def _note_death(self, died: Died) -> None:
        if died.loaded or died.machine_lost:
            return
        self._deaths_in_loading += 1
        if self._deaths_in_loading >= MOST_DEATHS:
            raise BadInput(
                f"workers: {self._deaths_in_loading} died while they loaded the model (the last one {died.reason}, "
                "expected a loaded model). Give fewer --jobs, or a machine with more memory"
            )


def _together(queue: deque[Task], crew: _Crew, jobs: int, alone: list[tuple[Task, Died]]) -> Iterator[Outcome]:
    """Run tasks side by side; collect those whose worker died in `alone`."""
    moves: dict[str, int] = {}
    fatal: Outcome | None = None
    while crew.busy or (queue and fatal is None):
        while queue and fatal is None and (crew.idle or crew.size < jobs):
            crew.give(queue.popleft())
        if not queue:
            crew.dismiss_idle()
        for task, event in crew.wait():
            if isinstance(event, Outcome):
                fatal = fatal or (event if event.fatal else None)
                if not event.fatal:
                    yield event
            elif event.machine_lost and moves.get(task.row.output, 0) < MOST_MOVES:
                log.warning("%s: its worker %s. The video begins again elsewhere.", task.row.video, event.reason)
                moves[task.row.output] = moves.get(task.row.output, 0) + 1
                queue.appendleft(task)
            else:
                log.warning("%s: its worker %s. The video is tried once more, alone.", task.row.video, event.reason)
                alone.append((task, event))
    if fatal is not None:
        raise BadInput(fatal.reason)


def _alone(task: Task, died: Died, crew: _Crew) -> Iterator[Outcome]:
    crew.give(task)
    _, event = crew.wait()[0]
    if isinstance(event, Died):
        reason = f"{task.row.video}: its worker died twice, the second time alone on the machine (got {event.reason} "
        yield failure(task, f"{reason}after {died.reason}; memory may be too small). Use a smaller video")
    elif event.fatal:
        raise BadInput(event.reason)
    else:
        yield event
    crew.stop_all()
