"""Live page: the newest result of a run, shown in a browser.

`/` is the page, `/video` the overlay as MJPEG, `/objects` the objects of the newest frame as one of the JSON lines.
The server keeps the newest frame only, so a slow browser does not delay the run.
"""

from __future__ import annotations

import json
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any

import cv2

from ..errors import BadInput
from ..types import Frame, Mask
from .base import Sink
from .json_sink import line_of
from .masks import overlay
from .objects import ObjectTable

BOUNDARY = "frame"
QUALITY = 80
"""Quality of the JPEGs, percent."""
PATIENCE = 5.0
"""Longest time that a browser may take for one picture, and that a request waits for the first frame, seconds."""
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>shls</title>
<style>body { font: 15px/1.5 system-ui, sans-serif; margin: 1em; background: #181818; color: #eee }
img { max-width: 100%; height: auto } td, th { padding: .1em 1em .1em 0; text-align: right }
.lost { color: #ff9a6b }</style>
<img src="/video" alt="newest frame with its objects coloured"><table id="objects"></table>
<script>
async function update() {
  try {
    const found = await (await fetch("/objects")).json();
    const rows = found.objects.map(object => `<tr class="${object.lost ? "lost" : ""}"><td>${object.id}</td>`
      + `<td>${object.lost ? "lost" : object.area}</td><td>${object.confidence.toFixed(2)}</td></tr>`);
    document.getElementById("objects").innerHTML = `<tr><th>object</th><th>pixels</th><th>confidence</th></tr>`
      + rows.join("") + `<tr><td colspan="3">frame ${found.frame}, ${found.time.toFixed(2)} s</td></tr>`;
  } catch { document.getElementById("objects").innerHTML = "<tr><td>The run has ended or does not answer.</td></tr>" }
  setTimeout(update, 500);
}
update();
</script></html>
"""


class WebSink(Sink):
    """Show the newest result to browsers.

    Parameters
    ----------
    port : int
        TCP port to listen at; 0 takes any free port.
    host : str
        Address of this machine to listen at. There is no authentication: any address but localhost shows the video
        to the network.

    Attributes
    ----------
    address : str
        URL of the page.
    closed : bool
        Whether the run has ended.
    objects : ObjectTable
        Names and original ids of the objects.

    Raises
    ------
    BadInput
        If the port is taken, or the address is not one of this machine.

    Examples
    --------
    >>> import urllib.request
    >>> import numpy as np
    >>> with WebSink() as sink:
    ...     sink.write(Frame(np.zeros((2, 3, 3), np.uint8), 7, 0.28, "00007"), Mask(np.zeros((2, 3), np.uint8), {}))
    ...     urllib.request.urlopen(f"{sink.address}objects").read()
    b'{"frame": 7, "time": 0.28, "objects": []}'
    """

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self.objects = ObjectTable()
        self._changed = Condition()
        self._newest: tuple[Frame, Mask] | None = None
        self._count = 0
        self.closed = False
        try:
            self._server = _Server((host, port), self)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BadInput(
                f"port {port} of {host}: cannot be opened ({reason}). Choose another --port or --host."
            ) from error
        self.address = f"http://{host}:{self._server.server_address[1]}/"
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="web", daemon=True)
        self._thread.start()

    def write(self, frame: Frame, mask: Mask) -> None:
        with self._changed:
            self._newest, self._count = (frame, mask), self._count + 1
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self.closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def after(self, seen: int) -> tuple[int, tuple[Frame, Mask]] | None:
        """Wait for a result after the `seen`-th; return its number and the result, or None if none comes in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._count > seen or self.closed, PATIENCE)
            if self.closed or self._newest is None or self._count <= seen:
                return None
            return self._count, self._newest


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], sink: WebSink) -> None:
        self.sink = sink
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE  # for reading a request, and for writing to a browser that does not read

    def do_GET(self) -> None:  # http.server's name
        path = self.path.partition("?")[0]
        with suppress(OSError):  # the browser went away
            if path == "/":
                self._send("text/html; charset=utf-8", PAGE.encode())
            elif path == "/objects":
                self._objects()
            elif path == "/video":
                self._video()
            else:
                self.send_error(404, "expected /, /video or /objects")

    def _objects(self) -> None:
        newest = self.server.sink.after(0)
        if newest is None:
            self.send_error(503, "no frame yet")
        else:
            self._send("application/json", json.dumps(line_of(*newest[1], self.server.sink.objects)).encode())

    def _video(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        seen = 0
        while not self.server.sink.closed:
            newest = self.server.sink.after(seen)
            if newest is None:
                continue
            seen, (frame, mask) = newest
            image = overlay(frame.image, mask.labels)[..., ::-1]
            data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")

    def _send(self, kind: str, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Print nothing: the terminal shows the progress bar."""
