"""The grammar of sources' names, and that passwords do not show."""

from __future__ import annotations

from pathlib import Path

import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.image_files import source_files
from shls.runtime.io.sources import open_source
from shls.runtime.io.uris import CameraUri, StreamUri, is_live, parse_camera, parse_stream, redact


@pytest.mark.parametrize(
    "uri",
    [
        "0",
        "12",
        "/dev/video0",
        "v4l2:///dev/video0",
        "/dev/video0?width=640",
        "1?flip=180&fps=5",
        "csi://0",
        "rtsp://a/b",
        "RTSP://a",
        "rtmp://a/b",
        "udp://@239.0.0.1:1234",
        "srt://a:1",
        "tcp://a:1",
    ],
)
def test_live(uri: str) -> None:
    assert is_live(uri)
    assert source_files(uri) == []


@pytest.mark.parametrize(
    "uri", ["clip.mp4", "frames/", "/dev/sda", "a/0", "image_%05d.jpg", "file:///a", "0.mp4", "0?.png"]
)
def test_not_live(uri: str) -> None:
    assert not is_live(uri)


def test_a_folder_named_0_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0").mkdir()
    assert not is_live("0")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rtsp://me:pa/ss@word@host:554/a", "rtsp://...@host:554/a"),
        ("http://host/video?user=me&key=abc", "http://host/video?..."),
        ("rtsp://host/a", "rtsp://host/a"),
        ("csi://0?width=3", "csi://0?width=3"),
        ("a@b.mp4", "a@b.mp4"),
    ],
)
def test_redact(uri: str, shown: str) -> None:
    assert redact(uri) == shown


def test_cameras() -> None:
    assert parse_camera("2") == CameraUri("v4l2", "/dev/video2")
    assert parse_camera("/dev/video1") == CameraUri("v4l2", "/dev/video1")
    assert parse_camera("csi://1?width=1920&height=1080&fps=60&flip=180") == CameraUri(
        "csi", "1", 1920, 1080, 60, "", "180"
    )
    assert parse_camera("v4l2:///dev/video0?codec=mjpg").codec == "mjpg"
    assert parse_camera("0?width=640&fps=5") == CameraUri("v4l2", "/dev/video0", 640, 0, 5)


def test_streams() -> None:
    assert parse_stream("rtsp://me:word@host/a?b=c") == StreamUri("rtsp://me:word@host/a?b=c")
    assert parse_stream("http://host/a?b=c#width=640&height=360&fps=10&flip=vertical") == StreamUri(
        "http://host/a?b=c", 640, 360, 10, "vertical"
    )
    assert parse_stream("rtsp://host/a#transport=udp").transport == "udp"
    odd = "rtsp://me:pass#word@host/a"
    assert parse_stream(odd).address == odd, "a password that somebody did not escape"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("codec=mjpg", r"unknown option \(got codec, expected some of width, height, fps, flip, transport, stream\)"),
        ("fps=0", "expected a whole number, above 0"),
        ("stream=first", "expected a whole number, 0 or more"),
        ("width=640", "only one of width and height"),
        ("transport=pigeon", "expected tcp, udp"),
        ("flip=up", "expected none, 180"),
    ],
)
def test_bad_options_of_streams(options: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        parse_stream(f"rtsp://me:secret@host/a#{options}")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("csi://front", "expected one such as csi://0"),
        ("v4l2://video0", "expected one such as v4l2:///dev/video0"),
        ("csi://0?size=3", r"unknown option \(got size, expected some of width"),
        ("csi://0?width=wide", "expected a whole number"),
        ("csi://0?flip=up", "expected none, 180"),
        ("v4l2:///dev/video0?codec=motion", "expected four letters"),
    ],
)
def test_bad_names_of_cameras(uri: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse_camera(uri)


def test_live_has_no_frame_to_start_at() -> None:
    with pytest.raises(BadInput, match=r"rtsp://\.\.\.@host/a: is live and has no frame 5"):
        open_source("rtsp://me:secret@host/a", start=5)
