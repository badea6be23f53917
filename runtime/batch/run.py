"""A batch: skip what is finished, run the rest on an engine, and write a summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from ..errors import BadInput, ShlsError
from .keys import task_key
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
            plan.tasks.append(Task(row, key, source, folder.path, wanted))
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
                outcomes[outcome.output] = outcome
                _record(folder, outcome)
                if progress:
                    progress.ended(outcome)
    except BadInput as error:
        done = sum(outcome.state != "failed" for outcome in outcomes.values())
        raise BadInput(
            f"{error} (the batch stopped with {done} of {len(rows)} videos finished; the same command resumes)"
        ) from error
    finally:
        missing = [row for row in rows if row.output not in outcomes]
        summary = Summary(
            [outcomes[row.output] for row in rows if row.output in outcomes], [one.output for one in missing]
        )
        write_summary(folder.path, summary)
    return summary


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
