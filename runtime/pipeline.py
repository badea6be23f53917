"""From a source through the segmenter to the sinks, with reading and writing on threads of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Queue
from threading import Event, Thread
from types import TracebackType
from typing import NamedTuple

import numpy as np

from shls.runtime.errors import BadInput
from shls.runtime.segmenter import VideoSegmenter
from shls.runtime.sinks import Sink
from shls.runtime.types import Frame, Mask

DEPTH = 4
"""Frames that wait between two stages, at most."""


class Summary(NamedTuple):
    """What a run did.

    frames : segmented, the marked one included
    seconds : from the second frame's arrival to the last one's masks being written
    """

    frames: int
    seconds: float

    @property
    def fps(self) -> float:
        return (self.frames - 1) / self.seconds if self.seconds else 0.0


def follow(
    frames: Iterable[Frame],
    segmenter: VideoSegmenter,
    mark: Callable[[np.ndarray], np.ndarray],
    sink: Sink,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Mark the objects in the first frame and follow them through the others.

    Parameters
    ----------
    frames : the source
    segmenter : VideoSegmenter
    mark : makes the (H, W) mask of the first frame from its image
    sink : takes each frame and its mask, in order; it is not closed
    progress : called with the number of frames done, from the thread that calls this

    Raises
    ------
    BadInput
        If there is no frame, or what any stage raises. What was segmented until then is written.
    """
    with _ReadAhead(frames) as ahead, _WriteBehind(sink) as behind:
        first = next(ahead, None)
        if first is None:
            raise BadInput("the source gave no frame; nothing to segment")
        mask = mark(first.image)
        segmenter.start(first.image, mask)
        behind.write(first, Mask(mask, dict.fromkeys(np.unique(mask[mask > 0]).tolist(), 1.0)))
        begun, count = time.perf_counter(), 1
        for frame in ahead:
            behind.write(frame, segmenter.step(frame.image))
            count += 1
            if progress:
                progress(count)
    return Summary(count, time.perf_counter() - begun)


def warm_up(segmenter: VideoSegmenter, image: np.ndarray) -> float:
    """Compile and touch everything that a frame needs, on a frame of the video; returns the seconds it took."""
    begun = time.perf_counter()
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[: (image.shape[0] + 1) // 2] = 1
    segmenter.start(image, mask)
    segmenter.step(image)
    segmenter.stopwatch.seconds.clear()
    return time.perf_counter() - begun


class _Worker:
    """A thread and a bounded queue; an error in the thread is raised in the main thread."""

    def __init__(self) -> None:
        self._queue: Queue[object] = Queue(DEPTH)
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
            error, self._error = self._error, None
            raise error


class _ReadAhead(_Worker):
    """Takes frames from a source before they are asked for."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames = frames
        super().__init__()

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

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        super().__init__()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._sink.write(*item)  # type: ignore[misc]
                except (
                    BaseException
                ) as error:  # the queue must still be emptied, or write() would wait for ever
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
