"""Pipeline from a source through the segmenter to a sink, with threads for reading and writing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from queue import Queue
from threading import Event, Thread
from types import TracebackType
from typing import NamedTuple

import numpy as np

from ._support.stopwatch import Stopwatch
from .errors import BadInput
from .io.base import Sink, Source
from .segmenter import VideoSegmenter
from .types import Frame, Mask

log = logging.getLogger("shls")

DEPTH = 4
"""Maximum number of recorded frames that wait between two stages."""
LIVE_DEPTH = 1
"""Maximum number of live frames that wait; a waiting frame gets old."""


class Summary(NamedTuple):
    """Result of a run.

    Attributes
    ----------
    frames : int
        Segmented frames, the first frame included.
    seconds : float
        Time from the second frame's arrival to the last frame's mask, written.
    dropped : int
        Frames of a live source that were replaced by newer ones.
    late : int
        Results that were not written because they were older than `max_age`.
    damaged : int
        Frames that the decoder reported as damaged; their masks may be wrong.

    Examples
    --------
    >>> Summary(frames=11, seconds=0.5).fps
    20.0
    """

    frames: int
    seconds: float
    dropped: int = 0
    late: int = 0
    damaged: int = 0

    @property
    def fps(self) -> float:
        """Frames per second, without the first frame."""
        return (self.frames - 1) / self.seconds if self.seconds else 0.0


def follow(
    frames: Iterable[Frame],
    segmenter: VideoSegmenter,
    mark: Callable[[np.ndarray], np.ndarray],
    sink: Sink,
    progress: Callable[[int], None] | None = None,
    *,
    overlap: bool = True,
    max_age: float | None = None,
    revise: Callable[[Frame, Mask], Mask] | None = None,
) -> Summary:
    """Mark the objects in the first frame and follow them through the other frames.

    Parameters
    ----------
    frames : iterable of Frame
        Source; of a live source only the newest frame is segmented.
    segmenter : VideoSegmenter
        Its stopwatch also gets `decode`, `segment`, `write`, `frame` (time from result to result) and, for a live
        source, `age` (time from a frame's capture to its result being written).
    mark : callable
        Returns the (H, W) uint8 mask of the first frame, given its image.
    sink : Sink
        Receives each frame and its mask, in order; the sink is not closed.
    progress : callable, optional
        Called with the number of frames done, on the thread of the caller.
    overlap : bool
        Read and write on threads of their own. The masks are the same without.
    max_age : float, optional
        Seconds since capture after which a result of a live source is not written.
    revise : callable, optional
        Called with each further frame and its mask; returns the mask to write, and may change the followed objects.

    Returns
    -------
    Summary

    Raises
    ------
    BadInput
        If there is no frame, and whatever a stage raises. Earlier results are written.

    Examples
    --------
    >>> from shls.runtime.io.sinks import NullSink
    >>> from shls.runtime.io.synthetic import SyntheticSource, centre_mask
    >>> from shls.runtime.segmenter import open_segmenter
    >>> with SyntheticSource(2) as frames:
    ...     follow(frames, open_segmenter(), centre_mask, NullSink()).frames
    2
    """
    watch = segmenter.stopwatch
    live = frames if isinstance(frames, Source) and frames.live else None
    sink = _TimedSink(sink, watch, live)
    late = 0
    with _reading(frames, watch, overlap) as ahead, _writing(sink, overlap, live is not None) as behind:
        first = next(ahead, None)
        if first is None:
            raise BadInput("source: gave no frame (expected at least one). Check the source and the start")
        mask = mark(first.image)
        segmenter.start(first.image, mask)
        behind.write(first, Mask(mask, dict.fromkeys(np.unique(mask[mask > 0]).tolist(), 1.0)))
        begun = last = time.perf_counter()
        count = 1
        for frame in ahead:
            with watch.time("segment"):
                result = segmenter.step(frame.image)
                if revise:
                    result = revise(frame, result)
            if live is not None and max_age is not None and live.age(frame) > max_age:
                late += 1
            else:
                behind.write(frame, result)
            count += 1
            now = time.perf_counter()
            watch.add("frame", now - last)
            last = now
            if progress:
                progress(count)
    source = frames if isinstance(frames, Source) else None
    return Summary(
        count,
        time.perf_counter() - begun,
        dropped=live.dropped if live else 0,
        late=late,
        damaged=source.damaged if source else 0,
    )


def warm_up(segmenter: VideoSegmenter, image: np.ndarray) -> float:
    """Compile the kernels and allocate the buffers that a frame needs.

    Parameters
    ----------
    segmenter : VideoSegmenter
        Its objects are replaced, and its stopwatch is reset.
    image : ndarray
        (H, W, 3) uint8 RGB, of the size of the video.

    Returns
    -------
    float
        Duration, seconds.

    Examples
    --------
    >>> from shls.runtime.io.synthetic import noise
    >>> from shls.runtime.segmenter import open_segmenter
    >>> warm_up(open_segmenter(), noise((120, 160))) > 0
    True
    """
    begun = time.perf_counter()
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[: (image.shape[0] + 1) // 2] = 1
    segmenter.start(image, mask)
    segmenter.step(image)
    segmenter.stopwatch.restart()
    return time.perf_counter() - begun


def _reading(frames: Iterable[Frame], watch: Stopwatch, overlap: bool) -> AbstractContextManager[Iterator[Frame]]:
    if isinstance(frames, Source) and frames.live:  # a live source has a reading thread itself
        return nullcontext(iter(frames))
    timed = _timed(frames, watch)
    return _ReadAhead(timed) if overlap else nullcontext(timed)


def _writing(sink: Sink, overlap: bool, live: bool) -> AbstractContextManager[_WriteBehind | Sink]:
    if not overlap:
        return nullcontext(sink)
    return _WriteBehind(sink, LIVE_DEPTH if live else DEPTH)


def _timed(frames: Iterable[Frame], watch: Stopwatch) -> Iterator[Frame]:
    iterator = iter(frames)
    while True:
        begun = time.perf_counter()
        try:
            frame = next(iterator)
        except StopIteration:
            return
        watch.add("decode", time.perf_counter() - begun)
        yield frame


class _TimedSink(Sink):
    """Sink that measures the writing time and, for a live source, the age of results."""

    def __init__(self, sink: Sink, watch: Stopwatch, live: Source | None) -> None:
        self._sink, self._watch, self._live = sink, watch, live

    def write(self, frame: Frame, mask: Mask) -> None:
        with self._watch.time("write"):
            self._sink.write(frame, mask)
        if self._live is not None:
            self._watch.add("age", self._live.age(frame))


class _Worker:
    """Thread with a bounded queue; an error in the thread is raised in the main thread."""

    def __init__(self, depth: int) -> None:
        self._queue: Queue[object] = Queue(depth)
        self._stop = Event()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._guarded, daemon=True)
        self._thread.start()

    def _guarded(self) -> None:
        try:
            self._work()
        except BaseException as error:  # raised again in the main thread
            self._error = error

    def _work(self) -> None:
        raise NotImplementedError

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


class _ReadAhead(_Worker):
    """Thread that reads frames ahead of their use."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames = frames
        super().__init__(DEPTH)

    def _work(self) -> None:
        try:
            for frame in self._frames:
                self._queue.put(frame)
                if self._stop.is_set():
                    return
        finally:
            self._queue.put(None)

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        frame = self._queue.get()
        if not isinstance(frame, Frame):
            self._thread.join()
            self._raise()
            raise StopIteration
        return frame

    def __enter__(self) -> _ReadAhead:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        while self._thread.is_alive():
            with suppress(Exception):
                self._queue.get(timeout=0.05)


class _WriteBehind(_Worker):
    """Thread that writes to a sink while the next frame is segmented."""

    def __init__(self, sink: Sink, depth: int) -> None:
        self._sink = sink
        super().__init__(depth)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._sink.write(*item)  # type: ignore[misc]
                except BaseException as error:  # the queue must still be emptied, or write() would block
                    self._error = error

    def write(self, frame: Frame, mask: Mask) -> None:
        self._raise()
        self._queue.put((frame, mask))

    def __enter__(self) -> _WriteBehind:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join()
        if kind is None:
            self._raise()
