"""Durations of the stages of a frame."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

KEEP = 10_000
"""Number of durations kept per stage, because a camera may run for months."""


class Stopwatch:
    """Durations per stage, frame by frame; stages may be timed from several threads.

    Parameters
    ----------
    keep : number of newest durations kept per stage; None keeps all

    Attributes
    ----------
    seconds : stage -> durations in seconds, in the order in which the stages ended

    Examples
    --------
    >>> watch = Stopwatch()
    >>> with watch.time("network"):
    ...     pass
    >>> watch.add("network", 0.5)
    >>> len(watch.seconds["network"])
    2
    """

    def __init__(self, keep: int | None = KEEP) -> None:
        self.seconds: dict[str, deque[float]] = {}
        self.restart(keep)

    def restart(self, keep: int | None = KEEP) -> None:
        """Drop all durations.

        Parameters
        ----------
        keep : number of newest durations kept per stage from now on; None keeps all

        Examples
        --------
        >>> watch = Stopwatch()
        >>> watch.add("network", 0.5)
        >>> watch.restart(keep=None)
        >>> watch.seconds
        {}
        """
        self.seconds.clear()
        self._keep = keep

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Time the block as one run of a stage; a block that raises is not counted.

        Examples
        --------
        >>> watch = Stopwatch()
        >>> with watch.time("memory"):
        ...     pass
        >>> watch.seconds["memory"][0] >= 0
        True
        """
        begun = time.perf_counter()
        yield
        self.add(stage, time.perf_counter() - begun)

    def add(self, stage: str, seconds: float) -> None:
        """Add a duration in seconds that was measured elsewhere.

        Examples
        --------
        >>> watch = Stopwatch()
        >>> watch.add("age", 0.25)
        >>> list(watch.seconds["age"])
        [0.25]
        """
        if stage not in self.seconds:
            self.seconds[stage] = deque(maxlen=self._keep)
        self.seconds[stage].append(seconds)

    def medians(self) -> dict[str, float]:
        """Return stage -> median duration in milliseconds.

        Examples
        --------
        >>> watch = Stopwatch()
        >>> for seconds in (0.001, 0.005, 0.002):
        ...     watch.add("network", seconds)
        >>> watch.medians()
        {'network': 2.0}
        """
        return {stage: 1000 * statistics.median(values) for stage, values in self.seconds.items()}
