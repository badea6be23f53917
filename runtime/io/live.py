"""Cameras and streams: the newest frame is the one that counts.

A thread reads as fast as frames come and keeps one; what nobody took in time is dropped and counted. When a
stream breaks it is opened again, with growing pauses; whoever iterates just waits.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from threading import Condition, Event, Thread

import cv2
import numpy as np

from ..errors import BadInput
from ..types import Frame
from .base import Source, StreamInfo
from .capture import Feed, FeedError, open_camera, open_stream
from .uris import STREAMS, parse_camera, parse_stream, redact, scheme_of

FIRST_FRAME = 15.0
"""Seconds that a source may take to give its first frame."""
PATIENCE = 60.0
"""Seconds for which a broken stream is opened again before the run ends."""
STUCK = 90.0
"""Seconds after which a reader that says nothing at all is given up: no time-out reaches into a driver that hangs."""
PAUSES = (0.2, 5.0)
"""Seconds between two attempts, the first and the longest; each is twice the one before."""
POLL = 0.1
"""Seconds between two looks at whether to stop: a signal handler cannot wake a thread that waits."""

LIVE_TIME_BASE = Fraction(1, 90000)
"""Unit, seconds, that represents a live frame's arrival time well enough; RTP counts in it as well."""


class LiveSource(Source):
    """A camera or a stream.

    Parameters
    ----------
    name : for outputs
    shown : for messages, without passwords
    connect : opens the camera or stream

    Raises
    ------
    BadInput
        If it cannot be opened, or gives no frame in time. While iterating: if it broke and did not come back.
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
                f"{shown}: no frame within {FIRST_FRAME:.0f} s; is it switched on, and is its codec known?"
            )

    def __next__(self) -> Frame:
        if not self._wait(STUCK):
            raise BadInput(
                f"{self._shown}: hangs, neither a frame nor an error for {STUCK:.0f} s; "
                "plug it in again, or start its server again"
            )
        with self._changed:
            self._taking = True  # what came before anybody asked was not dropped
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
        self._thread.join(FIRST_FRAME)  # the feeds' own time-outs are shorter

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
            if self._index > before:
                lost, pause = now, PAUSES[0]
            if self._index == 0 or now - lost > PATIENCE:
                since = "" if self._index == 0 else f"lost, {PATIENCE:.0f} s ago; now it "
                self._fail(BadInput(f"{self._shown}: {since}{reason}"))
                return
            self.breaks += self._index > before
            self._stopped.wait(pause)
            pause = min(2 * pause, PAUSES[1])

    def _read_until_it_breaks(self) -> str:
        """Publish frames, and give in words why there are no more."""
        try:
            feed = self._connect()
            self.fps = feed.fps
            with closing(feed.images) as images:
                for image in images:
                    if image is not None:
                        self._publish(image)
                    if self._stopped.is_set():
                        break
        except FeedError as error:
            return str(error)
        return "ends its stream"

    def _publish(self, image: np.ndarray) -> None:
        now = time.perf_counter()
        if self._index == 0:
            self._origin, self.size = now, (image.shape[0], image.shape[1])
        elif image.shape[:2] != self.size:  # the objects are kept, so the size has to be
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
    """Open a camera or a stream by its name; see `shls.runtime.io.uris` for the grammar."""
    if scheme_of(uri) in STREAMS:
        host = redact(uri).partition("://")[2].removeprefix("...@")
        name = "".join(letter if letter.isalnum() else "-" for letter in re.split("[/?#]", host)[0])
        stream = parse_stream(uri)
        return LiveSource(name, redact(uri), lambda: open_stream(stream))
    camera = parse_camera(uri)
    name = f"csi{camera.device}" if camera.kind == "csi" else camera.device.rpartition("/")[2]
    return LiveSource(name, uri, lambda: open_camera(camera))
