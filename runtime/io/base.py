"""Interfaces of sources, which give frames, and of sinks, which take results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType

from ..types import Frame, Mask


class Source(ABC):
    """Frames in order, all of one size. Read once, like a file; a context manager.

    Attributes
    ----------
    name : what to call the outputs: the file's name without suffix, or the folder's name
    size : (H, W) of the frames, pixels
    fps : frames a second
    count : frames that will come, as the files or the container say; None where they do not
    live : frames come at their own pace, and those that nobody takes in time are dropped
    dropped : how many were
    breaks : how often a live source broke and was opened again
    """

    live = False
    dropped = 0
    breaks = 0
    name: str
    size: tuple[int, int]
    fps: float
    count: int | None

    @abstractmethod
    def __next__(self) -> Frame:
        """Give the next frame; raises StopIteration after the last one, BadInput if it cannot be read."""

    @abstractmethod
    def stop(self) -> None:
        """Let no further frames come. May be called from a signal handler or another thread."""

    @abstractmethod
    def close(self) -> None:
        """Free what is held open; no frames come after it."""

    def age(self, frame: Frame) -> float:  # noqa: ARG002
        """Seconds since a live source's frame was captured; recorded frames have no age."""
        return 0.0

    def __iter__(self) -> Source:
        return self

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Sink(ABC):
    """Takes frames with their masks, in order. A context manager; `close` may be called twice."""

    @abstractmethod
    def write(self, frame: Frame, mask: Mask) -> None:
        """Write one result; raises BadInput, in one line, when the disk is full or the place not writable."""

    def close(self) -> None:  # noqa: B027  # some hold nothing open
        """Finish what was written; nothing may be written after it."""

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
