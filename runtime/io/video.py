"""Video files and recordings by URL, decoded in full with PyAV."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import av
import numpy as np

from ..errors import BadInput
from ..types import Frame
from ._containers import address_of, best_video, is_cut
from ._pictures import PictureReader
from .base import Source, StreamInfo
from .capture import reason_of
from .recorded import RecordedSource, past_the_end
from .uris import StreamUri, redact

USUAL_FPS = 24.0
"""Frame rate of a video that states none."""
TIMEOUTS = (10.0, 30.0)
"""Seconds within which a server must answer, and send the next data."""
WEB_OPTIONS = {"reconnect": "1", "reconnect_on_network_error": "1", "reconnect_delay_max": "4"}
"""FFmpeg's options for recordings by URL: a lost connection is opened again where it broke."""

LEAD = 1.0
"""Seconds that are decoded before a frame that is sought: a key frame may need the frames before it to be whole."""

log = logging.getLogger("shls")


class VideoSource(RecordedSource):
    """Video file, or recording by URL.

    Frames are upright as the metadata asks, deinterlaced, and SDR: PQ and HLG are tone-mapped to BT.709.
    Damaged frames are given as the decoder conceals the damage, and counted in `damaged`.

    Parameters
    ----------
    video : Path or StreamUri
        File, or recording by URL.
    start : int
        Number of frames to skip.
    stream : int
        Index of the video stream of a file; -1 selects FFmpeg's best video stream.
    known : tuple of (float, float), optional
        Container time of frame 0 and `Frame.time` of the first frame to give, as an earlier source of the file had
        them, seconds. The frame is then found by its time stamp, and earlier frames are not decoded.

    Raises
    ------
    BadInput
        If there is no video, no frame can be decoded, or no frame has the known time. While iterating, after the last
        readable frame: if the video is truncated, or its connection is lost.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> with VideoSource(SHIPPED_MODEL.parent / "bunny.mp4") as source:
    ...     source.size, source.info.color_space, next(source).time
    ((480, 854), 1, 0.0)
    """

    def __init__(
        self,
        video: Path | StreamUri,
        start: int = 0,
        stream: int = -1,
        *,
        known: tuple[float, float] | None = None,
    ) -> None:
        self._file = video if isinstance(video, Path) else None
        if isinstance(video, Path):
            self._shown, self._address, self.name = str(video), address_of(video), video.stem
        else:
            self._shown, self._address, self.name = redact(video.address), video.address, _name_of(video.address)
            stream = video.stream
        self._container = self._open()
        try:
            self._stream = best_video(self._container, self._shown, stream)
            self._stream.thread_type = "AUTO"
            self._reader = PictureReader(self._stream)
            self.fps = float(self._stream.average_rate or self._stream.guessed_rate or USUAL_FPS)
            total = self._stream.frames or round((self._container.duration or 0) / av.time_base * self.fps)
            self.count = max(1, total - start) if total else None
            self._damaged_stamps: set[int | None] = set()
            self._cut = False
            self._begin = 0.0
            self._known = known
            super().__init__(start)
            self._info = self._describe()
        except BaseException:
            self._container.close()
            raise

    @property
    def damaged(self) -> int:  # type: ignore[override]
        return len(self._damaged_stamps)

    @property
    def info(self) -> StreamInfo:
        return self._info

    def reopened(self, index: int, time: float | None = None) -> Source | None:
        if self._file is None or time is None or self._reader.deinterlaces:
            return None
        try:
            return VideoSource(self._file, index, self._info.stream or 0, known=(self._begin, time))
        except BadInput:
            return None

    def _describe(self) -> StreamInfo:
        """Copy the properties of the stream, which must not be used after its container is closed."""
        colors = self._reader.colors
        return StreamInfo(
            self.size,
            self.fps,
            self._stream.time_base,
            self._reader.sample_aspect,
            color_space=colors.space,
            color_primaries=colors.primaries,
            color_trc=colors.trc,
            color_range=colors.range,
            address=self._address,
            stream=self._stream.index,
            begin=self._begin,
        )

    def _open(self) -> Any:
        web = self._file is None
        try:
            container = av.open(
                self._address,
                options=WEB_OPTIONS if web else {},
                timeout=TIMEOUTS if web else None,
                metadata_errors="replace",  # titles in other encodings than UTF-8 are common and not needed
            )
        except (av.FFmpegError, OSError) as error:
            if web:  # FFmpeg's error carries the address with its password
                raise BadInput(f"{self._shown}: {reason_of(error)}") from None
            raise BadInput(
                f"{self._shown}: cannot be read as a video ({getattr(error, 'strerror', error)}; "
                "expected a file that FFmpeg reads, such as .mp4, .mkv, .avi, complete to its end)"
            ) from error
        if container.format.name == "tty":  # FFmpeg plays text files as terminal art
            container.close()
            raise BadInput(f"{self._shown}: has no video (expected a complete video file, or a folder of images)")
        return container

    def _read(self, start: int) -> Iterator[Frame]:
        if self._known is not None:
            yield from self._read_known(start, *self._known)
            return
        index, seconds = -1, 0.0
        for index, picture in enumerate(self._progressive()):
            if index == 0:
                self._begin = picture.time or 0.0
            time = None if picture.time is None else picture.time - self._begin
            if index and (time is None or time <= seconds):  # missing, or goes back: follow the frame before
                time = seconds + 1 / self.fps
            seconds = time or 0.0
            if index >= start:
                yield Frame(self._image(picture, index), index, seconds, f"{index:05d}")
        if index < start:
            raise past_the_end(self._shown, start, index + 1)

    def _read_known(self, start: int, begin: float, seconds: float) -> Iterator[Frame]:
        """Yield the frames from the frame on whose number and time are known."""
        self._begin = begin
        stamp = round((begin + seconds - LEAD) / self._stream.time_base)
        self._container.seek(stamp, stream=self._stream, backward=True)
        index, tick = start - 1, float(self._stream.time_base) / 2
        for picture in self._progressive():
            time = None if picture.time is None else picture.time - begin
            if index < start:
                if time is not None and time < seconds - tick:
                    continue
                if time is None or time > seconds + tick:
                    break
            elif time is None or time <= seconds:
                time = seconds + 1 / self.fps
            index, seconds = index + 1, time
            yield Frame(self._image(picture, index), index, seconds, f"{index:05d}")
        if index < start:
            raise BadInput(f"{self._shown}: no frame at {seconds:.3f} s (expected frame {start} there)")

    def _image(self, picture: Any, index: int) -> np.ndarray:
        try:
            return self._reader.to_rgb(picture)
        except (av.FFmpegError, ValueError) as error:
            raise BadInput(
                f"{self._shown}: frame {index} cannot be converted to RGB (got pixel format {picture.format.name}, "
                "expected one that FFmpeg converts). Convert the video to yuv420p"
            ) from error

    def _progressive(self) -> Iterator[Any]:
        """Decode and deinterlace everything that can be decoded; then report damage."""
        count = 0
        with self._container:
            for picture in self._decode():
                count += 1
                yield from self._reader.progressive(picture)
            yield from self._reader.progressive(None)
        if count == 0:
            raise BadInput(f"{self._shown}: no frame can be decoded (expected a complete file of a known codec)")
        if self.damaged > 1:
            log.warning("%s: %d of %d frames are damaged", self._shown, self.damaged, count)
        if self._cut:
            problem, fix = f"truncated or damaged, {count} frames could be read", "Copy or record the file again"
            if self._file is None:
                problem, fix = f"connection lost after {count} frames", "Download the file and follow it from the disk"
            raise BadInput(f"{self._shown}: {problem}. Results of these frames are kept. {fix} for the rest")

    def _decode(self) -> Iterator[Any]:
        """Decode all packets. Damage that further packets follow is noted; damage at the end is a cut."""
        begun, damage_at_end = False, False
        self._cut = self._file is not None and is_cut(self._file)
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:  # the last one, which flushes the decoder, has none
                    damage_at_end = packet.is_corrupt
                try:
                    for picture in packet.decode():
                        begun = True
                        if picture.is_corrupt:
                            self._note_damage(picture.pts)
                        yield picture
                except av.FFmpegError:
                    damage_at_end = begun
                if begun and (damage_at_end or packet.is_corrupt):  # before: a broadcast that begins in mid-stream
                    self._note_damage(packet.pts)
        except av.FFmpegError:
            damage_at_end = True
        self._cut = self._cut or damage_at_end

    def _note_damage(self, stamp: int | None) -> None:
        """Count a damaged frame by its time stamp: its packet and its picture may both be reported."""
        first = not self._damaged_stamps
        self._damaged_stamps.add(stamp)
        if first and stamp is not None:
            seconds = float((stamp - (self._stream.start_time or 0)) * self._stream.time_base)
            log.warning("%s: damaged at %.2f s; the masks there may be wrong", self._shown, seconds)


def _name_of(address: str) -> str:
    """Name the outputs of a recording by URL after the last part of the path, or the host."""
    parts = urlsplit(address)
    stem = PurePosixPath(unquote(parts.path)).stem or (parts.hostname or "video")
    return "".join(letter if letter.isalnum() or letter in "-_. " else "-" for letter in stem)
