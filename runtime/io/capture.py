"""Connection to a camera or a live stream: images until the connection breaks, each wait with a time limit."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np

from ..errors import BadInput, MissingDependency
from ._containers import best_video
from ._pictures import PictureReader
from .uris import CameraUri, StreamUri, redact, scheme_of

OPEN_TIMEOUT = 10.0
"""Seconds within which a server must answer and describe its stream."""
READ_TIMEOUT = 5.0
"""Seconds between two packets of a stream."""
PICTURE_TIMEOUT = 12.0
"""Seconds of packets without a picture. Some cameras send a key frame, which starts the pictures, every ten seconds."""
SILENT = "did not send anything in time. Check that the camera is on and that the address is right"
UNREADABLE = "sent no picture that can be decoded for {:.0f} s. Check its codec and the network"
USUAL_FPS = 30.0
FLIP_CODES = {"180": -1, "horizontal": 1, "vertical": 0}
"""Arguments of `cv2.flip`."""
FLIP_METHODS = {"none": 0, "180": 2, "horizontal": 4, "vertical": 6}
"""Arguments of GStreamer's `nvvidconv`."""


class FeedError(Exception):
    """Reason why a camera or stream cannot be opened or has broken, and the fix; without the name of the source."""


class Feed(NamedTuple):
    """Open connection.

    Attributes
    ----------
    fps : float
        Frames per second as announced.
    images : generator
        (H, W, 3) uint8 RGB images, and None for data without an image, so that the reader can stop. Raises FeedError
        when the connection breaks. Closing the generator closes the connection.

    Examples
    --------
    >>> next(Feed(25.0, (np.zeros((2, 2, 3), np.uint8) for _ in range(1))).images).shape
    (2, 2, 3)
    """

    fps: float
    images: Generator[np.ndarray | None, None, None]


def connect(uri: StreamUri) -> Any:
    """Open the container of a stream for live reading: without buffers.

    Returns
    -------
    av.container.InputContainer

    Raises
    ------
    FeedError
        If the stream cannot be opened.

    Examples
    --------
    >>> connect(StreamUri("tcp://127.0.0.1:9"))  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    shls.runtime.io.capture.FeedError: refuses the connection. Check that the server runs, and the port
    """
    options = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "1000000"}  # microseconds
    if scheme_of(uri.address).startswith("rtsp"):
        options["rtsp_transport"] = uri.transport
    begun = time.monotonic()
    try:
        return av.open(uri.address, options=options, timeout=(OPEN_TIMEOUT, READ_TIMEOUT), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:  # FFmpeg's error carries the address with its password
        late = time.monotonic() - begun >= OPEN_TIMEOUT  # FFmpeg has several names for a time-out
        raise FeedError(SILENT if late else reason_of(error)) from None


def open_stream(uri: StreamUri, container: Any = None) -> Feed:
    """Read a live stream.

    Parameters
    ----------
    uri : StreamUri
    container : av.container.InputContainer, optional
        Result of `connect`; by default a new connection.

    Raises
    ------
    FeedError
        If the stream cannot be opened, or has no video.

    Examples
    --------
    >>> open_stream(StreamUri("rtsp://camera/stream")).fps  # doctest: +SKIP
    25.0
    """
    container = container or connect(uri)
    try:
        stream = best_video(container, redact(uri.address), uri.stream)
    except BadInput as error:
        container.close()
        raise FeedError(str(error).partition(": ")[2]) from None
    stream.thread_type = "SLICE"  # threads by frame would hold frames back
    fps = float(stream.average_rate or stream.guessed_rate or USUAL_FPS)
    fps = fps if 1 <= fps <= 240 else USUAL_FPS
    return Feed(min(fps, uri.fps or fps), _images(_decode(container, stream), PictureReader(stream), uri))


def _images(
    pictures: Generator[Any, None, None], reader: PictureReader, uri: StreamUri
) -> Generator[np.ndarray | None, None, None]:
    """Convert pictures to images, at the requested rate, size and orientation."""
    due = 0.0
    with closing(pictures):
        for picture in pictures:
            if picture is None:
                yield None
                continue
            for ready in reader.progressive(picture):
                if uri.fps:
                    now = time.monotonic()
                    if now < due:
                        continue
                    due = max(due + 1 / uri.fps, now)  # counted from when it was due, or the rate would sink
                try:
                    image = reader.to_rgb(ready, (uri.height, uri.width) if uri.width else None)
                except (av.FFmpegError, ValueError) as error:
                    raise FeedError(
                        f"sends a pixel format that FFmpeg cannot convert ({picture.format.name})"
                    ) from error
                yield cv2.flip(image, FLIP_CODES[uri.flip]) if uri.flip in FLIP_CODES else image


def _decode(container: Any, stream: Any) -> Generator[Any, None, None]:
    """Yield whole pictures, and None for each packet without one."""
    last = time.monotonic()
    with container:
        try:
            for packet in container.demux(stream):
                pictures = _whole_pictures(packet)
                yield from pictures or [None]
                if pictures:
                    last = time.monotonic()
                elif time.monotonic() - last > PICTURE_TIMEOUT:
                    raise FeedError(UNREADABLE.format(PICTURE_TIMEOUT))
        except (av.FFmpegError, OSError) as error:
            raise FeedError(reason_of(error)) from None


def _whole_pictures(packet: Any) -> list[Any]:
    if packet.is_corrupt:
        return []
    try:
        return [picture for picture in packet.decode() if not picture.is_corrupt]
    except av.FFmpegError:  # joined between two key frames, or half a picture
        return []


def reason_of(error: Exception) -> str:
    """Describe why a stream cannot be read, and the fix; without its address.

    Examples
    --------
    >>> reason_of(ConnectionRefusedError())
    'refuses the connection. Check that the server runs, and the port'
    """
    if isinstance(error, (av.HTTPUnauthorizedError, av.HTTPForbiddenError)):
        return "refuses user or password (expected scheme://user:password@host/path)"
    if isinstance(error, av.HTTPNotFoundError):
        return "has no such stream. Check the path after the host"
    if isinstance(error, av.ProtocolNotFoundError):
        return "scheme not supported by this PyAV. Install a PyAV whose FFmpeg has the protocol, or record to a file"
    if isinstance(error, av.ExitError) or "timed out" in str(error).lower():
        return SILENT
    if isinstance(error, ConnectionRefusedError):
        return "refuses the connection. Check that the server runs, and the port"
    if isinstance(error, av.InvalidDataError):
        return "sends no video that FFmpeg reads. Check the path, and that the codec is a usual one"
    if getattr(error, "errno", None) == errno.EIO:  # FFmpeg's error for an unknown host, or for a web page
        return "cannot be reached, or sends no video. Check host, path and network"
    return f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})"


