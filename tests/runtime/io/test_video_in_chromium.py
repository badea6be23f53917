"""Written videos in a real Chromium: colours, and the frame at a time."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shls.runtime.io.base import StreamInfo
from shls.runtime.io.video_sink import VideoSink
from shls.runtime.types import Frame, Mask

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
SIZE = (96, 192)
COLOURS = [(31, 181, 45), (199, 31, 32), (30, 60, 220), (240, 200, 30), (250, 250, 250), (5, 5, 5)]
TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}
SHOW = """async ([address, times]) => {
    const video = document.createElement("video");
    const once = (name) => new Promise((done, failed) => {
        video.addEventListener(name, done, {once: true});
        video.addEventListener("error", () => failed(video.error.message), {once: true});
    });
    const ready = once("loadeddata");
    video.src = address;
    await ready;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const context = canvas.getContext("2d", {willReadFrequently: true});
    const shown = [];
    for (const time of times) {
        const found = once("seeked");
        video.currentTime = time;
        await found;
        context.drawImage(video, 0, 0);
        shown.push(Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data));
    }
    return shown;
}"""


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page()
        opened.set_default_timeout(60_000)
        yield opened
        browser.close()


def shown(page: Any, path: Path, times: list[float]) -> np.ndarray:
    """What Chromium shows at some times, (T, H, W, 3) uint8."""
    address = f"data:{TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
    pictures = page.evaluate(SHOW, [address, times])
    return np.array(pictures, np.uint8).reshape(len(times), *SIZE, 4)[..., :3]


def write(path: Path, info: StreamInfo, images: list[np.ndarray], stamps: list[float]) -> None:
    with VideoSink(path, info) as sink:
        for index, (image, time) in enumerate(zip(images, stamps, strict=True)):
            sink.write(Frame(image, index, time, ""), Mask(np.zeros(SIZE, np.uint8), {}))


@pytest.mark.parametrize("suffix", TYPES)
@pytest.mark.parametrize(("matrix", "blue"), [(1, 10), (6, 3)])
def test_colours(page: Any, matrix: int, blue: int, suffix: str, tmp_path: Path) -> None:
    """Without a GPU, Chromium multiplies the blue chroma of BT.709 by 2.0 instead of 2.11, so blue may differ more."""
    image = np.repeat(np.array([COLOURS], np.uint8), 32, axis=1).repeat(SIZE[0], axis=0)
    info = StreamInfo(SIZE, 25.0, color_range=2, color_space=matrix, color_primaries=matrix, color_trc=matrix)
    write(tmp_path / f"o{suffix}", info, [image] * 5, [index / 25 for index in range(5)])
    (picture,) = shown(page, tmp_path / f"o{suffix}", [0.1])
    for at, colour in enumerate(COLOURS):
        apart = np.abs(picture[48, 16 + 32 * at].astype(int) - colour)
        assert (apart <= [3, 3, blue]).all(), f"{colour} became {picture[48, 16 + 32 * at]}"


@pytest.mark.parametrize("suffix", TYPES)
def test_frames_of_a_variable_rate(page: Any, suffix: str, tmp_path: Path) -> None:
    stamps = [0.0, 0.04, 0.08, 0.5, 0.54, 1.2, 1.24, 2.0, 2.04]
    images = [np.full((*SIZE, 3), 20 + 25 * index, np.uint8) for index in range(len(stamps))]
    write(tmp_path / f"o{suffix}", StreamInfo(SIZE, 25.0, Fraction(1, 1000)), images, stamps)
    times = [0.06, 0.3, 0.52, 0.9, 1.5]
    expected = [images[max(i for i, stamp in enumerate(stamps) if stamp <= time)][0, 0, 0] for time in times]
    found = shown(page, tmp_path / f"o{suffix}", times)[:, 48, 96, 0].astype(int)
    assert np.abs(found - np.array(expected, int)).max() <= 6, (found, expected)
