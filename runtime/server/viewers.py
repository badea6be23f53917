"""Viewers of a session: each has a WebSocket, gets the newest picture only, and one of them controls."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import anyio
import cv2
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..errors import BadInput, ShlsError
from .actions import perform, shrunk
from .painting import fitted, to_jpeg
from .runs import encode_runs
from .session import Session
from .status import describe_objects, describe_status
from .values import Shown

MOST_VIEWERS = 32
"""Largest number of connected pages."""
LARGEST_MESSAGE = 1 << 20
"""Largest message of a page, bytes."""
IN_FLIGHT = 2
"""Pictures that a page may have without having shown them; a slow page gets fewer pictures, not older ones."""
STATUS_EVERY = 0.5
"""Longest time between two looks at the status, seconds."""
STATUS_SHARED = 0.05
"""Longest time for which pages share a description of the status, seconds."""
SEND_TIMEOUT = 20.0
"""Seconds after which a page that takes nothing is disconnected."""
TOO_MANY, POLICY = 1013, 1008
"""Codes that close a WebSocket."""
GONE = (WebSocketDisconnect, TimeoutError, RuntimeError, OSError)
"""What is raised when a page has gone away."""


@dataclass
class Viewer:
    """Connected page.

    Attributes
    ----------
    number : int
        Number of the page, from 1.
    socket : WebSocket
        Connection of the page.
    wake : asyncio.Event
        Set when there may be news.
    in_flight : int
        Pictures that were sent and not confirmed.
    seen : int
        Number of the last picture that was sent.
    lock : asyncio.Lock
        Held while a message is sent.

    Examples
    --------
    >>> Viewer(1, socket=None).in_flight
    0
    """

    number: int
    socket: WebSocket
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    in_flight: int = 0
    seen: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def send(self, message: str | bytes) -> None:
        """Send one message; TimeoutError if the page takes nothing."""
        async with self.lock:
            with anyio.fail_after(SEND_TIMEOUT):
                if isinstance(message, bytes):
                    await self.socket.send_bytes(message)
                else:
                    await self.socket.send_text(message)


class Viewers:
    """All pages of a session.

    Parameters
    ----------
    session : Session
        Session that the pages show.

    Attributes
    ----------
    controller : int or None
        Number of the page that controls; None if no page does.

    Examples
    --------
    >>> len(Viewers(session=None))
    0
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.controller: int | None = None
        self._viewers: dict[int, Viewer] = {}
        self._numbers = count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._encoding = asyncio.Lock()
        self._picture: tuple[int, bytes] = (0, b"")
        self._jpeg: tuple[Any, bytes] = (None, b"")
        self._described: tuple[float, dict[str, Any]] = (-1.0, {})

    def __len__(self) -> int:
        return len(self._viewers)

    def listen(self) -> None:
        """Wake the pages when the session changes; called on the event loop."""
        self._loop = asyncio.get_running_loop()
        self.session.listeners.append(self._notify)

    def stop(self) -> None:
        """Stop listening."""
        with suppress(ValueError):
            self.session.listeners.remove(self._notify)

    def _notify(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self.wake)

    def wake(self) -> None:
        """Let each page look for news."""
        self._described = -1.0, {}
        for viewer in self._viewers.values():
            viewer.wake.set()

    async def serve(self, socket: WebSocket) -> None:
        """Serve one page until it goes away."""
        if len(self._viewers) >= MOST_VIEWERS:
            await socket.close(TOO_MANY, f"There are {MOST_VIEWERS} viewers already.")
            return
        await socket.accept()
        viewer = Viewer(next(self._numbers), socket)
        self._viewers[viewer.number] = viewer
        if self.controller is None:
            self.controller = viewer.number
        self.wake()
        try:
            await self._run(viewer)
        finally:
            del self._viewers[viewer.number]
            if self.controller == viewer.number:
                self.controller = None
            self.wake()

    async def _run(self, viewer: Viewer) -> None:
        """Send and receive until either ends."""
        async with anyio.create_task_group() as group:

            async def send() -> None:
                with suppress(*GONE):
                    await self._send(viewer)
                group.cancel_scope.cancel()

            group.start_soon(send)
            with suppress(*GONE):
                await self._receive(viewer)
            group.cancel_scope.cancel()

    async def _send(self, viewer: Viewer) -> None:
        """Send news to a page: the status when it has changed, and the newest picture when the page has room."""
        last: dict[str, Any] = {}
        sent = 0.0
        while True:
            viewer.wake.clear()
            status = self.status(viewer)
            now = time.monotonic()
            if status != last and (now - sent >= STATUS_EVERY or _is_urgent(status, last)):
                await viewer.send(json.dumps({"type": "status"} | status))
                last, sent = status, now
            shown = self.session.player.shown
            if shown is not None and shown.number > viewer.seen and viewer.in_flight < IN_FLIGHT:
                number, message = await self.picture()
                viewer.seen, viewer.in_flight = number, viewer.in_flight + 1
                await viewer.send(message)
                continue
            with anyio.move_on_after(STATUS_EVERY):
                await viewer.wake.wait()

    async def _receive(self, viewer: Viewer) -> None:
        while True:
            message = await viewer.socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None or len(text) > LARGEST_MESSAGE:
                await viewer.socket.close(POLICY, "A message is not text, or too large.")
                return
            await self._answer(viewer, text)

    async def _answer(self, viewer: Viewer, text: str) -> None:
        """Carry out one message of a page, and reply to it."""
        reply: dict[str, Any] = {"type": "reply", "id": None}
        try:
            fields = parse_json(text)
            if not isinstance(fields, dict):
                raise BadInput("message: not a JSON object (expected fields in braces)")
            name, reply["id"] = fields.pop("type", None), fields.pop("id", None)
            if name == "shown":
                viewer.in_flight = max(0, viewer.in_flight - 1)
                viewer.wake.set()
                return
            if not isinstance(name, str):
                raise BadInput("message: no type is given (expected the name of an action). Add the field type")
            if name == "control":
                self.controller = viewer.number
                self.wake()
                reply["result"] = {}
            elif self.controller != viewer.number:
                raise BadInput("control: this page does not control the session. Take the control first")
            else:
                reply["result"] = await perform(self.session, name, fields)
        except ShlsError as error:
            reply["error"] = str(error)
        await viewer.send(json.dumps(reply))

    def status(self, viewer: Viewer | None = None) -> dict[str, Any]:
        """Return the status of the session as JSON values, for one page; pages that ask together share the work."""
        now = time.monotonic()
        if viewer is None or now - self._described[0] > STATUS_SHARED:
            self._described = now, describe_status(self.session)
        status = self._described[1] | {"viewers": len(self._viewers)}
        if viewer is not None:
            status |= {"viewer": viewer.number, "controls": self.controller == viewer.number}
        return status | {"controlled": self.controller is not None}

    async def picture(self) -> tuple[int, bytes]:
        """Return the number of the newest picture, and its message; the message is made once for all pages."""
        async with self._encoding:
            shown = self.session.player.shown
            assert shown is not None
            if self._picture[0] != shown.number:
                message = await asyncio.to_thread(self._encode, shown)
                self._picture = shown.number, message
            return self._picture

    def _encode(self, shown: Shown) -> bytes:
        """Return a picture as the page reads it.

        The message is the length of a JSON header (uint32, little-endian), the header, the frame as JPEG, and the
        objects as runs. The header has the lengths of the two parts.
        """
        image = shown.frame.image
        if self._jpeg[0] is not image:
            self._jpeg = image, picture_jpeg(image)
        runs = encode_runs(shrunk(shown.mask.labels))
        height, width = fitted((image.shape[0], image.shape[1]))
        header = {
            "number": shown.number,
            "frame": shown.frame.index,
            "time": round(shown.frame.time, 3),
            "known": shown.known,
            "size": [image.shape[1], image.shape[0]],
            "picture": [width, height],
            "jpeg": len(self._jpeg[1]),
            "runs": len(runs),
            "objects": describe_objects(self.session, shown),
        }
        head = json.dumps(header).encode()
        return struct.pack("<I", len(head)) + head + self._jpeg[1] + runs


def parse_json(text: str | bytes) -> Any:
    """Read JSON; raise BadInput if the text is not JSON.

    Examples
    --------
    >>> parse_json('{"type": "play"}')
    {'type': 'play'}
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"message: not JSON ({error}). Correct the message") from error


def picture_jpeg(image: Any) -> bytes:
    """Return a frame as JPEG, at most 1280 pixels long.

    Examples
    --------
    >>> import numpy as np
    >>> picture_jpeg(np.zeros((8, 8, 3), np.uint8))[:2]
    b'\\xff\\xd8'
    """
    size = fitted((image.shape[0], image.shape[1]))
    if size != image.shape[:2]:
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    return to_jpeg(image)


def _is_urgent(status: dict[str, Any], last: dict[str, Any]) -> bool:
    """Return whether a change must be sent at once: anything but figures that change all the time."""
    slow = {"fps", "age", "dropped", "lost", "timeline", "frame", "viewers"}
    return any(last.get(key) != value for key, value in status.items() if key not in slow)
