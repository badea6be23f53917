"""One video file that is playable at every moment while it is written."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from ..errors import BadInput, MissingDependency
from ._output_files import check_file, unwritten
from ._sound import SoundCopy
from .base import StreamInfo

CLOCK = Fraction(1, 90_000)
"""Time base for sources without a clock, seconds: that of MPEG, exact for 24, 25, 29.97 and 30 frames per second."""
FINEST = Fraction(1, 1_000_000)
"""Finest time base that is kept, seconds; a finer time base overflows the 32-bit durations of mp4."""
UNSPECIFIED, LIMITED_RANGE = 2, 1
NOTHING_KEPT = "No file was kept."


class Encoding(NamedTuple):
    """File format and codec of a kind of video.

    Attributes
    ----------
    muxer : str
        FFmpeg's name of the file format.
    codec : str
        FFmpeg's name of the encoder.
    pixels : str
        FFmpeg's name of the pixel format.
    options, muxer_options : dict
        FFmpeg's options of the encoder and of the file format.
    time_base : Fraction or None
        Unit of the time stamps, seconds; None takes the unit of the source.
    spacing : int
        Least difference between two time stamps, in that unit.
    color_range : int
        1 limited (16-235), 2 full (0-255).
    keeps_aspect : bool
        Whether the file can store that pixels are not square.

    Examples
    --------
    >>> Encoding("matroska", "ffv1", "gray", {}, {}).keeps_aspect
    True
    """

    muxer: str
    codec: str
    pixels: str
    options: dict[str, str]
    muxer_options: dict[str, str]
    time_base: Fraction | None = None
    spacing: int = 1
    color_range: int = LIMITED_RANGE
    keeps_aspect: bool = True


class VideoWriter:
    """Write pictures at their times, with the colour tags and the pixel aspect of a source.

    The file is opened at the first picture, in place. If a write fails, the file is cut to its last whole part; a file
    without a whole part is removed.

    Parameters
    ----------
    path : Path
        File to write.
    encoding : Encoding
        File format and codec.
    info : StreamInfo
        Properties of the source.
    sound : bool
        Copy the sound of the source.

    Raises
    ------
    BadInput
        If the file cannot be written, or the sound cannot be copied.
    MissingDependency
        If PyAV has no such encoder.

    Examples
    --------
    >>> import tempfile
    >>> grey = Encoding("matroska", "ffv1", "gray", {}, {})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = VideoWriter(Path(folder, "a.mkv"), grey, StreamInfo((16, 16), 25.0))
    ...     for seconds in (0.0, 0.04, 1.0):
    ...         writer.write(av.VideoFrame(16, 16, "gray"), seconds)
    ...     writer.close()
    ...     with av.open(f"{folder}/a.mkv") as video:
    ...         [picture.time for picture in video.decode(video=0)]
    [0.0, 0.04, 1.0]
    """

    def __init__(self, path: Path, encoding: Encoding, info: StreamInfo, *, sound: bool = False) -> None:
        _check_encoder(encoding.codec)
        check_file(path)
        self._path, self._encoding, self._info = path, encoding, info
        self._rate = max(Fraction(info.fps).limit_denominator(1001), Fraction(1, 1001))  # 30000/1001 stays exact
        known = info.time_base is not None and FINEST <= info.time_base < 1
        self._unit = encoding.time_base or (info.time_base if known else None) or CLOCK
        self._sound = SoundCopy(info, encoding.muxer, path.name) if sound else None
        self._container: Any = None  # opened with the first picture
        self._stream: Any = None
        self._count = 0  # pictures written
        self._bytes = self._whole = 0  # size of the file; and before the last growth, which may be incomplete
        self._begin, self._next = 0.0, 0  # the first picture's time; the first free time stamp

    def write(self, picture: av.VideoFrame, seconds: float) -> None:
        """Write a picture of the encoding's pixel format; `seconds` is its `Frame.time`."""
        if self._stream is not None and self._container is None:
            raise BadInput(f"{self._path}: is finished, so no frame can be added. Open another file.")
        try:
            if self._container is None:
                self._begin = seconds
                self._open(picture)
            picture.time_base = self._unit
            picture.pts = max(self._next, round((seconds - self._begin) / self._unit))
            self._copy_sound(seconds - self._begin)
            self._encode(picture)
            self._next = picture.pts + self._encoding.spacing
            if (size := self._path.stat().st_size) != self._bytes:
                self._whole, self._bytes = self._bytes, size
        except (av.FFmpegError, OSError) as error:
            kept = f"The first {self._count} frames, less up to two seconds, play."
            raise unwritten(self._path, error, kept if self._give_up() else NOTHING_KEPT) from error
        self._count += 1

    def close(self) -> None:
        """Finish the file; may be called twice."""
        try:
            if self._container is not None:
                self._copy_sound(float(self._next * self._unit + 1 / self._rate))
                self._encode(None)
                self._container.close()
                self._container = None
        except (av.FFmpegError, OSError) as error:
            kept = "All but the last two seconds plays."
            raise unwritten(self._path, error, kept if self._give_up() else NOTHING_KEPT) from error
        finally:
            if self._sound is not None:
                self._sound.close()

    def _open(self, picture: av.VideoFrame) -> None:
        encoding, info = self._encoding, self._info
        options = encoding.muxer_options | {"flush_packets": "1", "max_interleave_delta": "500000"}  # microseconds
        with_sound = self._sound is not None and self._sound.found
        if with_sound and "movflags" in options:  # the header needs the first packet of sound
            options["movflags"] += "+delay_moov"
        # `file:` keeps FFmpeg from taking a colon in the name for the end of a protocol
        self._container = av.open(f"file:{self._path}", "w", format=encoding.muxer, options=options)
        self._stream = self._container.add_stream(encoding.codec, rate=self._rate, options=encoding.options)
        self._stream.width, self._stream.height = picture.width, picture.height
        self._stream.pix_fmt = encoding.pixels
        self._stream.time_base = self._unit
        context = self._stream.codec_context
        context.time_base = self._unit
        context.gop_size = max(1, round(self._rate))
        context.sample_aspect_ratio = info.sample_aspect if encoding.keeps_aspect else Fraction(1)
        context.colorspace = matrix_of(info)
        context.color_primaries = _known(info.color_primaries)
        context.color_trc = _known(info.color_trc)
        context.color_range = encoding.color_range
        if self._sound is not None and with_sound:
            self._sound.attach(self._container, self._begin)

    def _encode(self, picture: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(picture):
            packet.duration = max(1, round(1 / self._rate / self._unit))  # that of the last frame counts
            self._container.mux(packet)

    def _copy_sound(self, seconds: float) -> None:
        if self._sound is not None and self._sound.found:
            for packet in self._sound.until(seconds):
                self._container.mux(packet)

    def _give_up(self) -> bool:
        """Close without an error, cut off the incomplete part, and return whether the rest plays; else remove it."""
        container, self._container = self._container, None
        with suppress(av.FFmpegError, OSError):
            if container is not None:
                container.close()
        with suppress(OSError):
            os.truncate(self._path, self._whole)
        if not self._path.is_file():  # a device, for example
            return False
        plays = _plays(self._path)
        if not plays:
            self._path.unlink()
        return plays


def matrix_of(info: StreamInfo) -> int:
    """Return the colour matrix that a video is written with: the source's where swscale has it, else BT.709.

    Examples
    --------
    >>> matrix_of(StreamInfo((480, 854), 25.0, color_space=6)), matrix_of(StreamInfo((480, 854), 25.0))
    (6, 1)
    """
    return info.color_space if info.color_space in _MATRICES else _BT709


_BT709 = 1
_MATRICES = (_BT709, 5, 6, 7, 9)
"""BT.709, BT.601 in its two names, SMPTE 240M and BT.2020, as in ITU-T H.273."""


def _plays(path: Path) -> bool:
    """Return whether a frame of a file can be decoded."""
    try:
        with av.open(f"file:{path}") as container:
            return next(container.decode(video=0), None) is not None
    except (av.FFmpegError, OSError, IndexError):
        return False


def _known(code: int) -> int:
    """Return a primaries or transfer code point, BT.709 where the source states none."""
    return _BT709 if code in (0, UNSPECIFIED) else code


def _check_encoder(codec: str) -> None:
    try:
        av.codec.Codec(codec, "w")
    except (av.FFmpegError, ValueError) as error:
        raise MissingDependency(
            f"PyAV: the encoder {codec} is missing. Install PyAV's own wheel with `pip install av`, "
            "or write masks instead of a video."
        ) from error
