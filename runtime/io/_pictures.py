"""Decoded pictures to RGB images: deinterlaced, tone-mapped, with the matrix of the video, upright."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from ._tone_mapping import ToneMapper, is_hdr
from .base import UNSPECIFIED

BT709, BT470BG, SMPTE170M, BT2020 = 1, 5, 6, 9
"""Matrices of ITU-T H.273; 5 and 6 are those of BT.601."""
HD_HEIGHT = 720
"""Height from which a video without tags is BT.709, as browsers assume; below, the video is BT.601."""
LIMITED, FULL = 1, 2
"""Colour ranges as FFmpeg numbers them."""
DEINTERLACER = "bwdif"
"""Filter of FFmpeg, which needs the next picture: interlaced video is given one picture late."""


class Colors(NamedTuple):
    """Colour tags in FFmpeg's numbers, see `StreamInfo`."""

    space: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    trc: int = UNSPECIFIED
    range: int = 0


class PictureReader:
    """Converter of decoded pictures of one stream to RGB images.

    Parameters
    ----------
    stream : av.video.stream.VideoStream
        Stream that was opened for decoding.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._deinterlacer = _Deinterlacer()
        self._tone_mapper: ToneMapper | None = None
        self._turns = 0

    @property
    def deinterlaces(self) -> bool:
        """True once a picture was interlaced; from then on pictures depend on their neighbours."""
        return self._deinterlacer.is_open

    @property
    def colors(self) -> Colors:
        """Colours of the images that `to_rgb` returns."""
        return Colors(BT709, BT709, BT709, LIMITED) if is_hdr(self._transfer) else _resolve(self._stream)

    def progressive(self, picture: Any) -> list[Any]:
        """Return the pictures that are ready: an interlaced picture is ready one picture later.

        None as the picture ends the stream and returns the rest.
        """
        if picture is not None:  # a filter may drop the rotation
            self._turns = round(picture.rotation / 90) % 4  # degrees, counter-clockwise, by which to turn for showing
        return self._deinterlacer(picture)

    def to_rgb(self, picture: Any, size: tuple[int, int] | None = None) -> np.ndarray:
        """Return a picture as (H, W, 3) uint8 RGB, upright; scaled to `size` (H, W), before it is turned."""
        scale = {"height": size[0], "width": size[1]} if size else {}
        if is_hdr(self._transfer):
            self._tone_mapper = self._tone_mapper or ToneMapper(self._transfer)
            picture, scale = self._tone_mapper(self._convert(picture, "gbrp16le", scale)), {}
        image: np.ndarray = self._convert(picture, "rgb24", scale).to_ndarray()
        return np.ascontiguousarray(np.rot90(image, self._turns)) if self._turns else image

    def _convert(self, picture: Any, name: str, scale: dict[str, int]) -> Any:
        """Convert a picture to RGB; matrix and range are stated, because older PyAV ignores those of the picture."""
        form = picture.format
        if form.is_rgb or form.has_palette or len(form.components) < 3:
            return picture.reformat(format=name, **scale)
        if picture.colorspace in (0, UNSPECIFIED):
            picture.colorspace = _matrix(self._stream)
        if picture.colorspace == BT470BG:  # the same matrix; PyAV ignores a matrix that is equal to the target's
            picture.colorspace = SMPTE170M
        full = int(picture.color_range) == FULL or form.name.startswith("yuvj")
        return picture.reformat(
            format=name,
            dst_colorspace=Colorspace.ITU601,
            src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            **scale,
        )

    @property
    def sample_aspect(self) -> Fraction:
        """Width of a pixel of the upright image divided by its height; 1 where the video does not say."""
        aspect = self._stream.sample_aspect_ratio
        if not aspect or aspect <= 0:
            return Fraction(1)
        return 1 / Fraction(aspect) if self._turns % 2 else Fraction(aspect)

    @property
    def _transfer(self) -> int:
        return int(self._stream.codec_context.color_trc)


def _resolve(stream: Any) -> Colors:
    """Fill in the tags that a video lacks as browsers do."""
    context = stream.codec_context
    if context.format.is_rgb:
        return Colors(UNSPECIFIED, int(context.color_primaries), int(context.color_trc), FULL)
    matrix = _matrix(stream)
    primaries, trc = {BT709: (1, 1), BT470BG: (5, 6), SMPTE170M: (6, 6), BT2020: (9, 14)}.get(matrix, (2, 2))
    full = int(context.color_range) == FULL or context.format.name.startswith("yuvj")
    return Colors(
        matrix,
        primaries if int(context.color_primaries) in (0, UNSPECIFIED) else int(context.color_primaries),
        trc if int(context.color_trc) in (0, UNSPECIFIED) else int(context.color_trc),
        FULL if full else LIMITED,
    )


def _matrix(stream: Any) -> int:
    context = stream.codec_context
    if int(context.colorspace) not in (0, UNSPECIFIED):
        return int(context.colorspace)
    return BT709 if min(context.height, context.width) >= HD_HEIGHT else SMPTE170M


class _Deinterlacer:
    """FFmpeg's filter, opened at the first interlaced picture; progressive pictures stay as they are."""

    def __init__(self) -> None:
        self._graph: Any = None
        self._format: tuple[int, int, str] | None = None

    @property
    def is_open(self) -> bool:
        """True once a picture was interlaced."""
        return self._graph is not None

    def __call__(self, picture: Any) -> list[Any]:
        if self._graph is None and (picture is None or not picture.interlaced_frame):
            return [] if picture is None else [picture]
        ready = []
        if picture is not None and self._format != (shape := (picture.width, picture.height, picture.format.name)):
            ready = self._drain() if self._graph is not None else []
            self._open(picture)
            self._format = shape
        self._graph.push(picture)
        return ready + list(self._pull())

    def _drain(self) -> list[Any]:
        self._graph.push(None)
        return list(self._pull())

    def _pull(self) -> Iterator[Any]:
        while True:
            try:
                yield self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return

    def _open(self, picture: Any) -> None:
        self._graph = av.filter.Graph()
        begin = self._graph.add_buffer(
            width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
        )
        middle = self._graph.add(DEINTERLACER, "mode=send_frame:deint=interlaced")
        end = self._graph.add("buffersink")
        begin.link_to(middle)
        middle.link_to(end)
        self._graph.configure()