def open_camera(camera: CameraUri) -> Feed:
    """Open a local camera.

    Raises
    ------
    FeedError
        If the camera cannot be opened.
    MissingDependency
        If this OpenCV was built without what the camera needs.

    Examples
    --------
    >>> open_camera(CameraUri("v4l2", "/dev/video0")).fps  # doctest: +SKIP
    30.0
    """
    capture = _open_csi(camera) if camera.kind == "csi" else _open_v4l2(camera)
    fps = capture.get(cv2.CAP_PROP_FPS)
    flip = FLIP_CODES.get(camera.flip) if camera.kind == "v4l2" else None
    return Feed(fps if 1 <= fps <= 240 else USUAL_FPS, grab(capture, flip))


def _open_v4l2(camera: CameraUri) -> Any:
    device = Path(camera.device)
    if not device.exists():
        others = sorted(path.name for path in Path("/dev").glob("video[0-9]*"))
        here = f"cameras here: {', '.join(others)}" if others else "this machine has no /dev/video*"
        raise FeedError(f"no such camera ({here})")
    if not os.access(device, os.R_OK | os.W_OK):
        raise FeedError("access is denied. Run `sudo usermod -aG video $USER` and log in again")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # this module reports failures in one line
    capture = cv2.VideoCapture(camera.device, cv2.CAP_V4L2)
    if not capture.isOpened():
        raise FeedError("cannot be opened. Check that the device is a camera and that no other program uses it")
    if camera.codec:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*camera.codec.upper()))
    for key, value in (
        (cv2.CAP_PROP_FRAME_WIDTH, camera.width),
        (cv2.CAP_PROP_FRAME_HEIGHT, camera.height),
        (cv2.CAP_PROP_FPS, camera.fps),
    ):
        if value:
            capture.set(key, value)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture


def _open_csi(camera: CameraUri) -> Any:
    if not has_gstreamer():
        raise MissingDependency(
            "csi://: OpenCV has no GStreamer (expected the OpenCV of JetPack). On a Jetson, run "
            "`apt install python3-opencv` and use a venv made with --system-site-packages, without opencv-python"
        )
    capture = cv2.VideoCapture(csi_pipeline(camera), cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        raise FeedError("cannot be opened. Check the sensor's cable and that `nvargus-daemon` runs")
    return capture


def has_gstreamer() -> bool:
    """Return whether this OpenCV was built with GStreamer; OpenCV's list of backends names GStreamer in any case.

    Examples
    --------
    >>> has_gstreamer()  # doctest: +SKIP
    False
    """
    return bool(re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()))


def csi_pipeline(camera: CameraUri) -> str:
    """Return GStreamer's pipeline for the CSI camera of a Jetson, which keeps only the newest frame.

    Examples
    --------
    >>> csi_pipeline(CameraUri("csi", "0")).split(" ! ")[0]
    'nvarguscamerasrc sensor-id=0'
    """
    width, height, fps = camera.width or 1280, camera.height or 720, camera.fps or 30
    return (
        f"nvarguscamerasrc sensor-id={camera.device} ! "
        f"video/x-raw(memory:NVMM),width={width},height={height},framerate={fps}/1 ! "
        f"nvvidconv flip-method={FLIP_METHODS[camera.flip]} ! video/x-raw,format=BGRx ! "
        "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )


def grab(capture: Any, flip: int | None) -> Generator[np.ndarray, None, None]:
    """Yield the images of an open `cv2.VideoCapture` as (H, W, 3) uint8 RGB, flipped by a code of `cv2.flip`.

    Raises
    ------
    FeedError
        If there are no more images.

    Examples
    --------
    >>> next(grab(cv2.VideoCapture("rtsp://camera/stream"), None)).shape  # doctest: +SKIP
    (480, 640, 3)
    """
    try:
        while True:
            good, image = capture.read()
            if not good:
                raise FeedError("gives no more frames. Check whether the camera was unplugged")
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            yield image if flip is None else cv2.flip(image, flip)
    finally:
        capture.release()
