"""Interfaces of sources of frames and of sinks for results."""

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
    """Frames in order, all of one size; an iterator that is read once, and a context manager.

    Attributes
    ----------
    name : str
        Name for the outputs: the name of the file without suffix, or of the folder.
    size : tuple of int
        Height and width of the frames, pixels.
    fps : float
        Frames per second.
    count : int or None
        Number of frames that will come, as the files or the container state; None if unknown.
    live : bool
        Whether frames come at their own pace and are dropped if nobody takes them in time.
    dropped : int
        Dropped frames of a live source.
    breaks : int
        Times at which a live source broke and was opened again.
    damaged : int
        Frames so far that the decoder reported as damaged.

    Examples
    --------
    >>> from shls.runtime.io.synthetic import SyntheticSource
    >>> with SyntheticSource(3) as source:
    ...     [frame.index for frame in source]
    [0, 1, 2]
    """

    live = False
    dropped = 0
    breaks = 0
    damaged = 0
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
        """Return the next frame; raises StopIteration after the last frame, BadInput if a frame cannot be read."""

    @abstractmethod
    def stop(self) -> None:
        """End the frames; may be called from a signal handler or another thread."""

    @abstractmethod
    def close(self) -> None:
        """Close files and connections; no frames come afterwards."""

    def reopened(self, index: int, time: float | None = None) -> Source | None:  # noqa: ARG002
        """Open a recording anew at a frame without reading the earlier frames.

        Parameters
        ----------
        index : int
            Number of the frame.
        time : float, optional
            Time of the frame, as this source gave it before.

        Returns
        -------
        Source or None
            None if the frame cannot be found without reading the earlier frames.
        """
        return None

    def age(self, frame: Frame) -> float:  # noqa: ARG002
        """Return the seconds since a live source captured this frame; 0 for recorded frames."""
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
    """Consumer of frames with their masks, in order; a context manager.

    Examples
    --------
    >>> class Counter(Sink):
    ...     count = 0
    ...     def write(self, frame, mask):
    ...         self.count += 1
    """

    @abstractmethod
    def write(self, frame: Frame, mask: Mask) -> None:
        """Write one result; raises BadInput if the disk is full or the place is not writable."""

    def close(self) -> None:  # noqa: B027  # some sinks hold nothing open
        """Complete the output; nothing may be written afterwards. May be called twice."""

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
