"""Periodic sampling of the device on a thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread

from .sensors import Sample


class Sampler:
    """Context manager that calls the readers once per period on its own thread, and once more at its end.

    Parameters
    ----------
    readers : functions that return a sample; their times are ignored, and later readers win
    period : seconds between two samples

    Attributes
    ----------
    samples : merged samples so far, `time` in seconds since entering

    Examples
    --------
    >>> with Sampler([lambda: Sample(power={"board": 5.0})], period=0.01) as sampler:
    ...     pass
    >>> sampler.samples[0].watts
    5.0
    """

    def __init__(self, readers: list[Callable[[], Sample]], period: float = 1.0) -> None:
        self.samples: list[Sample] = []
        self._readers, self._period = readers, period
        self._stop = Event()
        self._thread = Thread(target=self._work, name="device sampler", daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        begun, over = time.perf_counter(), False
        while True:
            sample = Sample(time.perf_counter() - begun)
            for reader in self._readers:
                sample = sample.merged(reader())
            self.samples.append(sample)
            if over:
                return
            over = self._stop.wait(self._period)
