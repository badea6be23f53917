"""Outputs of a run together: which sinks are opened, and that no input is overwritten."""

from __future__ import annotations

import json
import os
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.base import Sink, StreamInfo
from shls.runtime.io.masks import write_mask
from shls.runtime.io.sinks import NullSink, Outputs, open_sinks
from shls.runtime.io.video_sink import VideoSink
from tests.sink_inputs import result

INFO = StreamInfo((48, 64), 25.0)


@pytest.fixture
def still(tmp_path: Path) -> str:
    cv2.imwrite(str(tmp_path / "in.png"), np.zeros((48, 64, 3), np.uint8))
    return str(tmp_path / "in.png")


def opened(source: object, outputs: Outputs, protect: list[Path] | None = None) -> Sink:
    return open_sinks(outputs, str(source), INFO, protect or [])


def count_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_any_together_or_none(still: str, tmp_path: Path) -> None:
    assert isinstance(opened(still, Outputs()), NullSink)
    folders = tmp_path / "masks", tmp_path / "cutouts"
    outputs = Outputs(tmp_path / "o.mp4", folders[0], tmp_path / "o.jsonl", folders[1], tmp_path / "m.mkv")
    with opened(still, outputs) as sink:
        sink.write(*result(0))
        sink.write(*result(1))
    assert [count_of(tmp_path / name) for name in ("o.mp4", "m.mkv")] == [2, 2]
    assert [len(os.listdir(folder)) for folder in folders] == [2, 2]
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 2
    assert outputs.names == [str(tmp_path / name) for name in ("o.mp4", "masks", "o.jsonl", "cutouts", "m.mkv")]
    with opened(still, Outputs(json=tmp_path / "o.jsonl")) as sink:  # an older output may be overwritten
        sink.write(*result(0))
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 1


def test_a_name_without_suffix_and_a_known_folder_get_images(still: str, tmp_path: Path) -> None:
    (tmp_path / "known.v2").mkdir()
    for name in ("new", "known.v2"):
        with opened(still, Outputs(tmp_path / name)) as sink:
            sink.write(*result(0))
        assert os.listdir(tmp_path / name) == ["00000.jpg"]


def test_inputs_are_not_overwritten(tmp_path: Path) -> None:
    video = tmp_path / "in.mp4"
    with VideoSink(video, INFO) as sink:
        sink.write(*result(0))
    os.link(video, tmp_path / "hard.mp4")
    os.symlink(video, tmp_path / "soft.mp4")
    before = video.read_bytes()
    for out in (video, tmp_path / "hard.mp4", tmp_path / "soft.mp4", tmp_path / "." / "x" / ".." / "in.mp4"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(BadInput, match="is an input and would be overwritten"):
            opened(video, Outputs(out, masks=tmp_path / "masks"))
    with pytest.raises(BadInput, match="is an input and would be overwritten"):
        opened(video, Outputs(json=video))
    assert video.read_bytes() == before
    assert not (tmp_path / "masks").exists()


def test_a_folder_that_holds_the_input(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "00000.png"), np.zeros((48, 64, 3), np.uint8))
    for uri in (tmp_path, tmp_path / "%05d.png", tmp_path / "*.png"):
        for outputs in (Outputs(masks=tmp_path), Outputs(cutouts=tmp_path)):
            with pytest.raises(BadInput, match=r"holds the input 00000\.png, which an output would overwrite"):
                opened(uri, outputs)
    cv2.imwrite(str(tmp_path / "00001.jpg"), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(BadInput, match=r"holds the input 00001\.jpg"):
        opened(tmp_path / "*.jpg", Outputs(tmp_path))
    with opened(tmp_path / "*.png", Outputs(tmp_path)):  # JPEGs beside PNGs replace none of them
        pass


def test_first_mask_is_protected(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.jpg"), np.zeros((48, 64, 3), np.uint8))
    (tmp_path / "first").mkdir()
    write_mask(tmp_path / "first" / "00000.png", np.ones((48, 64), np.uint8))
    for protect in (tmp_path / "first" / "00000.png", tmp_path / "first"):
        with pytest.raises(BadInput, match=r"holds the input 00000\.png"):
            opened(tmp_path / "in.jpg", Outputs(masks=tmp_path / "first"), [protect])
    with opened(tmp_path / "in.jpg", Outputs(masks=tmp_path / "first")):  # an older output, not an input
        pass


def test_two_outputs_of_one_name(still: str, tmp_path: Path) -> None:
    for outputs in (
        Outputs(tmp_path / "o.mp4", json=tmp_path / "o.mp4"),
        Outputs(tmp_path / "o.mkv", mask_video=tmp_path / "x" / ".." / "o.mkv"),
        Outputs(masks=tmp_path / "pngs", cutouts=tmp_path / "pngs"),
    ):
        with pytest.raises(BadInput, match="named for two outputs"):
            opened(still, outputs)
    assert os.listdir(tmp_path) == ["in.png"]


def test_sound_needs_a_video(still: str, tmp_path: Path) -> None:
    for outputs in (Outputs(sound=True), Outputs(tmp_path / "folder", sound=True)):
        with pytest.raises(BadInput, match="into the overlay video only"):
            opened(still, outputs)


def test_an_earlier_result_stays_until_there_is_a_frame(still: str, tmp_path: Path) -> None:
    earlier = [tmp_path / "o.mp4", tmp_path / "o.jsonl"]
    for path in earlier:
        path.write_bytes(b"of yesterday")
    with opened(still, Outputs(earlier[0], json=earlier[1])):
        pass  # the first mask is wrong, say, or the camera gives nothing
    assert [path.read_bytes() for path in earlier] == [b"of yesterday"] * 2
    with opened(still, Outputs(tmp_path / "new.mp4", json=tmp_path / "new.jsonl", mask_video=tmp_path / "new.mkv")):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "o.jsonl", "o.mp4"]
    with opened(still, Outputs(earlier[0], json=earlier[1])) as sink:
        sink.write(*result(0))
    assert count_of(earlier[0]) == 1
    assert json.loads(earlier[1].read_text())["frame"] == 0
