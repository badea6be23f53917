"""Readers of a session's source: any frame of a recording, and the newest frame of a live source."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Condition, Event, Thread

import cv2
import numpy as np

from ..errors import BadInput, ShlsError
from ..io.base import Source, StreamInfo
from ..types import Frame

CACHE_BYTES = 96 << 20
"""Memory for frames of a recording that were read already, bytes."""
KEPT_LIVE = 16
"""Newest frames of a live source that can still be marked."""
NEAR = 250
"""Frames that are read and skipped rather than opening the recording anew."""
LOST_AFTER = 1.5
"""Seconds without a frame after which a live source counts as lost; five frames if they take longer."""
REOPEN_PAUSE = 1.0
"""Seconds between two attempts to open a live source that gave up."""

log = logging.getLogger("shls")

Opener = Callable[[int], Source]
"""Function of a frame number that opens the source there."""


class Reader(ABC):
    """Frames of a source by number.

    Attributes
    ----------
    live : bool
        Whether the source is live.
    size : tuple of int
        Height and width of the frames, pixels.
    fps : float
        Frames per second of the source.
    count : int or None
        Number of frames; None if unknown or live.
    first : int
        Number of the first frame.
    info : StreamInfo
        Properties for outputs.
    dropped : int
        Frames of a live source that were replaced by newer frames.
    breaks : int
        Times at which a live source broke.

    Examples
    --------
    >>> issubclass(LiveReader, Reader)
    True
    """

    live: bool
    size: tuple[int, int]
    fps: float
    count: int | None
    first: int
    info: StreamInfo
    dropped = 0
    breaks = 0

    @abstractmethod
    def at(self, index: int) -> Frame | None:
        """Return a frame by number; None after the last frame. Raise BadInput if the frame is gone or unreadable."""

    @abstractmethod
    def close(self) -> None:
        """Close the source."""

    @abstractmethod
    def again(self) -> Iterator[Frame]:
        """Yield all frames of a recording anew, beside the session; BadInput if the source is live."""

    def newest(self, seconds: float) -> Frame | None:  # noqa: ARG002
        """Wait for the next frame of a live source; None if no frame comes in time."""
        return None

    def age(self, frame: Frame) -> float | None:  # noqa: ARG002
        """Return the seconds since a live source captured a frame; None for recordings and frames that are gone."""
        return None

    def lost(self) -> float | None:
        """Return for how many seconds a live source has been lost; None while frames come."""
        return None


def open_reader(opener: Opener, start: int = 0) -> Reader:
    """Open a source for a session.

    Parameters
    ----------
    opener : opens the source at a frame
    start : number of the first frame

    Raises
    ------
    BadInput
        If the source cannot be opened.

    Examples
    --------
    >>> from shls.runtime.io.synthetic import SyntheticSource
    >>> reader = open_reader(lambda start: SyntheticSource(3, size=(48, 64)))
    >>> reader.at(2).index, reader.at(3), reader.count
    (2, None, 3)
    >>> reader.close()
    """
    source = opener(start)
    return LiveReader(source, opener) if source.live else RecordedReader(source, opener, start)


class RecordedReader(Reader):
    """Any frame of a recording; the next frame is read ahead.

    Parameters
    ----------
    source : Source
        Opened at `start`.
    opener : callable
        Opens the recording at a frame.
    start : int
        Number of the first frame.

    Examples
    --------
    >>> from shls.runtime.io.synthetic import SyntheticSource
    >>> reader = RecordedReader(SyntheticSource(3, (48, 64)), lambda start: SyntheticSource(3, (48, 64)))
    >>> [reader.at(index).index for index in (2, 1)]
    [2, 1]
    >>> reader.close()
    """

    live = False

    def __init__(self, source: Source, opener: Opener, start: int = 0) -> None:
        self.size, self.fps, self.info, self.first = source.size, source.fps, source.info, start
        self.count = None if source.count is None else source.count + start
        self._source, self._opener = source, opener
        self._next = start  # number of the frame that is read ahead
        self._cache: OrderedDict[int, Frame] = OrderedDict()
        self._times: dict[int, float] = {}
        self._room = max(8, CACHE_BYTES // max(1, 3 * self.size[0] * self.size[1]))
        self._thread = ThreadPoolExecutor(1, "reader")
        self._ahead: Future[Frame | None] = self._thread.submit(next, source, None)

    def at(self, index: int) -> Frame | None:
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        if self.count is not None and index >= self.count:
            return None
        if not self._next <= index < self._next + NEAR:
            self._jump(index)
        while True:
            frame = self._take()
            if frame is None:
                self.count = self._next
                return None
            self._cache[frame.index], self._times[frame.index] = frame, frame.time
            if len(self._cache) > self._room:
                self._cache.popitem(last=False)
            if frame.index >= index:
                return frame

    def again(self) -> Iterator[Frame]:
        with self._opener(self.first) as source:
            yield from source

    def close(self) -> None:
        self._source.stop()
        self._thread.shutdown(wait=True)
        self._source.close()

    def _jump(self, index: int) -> None:
        """Open the recording at a frame, unless reading on to the frame is the only way."""
        with suppress(ShlsError):
            self._ahead.result()
        found = self._source.reopened(index, self._times.get(index))
        if found is None and index >= self._next:
            return
        self._source.close()
        self._source = found or self._opener(index)
        self._next = index
        self._ahead = self._thread.submit(next, self._source, None)

    def _take(self) -> Frame | None:
        try:
            frame = self._ahead.result()
        except ShlsError:
            self._ahead = Future()
            self._ahead.set_result(None)  # nothing comes after an error
            raise
        if frame is not None:
            self._next = frame.index + 1
            self._ahead = self._thread.submit(next, self._source, None)
        return frame


class LiveReader(Reader):
    """Newest frame of a live source. A source that gives up is opened again, for as long as the session runs.

    Parameters
    ----------
    source : Source
        Live source that is open.
    opener : callable
        Opens the source again.

    Examples
    --------
    >>> reader = LiveReader(open_source("0"), open_source)  # doctest: +SKIP
    >>> reader.newest(1.0).index  # doctest: +SKIP
    0
    """

    live, count, first = True, None, 0

    def __init__(self, source: Source, opener: Opener) -> None:
        self.size, self.fps, self.info = source.size, source.fps, source.info
        self._source, self._opener = source, opener
        self._changed, self._stopped = Condition(), Event()
        self._latest: Frame | None = None
        self._recent: OrderedDict[int, tuple[Frame, float]] = OrderedDict()
        self._index = 0
        self._origin: float | None = None
        self._last = time.perf_counter()
        self._earlier_breaks = 0
        self._thread = Thread(target=self._read, name="live reader", daemon=True)
        self._thread.start()

    @property
    def breaks(self) -> int:  # type: ignore[override]
        return self._earlier_breaks + self._source.breaks

    def at(self, index: int) -> Frame | None:
        with self._changed:
            if index in self._recent:
                return self._recent[index][0]
        raise BadInput(f"frame {index}: is gone (the source is live). Use the frame that is shown now")

    def again(self) -> Iterator[Frame]:
        raise BadInput("overlay: the source is live, so its frames are gone. Start a recording instead")

    def newest(self, seconds: float) -> Frame | None:
        with self._changed:
            self._changed.wait_for(lambda: self._latest is not None or self._stopped.is_set(), seconds)
            frame, self._latest = self._latest, None
        return frame

    def age(self, frame: Frame) -> float | None:
        with self._changed:
            entry = self._recent.get(frame.index)
        return None if entry is None else time.perf_counter() - entry[1]

    def lost(self) -> float | None:
        seconds = time.perf_counter() - self._last
        return seconds if seconds > max(LOST_AFTER, 5 / max(self.fps, 0.1)) else None

    def close(self) -> None:
        self._stopped.set()
        self._source.stop()
        self._thread.join(5)
        self._source.close()

    def _read(self) -> None:
        while not self._stopped.is_set():
            try:
                for frame in self._source:
                    self._publish(frame)
                    if self._stopped.is_set():
                        return
                problem = "ends its stream"
            except ShlsError as error:
                problem = str(error)
            if self._stopped.is_set():
                return
            log.warning("%s; opening the source again", problem)
            self._reopen()

    def _reopen(self) -> None:
        self._source.close()
        while not self._stopped.wait(REOPEN_PAUSE):
            try:
                source = self._opener(0)
            except ShlsError as error:
                log.info("%s", error)
                continue
            self._earlier_breaks += self._source.breaks + 1
            self._source = source
            return

    def _publish(self, frame: Frame) -> None:
        now = time.perf_counter()
        captured = now - self._source.age(frame)
        self._origin = captured if self._origin is None else self._origin
        image = frame.image
        if image.shape[:2] != self.size:
            image = np.asarray(cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_AREA))
        frame = Frame(image, self._index, max(0.0, captured - self._origin), f"{self._index:05d}")
        with self._changed:
            self.dropped += self._latest is not None
            self._latest, self._last = frame, now
            self._recent[frame.index] = frame, captured
            if len(self._recent) > KEPT_LIVE:
                self._recent.popitem(last=False)
            self._index += 1
            self._changed.notify_all()
