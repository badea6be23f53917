"""Display of a batch: a bar with an estimate on a terminal, one line per video elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from .tasks import Outcome, Task


def remaining(done: float, total: float, seconds: float) -> float | None:
    """Estimate the remaining seconds from the part that is done; None while nothing is done.

    Examples
    --------
    >>> remaining(25, 100, 60.0)
    180.0
    """
    return (total - done) * seconds / done if done > 0 else None


def as_clock(seconds: float | None) -> str:
    """Return a duration as hours, minutes and seconds.

    Examples
    --------
    >>> as_clock(3725), as_clock(None)
    ('1:02:05', '-')
    """
    if seconds is None:
        return "-"
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


class Display:
    """Progress of a batch on standard error. The estimate weighs videos by their size in bytes.

    Parameters
    ----------
    console : by default standard error

    Examples
    --------
    >>> from io import StringIO
    >>> text = StringIO()
    >>> with Display(Console(file=text)) as display:
    ...     display.plan(2, {"a": 10, "b": 30})
    ...     display.ended(Outcome("a", "a.mp4", "done", frames=9, seconds=2.0))
    >>> text.getvalue().splitlines()[1].startswith("1/2 a: 9 frames in 2.0 s, remaining 0:0")
    True
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr, soft_wrap=True, highlight=False)
        self._total, self._ended, self._failed = 0, 0, 0
        self._weights: dict[str, int] = {}
        self._done_weight, self._begun_at = 0, 0.0
        self._bar: Progress | None = None
        self._line = TaskID(0)
        self._running: dict[str, None] = {}

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def plan(self, total: int, weights: dict[str, int]) -> None:
        """Begin: `total` videos, and the size of each one that has to be computed, by output."""
        self._total, self._weights, self._begun_at = total, weights, time.monotonic()
        self._say(f"{total} videos, {len(weights)} to compute")
        if self._console.is_terminal:
            columns = (
                BarColumn(),
                TextColumn("{task.description}"),
                TextColumn("remaining {task.fields[remaining]}, elapsed"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[running]}"),
            )
            self._bar = Progress(*columns, console=self._console)
            self._line = self._bar.add_task("", total=sum(weights.values()) or 1, remaining="-", running="")
            self._bar.start()

    def begun(self, task: Task) -> None:
        """Show that a task was given to a worker."""
        self._running[task.row.output] = None
        self._draw()

    def ended(self, outcome: Outcome) -> None:
        """Show that a task ended, or was finished by an earlier run."""
        self._ended += 1
        self._failed += outcome.state == "failed"
        self._running.pop(outcome.output, None)
        self._done_weight += self._weights.get(outcome.output, 0)
        place = f"{self._ended}/{self._total} {outcome.output}"
        if outcome.state == "failed":
            self._say(f"{place}: failed: {outcome.reason}")
        elif outcome.state == "done" and self._bar is None:
            figures = f"{outcome.frames} frames in {outcome.seconds:.1f} s"
            self._say(f"{place}: {figures}, remaining {as_clock(self._estimate())}")
        self._draw()

    def _estimate(self) -> float | None:
        return remaining(self._done_weight, sum(self._weights.values()), time.monotonic() - self._begun_at)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def _draw(self) -> None:
        if self._bar is not None:
            failed = f", {self._failed} failed" if self._failed else ""
            self._bar.update(
                self._line,
                completed=self._done_weight,
                description=f"{self._ended}/{self._total} videos{failed}",
                remaining=as_clock(self._estimate()),
                running=" ".join(list(self._running)[:3]),
            )
