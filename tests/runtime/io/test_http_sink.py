"""The live page, asked over loopback as a browser does."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io import http_sink as web
from shls.runtime.io.http_sink import WebSink
from shls.runtime.types import Frame, Mask


def result(at: int) -> tuple[Frame, Mask]:
    """A grey frame with a square of object 1; object 2 is lost."""
    labels = np.zeros((48, 64), np.uint8)
    labels[10:30, 10:30] = 1
    return Frame(np.full((48, 64, 3), 100, np.uint8), at, at / 10, str(at)), Mask(labels, {1: 0.9, 2: 0.0})


def get(address: str) -> tuple[str, bytes]:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read()


def test_page_and_objects() -> None:
    with WebSink() as sink:
        assert sink.address.startswith("http://127.0.0.1:"), "nobody else may look"
        kind, page = get(sink.address)
        assert kind.startswith("text/html")
        assert b"/video" in page
        sink.write(*result(3))
        sink.write(*result(4))
        kind, data = get(f"{sink.address}objects")
        found = json.loads(data)
        assert (kind, found["frame"], found["time"]) == ("application/json", 4, 0.4)
        assert [(one["id"], one["area"], one.get("lost", False)) for one in found["objects"]] == [
            (1, 400, False),
            (2, 0, True),
        ]


def test_video_is_the_newest_overlay_each_time() -> None:
    with WebSink() as sink:
        sink.write(*result(0))
        with urllib.request.urlopen(f"{sink.address}video", timeout=10) as stream:
            assert stream.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
            for at in (1, 2, 3):
                assert stream.readline() == b"--frame\r\n"
                assert stream.readline() == b"Content-Type: image/jpeg\r\n"
                length = int(stream.readline().split(b":")[1])
                assert stream.readline() == b"\r\n"
                image = cv2.imdecode(np.frombuffer(stream.read(length), np.uint8), cv2.IMREAD_COLOR)
                assert stream.readline() == b"\r\n"
                assert image.shape == (48, 64, 3)
                assert np.abs(image[40, 50].astype(int) - 100).max() < 12, "the background as it was"
                assert np.abs(image[20, 20].astype(int) - 100).max() > 40, "the object coloured"
                sink.write(*result(at))


def test_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PATIENCE", 0.05)
    with WebSink() as sink:
        for path, code in (("objects", 503), ("etc/passwd", 404)):
            with pytest.raises(urllib.error.HTTPError) as caught:
                get(f"{sink.address}{path}")
            assert caught.value.code == code


def test_a_browser_that_goes_away_and_one_that_says_nothing_hold_nothing_up() -> None:
    sink = WebSink()
    port = int(sink.address.rsplit(":", 1)[1].strip("/"))
    with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as gone:
        gone.sendall(b"GET /video HTTP/1.0\r\n\r\n")
        sink.write(*result(0))
        assert gone.recv(1) == b"H"
    for at in range(1, 50):
        sink.write(*result(at))
    sink.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))


def test_a_port_that_is_taken() -> None:
    with WebSink() as sink, pytest.raises(BadInput, match=r"cannot be opened \(.*\)\. Choose another --port"):
        WebSink(int(sink.address.rsplit(":", 1)[1].strip("/")))


def test_a_file_of_json_lines_says_the_same(tmp_path: Path) -> None:
    from shls.runtime.io.json_sink import JsonLinesSink

    with WebSink() as sink, JsonLinesSink(tmp_path / "a.jsonl") as lines:
        for one in (sink, lines):
            one.write(*result(5))
        assert json.loads(get(f"{sink.address}objects")[1]) == json.loads((tmp_path / "a.jsonl").read_text())
