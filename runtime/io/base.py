"""Interfaces of sources, which give frames, and of sinks, which take results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType

from ..types import Frame, Mask

UNSPECIFIED = 2
"""Code point of ITU-T H.273 for a matrix, primaries or transfer that the video does not state."""


@dataclass(frozen=True)
class StreamInfo:
    """Properties of a source that a sink needs to write a video that matches the source.

    The colour fields describe the RGB frames as the source gives them. They are resolved: a video without tags gets
    BT.709 or BT.601 by its size, and tone-mapped video has the tags of BT.709. Images have unspecified colours.

    Attributes
    ----------
    size : tuple of int
        Height and width of the frames, pixels, upright.
    fps : float
        Average frames per second.
    time_base : Fraction or None
        Unit of the video's time stamps, seconds; None if the source has no clock of its own (images).
        `round(frame.time / time_base)` is the exact time stamp relative to the first frame.
    sample_aspect : Fraction
        Width of a pixel divided by its height, upright.
    color_space, color_primaries, color_trc : int
        Matrix, primaries and transfer as in ITU-T H.273, which FFmpeg's numbers follow; 2 is unspecified.
        The matrix is never 0 (RGB).
    color_range : int
        FFmpeg's number: 0 unspecified, 1 limited (16-235), 2 full (0-255).
    address : str or None
        File or URL as `av.open` takes it, `file:` in front of a path; None for images, cameras and live streams.
        A sink reads sound from it.
    stream : int or None
        Index in the container of the video stream that is read.
    begin : float
        Container time of `Frame.time` 0, seconds. Sound at container time t belongs to `Frame.time` t - begin.

    Examples
    --------
    >>> StreamInfo((480, 854), 30.0).sample_aspect
    Fraction(1, 1)
    """

    size: tuple[int, int]
    fps: float
    time_base: Fraction | None = None
    sample_aspect: Fraction = Fraction(1)
    color_space: int = UNSPECIFIED
    color_primaries: int = UNSPECIFIED
    color_trc: int = UNSPECIFIED
    color_range: int = 0
    address: str | None = None
    stream: int | None = None
    begin: float = 0.0


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

    @property
    def info(self) -> StreamInfo:
        """Properties that a sink needs to write a matching video."""
        return StreamInfo(self.size, self.fps)

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
