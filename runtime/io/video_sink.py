"""Results as a video: the overlay as .mp4, .mov, .mkv, .webm or .gif, and the masks without loss."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image

from ..errors import BadInput
from ..types import Frame, Mask
from ._video_writer import LIMITED_RANGE, Encoding, VideoWriter, matrix_of
from .base import Sink, StreamInfo
from .masks import overlay

_MILLISECOND = Fraction(1, 1000)  # the clock of Matroska and WebM
# The file consists of parts of half a second; it plays up to its last complete part.
_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}  # microseconds
_CLUSTERS = {"cluster_time_limit": "500"}  # milliseconds
_X264 = {"preset": "veryfast", "tune": "zerolatency", "crf": "20"}
_VP9 = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "lag-in-frames": "0", "crf": "24", "b": "0"}

ENCODINGS = {
    ".mp4": Encoding("mp4", "libx264", "yuv420p", _X264, _FRAGMENTS),
    ".mov": Encoding("mov", "libx264", "yuv420p", _X264, _FRAGMENTS),
    ".mkv": Encoding("matroska", "libx264", "yuv420p", _X264, _CLUSTERS, _MILLISECOND),
    ".webm": Encoding("webm", "libvpx-vp9", "yuv420p", _VP9, _CLUSTERS, _MILLISECOND, keeps_aspect=False),
    ".gif": Encoding("gif", "gif", "pal8", {}, {}, Fraction(1, 100), spacing=2, color_range=2, keeps_aspect=False),
}
"""Kinds of overlay videos, by the suffix of the file name. Browsers play frames of a GIF under 0.02 s too slowly."""
_LOSSLESS = Encoding(
    "matroska",
    "ffv1",
    "gray",
    {"level": "3", "slicecrc": "1", "slices": "4", "g": "1"},
    _CLUSTERS,
    _MILLISECOND,
    color_range=2,
)


class VideoSink(Sink):
    """Write the frames with their objects coloured as a video.

    Frame times, colour tags and the shape of a pixel are those of the source. The file is written in place and plays
    at every moment. If the process is killed or the disk fills, up to a second is lost.

    Parameters
    ----------
    path : Path
        File to write; its suffix chooses the kind: .mp4, .mov or .mkv (H.264), .webm (VP9), or .gif.
    info : StreamInfo
        Properties of the source.
    sound : bool
        Copy the sound of the source.

    Raises
    ------
    BadInput
        If the suffix is unknown, the file cannot be written, or the sound cannot be copied.

    Examples
    --------
    >>> import tempfile
    >>> frame = Frame(np.zeros((16, 16, 3), np.uint8), 0, 0.0, "00000")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with VideoSink(Path(folder, "overlay.mp4"), StreamInfo((16, 16), 25.0)) as sink:
    ...         sink.write(frame, Mask(np.ones((16, 16), np.uint8), {1: 0.9}))
    ...     with av.open(f"{folder}/overlay.mp4") as video:
    ...         video.streams.video[0].codec_context.name
    'h264'
    """

    def __init__(self, path: Path, info: StreamInfo, *, sound: bool = False) -> None:
        encoding = ENCODINGS.get(path.suffix.lower())
        if encoding is None:
            raise BadInput(
                f"{path}: unknown kind of video (got {path.suffix!r}, expected {', '.join(ENCODINGS)}). "
                "For a folder of images, give a name without a suffix or make the folder first."
            )
        gif = encoding.codec == "gif"
        if sound and gif:
            raise BadInput(f"{path}: a GIF has no sound. Leave --sound out, or choose another suffix.")
        height, width = info.size
        aspect = Fraction(1) if encoding.keeps_aspect else info.sample_aspect
        self._size = max(1, round(width * aspect)), height  # of square pixels, where the file knows no others
        self._colours = _GifColours() if gif else _YuvColours(matrix_of(info))
        self._writer = VideoWriter(path, encoding, info, sound=sound)

    def write(self, frame: Frame, mask: Mask) -> None:
        picture = self._colours.convert(overlay(frame.image, mask.labels), self._size)
        self._writer.write(picture, frame.time)

    def close(self) -> None:
        self._writer.close()


class MaskVideoSink(Sink):
    """Write the masks as a lossless video: FFV1 in .mkv, one 8-bit channel whose values are object ids.

    Parameters
    ----------
    path : Path
        File to write; its name ends in .mkv.
    info : StreamInfo
        Properties of the source.

    Raises
    ------
    BadInput
        If the name has another suffix, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> frame = Frame(np.zeros((2, 3, 3), np.uint8), 0, 0.0, "00000")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with MaskVideoSink(Path(folder, "masks.mkv"), StreamInfo((2, 3), 25.0)) as sink:
    ...         sink.write(frame, Mask(np.array([[0, 1, 1], [0, 2, 2]], np.uint8), {1: 0.9, 2: 0.8}))
    ...     with av.open(f"{folder}/masks.mkv") as video:
    ...         next(video.decode(video=0)).to_ndarray().tolist()
    [[0, 1, 1], [0, 2, 2]]
    """

    def __init__(self, path: Path, info: StreamInfo) -> None:
        if path.suffix.lower() != ".mkv":
            raise BadInput(f"{path}: unknown kind of mask video (got {path.suffix!r}, expected .mkv)")
        self._writer = VideoWriter(path, _LOSSLESS, info)

    def write(self, frame: Frame, mask: Mask) -> None:
        self._writer.write(av.VideoFrame.from_ndarray(mask.labels, format="gray"), frame.time)

    def close(self) -> None:
        self._writer.close()


class _YuvColours:
    """Convert RGB to YUV of a colour matrix, limited range, with colours at half the resolution."""

    def __init__(self, matrix: int) -> None:
        self._matrix = matrix
        self._reformatter = VideoReformatter()

    def convert(self, image: np.ndarray, size: tuple[int, int]) -> av.VideoFrame:
        image = _resized(image, size)
        height, width = image.shape[:2]
        if height % 2 or width % 2:  # the sides of such a picture are even
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(image, format="rgb24")
        return self._reformatter.reformat(
            picture, format="yuv420p", dst_colorspace=self._matrix, dst_color_range=LIMITED_RANGE
        )


class _GifColours:
    """Reduce each picture to its own 256 colours."""

    def convert(self, image: np.ndarray, size: tuple[int, int]) -> av.VideoFrame:
        reduced = Image.fromarray(_resized(image, size)).quantize(
            method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
        )
        palette = np.full((256, 4), 255, np.uint8)  # alpha, red, green, blue
        colours = np.array(reduced.getpalette(), np.uint8).reshape(-1, 3)
        palette[: len(colours), 1:] = colours
        pixels: Any = (np.asarray(reduced), palette)
        return av.VideoFrame.from_ndarray(pixels, format="pal8")


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale an image to (width, height), where it has another size."""
    if image.shape[1::-1] == size:
        return np.ascontiguousarray(image)
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
