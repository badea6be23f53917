"""A batch: skip what is finished, run the rest on an engine, and write a summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from ..errors import BadInput, ShlsError
from .keys import check_inputs, size_of, task_key
from .output_folder import OutputFolder
from .scheduler import Engine, run_tasks
from .summary import Summary, write_summary
from .tasks import Outcome, Row, Task, Wanted, failure


class Progress(Protocol):
    """Display of a batch while it runs."""

    def plan(self, total: int, weights: dict[str, int]) -> None:
        """Begin: `total` videos, and the size of each one that has to be computed, by output."""

    def begun(self, task: Task) -> None:
        """A task was given to a worker."""

    def ended(self, outcome: Outcome) -> None:
        """A task ended, or was finished by an earlier run."""


class Plan(NamedTuple):
    """Tasks of a batch, and the outcomes that are known without computing.

    Examples
    --------
    >>> Plan([], []).tasks
    []
    """

    tasks: list[Task]
    known: list[Outcome]


def make_plan(
    rows: Sequence[Row], folder: OutputFolder, common: dict[str, Any], wanted: Wanted, retry_failed: bool = False
) -> Plan:
    """Sort rows into those that have to be computed, those that are finished, and those that failed.

    Parameters
    ----------
    rows : videos and marks
    folder : earlier results
    common : see `shls.runtime.batch.keys.fingerprint`
    wanted : outputs
    retry_failed : compute rows anew that failed before

    Raises
    ------
    BadInput
        If a folder of results would replace something else.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as path:
    ...     plan = make_plan([Row("line 1", "none.mp4", "none")], OutputFolder(Path(path)), {}, Wanted())
    >>> plan.known[0].state
    'failed'
    """
    plan = Plan([], [])
    for row in rows:
        folder.check_place(folder.path / row.output)
        earlier = folder.known(row.output)
        try:
            if earlier is None and not folder.has_failed(row.output):  # the worker computes the key
                check_inputs(row)
                plan.tasks.append(Task(row, "", size_of(row.video), folder.path, wanted, common))
                continue
            key, source = task_key(row, common, earlier)
        except ShlsError as error:  # a missing file: it is looked for again in the next run
            plan.known.append(failure(Task(row, "", {}, folder.path, wanted), _named(row, str(error))))
            continue
        failed = folder.failed(row.output, key)
        if earlier is not None and earlier.key == key:
            plan.known.append(_as_kept(earlier, row))
        elif failed is not None and not retry_failed:
            plan.known.append(failed)
        else:
            plan.tasks.append(Task(row, key, source, folder.path, wanted, common))
    return plan


def run_batch(
    rows: Sequence[Row],
    folder: OutputFolder,
    common: dict[str, Any],
    wanted: Wanted,
    open_engine: Callable[[int], tuple[Engine, int]],
    *,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Run a batch in a folder that the caller has locked, and write its summary.

    Parameters
    ----------
    rows, folder, common, wanted, retry_failed : see `make_plan`
    open_engine : given the number of tasks, returns an engine and the number of its workers
    progress : display

    Returns
    -------
    Summary

    Raises
    ------
    BadInput
        If the batch cannot go on, for example because the disk is full. Finished videos stay.

    Examples
    --------
    >>> run_batch(rows, folder, common, wanted, open_engine).failed  # doctest: +SKIP
    []
    """
    plan = make_plan(rows, folder, common, wanted, retry_failed)
    outcomes = {outcome.output: outcome for outcome in plan.known}
    if progress:
        progress.plan(len(rows), {task.row.output: _weight(task) for task in plan.tasks})
        for outcome in plan.known:
            progress.ended(outcome)
    try:
        if plan.tasks:
            engine, jobs = open_engine(len(plan.tasks))
            for outcome in run_tasks(plan.tasks, engine, jobs, progress.begun if progress else None):
                outcomes[outcome.output] = outcome = _with_key(outcome, plan.tasks)
                _record(folder, outcome)
                if progress:
                    progress.ended(outcome)
    except BaseException as error:  # Ctrl-C, too: the summary says what is finished
        with suppress(BadInput):  # the disk may be full
            write_summary(folder.path, _summary(rows, outcomes))
        if not isinstance(error, BadInput):
            raise
        done = sum(outcome.state != "failed" for outcome in outcomes.values())
        stopped = f"The batch stopped: {done} of {len(rows)} videos have results. Resume it later"
        raise BadInput(f"{error} {stopped}") from error
    summary = _summary(rows, outcomes)
    write_summary(folder.path, summary)
    return summary


def _summary(rows: Sequence[Row], outcomes: dict[str, Outcome]) -> Summary:
    """Put the outcomes into the order of the rows."""
    ended = [outcomes[row.output] for row in rows if row.output in outcomes]
    return Summary(ended, [row.output for row in rows if row.output not in outcomes])


def _with_key(outcome: Outcome, tasks: Sequence[Task]) -> Outcome:
    """Compute the key of a failure that the worker could not report, so that the failure is remembered."""
    if outcome.key or outcome.state != "failed":
        return outcome
    task = next(task for task in tasks if task.row.output == outcome.output)
    with suppress(ShlsError):
        return replace(outcome, key=task_key(task.row, task.common)[0])
    return outcome


def _record(folder: OutputFolder, outcome: Outcome) -> None:
    if outcome.state == "failed":
        folder.record_failure(outcome)
    else:
        folder.forget_failure(outcome.output)


def _as_kept(outcome: Outcome, row: Row) -> Outcome:
    values = outcome.to_dict() | {"state": "kept", "video": row.video, "columns": row.columns}
    return Outcome.from_dict(values)


def _named(row: Row, reason: str) -> str:
    """Put the place of a row in front of a reason that does not name it."""
    return reason if reason.startswith(row.where) or row.where == row.video else f"{row.where}: {reason}"


def _weight(task: Task) -> int:
    """Return the size of a video in bytes, by which the remaining time is estimated."""
    return int(task.source.get("bytes") or 1)
