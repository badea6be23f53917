"""From a source through the segmenter to the sinks, with reading and writing on threads of their own."""

from __future__ import annotations

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

DEPTH = 4
"""Frames of a file that wait between two stages, at most."""
LIVE_DEPTH = 1
"""The same of a camera: what waits gets old."""


class Summary(NamedTuple):
    """What a run did.

    frames : segmented, the marked one included
    seconds : from the second frame's arrival to the last one's masks being written
    dropped : frames of a live source that came while others were segmented
    late : results not written, for they were older than allowed
    """

    frames: int
    seconds: float
    dropped: int = 0
    late: int = 0

    @property
    def fps(self) -> float:
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
    """Mark the objects in the first frame and follow them through the others.

    The segmenter's stopwatch also gets `decode`, `segment`, `write` and `frame`, the time from result to
    result; and for a live source `age`, from a frame's capture to its result being written.

    Parameters
    ----------
    frames : the source; of a live one, only the newest frame is segmented
    segmenter : VideoSegmenter
    mark : makes the (H, W) mask of the first frame from its image
    sink : takes each frame and its mask, in order; it is not closed
    progress : called with the number of frames done, from the thread that calls this
    overlap : read and write on threads beside; the masks are the same without
    revise : called with each further frame and its mask, gives the mask to write; may change what is followed
    max_age : seconds since capture after which a live source's result is not written

    Raises
    ------
    BadInput
        If there is no frame, or what any stage raises. What was segmented until then is written.
    """
    watch = segmenter.stopwatch
    live = frames if isinstance(frames, Source) and frames.live else None
    sink = _TimedSink(sink, watch, live)
    late = 0
    with _reading(frames, watch, overlap) as ahead, _writing(sink, overlap, live is not None) as behind:
        first = next(ahead, None)
        if first is None:
            raise BadInput("the source gave no frame; nothing to segment")
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
    return Summary(count, time.perf_counter() - begun, live.dropped if live else 0, late)


def warm_up(segmenter: VideoSegmenter, image: np.ndarray) -> float:
    """Compile and touch all that a frame needs, on an image of the video's size; return the seconds."""
    begun = time.perf_counter()
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[: (image.shape[0] + 1) // 2] = 1
    segmenter.start(image, mask)
    segmenter.step(image)
    segmenter.stopwatch.restart()
    return time.perf_counter() - begun


def _reading(frames: Iterable[Frame], watch: Stopwatch, overlap: bool) -> AbstractContextManager[Iterator[Frame]]:
    if isinstance(frames, Source) and frames.live:  # reads on a thread of its own
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
    """Times writing, and a live source's results when they are written."""

    def __init__(self, sink: Sink, watch: Stopwatch, live: Source | None) -> None:
        self._sink, self._watch, self._live = sink, watch, live

    def write(self, frame: Frame, mask: Mask) -> None:
        with self._watch.time("write"):
            self._sink.write(frame, mask)
        if self._live is not None:
            self._watch.add("age", self._live.age(frame))


class _Worker:
    """A thread and a bounded queue; an error in the thread is raised in the main thread."""

    def __init__(self, depth: int) -> None:
        self._queue: Queue[object] = Queue(depth)
        self._stop = Event()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._guarded, daemon=True)
        self._thread.start()

    def _guarded(self) -> None:
        try:
            self._work()
        except BaseException as error:  # carried over to the main thread
            self._error = error

    def _work(self) -> None:
        raise NotImplementedError

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


class _ReadAhead(_Worker):
    """Takes frames from a source before they are asked for."""

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
    """Writes to a sink while the next frame is segmented."""

    def __init__(self, sink: Sink, depth: int) -> None:
        self._sink = sink
        super().__init__(depth)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._sink.write(*item)  # type: ignore[misc]
                except BaseException as error:  # the queue must still be emptied, or write() would wait for ever
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
