"""Each file of `examples/`, run on a few frames of the shipped clip."""

from __future__ import annotations

import csv
import runpy
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from shls.runtime.backends.pretrained import ASSETS
from shls.runtime.io.masks import read_mask, write_mask
from shls.runtime.io.sources import open_source

FOLDER = Path(__file__).parents[1] / "examples"
CLIP, MASK = ASSETS / "bunny.mp4", ASSETS / "bunny_mask.png"
COUNT = 3
Run = Callable[..., list[str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs an example with arguments and returns the printed lines."""

    def run_example(name: str, *words: object) -> list[str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
        runpy.run_path(str(FOLDER / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run_example


def marked() -> np.ndarray:
    return read_mask(MASK, (480, 854)) > 0


def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text()
    assert [file.name for file in FOLDER.glob("*.py") if f'run("{file.name}"' not in text] == []


def test_file(run: Run, here: Path) -> None:
    lines = run("file.py", CLIP, MASK, "--out", "o.mp4", "--frames", COUNT)
    assert lines[-1] == "o.mp4"
    assert len(lines) == COUNT
    with open_source(here / "o.mp4") as video:
        assert len(list(video)) == COUNT
        assert video.size == (480, 854)


def test_file_without_arguments_follows_the_shipped_clip(run: Run, here: Path) -> None:
    assert run("file.py", "--frames", 2)[-1] == "overlay.mp4"
    assert (here / "overlay.mp4").stat().st_size


def test_camera_with_a_file(run: Run) -> None:
    y, x = np.nonzero(marked())
    box = f"{x.min()},{y.min()},{np.ptp(x)},{np.ptp(y)}"
    lines = run("camera.py", CLIP, box, "--frames", COUNT)
    assert len(lines) == COUNT - 1
    assert all("pixels; 0 ms after capture, 0 frames dropped" in line for line in lines)


def test_images(run: Run, here: Path) -> None:
    with open_source(CLIP) as source:
        for frame in islice(source, COUNT):
            cv2.imwrite(f"image_{frame.index}.jpg", frame.image[..., ::-1])
    files = sorted(here.glob("*.jpg"))
    assert len(run("images.py", MASK, "masks", *files)) == COUNT
    assert [file.name for file in sorted((here / "masks").glob("*.png"))] == [f"image_{n}.png" for n in range(COUNT)]
    last = read_mask(here / "masks" / f"image_{COUNT - 1}.png", (480, 854)) > 0
    assert (last & marked()).sum() / (last | marked()).sum() > 0.8


def test_own_sink(run: Run, here: Path) -> None:
    assert run("own_sink.py", CLIP, MASK, "p.csv", "--frames", COUNT)[-1].endswith("p.csv")
    rows = list(csv.DictReader((here / "p.csv").open()))
    assert [row["object"] for row in rows] == ["1"] * COUNT
    _, x = np.nonzero(marked())
    assert abs(int(rows[0]["x"]) - x.mean()) <= 1
    assert int(rows[0]["area"]) == x.size


def test_numpy_only(run: Run) -> None:
    lines = run("numpy_only.py", "--frames", 4)
    overlaps = [float(line.split("IoU ")[1].split(",")[0]) for line in lines]
    assert len(overlaps) == 3
    assert min(overlaps) > 0.9


def test_gstreamer_pipeline(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, "/usr/lib/python3/dist-packages"])  # of Debian's python3-gi
    gi = pytest.importorskip("gi", reason="python3-gi is not installed for this Python", exc_type=ImportError)
    try:
        gi.require_version("GstApp", "1.0")
    except ValueError:
        pytest.skip("gir1.2-gst-plugins-base-1.0 is not installed")
    mask = np.zeros((64, 98), np.uint8)  # rows of 98 pixels are padded
    mask[20:40, 30:60] = 1
    write_mask(here / "m.png", mask)
    source = f"videotestsrc num-buffers={COUNT} pattern=solid-color foreground-color=0xff406080"
    source += " ! video/x-raw,width=98,height=64,framerate=25/1"
    sink = "videoconvert ! pngenc ! multifilesink location=o%d.png"
    assert run("gstreamer_pipeline.py", "m.png", "--source", source, "--sink", sink) == [f"{COUNT} frames"]
    assert sorted(file.name for file in here.glob("o*.png")) == [f"o{n}.png" for n in range(COUNT)]
    drawn = cv2.imread("o0.png")[..., ::-1].astype(int)
    assert drawn.shape == (64, 98, 3)
    changed = (np.abs(drawn - [0x40, 0x60, 0x80]) > 3).any(axis=2)
    inside = mask > 0
    assert changed[inside].all()
    outline = cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0  # the border around the object
    assert not changed[~outline].any()
