"""Sound of a source, copied packet by packet into an output video."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import av

from ..errors import BadInput
from .base import StreamInfo
from .uris import redact

log = logging.getLogger("shls")


class SoundCopy:
    """Copy the sound of a source's file, from the first written frame to the last, without encoding it again.

    Parameters
    ----------
    info : StreamInfo
        The source.
    muxer : str
        FFmpeg's name of the output format.
    name : str
        Output file, for messages.

    Attributes
    ----------
    found : bool
        Whether the source has sound.

    Raises
    ------
    BadInput
        If the source is not a video file, or if the output format cannot hold the codec of the sound.
    """

    def __init__(self, info: StreamInfo, muxer: str, name: str) -> None:
        if info.address is None:
            raise BadInput("--sound: the source is no video file, so it has no sound. Leave --sound out.")
        self._shift = info.begin  # container time of the first written frame
        try:
            self._input: Any = av.open(info.address, metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise BadInput(f"{redact(info.address)}: sound cannot be read ({error}). Leave --sound out.") from error
        best: Any = self._input.streams.best("audio")
        self._stream, self.found = best, best is not None
        if not self.found:
            log.warning("--sound: the source has no sound; %s is written without sound.", name)
            return
        try:
            with av.open(io.BytesIO(), "w", format=muxer) as trial:
                trial.add_stream_from_template(self._stream)
                trial.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            self.close()
            codec = self._stream.codec_context.name
            raise BadInput(
                f"{name}: a file of this format cannot hold sound of the codec {codec}. Choose a name ending in .mkv."
            ) from error

    def attach(self, output: Any, begin: float) -> None:
        """Add a sound stream to an opened output whose first frame has `Frame.time` `begin`, seconds."""
        self._shift += begin
        self._copy = output.add_stream_from_template(self._stream)
        context = self._stream.codec_context
        # AAC of a broadcast describes itself in each packet (ADTS); files describe it once.
        self._filter = None
        if context.name == "aac" and not context.extradata:
            self._filter = av.BitStreamFilterContext("aac_adtstoasc", self._stream)
        self._packets = self._shifted()
        self._next = next(self._packets, None)

    def until(self, seconds: float) -> Iterator[Any]:
        """Yield the packets that start before a time, seconds since the first written frame."""
        while self._next is not None and self._next.pts * self._stream.time_base < seconds:
            packet, self._next = self._next, next(self._packets, None)
            packet.stream = self._copy
            yield packet

    def close(self) -> None:
        """Close the input; may be called twice."""
        self._input.close()

    def _shifted(self) -> Iterator[Any]:
        """Yield the packets from the first written frame on, with time stamps relative to that frame."""
        ticks = round(self._shift / self._stream.time_base)
        try:
            for packet in self._input.demux(self._stream):
                if packet.pts is None or packet.dts is None or min(packet.pts, packet.dts) < ticks:
                    continue
                packet.pts -= ticks
                packet.dts -= ticks
                for part in self._filter.filter(packet) if self._filter else [packet]:
                    part.time_base = self._stream.time_base
                    yield part
        except av.FFmpegError as error:
            log.warning("--sound: the sound is damaged and ends early (%s).", error)
