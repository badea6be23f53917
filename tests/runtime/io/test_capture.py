"""Local cameras, faked where this machine has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from shls.runtime.errors import MissingDependency
from shls.runtime.io import capture as feeds
from shls.runtime.io.capture import FeedError, csi_pipeline, open_camera
from shls.runtime.io.uris import CameraUri, parse_camera


class Capture:
    """OpenCV's VideoCapture of a camera with three frames, blue on the left; unplugged after that."""

    opens = True

    def __init__(self, device: str, backend: int) -> None:
        self.device, self.backend, self.settings, self.left = device, backend, dict[int, float](), 3
        self.released = False
        type(self).last = self

    last: Capture

    def isOpened(self) -> bool:  # noqa: N802  # OpenCV's name
        return self.opens

    def set(self, key: int, value: float) -> None:
        self.settings[key] = value

    def get(self, key: int) -> float:
        return self.settings.get(key, 0.0)

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        image = np.zeros((4, 6, 3), np.uint8)
        image[:, :3, 0] = 255
        return (True, image) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CameraUri:
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    (tmp_path / "video0").touch()
    return CameraUri("v4l2", str(tmp_path / "video0"))


def test_frames_are_rgb_until_it_is_unplugged(camera: CameraUri) -> None:
    feed = open_camera(camera)
    images = [next(feed.images) for _ in range(3)]
    assert feed.fps == 30
    assert images[0][0, 0].tolist() == [0, 0, 255]
    with pytest.raises(FeedError, match="unplugged"):
        next(feed.images)
    assert Capture.last.released


def test_options_reach_the_camera(camera: CameraUri) -> None:
    feed = open_camera(camera._replace(width=1280, height=720, fps=60, codec="mjpg", flip="horizontal"))
    settings = Capture.last.settings
    assert settings[cv2.CAP_PROP_FRAME_WIDTH] == 1280
    assert settings[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")
    assert feed.fps == 60
    assert next(feed.images)[0, -1].tolist() == [0, 0, 255], "mirrored"


def test_a_camera_that_is_busy(camera: CameraUri, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Capture, "opens", False)
    with pytest.raises(FeedError, match="that no other program uses it"):
        open_camera(camera)


def test_a_wrong_number() -> None:
    with pytest.raises(FeedError, match=r"no such camera \(.*video"):
        open_camera(parse_camera("/dev/video987"))


def test_a_camera_that_may_not_be_opened(camera: CameraUri, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds.os, "access", lambda *_: False)
    with pytest.raises(FeedError, match="usermod -aG video"):
        open_camera(camera)


def test_csi_without_gstreamer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "    v4l2:  YES\n    GStreamer:   NO\n")
    with pytest.raises(MissingDependency, match=r"csi://: OpenCV has no GStreamer .*apt install python3-opencv"):
        open_camera(parse_camera("csi://0"))


def test_csi_with_gstreamer(camera: CameraUri, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "    GStreamer:   YES (1.20.3)\n")
    assert open_camera(parse_camera("csi://1?flip=180")).images is not None
    assert Capture.last.backend == cv2.CAP_GSTREAMER
    assert "sensor-id=1 " in Capture.last.device
    assert "flip-method=2 " in csi_pipeline(parse_camera("csi://1?flip=180"))
