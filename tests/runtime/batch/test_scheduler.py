"""Order of tasks, dead workers and lost machines, with an engine that is played."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from shls.runtime.batch.scheduler import Died, WorkerHandle, run_tasks
from shls.runtime.batch.tasks import Outcome, Row, Task, Wanted, failure
from shls.runtime.errors import BadInput


class Played:
    """Workers that answer at once, the one that has waited longest first; `deaths` are deaths by output, in order."""

    def __init__(self, deaths: dict[str, list[Died]] | None = None, fatal: str = "") -> None:
        self.deaths, self.fatal = deaths or {}, fatal
        self.started = self.most = 0
        self.alive: list[PlayedWorker] = []
        self.log: list[tuple[str, int]] = []

    def start(self) -> PlayedWorker:
        self.started += 1
        self.alive.append(PlayedWorker(self))
        self.most = max(self.most, len(self.alive))
        return self.alive[-1]

    def wait(self, workers: Sequence[WorkerHandle]) -> list[tuple[WorkerHandle, Outcome | Died]]:
        worker = workers[0]
        assert isinstance(worker, PlayedWorker)
        name = worker.task.row.output
        self.log.append((name, len(self.alive)))
        if self.deaths.get(name):
            return [(worker, self.deaths[name].pop(0))]
        if name == self.fatal:
            return [(worker, failure(worker.task, "out: the disk is full", fatal=True))]
        return [(worker, Outcome(name, f"{name}.mp4", "done"))]


class PlayedWorker:
    def __init__(self, engine: Played) -> None:
        self._engine = engine
        self.task: Task

    def submit(self, task: Task) -> None:
        self.task = task

    def stop(self) -> None:
        if self in self._engine.alive:
            self._engine.alive.remove(self)


KILLED = Died("ended by signal 9", loaded=True)
LOST = Died("ended as its machine was lost", loaded=True, machine_lost=True)


def tasks(names: str) -> list[Task]:
    return [Task(Row("", f"{name}.mp4", name), "00", {}, Path("out"), Wanted()) for name in names]


def states(engine: Played, names: str, jobs: int) -> dict[str, str]:
    found = list(run_tasks(tasks(names), engine, jobs))
    assert len({one.output for one in found}) == len(found), "no task ends twice"
    assert engine.alive == [], "no worker is left"
    return {one.output: one.state for one in found}


def test_workers_keep_their_model_and_are_not_more_than_jobs() -> None:
    engine = Played()
    assert states(engine, "abcdef", 2) == dict.fromkeys("abcdef", "done")
    assert (engine.started, engine.most) == (2, 2)


def test_idle_workers_end_when_no_task_is_left_to_begin() -> None:
    engine = Played()
    list(run_tasks(tasks("ab"), engine, 2))
    assert engine.log == [("a", 2), ("b", 1)], "on a cluster, the last worker may wait for the cores of the first"


def test_a_task_whose_worker_died_is_tried_once_alone() -> None:
    engine = Played({"b": [KILLED]})
    assert states(engine, "abcd", 2) == dict.fromkeys("abcd", "done")
    assert engine.log[-1] == ("b", 1), "last, and with no other worker"


def test_a_task_that_kills_its_worker_twice_has_failed() -> None:
    engine = Played({"b": [KILLED, KILLED]})
    found = {one.output: one for one in run_tasks(tasks("abc"), engine, 2)}
    assert [found[name].state for name in "abc"] == ["done", "failed", "done"]
    assert found["b"].reason.startswith("b.mp4: its worker died twice, the second time alone on the machine")
    assert [name for name, _ in engine.log].count("b") == 2


def test_a_lost_machine_is_not_the_task_s_fault() -> None:
    engine = Played({"a": [LOST, LOST], "b": [LOST]})
    assert states(engine, "abc", 2) == dict.fromkeys("abc", "done")
    assert all(count > 1 for name, count in engine.log[:3])


def test_machines_that_are_lost_again_and_again() -> None:
    engine = Played({"a": [LOST] * 9})
    assert states(engine, "ab", 2) == {"a": "failed", "b": "done"}


def test_a_full_disk_stops_the_batch() -> None:
    engine = Played(fatal="b")
    ended = []
    with pytest.raises(BadInput, match="out: the disk is full"):
        ended += [one.output for one in run_tasks(tasks("abcdef"), engine, 2)]
    assert {name for name, _ in engine.log} <= set("abc"), "nothing more is begun"
    assert engine.alive == []


def test_workers_that_die_while_they_load_the_model_stop_the_batch() -> None:
    early = Died("ended with code 1", loaded=False)
    engine = Played({name: [early] * 2 for name in "abcdef"})
    with pytest.raises(BadInput, match="workers: 3 died while they loaded the model"):
        list(run_tasks(tasks("abcdef"), engine, 2))
    assert engine.alive == []
