"""One connection to a camera or a stream: images until it breaks, and never waiting for ever."""

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

from ..errors import MissingDependency
from .uris import CameraUri, StreamUri, scheme_of

OPEN_TIMEOUT = 10.0
"""Seconds in which a server must answer and say what it sends."""
READ_TIMEOUT = 5.0
"""Seconds between two packets of a stream."""
PICTURE_TIMEOUT = 12.0
"""Seconds of packets without a picture; some cameras' key frames, before which there is none, are ten seconds apart."""
SILENT = "did not send anything in time; is the camera on, and the address right?"
UNREADABLE = f"sent nothing for {PICTURE_TIMEOUT:.0f} s that gives a picture; is its codec known, and does all arrive?"
USUAL_FPS = 30.0
FLIP_CODES = {"180": -1, "horizontal": 1, "vertical": 0}
"""As `cv2.flip` calls them."""
FLIP_METHODS = {"none": 0, "180": 2, "horizontal": 4, "vertical": 6}
"""As GStreamer's `nvvidconv` calls them."""


class FeedError(Exception):
    """Why a camera or stream cannot be opened or has broken: what was expected, what to do; no names."""


class Feed(NamedTuple):
    """What a connection gives.

    fps : frames a second as announced
    images : (H, W, 3) uint8 RGB each, None where something came that gave no image, so that whoever reads may stop;
        raises FeedError when it breaks; closing it closes the connection
    """

    fps: float
    images: Generator[np.ndarray | None, None, None]


def open_stream(uri: StreamUri) -> Feed:
    """Connect to an RTSP or HTTP stream; raises FeedError."""
    options = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "1000000"}  # microseconds
    if scheme_of(uri.address).startswith("rtsp"):
        options["rtsp_transport"] = uri.transport
    begun = time.monotonic()
    try:
        container: Any = av.open(uri.address, options=options, timeout=(OPEN_TIMEOUT, READ_TIMEOUT))
    except (av.FFmpegError, OSError) as error:
        if time.monotonic() - begun >= OPEN_TIMEOUT:  # FFmpeg calls that by several names
            raise FeedError(SILENT) from None
        raise FeedError(_reason(error)) from None  # FFmpeg's error carries the address with its password
    if not container.streams.video:
        container.close()
        raise FeedError("sends no video; expected a stream with pictures")
    stream = container.streams.video[0]
    stream.thread_type = "SLICE"  # threads by frame would hold frames back
    fps = float(stream.average_rate or stream.guessed_rate or USUAL_FPS)
    fps = fps if 1 <= fps <= 240 else USUAL_FPS
    return Feed(min(fps, uri.fps or fps), _shaped(_decode(container, stream), uri))


def _shaped(pictures: Generator[Any, None, None], uri: StreamUri) -> Generator[np.ndarray | None, None, None]:
    """Take pictures at the rate that is asked for, and turn them into images as asked for."""
    due = 0.0
    with closing(pictures):
        for picture in pictures:
            if picture is None:
                yield None
                continue
            if uri.fps:
                now = time.monotonic()
                if now < due:
                    continue
                due = max(due + 1 / uri.fps, now)  # counted from when it was due, or the rate would sink
            size = {"width": uri.width, "height": uri.height} if uri.width else {}
            image = picture.to_ndarray(format="rgb24", **size)
            yield cv2.flip(image, FLIP_CODES[uri.flip]) if uri.flip in FLIP_CODES else image


def _decode(container: Any, stream: Any) -> Generator[Any, None, None]:
    """Give whole pictures, and None for each packet that holds none."""
    last = time.monotonic()
    with container:
        try:
            for packet in container.demux(stream):
                pictures = _whole_pictures(packet)
                yield from pictures or [None]
                if pictures:
                    last = time.monotonic()
                elif time.monotonic() - last > PICTURE_TIMEOUT:
                    raise FeedError(UNREADABLE)
        except (av.FFmpegError, OSError) as error:
            raise FeedError(_reason(error)) from None


def _whole_pictures(packet: Any) -> list[Any]:
    if packet.is_corrupt:
        return []
    try:
        return [picture for picture in packet.decode() if not picture.is_corrupt]
    except av.FFmpegError:  # joined between two key frames, or half a picture
        return []


def _reason(error: Exception) -> str:
    """Say in a few words what went wrong, and what to do."""
    if isinstance(error, (av.HTTPUnauthorizedError, av.HTTPForbiddenError)):
        return "refuses user or password; expected scheme://user:password@host/path"
    if isinstance(error, av.HTTPNotFoundError):
        return "has no such stream; look at the path after the host"
    if isinstance(error, av.ExitError) or "timed out" in str(error).lower():
        return SILENT
    if isinstance(error, ConnectionRefusedError):
        return "refuses the connection; is the server running, and the port right?"
    if isinstance(error, av.InvalidDataError):
        return "sends no video that FFmpeg reads; expected RTSP, or MJPEG over HTTP"
    if getattr(error, "errno", None) == errno.EIO:  # what FFmpeg says where a name is unknown, or a web page comes
        return "cannot be reached, or sends no video; are host and path right, and the network up?"
    return f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})"


def open_camera(camera: CameraUri) -> Feed:
    """Open a local camera; raises FeedError, or MissingDependency for what OpenCV was built without."""
    capture = _open_csi(camera) if camera.kind == "csi" else _open_v4l2(camera)
    fps = capture.get(cv2.CAP_PROP_FPS)
    flip = FLIP_CODES.get(camera.flip) if camera.kind == "v4l2" else None
    return Feed(fps if 1 <= fps <= 240 else USUAL_FPS, _grab(capture, flip))


def _open_v4l2(camera: CameraUri) -> Any:
    device = Path(camera.device)
    if not device.exists():
        others = sorted(path.name for path in Path("/dev").glob("video[0-9]*"))
        here = f"cameras here: {', '.join(others)}" if others else "this machine has no /dev/video*"
        raise FeedError(f"no such camera; {here}")
    if not os.access(device, os.R_OK | os.W_OK):
        raise FeedError("may not be opened; run `sudo usermod -aG video $USER` and log in again")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # what follows is said in one line, by us
    capture = cv2.VideoCapture(camera.device, cv2.CAP_V4L2)
    if not capture.isOpened():
        raise FeedError("cannot be opened; is it a camera, and does no other program use it?")
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
            "csi:// needs an OpenCV with GStreamer, and pip's has none; on a Jetson use the system's: "
            "`apt install python3-opencv` and a venv made with --system-site-packages, without opencv-python"
        )
    capture = cv2.VideoCapture(csi_pipeline(camera), cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        raise FeedError("cannot be opened; is the sensor in place, and `nvargus-daemon` running?")
    return capture


def has_gstreamer() -> bool:
    """Tell whether this OpenCV was built with GStreamer; its list of backends names it in any case."""
    return bool(re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()))


def csi_pipeline(camera: CameraUri) -> str:
    """GStreamer's pipeline for a Jetson's CSI camera, which keeps the newest frame only."""
    width, height, fps = camera.width or 1280, camera.height or 720, camera.fps or 30
    return (
        f"nvarguscamerasrc sensor-id={camera.device} ! "
        f"video/x-raw(memory:NVMM),width={width},height={height},framerate={fps}/1 ! "
        f"nvvidconv flip-method={FLIP_METHODS[camera.flip]} ! video/x-raw,format=BGRx ! "
        "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )


def _grab(capture: Any, flip: int | None) -> Generator[np.ndarray, None, None]:
    try:
        while True:
            good, image = capture.read()
            if not good:
                raise FeedError("gives no more frames; was it unplugged?")
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            yield image if flip is None else cv2.flip(image, flip)
    finally:
        capture.release()
