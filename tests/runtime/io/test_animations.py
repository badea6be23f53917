"""Image files of several frames: animated WebP and PNG, TIFF of several pages, and what is refused."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io import _animations
from shls.runtime.io._animations import frame_count
from shls.runtime.io.sources import open_source

DURATIONS = [40, 40, 200, 0, 40]
"""Milliseconds; browsers show a frame of 0 for 100."""
TIMES = [0.0, 0.04, 0.08, 0.28, 0.38]
needs_animations = pytest.mark.skipif(not hasattr(cv2, "Animation"), reason="needs OpenCV 4.11 for writing WebP")


def image(value: int) -> np.ndarray:
    picture = np.full((48, 64, 3), value, np.uint8)
    picture[:8, :8] = 0, 0, 250  # red, in OpenCV's order
    return picture


def webp(path: Path) -> Path:
    animation = cv2.Animation()
    animation.frames = [image(40 * at) for at in range(5)]
    animation.durations = np.array(DURATIONS)
    assert cv2.imwriteanimation(str(path), animation, [cv2.IMWRITE_WEBP_QUALITY, 101])
    return path


def apng(path: Path) -> Path:
    with av.open(str(path), "w", format="apng") as container:
        stream = container.add_stream("apng", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        for at in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image(40 * at)[..., ::-1].copy(), "rgb24")))
        container.mux(stream.encode(None))
    return path


def values(uri: Path) -> list[int]:
    with open_source(uri) as source:
        assert source.size == (48, 64)
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert all(np.abs(frame.image[4, 4].astype(int) - (250, 0, 0)).max() < 8 for frame in frames)
    return [int(frame.image[30, 30, 1]) for frame in frames]


@needs_animations
def test_animated_webp(tmp_path: Path) -> None:
    path = webp(tmp_path / "anim.webp")
    assert frame_count(path) == 5
    assert values(path) == pytest.approx([0, 40, 80, 120, 160], abs=3)
    with open_source(path, start=1) as source:
        assert (source.count, source.fps, source.info.time_base) == (4, pytest.approx(5 / 0.42), None)
        frames = list(source)
    assert [frame.time for frame in frames] == pytest.approx(TIMES[1:])
    assert [frame.name for frame in frames] == ["00001", "00002", "00003", "00004"]
    with pytest.raises(BadInput, match=r"has 5 frames \(got start 5"):
        open_source(path, start=5)


def test_animated_png(tmp_path: Path) -> None:
    path = apng(tmp_path / "anim.png")
    assert frame_count(path) == 5
    assert values(path) == [0, 40, 80, 120, 160]


def test_pages_of_a_tiff_file(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    assert cv2.imwritemulti(str(path), [image(40 * at) for at in range(3)])
    assert values(path) == [0, 40, 80]
    cv2.imwrite(str(tmp_path / "one.tif"), image(7))
    assert values(tmp_path / "one.tif") == [7]


@pytest.mark.parametrize("name", ["still.png", "still.webp", "still.jpg"])
def test_stills_have_one_frame(tmp_path: Path, name: str) -> None:
    cv2.imwrite(str(tmp_path / name), image(70))
    assert frame_count(tmp_path / name) == 1
    with open_source(tmp_path / name) as source:
        assert [frame.name for frame in source] == ["still"]


def test_an_animation_among_images_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), image(0))
    apng(tmp_path / "1.png")
    source = open_source(tmp_path)
    next(source)
    with pytest.raises(BadInput, match=r"1\.png: an animation among images \(got 5 frames, expected one\)"):
        next(source)


@needs_animations
@pytest.mark.parametrize("keep", [0.3, 0.7, 0.95])
def test_truncated_webp_is_refused(tmp_path: Path, keep: float) -> None:
    path = webp(tmp_path / "anim.webp")
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(BadInput, match=r"anim\.webp: (truncated or damaged animation|not a readable image)"):
        open_source(path)


@needs_animations
def test_an_opencv_without_animations_and_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = webp(tmp_path / "anim.webp")
    with monkeypatch.context() as patched:
        patched.delattr(cv2, "imdecodeanimation")
        with pytest.raises(BadInput, match=r"an animation of 5 frames, which this OpenCV cannot decode \(got "):
            open_source(path)
    monkeypatch.setattr(_animations, "LARGEST", 1000)
    with pytest.raises(BadInput, match="the animation is too large"):
        open_source(path)


def test_an_image_has_no_streams(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), image(0))
    with pytest.raises(BadInput, match="an image has no video streams"):
        open_source(f"{tmp_path / '0.png'}#stream=0")
