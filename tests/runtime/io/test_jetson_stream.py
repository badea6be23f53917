"""RTSP through GStreamer: Debian's OpenCV runs the pipeline with software elements in place of the Jetson's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import pytest

from shls.runtime.io import jetson_stream, live
from shls.runtime.io.capture import FeedError
from shls.runtime.io.jetson_stream import can_decode, open_decoded, rtsp_pipeline
from shls.runtime.io.uris import StreamUri, parse_stream
from tests.live_servers import SYSTEM_PYTHON, free_port, rtsp, why_no_rtsp

READER = """
import sys
import cv2
capture = cv2.VideoCapture(sys.argv[1], cv2.CAP_GSTREAMER)
assert capture.isOpened()
for _ in range(3):
    good, image = capture.read()
    assert good
print(image.shape, len(set(map(tuple, image.reshape(-1, 3).tolist()))) > 3)
"""
SOURCE = (
    "videotestsrc is-live=true ! video/x-raw,width=96,height=64,framerate=10/1 ! videoconvert ! "
    "openh264enc gop-size=5 ! h264parse config-interval=-1 ! rtph264pay name=pay0"
)


def why_no_gstreamer() -> str:
    """Why Debian's OpenCV cannot run the pipeline here; empty where it can."""
    if reason := why_no_rtsp():
        return reason
    code = "import cv2, gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst; Gst.init(None); "
    code += "assert 'GStreamer:                   YES' in cv2.getBuildInformation(); "
    code += "assert all(map(Gst.ElementFactory.find, ('openh264enc', 'openh264dec', 'parsebin', 'videoconvert')))"
    done = subprocess.run([SYSTEM_PYTHON, "-c", code], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else "Debian's python3-opencv and gstreamer1.0-plugins-bad are not installed"


def test_the_pipeline_runs_with_software_elements() -> None:
    if reason := why_no_gstreamer():
        pytest.skip(reason)
    port = free_port()
    with rtsp(port, SOURCE):
        uri = parse_stream(f"rtsp://127.0.0.1:{port}/test#width=48&height=32")
        pipeline = rtsp_pipeline(uri, "openh264dec", "videoconvert ! videoscale")
        done = subprocess.run(
            [SYSTEM_PYTHON, "-c", READER, pipeline], capture_output=True, text=True, check=False, timeout=100
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(32, 48, 3) True"


def test_only_rtsp_on_a_jetson_with_gstreamer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = StreamUri("rtsp://camera/a")
    monkeypatch.setattr(jetson_stream, "has_gstreamer", lambda: True)
    assert not can_decode(stream, tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/v4l2-nvdec").touch()
    assert can_decode(stream, tmp_path)
    assert not can_decode(StreamUri("rtmp://camera/a"), tmp_path)
    assert not can_decode(stream._replace(stream=1), tmp_path)
    monkeypatch.setattr(jetson_stream, "has_gstreamer", lambda: False)
    assert not can_decode(stream, tmp_path)


def test_options_and_passwords_are_in_the_pipeline() -> None:
    uri = parse_stream('rtsp://me:a"b@camera/a#width=640&height=360&fps=10&flip=180&transport=udp')
    parts = rtsp_pipeline(uri).split(" ! ")
    assert parts[0] == 'rtspsrc location="rtsp://me:a\\"b@camera/a" protocols=udp latency=100'
    assert "videorate drop-only=true max-rate=10" in parts
    assert "nvvidconv flip-method=2" in parts
    assert "video/x-raw,format=BGRx,width=640,height=360" in parts
    assert parts[-1] == "appsink drop=true max-buffers=1 sync=false"


def test_a_stream_that_cannot_be_opened_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def __init__(self, pipeline: str, backend: int) -> None:
            assert backend == cv2.CAP_GSTREAMER
            assert "nvv4l2decoder" in pipeline

        def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
            return False

    monkeypatch.setattr(cv2, "VideoCapture", Closed)
    with pytest.raises(FeedError, match="cannot be opened by GStreamer"):
        open_decoded(StreamUri("rtsp://me:secret@camera/a"))
    assert live.can_decode is can_decode
