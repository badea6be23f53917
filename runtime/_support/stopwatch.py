"""Time per stage."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

KEEP = 10_000
"""Durations kept per stage: a camera may run for months."""


class Stopwatch:
    """Collects how long each stage took, frame by frame; stages may be timed from several threads.

    Parameters
    ----------
    keep : newest durations per stage that are kept; None keeps all

    Attributes
    ----------
    seconds : stage -> durations in the order in which they ended
    """

    def __init__(self, keep: int | None = KEEP) -> None:
        self.seconds: dict[str, deque[float]] = {}
        self.restart(keep)

    def restart(self, keep: int | None = KEEP) -> None:
        """Forget what was measured, and keep so many from now on."""
        self.seconds.clear()
        self._keep = keep

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Time the block as one run of a stage; a block that raises does not count."""
        begun = time.perf_counter()
        yield
        self.add(stage, time.perf_counter() - begun)

    def add(self, stage: str, seconds: float) -> None:
        """Count a duration that was measured elsewhere."""
        if stage not in self.seconds:
            self.seconds[stage] = deque(maxlen=self._keep)
        self.seconds[stage].append(seconds)

    def medians(self) -> dict[str, float]:
        """Stage -> median duration in milliseconds."""
        return {stage: 1000 * statistics.median(values) for stage, values in self.seconds.items()}
