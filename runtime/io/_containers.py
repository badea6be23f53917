"""Containers opened with PyAV: the address of a file, the video stream to read, recordings and live streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import BadInput

COVER = 0x400
"""FFmpeg's disposition of attached pictures, such as the cover of a song."""
LIVE_FORMATS = ("mpjpeg", "rtsp", "sdp", "rtp")
"""FFmpeg's demuxers whose data has no end."""


def address_of(path: Path | str) -> str:
    """Return the address that FFmpeg reads as this file, whatever its name contains.

    Examples
    --------
    >>> address_of("cam:1.mp4")
    'file:cam:1.mp4'
    """
    return f"file:{path}"


def best_video(container: Any, shown: str, wanted: int = -1) -> Any:
    """Return the video stream to read.

    Parameters
    ----------
    container : av.container.InputContainer
    shown : str
        Name of the source, for messages.
    wanted : int
        Index of a stream in the container; -1 selects FFmpeg's best video stream. Attached pictures are never
        selected without an index.

    Raises
    ------
    BadInput
        If there is no video stream, or none of this index.
    """
    streams = [stream for stream in container.streams.video if stream.codec_context is not None]
    if wanted >= 0:
        for stream in streams:
            if stream.index == wanted:
                return stream
        indices = ", ".join(str(stream.index) for stream in streams) or "none"
        raise BadInput(
            f"{shown}: no such video stream (got {wanted}, video streams: {indices}). Change #stream={wanted}"
        )
    best = container.streams.best("video")
    videos = [stream for stream in streams if not stream.disposition.value & COVER]
    if best in videos:
        return best
    if not videos:
        raise BadInput(f"{shown}: has no video stream (got sound or data only). Give a source with pictures")
    return videos[0]


def is_recording(container: Any) -> bool:
    """Return whether a container that was opened by URL has an end.

    A recording states its duration, as mp4 files and finished HLS playlists do, or its server states its size.
    The size of a playlist says nothing about the stream.
    """
    formats = container.format.name.split(",")
    if any(name in LIVE_FORMATS for name in formats):
        return False
    playlist = "hls" in formats or "dash" in formats
    return (container.duration or 0) > 0 or (not playlist and container.size > 0)


def is_cut(path: Path) -> bool:
    """Return whether an .avi, .mkv or .webm file is shorter than its header states.

    FFmpeg may report the plain end of such a file.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4096)
    segment = head.find(b"\x18\x53\x80\x67") + 4  # Matroska's element around everything; its length follows
    if head.startswith(b"RIFF"):
        length, start, unknown = int.from_bytes(head[4:8], "little"), 8, 0xFFFFFFFF
    elif head.startswith(b"\x1a\x45\xdf\xa3") and 4 < segment < len(head):
        start = segment + max(1, 9 - head[segment].bit_length())  # leading zeros give the number of bytes
        unknown = (1 << 7 * (start - segment)) - 1  # all ones: a recording that was never closed
        length = int.from_bytes(head[segment:start], "big") & unknown
    else:
        return False
    return length != unknown and start + length > path.stat().st_size
