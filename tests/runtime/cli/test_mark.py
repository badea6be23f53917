"""`shls mark`: the mask and the preview of one frame, and everything that is refused before the work."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from shls.runtime.cli import main as cli
from shls.runtime.errors import BadInput
from shls.runtime.io.image_files import read_image
from shls.runtime.io.masks import read_objects, write_mask
from tests.runtime.prompts.scenes import iou, scene


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Three frames with a disc that moves to the right."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for at in range(3):
        cv2.imwrite(str(folder / f"{at}.png"), scene((60 + 50 * at, 120))[0][..., ::-1])
    return folder


def mark(source: object, *options: object) -> Result:
    return CliRunner().invoke(cli.app, ["mark", str(source), *map(str, options)])


def refused(source: object, *options: object) -> str:
    error = mark(source, *options).exception
    assert isinstance(error, BadInput), error
    return str(error)


def test_mask_and_preview_of_a_later_frame(clip: Path, tmp_path: Path) -> None:
    out, preview = tmp_path / "new" / "m.png", tmp_path / "new" / "p.jpg"
    done = mark(clip, "--frame", 2, "--object", "name=disc box=125,85,70,70", "--out", out, "--preview", preview)
    assert done.exit_code == 0, done.exception
    found = read_objects(out, (240, 320))
    assert iou(found.labels == 1, scene((160, 120))[1] > 0) > 0.95
    assert found.names == {1: "disc"}
    assert "object 1 disc: " in done.stdout
    assert " % of the frame, box 1" in done.stdout
    picture, frame = read_image(preview), read_image(clip / "2.png")
    assert picture.shape == frame.shape
    assert np.abs(picture.astype(int) - frame)[100:140, 140:180].mean() > 20, "the object is coloured"
    assert np.abs(picture.astype(int) - frame)[150:, 230:].mean() < 12, "the background is not"


def test_boxes_points_and_objects_together(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.png"
    options = [
        "--point",
        "60,120",
        "--box",
        "200,20,30.4,30",
        "--box",
        "xyxy:-5,200,20,230",
        "--object",
        "point=250,120",
    ]
    assert mark(clip, *options, "--out", out).exit_code == 0
    found = read_objects(out, (240, 320))
    assert np.unique(found.labels).tolist() == [0, 1, 2, 3, 4]
    assert [int(found.labels[y, x]) for x, y in [(215, 35), (5, 215), (60, 120), (250, 120)]] == [1, 2, 3, 4]
    assert found.names == {}


def test_a_mask_file_with_names_and_large_ids(clip: Path, tmp_path: Path) -> None:
    labels = scene((60, 120))[1]
    write_mask(tmp_path / "given.png", labels, {1: "disc"}, {1: 300})
    done = mark(clip, "--mask", tmp_path / "given.png", "--out", tmp_path / "m.png")
    assert "object 300 disc (1 in the mask): " in done.stdout
    assert read_objects(tmp_path / "m.png", (240, 320)).file_ids == {1: 300}


def test_a_mask_is_corrected_by_points(clip: Path, tmp_path: Path) -> None:
    write_mask(tmp_path / "given.png", scene((60, 120), (250, 120))[1])
    done = mark(clip, "--object", f"mask={tmp_path / 'given.png'} not=250,120", "--out", tmp_path / "m.png")
    assert done.exit_code == 0, done.exception
    assert read_objects(tmp_path / "m.png", (240, 320)).labels[120, 250] == 0


def test_json_lines_are_chosen_by_the_frame(clip: Path, tmp_path: Path) -> None:
    lines = tmp_path / "objects.jsonl"
    rle = {"size": [240, 320], "counts": [100, 50, 240 * 320 - 150]}
    lines.write_text("".join(json.dumps({"frame": at, "objects": [{"id": at, "rle": rle}]}) + "\n" for at in (1, 2)))
    mark(clip, "--mask", lines, "--frame", 2, "--out", tmp_path / "m.png")
    assert read_objects(tmp_path / "m.png", (240, 320)).labels.max() == 2
    assert "no line for this frame (got frame 0" in refused(clip, "--mask", lines, "--out", tmp_path / "m.png")


@pytest.mark.parametrize("options", [["--box", "46", "62", "68", "68"], ["46", "62", "68", "--box", "68"]])
def test_blanks_between_numbers_are_explained(options: list[str], clip: Path) -> None:
    assert "with commas and without blanks between them). Write --box 46,62,68,68" in refused(clip, *options)
    assert "Write --point 80,96" in refused(clip, "--point", "80", "96")


def test_what_is_refused_before_the_work(clip: Path, tmp_path: Path) -> None:
    box, out = ["--box", "10,10,20,20"], ["--out", str(tmp_path / "m.png")]
    assert "no output is given" in refused(clip, *box)
    assert "no objects marked" in refused(clip, *out)
    assert "m.jpg: wrong kind of file (got '.jpg', expected .png)" in refused(clip, *box, "--out", tmp_path / "m.jpg")
    assert "expected .jpg, .jpeg, .png)" in refused(clip, *box, "--preview", tmp_path / "m.gif")
    assert "named for two outputs" in refused(clip, *box, *out, "--preview", tmp_path / "m.png")
    assert "0.png: is an input" in refused(clip, *box, "--out", clip / "0.png")
    (tmp_path / "m.png").write_bytes(b"given")
    assert "m.png: is an input" in refused(clip, "--mask", tmp_path / "m.png", *out)
    assert "is an input" in refused(clip, "--object", f"mask={tmp_path / 'm.png'}", *out)
    assert "one kind is expected" in refused(clip, *box, "--mask", tmp_path / "m.png", *out)
    twice = ["--object", "name=a point=1,1", "--object", "name=a point=9,9"]
    assert "the name a is given twice" in refused(clip, *twice, *out)
    assert (tmp_path / "m.png").read_bytes() == b"given"


def test_nothing_is_written_where_nothing_is_found(clip: Path, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "m.png", "--preview", tmp_path / "p.jpg"]
    assert "outside the frame" in refused(clip, "--box", "400,10,20,20", *out)
    assert "frame" in refused(clip, "--box", "10,10,20,20", "--frame", 99, *out)
    assert not list(tmp_path.glob("*.*"))
