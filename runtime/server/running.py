"""Run the web application until the user or the session ends it."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

import uvicorn

from ..errors import BadInput
from .access import Rules
from .app import make_app
from .session import Session
from .viewers import LARGEST_MESSAGE

MOST_CONNECTIONS = 200
"""Largest number of open connections; further clients get the status 503."""
BACKLOG = 128
"""Connections that may wait to be accepted."""
POLL = 0.1
"""Seconds between two checks whether the server is to end."""
PING = 20.0
"""Seconds between two pings of a page, and for which its answer is awaited."""


def open_socket(host: str, port: int) -> socket.socket:
    """Open the port of the server.

    Parameters
    ----------
    host : address of this machine, or `localhost`
    port : TCP port; 0 takes any free port

    Raises
    ------
    BadInput
        If the port is taken, or the address is not one of this machine.

    Examples
    --------
    >>> with open_socket("127.0.0.1", 0) as opened:
    ...     opened.getsockname()[0]
    '127.0.0.1'
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, socket.SOCK_STREAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(
            f"port {port} of {host}: cannot be opened ({reason}). Choose another --port or --host."
        ) from error
    return opened


def run_server(
    session: Session,
    rules: Rules,
    opened: socket.socket,
    *,
    seconds: float | None = None,
    started: Callable[[], None] | None = None,
    stop: Event | None = None,
) -> None:
    """Serve a session until Ctrl-C, SIGTERM, the end of the time, or a failure of the session.

    Parameters
    ----------
    session : Session
        Session to show and to control; it is not closed.
    rules : Rules
        Who may use the server.
    opened : socket
        Socket of `open_socket`; it is closed in the end.
    seconds : float, optional
        Stop after this time.
    started : callable, optional
        Called once the server answers.
    stop : Event, optional
        Ends the server when it is set by another thread.

    Examples
    --------
    >>> with open_socket("127.0.0.1", 8000) as opened:  # doctest: +SKIP
    ...     run_server(session, Rules("127.0.0.1"), opened)
    """
    config = uvicorn.Config(
        make_app(session, rules),
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws_max_size=LARGEST_MESSAGE,
        ws_max_queue=16,
        ws_ping_interval=PING,
        ws_ping_timeout=PING,
        ws_per_message_deflate=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)

    def check() -> None:
        if session.failure is not None:
            server.should_exit = True

    session.listeners.append(check)
    check()
    try:
        asyncio.run(server.run_for(opened, seconds, started, stop))
    finally:
        session.listeners.remove(check)
        opened.close()


class _Server(uvicorn.Server):
    """Server that ends at a signal without raising the signal again."""

    async def run_for(
        self,
        opened: socket.socket,
        seconds: float | None,
        started: Callable[[], None] | None,
        stop: Event | None,
    ) -> None:
        serving = asyncio.create_task(self.serve(sockets=[opened]))
        while not self.started and not serving.done():
            await asyncio.sleep(0.01)
        if started is not None and self.started:
            started()
        end = None if seconds is None else asyncio.get_running_loop().time() + seconds
        while not serving.done():
            late = end is not None and asyncio.get_running_loop().time() >= end
            if late or (stop is not None and stop.is_set()):
                self.should_exit = True
            await asyncio.wait([serving], timeout=POLL)
        await serving

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        try:
            before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not on the main thread, as in tests
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
