"""Recorded sources: every frame comes, in order, and all frames have one size."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from ..errors import BadInput
from ..types import Frame
from .base import Source


class RecordedSource(Source):
    """Source of which every frame is read; a subclass yields the frames.

    The first frame is read when the source is opened, so that `size` is known and bad input fails early.

    Parameters
    ----------
    start : int
        Number of frames to skip.

    Raises
    ------
    BadInput
        If there is no frame. While iterating: if a frame cannot be read or has another size.

    Examples
    --------
    >>> import numpy as np
    >>> class Grey(RecordedSource):
    ...     name, fps, count = "grey", 25.0, 2
    ...     def _read(self, start):
    ...         for index in range(start, 2):
    ...             yield Frame(np.full((4, 6, 3), 128, np.uint8), index, index / 25, f"{index:05d}")
    >>> [frame.time for frame in Grey(0)]
    [0.0, 0.04]
    """

    def __init__(self, start: int) -> None:
        self._frames = self._read(start)
        self._first: Frame | None = next(self._frames)
        self._stopped = False
        self.size = self._first.image.shape[0], self._first.image.shape[1]

    @abstractmethod
    def _read(self, start: int) -> Iterator[Frame]:
        """Yield the frames from `start` on, at least one; closing the iterator frees its resources."""

    def __next__(self) -> Frame:
        if self._stopped:
            raise StopIteration
        if self._first is not None:
            frame, self._first = self._first, None
            return frame
        frame = next(self._frames)
        height, width = frame.image.shape[:2]
        if (height, width) != self.size:
            raise BadInput(
                f"{self.name}: frame {frame.index} ({frame.name}) has another size (got {width}x{height}, "
                f"expected {self.size[1]}x{self.size[0]}). Scale the frames to one size, or split the video there"
            )
        return frame

    def stop(self) -> None:
        self._stopped = True

    def close(self) -> None:
        self._first = None
        self._frames.close()  # type: ignore[attr-defined]  # a generator


def past_the_end(name: str, start: int, count: int) -> BadInput:
    """Return the error of a start beyond the last frame."""
    return BadInput(f"{name}: has {count} frames (got start {start}, expected at most {count - 1})")
