"""Peers on loopback that tests start, kill and start again."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SYSTEM_PYTHON = Path("/usr/bin/python3")  # Debian's bindings for GStreamer are installed for this one
RTSP_SERVER = Path(__file__).with_name("rtsp_server.py")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class MjpegServer:
    """Sends 100 frames a second, each of its number's grey and black on the left, until it is stopped.

    `stall_at` is the number of the frame at which a connection falls silent, without being closed, `spoilt_from` that
    from which on every picture is a half, as every third one is with `half`.
    """

    def __init__(
        self,
        port: int,
        size: tuple[int, int] = (48, 64),
        half: bool = False,
        stall_at: int = 10_000,
        spoilt_from: int = 10_000,
    ) -> None:
        self.size, self.half, self.spoilt_from, self.stopped = size, half, spoilt_from, threading.Event()
        self.connections = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # http.server's name
                outer.connections += 1
                path = self.path.partition("?")[0]
                if path != "/video":
                    self.send_error(401 if path == "/closed" else 404)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=part")
                self.end_headers()
                with suppress(OSError):
                    for at in range(stall_at):
                        if outer.stopped.wait(0.01):
                            return
                        self.wfile.write(outer.part(at))
                    outer.stopped.wait()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def part(self, at: int) -> bytes:
        image = np.full((*self.size, 3), at % 200, np.uint8)
        image[:, : self.size[1] // 2] = 0
        data = cv2.imencode(".jpg", image)[1].tobytes()
        if at >= self.spoilt_from or (self.half and at % 3 == 1):
            data = data[: len(data) // 2]
        return b"--part\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(data), data)

    def stop(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def mjpeg(port: int, size: tuple[int, int] = (48, 64), **options: Any) -> Iterator[MjpegServer]:
    server = MjpegServer(port, size, **options)
    try:
        yield server
    finally:
        server.stop()


class _Files(SimpleHTTPRequestHandler):
    """Serves a folder; with `ranges` also parts of files. With `break_at` a connection ends after so many bytes."""

    ranges, break_at = True, 0

    def do_GET(self) -> None:  # http.server's name
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        wanted = self.headers.get("Range", "") if self.ranges else ""
        begin = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        self.send_response(206 if wanted else 200)
        if self.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(data[begin:][: self.break_at or None])

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def files(folder: Path, ranges: bool = True, break_at: int = 0) -> Iterator[str]:
    """Serve a folder by HTTP; yields the address, without a slash at its end."""
    handler = type("Files", (_Files,), {"ranges": ranges, "break_at": break_at})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def broadcast(data: bytes) -> Iterator[str]:
    """Send data to each TCP connection, a packet of MPEG-TS at a time, then close it; yields the address."""
    stopped = threading.Event()

    def send(listener: socket.socket) -> None:
        while not stopped.is_set():
            with suppress(OSError), listener.accept()[0] as peer:
                for at in range(0, len(data), 1316):
                    peer.sendall(data[at : at + 1316])
                    if stopped.wait(0.02):
                        return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        thread = threading.Thread(target=send, args=(listener,), daemon=True)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stopped.set()
            thread.join()


@contextmanager
def silent(port: int) -> Iterator[None]:
    """Accept connections and say nothing."""
    with socket.create_server(("127.0.0.1", port)):
        yield


def ball(width: int = 160, height: int = 120, codec: str = "jpegenc ! rtpjpegpay pt=26") -> str:
    """GStreamer's words for a bouncing ball at 25 frames a second."""
    size = f"video/x-raw,format=I420,width={width},height={height},framerate=25/1"
    return f"videotestsrc is-live=true pattern=ball ! {size} ! {codec} name=pay0"


def looped(folder: Path, width: int, height: int, fps: float) -> str:
    """GStreamer's words for a folder's 00000.jpg, 00001.jpg, ... for ever; sides are multiples of 8."""
    caps = f"image/jpeg,width={width},height={height},framerate={round(fps * 100)}/100"
    # decoded and encoded again, for only so do the pictures get times, and come at this pace
    pictures = f"multifilesrc location={folder}/%05d.jpg loop=true caps={caps} ! jpegdec ! jpegenc quality=90"
    return f"{pictures} ! rtpjpegpay name=pay0 pt=26"


@contextmanager
def rtsp(port: int, launch: str | None = None, login: tuple[str, ...] = ()) -> Iterator[None]:
    """Serve rtsp://127.0.0.1:PORT/test, then die without a word; `login` is a user and a password."""
    command = [str(SYSTEM_PYTHON), str(RTSP_SERVER), str(port), launch or ball(), *login]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield
    finally:
        server.kill()
        server.wait()


def why_no_rtsp() -> str:
    """Why the RTSP server cannot be started here, or nothing."""
    if not SYSTEM_PYTHON.exists():
        return f"there is no {SYSTEM_PYTHON}"
    lines = "import gi, sys; gi.require_version('GstRtspServer', '1.0');"
    lines += "from gi.repository import Gst; Gst.init(None);"
    lines += "sys.exit(not all(map(Gst.ElementFactory.find, ('jpegenc', 'rtpjpegpay', 'vp8enc'))))"
    if subprocess.run([str(SYSTEM_PYTHON), "-c", lines], capture_output=True, check=False).returncode:
        packages = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good"
        return f"needs GStreamer's RTSP server: apt-get install {packages}"
    return ""


def until(seconds: float) -> Iterator[None]:
    """Loop for a time at most; a test that uses it up fails."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
    raise AssertionError(f"not within {seconds} s")
