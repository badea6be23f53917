"""The server on a real socket: viewers that hang, messages that are too large, the end of a session."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import threading
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from shls.runtime.server.access import Rules
from shls.runtime.server.running import open_socket, run_server
from tests.fake_server import open_session, serving


def hang(address: str) -> socket.socket:
    """Open a WebSocket by hand, and read nothing."""
    host, _, port = address.removeprefix("http://").partition(":")
    opened = socket.create_connection((host, int(port)))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = ["GET /ws HTTP/1.1", f"Host: {host}:{port}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
    opened.sendall("\r\n".join(lines).encode())
    return opened


def frame_of(message: Any) -> int | None:
    """Number of the frame of a picture; None for other messages."""
    if not isinstance(message, bytes):
        return None
    (length,) = struct.unpack("<I", message[:4])
    return int(json.loads(message[4 : 4 + length])["frame"])


def test_viewers_that_hang_hold_nothing_up() -> None:
    with open_session(60) as session, serving(session) as address:
        session.pause().result()
        silent = [hang(address) for _ in range(4)]
        mute = socket.create_connection(silent[0].getpeername()[:2])  # says nothing at all
        with connect(f"ws{address[4:]}/ws", max_size=None, compression=None) as page:
            for _ in range(40):
                session.step().result()
            for message in page:
                frame = frame_of(message)
                if frame is not None:
                    page.send('{"type": "shown"}')
                if frame == 40:
                    break
        for one in [*silent, mute]:
            one.close()


@pytest.mark.parametrize("text", ["x" * 10_000_000, '"' + "\u00e9" * 600_000 + '"'])
def test_a_message_that_is_too_large_closes_its_connection_only(text: str) -> None:
    with open_session() as session, serving(session) as address:
        with connect(f"ws{address[4:]}/ws", max_size=None) as page:
            with pytest.raises(ConnectionClosed) as caught:
                send_and_read(page, text)
            assert caught.value.rcvd is None or caught.value.rcvd.code == 1009
        with connect(f"ws{address[4:]}/ws") as page:
            assert json.loads(page.recv())["type"] == "status"
        assert session.failure is None


def send_and_read(page: Any, text: str) -> None:
    page.send(text)
    while True:
        page.recv(timeout=30)


def test_the_server_ends_with_its_session() -> None:
    opened, ready = open_socket("127.0.0.1", 0), threading.Event()
    with open_session() as session:
        options = {"started": ready.set}
        thread = threading.Thread(target=run_server, args=(session, Rules("127.0.0.1"), opened), kwargs=options)
        thread.start()
        assert ready.wait(30)
        session.pause().result()
        session.submit(lambda: 1 / 0)
        thread.join(30)
        assert not thread.is_alive()
        assert isinstance(session.failure, ZeroDivisionError)
