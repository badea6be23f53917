"""`shls run` from the command line, with a segmenter that needs no model."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from shls.runtime import segmenter
from shls.runtime.cli import main as cli
from shls.runtime.errors import BadInput
from shls.runtime.io.masks import write_mask
from tests.fake_segmenters import Follows
from tests.live_servers import free_port, mjpeg


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenter, "open_segmenter", lambda *_, **__: Follows())


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Seven frames, and the mask of the first in `mask.png` beside their folder."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for at in range(7):
        cv2.imwrite(str(folder / f"{at}.png"), np.full((48, 64, 3), 30 * at, np.uint8))
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 10:20] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    return folder


def run(source: object, *options: object) -> Result:
    return CliRunner().invoke(cli.app, ["run", str(source), *map(str, options)])


def frames_of(path: Path) -> list[int]:
    return [json.loads(line)["frame"] for line in path.read_text().splitlines()]


def test_warm_up_is_said(clip: Path) -> None:
    done = run(clip, "--mask", clip.parent / "mask.png")
    assert done.exit_code == 0, done.exception
    assert "warm-up 0.0 s" in done.stderr
    assert "7 frames, " in done.stdout


def test_every_third_frame_from_the_second_on(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "objects.jsonl"
    run(clip, "--mask", clip.parent / "mask.png", "--start", 1, "--every", 3, "--json", out)
    assert frames_of(out) == [1, 4]


def test_rounds_until_the_time_is_over(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "objects.jsonl"
    done = run(clip, "--mask", clip.parent / "mask.png", "--loop", "--duration", 0.5, "--json", out)
    assert done.exit_code == 0
    frames = frames_of(out)
    assert frames == list(range(len(frames)))
    assert len(frames) > 7


def test_a_stream(clip: Path, tmp_path: Path) -> None:
    port, out = free_port(), tmp_path / "objects.jsonl"
    with mjpeg(port):
        uri = f"http://me:secret@127.0.0.1:{port}/video"
        done = run(uri, "--mask", clip.parent / "mask.png", "--duration", 0.5, "--json", out)
    assert done.exit_code == 0, done.exception
    assert "frames dropped for newer frames, 0 results too late, breaks: 0" in done.stdout
    assert len(frames_of(out)) > 3
    assert "secret" not in done.output


def test_results_that_are_too_late(clip: Path, tmp_path: Path) -> None:
    port, out = free_port(), tmp_path / "objects.jsonl"
    with mjpeg(port):
        uri, mask = f"http://127.0.0.1:{port}/video", clip.parent / "mask.png"
        done = run(uri, "--mask", mask, "--duration", 0.3, "--max-age", 0, "--json", out)
    assert done.exit_code == 0, done.exception
    assert len(frames_of(out)) == 1, "only the frame that was marked"


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("clip", ["--max-age", "1"], "clip: is recorded, so its frames have no age"),
        ("clip", ["--sound", "--loop", "--out", "o.mp4"], "--sound together with --loop"),
        ("clip", ["--sound", "--out", "o.mp4"], "--sound: the source is no video file"),
        ("clip", ["--out", "o.avi"], r"unknown kind of video \(got '\.avi'"),
        ("clip.mp4", [], "no objects marked"),
        ("clip.mp4", ["--unrefined", "--refiner", "r.onnx"], "--refiner: contradicts --unrefined"),
    ],
)
def test_contradictions(
    source: str, options: list[str], words: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    marked = [] if "objects" in words else ["--point", "1,1"]
    with pytest.raises(BadInput, match=words):
        raise run(source, *marked, *options).exception or AssertionError("it ran")
    assert sorted(path.name for path in clip.parent.iterdir()) == ["clip", "mask.png"]


def test_a_live_source_has_no_rounds() -> None:
    port = free_port()
    with mjpeg(port), pytest.raises(BadInput, match=rf"http://\.\.\.@127\.0\.0\.1:{port}/video: is live"):
        raise run(f"http://me:secret@127.0.0.1:{port}/video", "--point", "1,1", "--loop").exception or AssertionError


def test_names_and_original_ids_are_in_the_json_lines(clip: Path, tmp_path: Path) -> None:
    ids = np.zeros((48, 64), np.uint16)
    ids[10:20, 10:20], ids[30:40, 30:40] = 300, 1000
    cv2.imwrite(str(tmp_path / "ids.png"), ids)
    out = tmp_path / "objects.jsonl"
    run(clip, "--mask", tmp_path / "ids.png", "--json", out)
    for line in map(json.loads, out.read_text().splitlines()):
        assert [(one["id"], one["mask_id"]) for one in line["objects"]] == [(300, 1), (1000, 2)]
        assert all("name" not in one for one in line["objects"])
    run(clip, "--object", "name=dog box=10,10,20,20", "--box", "40,10,9,9", "--json", out)
    objects = [json.loads(line)["objects"] for line in out.read_text().splitlines()]
    assert len(objects) == 7
    assert all([(one["id"], one.get("name")) for one in row] == [(1, None), (2, "dog")] for row in objects)
    again = tmp_path / "again.jsonl"
    run(clip, "--mask", f"{out}#3", "--json", again)
    assert json.loads(again.read_text().splitlines()[-1])["objects"][1]["name"] == "dog"


def test_prompts_that_were_not_applied_are_said(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text('[{"frame": 40, "remove": 1}]')
    done = run(clip, "--mask", tmp_path / "mask.png", "--prompts", tmp_path / "prompts.json")
    assert done.exit_code == 0, done.exception
    assert "prompts: 1 of frame 40 not applied: the last frame was 6." in done.stderr


def test_what_does_not_fit_is_refused_before_the_warm_up(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text('[{"frame": 3, "box": [64, 5, 9, 9]}]')
    write_mask(tmp_path / "small.png", np.ones((9, 9), np.uint8))
    for options in (
        ["--mask", tmp_path / "mask.png", "--prompts", tmp_path / "prompts.json"],
        ["--box", "64,5,9,9"],
        ["--object", "point=1,1 not=64,5"],
        ["--object", f"mask={tmp_path / 'small.png'}"],
        ["--mask", tmp_path / "small.png"],
    ):
        done = run(clip, *options, "--json", tmp_path / "objects.jsonl")
        assert isinstance(done.exception, BadInput), options
        assert "warm-up" not in done.stderr
        assert not (tmp_path / "objects.jsonl").exists()


def test_masks_that_were_read_are_not_overwritten(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.json").write_text('[{"frame": 3, "mask": "later.json#5"}]')
    run(clip, "--mask", tmp_path / "mask.png", "--json", tmp_path / "later.json")
    before = (tmp_path / "later.json").read_bytes()
    for options in (
        ["--mask", tmp_path / "mask.png", "--prompts", tmp_path / "prompts.json"],
        ["--object", f"mask={tmp_path / 'later.json'}#5"],
    ):
        done = run(clip, *options, "--json", tmp_path / "later.json")
        assert "later.json: is an input" in str(done.exception)
    assert (tmp_path / "later.json").read_bytes() == before


def test_a_mask_of_nearly_everything_is_said(clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    mask = np.full((48, 64), 255, np.uint8)
    mask[:2] = 0
    cv2.imwrite(str(clip.parent / "inverted.png"), mask)
    done = run(clip, "--mask", clip.parent / "inverted.png")
    assert done.exit_code == 0, done.exception
    assert caplog.text.count("the mask covers 95 % of the frame") == 1
