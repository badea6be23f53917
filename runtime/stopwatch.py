"""Time per stage."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Collects how long each stage took, frame by frame; stages may be timed from several threads.

    Attributes
    ----------
    seconds : stage -> durations in the order in which they ended
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Time the block as one run of a stage; a block that raises does not count."""
        begun = time.perf_counter()
        yield
        self.seconds.setdefault(stage, []).append(time.perf_counter() - begun)

    def medians(self) -> dict[str, float]:
        """Stage -> median duration in milliseconds."""
        return {stage: 1000 * statistics.median(values) for stage, values in self.seconds.items()}
