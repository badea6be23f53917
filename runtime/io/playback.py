"""Playback of a source: repeated, every n-th frame only, or for a limited time."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from ..types import Frame
from .base import Source, StreamInfo


class Playback(Source):
    """Source that plays another source.

    Parameters
    ----------
    reopen : callable
        Opens the source; with `loop`, opens the source again for each further round.
    every : int
        Step: every n-th frame is given.
    loop : bool
        Begin again after the last frame. Indices and times continue, and the index becomes the name of a frame.
    duration : float, optional
        Stop after this many seconds, measured from the first frame request.
    limit : int, optional
        Stop after this many frames.

    Examples
    --------
    >>> from shls.runtime.io.synthetic import SyntheticSource
    >>> with Playback(lambda: SyntheticSource(3), every=2, loop=True, limit=4) as source:
    ...     [frame.index for frame in source]
    [0, 2, 4, 6]
    """

    def __init__(
        self,
        reopen: Callable[[], Source],
        every: int = 1,
        loop: bool = False,
        duration: float | None = None,
        limit: int | None = None,
    ) -> None:
        self._inner, self._reopen = reopen(), reopen
        self._every, self._loop, self._duration, self._limit = every, loop, duration, limit
        self._stopped, self._given, self._due = False, 0, 0
        self._begun: float | None = None
        self._damaged = 0  # frames of earlier rounds
        self._offset, self._later = 0, 0.0  # added to indices and times after the first round
        self._next_index, self._next_time = 0, 0.0
        self.name, self.size = self._inner.name, self._inner.size
        self.fps, self.live = self._inner.fps / every, self._inner.live
        self.count = self._expected()

    @property
    def dropped(self) -> int:  # type: ignore[override]
        return self._inner.dropped

    @property
    def breaks(self) -> int:  # type: ignore[override]
        return self._inner.breaks

    @property
    def damaged(self) -> int:  # type: ignore[override]
        return self._damaged + self._inner.damaged

    @property
    def info(self) -> StreamInfo:
        return replace(self._inner.info, fps=self.fps)

    def age(self, frame: Frame) -> float:
        return self._inner.age(frame)

    def __next__(self) -> Frame:
        self._begun = self._begun or time.perf_counter()
        while not self._over():
            frame = self._take()
            if frame.index >= self._due:
                self._due = frame.index + self._every
                self._given += 1
                return frame
        raise StopIteration

    def stop(self) -> None:
        self._stopped = True
        self._inner.stop()

    def close(self) -> None:
        self._inner.close()

    def _over(self) -> bool:
        seconds = time.perf_counter() - (self._begun or 0.0)
        return (
            self._stopped
            or (self._limit is not None and self._given >= self._limit)
            or (self._duration is not None and seconds >= self._duration)
        )

    def _take(self) -> Frame:
        frame = next(self._inner, None)
        if frame is None and self._loop and not self._stopped:
            self._damaged += self._inner.damaged
            self._inner.close()
            self._inner = self._reopen()
            self._offset, self._later = self._next_index, self._next_time
            frame = next(self._inner, None)
        if frame is None:
            raise StopIteration
        if self._offset:
            index = frame.index + self._offset
            frame = frame._replace(index=index, time=frame.time + self._later, name=f"{index:05d}")
        self._next_index, self._next_time = frame.index + 1, frame.time + 1 / (self.fps * self._every)
        return frame

    def _expected(self) -> int | None:
        """Return the number of frames that will come, or None if unknown."""
        if self._loop or self._inner.count is None:
            return self._limit
        count = -(-self._inner.count // self._every)
        return count if self._limit is None else min(count, self._limit)


@contextmanager
def stopping(source: Source) -> Iterator[list[int]]:
    """End a source on Ctrl-C or SIGTERM, so that the run completes its files; a second signal ends the process.

    Yields
    ------
    list of int
        Signals that were received.

    Examples
    --------
    >>> from shls.runtime.io.synthetic import SyntheticSource
    >>> with SyntheticSource(3) as source, stopping(source) as signals:
    ...     signal.raise_signal(signal.SIGINT)
    ...     list(source), signals
    ([], [2])
    """
    came: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        came.append(number)
        signal.signal(number, before[signal.Signals(number)])
        source.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
