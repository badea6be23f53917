"""RTSP streams through the video decoder of a Jetson: GStreamer in the system's OpenCV.

PyAV's FFmpeg decodes on the CPU. The pipeline has been tried with software elements, and not yet on a board.
"""

from __future__ import annotations

from pathlib import Path

import cv2

from .capture import FLIP_METHODS, USUAL_FPS, Feed, FeedError, grab, has_gstreamer
from .uris import StreamUri, scheme_of

DECODERS = ("/dev/v4l2-nvdec", "/dev/nvhost-nvdec")
"""Device files of the video decoder, of which a Jetson has one."""


def can_decode(uri: StreamUri, root: Path = Path("/")) -> bool:
    """Return whether a stream can be decoded by the Jetson's decoder: RTSP, its video not chosen by number.

    Parameters
    ----------
    uri : StreamUri
    root : root of the file system

    Examples
    --------
    >>> can_decode(StreamUri("rtmp://host/a"))
    False
    """
    if scheme_of(uri.address) != "rtsp" or uri.stream >= 0:
        return False
    return any((root / name.lstrip("/")).exists() for name in DECODERS) and has_gstreamer()


def open_decoded(uri: StreamUri) -> Feed:
    """Read an RTSP stream through the Jetson's decoder.

    Raises
    ------
    FeedError
        If the stream cannot be opened.

    Examples
    --------
    >>> open_decoded(StreamUri("rtsp://camera/stream")).fps  # doctest: +SKIP
    25.0
    """
    capture = cv2.VideoCapture(rtsp_pipeline(uri), cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        raise FeedError(
            "cannot be opened by GStreamer. Check server, path, user and password, and that it sends H.264/5"
        )
    fps = capture.get(cv2.CAP_PROP_FPS)
    return Feed(fps if 1 <= fps <= 240 else USUAL_FPS, grab(capture, None))


def rtsp_pipeline(uri: StreamUri, decoder: str = "nvv4l2decoder", converter: str = "nvvidconv") -> str:
    """Return GStreamer's pipeline for an RTSP stream, which keeps only the newest picture.

    Parameters
    ----------
    uri : StreamUri
    decoder, converter : elements that decode, and that scale and flip

    Examples
    --------
    >>> rtsp_pipeline(StreamUri("rtsp://camera/stream")).split(" ! ")[2:4]
    ['parsebin', 'nvv4l2decoder']
    """
    address = uri.address.replace("\\", "\\\\").replace('"', '\\"')
    flip = f" flip-method={FLIP_METHODS[uri.flip]}" if uri.flip != "none" else ""
    size = f",width={uri.width},height={uri.height}" if uri.width else ""
    rate = f"videorate drop-only=true max-rate={uri.fps} ! " if uri.fps else ""
    return (
        f'rtspsrc location="{address}" protocols={uri.transport} latency=100 ! application/x-rtp,media=video ! '
        f"parsebin ! {decoder} ! queue leaky=downstream max-size-buffers=1 ! {rate}"
        f"{converter}{flip} ! video/x-raw,format=BGRx{size} ! "
        "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )
