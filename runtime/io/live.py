"""Live sources: cameras and streams, of which the newest frame counts.

A thread reads as fast as frames come and keeps the newest one. Frames that nobody took are dropped and counted.
A stream that breaks is opened again, with growing pauses, while the reader of the source waits.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from threading import Condition, Event, Thread
from typing import Any

import cv2
import numpy as np

from ..errors import BadInput
from ..types import Frame
from .base import Source, StreamInfo
from .capture import Feed, FeedError, open_camera, open_stream
from .jetson_stream import can_decode, open_decoded
from .uris import is_url, parse_camera, parse_stream, redact

FIRST_FRAME = 15.0
"""Seconds within which a source must give its first frame."""
PATIENCE = 60.0
"""Seconds for which a broken stream is opened again before the run ends."""
STUCK = 90.0
"""Seconds without a frame or an error after which a source is given up: a driver that hangs has no time-out."""
PAUSES = (0.2, 5.0)
"""Shortest and longest pause between two attempts, seconds; each pause is twice the one before."""
POLL = 0.1
"""Seconds between two checks for a stop: a signal handler cannot wake a waiting thread."""
LIVE_TIME_BASE = Fraction(1, 90000)
"""Unit of a live frame's time stamp, seconds; that of RTP."""

log = logging.getLogger("shls")


class LiveSource(Source):
    """Camera or live stream.

    Parameters
    ----------
    name : str
        Name for the outputs.
    shown : str
        Name for messages, without passwords.
    connect : callable
        Opens the camera or stream and returns a `Feed`.

    Raises
    ------
    BadInput
        If the source cannot be opened, or gives no frame in time. While iterating: if the source broke and did not
        come back.

    Examples
    --------
    >>> images = (np.full((4, 6, 3), value, np.uint8) for value in range(100))
    >>> with LiveSource("grey", "grey", lambda: Feed(30.0, images)) as source:
    ...     source.live, source.size
    (True, (4, 6))
    """

    live = True

    def __init__(self, name: str, shown: str, connect: Callable[[], Feed]) -> None:
        self.name, self._shown, self._connect = name, shown, connect
        self.fps, self.count = 30.0, None
        self._changed = Condition()
        self._latest: Frame | None = None
        self._failure: BaseException | None = None
        self._stopped = Event()
        self._origin = 0.0
        self._index = 0
        self._taking = False
        self._thread = Thread(target=self._guarded, name=f"reader of {name}", daemon=True)
        self._thread.start()
        self._wait(FIRST_FRAME)
        if self._latest is None:
            self.close()
            raise self._failure or BadInput(
                f"{shown}: no frame within {FIRST_FRAME:.0f} s. Check that the camera is on and its codec is common"
            )

    def __next__(self) -> Frame:
        if not self._wait(STUCK):
            raise BadInput(
                f"{self._shown}: gives neither a frame nor an error for {STUCK:.0f} s. "
                "Plug the camera in again, or restart its server"
            )
        with self._changed:
            self._taking = True  # frames before the first request do not count as dropped
            frame, self._latest = self._latest, None
        if frame is not None:
            return frame
        if self._failure is not None and not self._stopped.is_set():
            raise self._failure
        raise StopIteration

    @property
    def info(self) -> StreamInfo:
        return StreamInfo(self.size, self.fps, LIVE_TIME_BASE)

    def age(self, frame: Frame) -> float:
        return time.perf_counter() - self._origin - frame.time

    def stop(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        self.stop()
        self._latest = None
        self._thread.join(FIRST_FRAME)  # the time-outs of feeds are shorter

    def _wait(self, seconds: float) -> bool:
        """Wait for a frame, or an end; False if neither came in time."""
        end = time.perf_counter() + seconds
        with self._changed:
            while self._latest is None and self._failure is None and not self._stopped.is_set():
                if time.perf_counter() >= end:
                    return False
                self._changed.wait(POLL)
        return True

    def _guarded(self) -> None:
        try:
            self._read()
        except BaseException as error:  # carried over to whoever iterates
            self._fail(error)

    def _read(self) -> None:
        lost, pause = 0.0, PAUSES[0]
        while not self._stopped.is_set():
            before = self._index
            reason = self._read_until_it_breaks()
            if self._stopped.is_set():
                return
            now = time.perf_counter()
            broke = self._index > before
            if broke:
                lost, pause = now, PAUSES[0]
            if self._index == 0 or now - lost > PATIENCE:
                since = "" if self._index == 0 else f"lost, {PATIENCE:.0f} s ago; now it "
                self._fail(BadInput(f"{self._shown}: {since}{reason}"))
                return
            self.breaks += broke
            log.log(logging.WARNING if broke else logging.INFO, "%s: %s; opening it again", self._shown, reason)
            self._stopped.wait(pause)
            pause = min(2 * pause, PAUSES[1])

    def _read_until_it_breaks(self) -> str:
        """Publish frames; return the reason why there are no more."""
        again = self._index > 0
        try:
            feed = self._connect()
            self.fps = feed.fps
            with closing(feed.images) as images:
                for image in images:
                    if image is not None:
                        self._publish(image)
                        if again:
                            log.warning("%s: gives frames again", self._shown)
                            again = False
                    if self._stopped.is_set():
                        break
        except FeedError as error:
            return str(error)
        return "ends its stream"

    def _publish(self, image: np.ndarray) -> None:
        now = time.perf_counter()
        if self._index == 0:
            self._origin, self.size = now, (image.shape[0], image.shape[1])
        elif image.shape[:2] != self.size:  # the objects are kept, and with them the size
            image = cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_AREA)
        frame = Frame(image, self._index, now - self._origin, f"{self._index:05d}")
        with self._changed:
            self.dropped += self._taking and self._latest is not None
            self._latest = frame
            self._index += 1
            self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = error
            self._changed.notify_all()


def open_live(uri: str) -> LiveSource:
    """Open a camera or a live stream; see `shls.runtime.io.uris` for the grammar.

    Raises
    ------
    BadInput
        If the name does not follow the grammar, or the source gives no frame.

    Examples
    --------
    >>> open_live("rtsp://camera/stream").live  # doctest: +SKIP
    True
    """
    if is_url(uri):
        return open_live_stream(uri)
    camera = parse_camera(uri)
    name = f"csi{camera.device}" if camera.kind == "csi" else camera.device.rpartition("/")[2]
    return LiveSource(name, uri, lambda: open_camera(camera))


def open_live_stream(uri: str, container: Any = None) -> LiveSource:
    """Open a live stream by URL.

    Parameters
    ----------
    uri : str
        URL with options.
    container : av.container.InputContainer, optional
        Connection that is open already, used until it breaks for the first time.

    Examples
    --------
    >>> open_live_stream("http://camera/video").live  # doctest: +SKIP
    True
    """
    host = redact(uri).partition("://")[2].removeprefix("...@")
    name = "".join(letter if letter.isalnum() else "-" for letter in re.split("[/?#]", host)[0])
    stream = parse_stream(uri)
    opened = [container] if container else []

    def connect() -> Feed:
        return open_decoded(stream) if can_decode(stream) else open_stream(stream, opened.pop() if opened else None)

    return LiveSource(name, redact(uri), connect)
