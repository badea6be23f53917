"""Sinks: what they write can be read, after SIGKILL and on a full disk too, and no input is overwritten."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.base import Sink
from shls.runtime.io.masks import PALETTE, decode_rle, overlay, read_mask, write_mask
from shls.runtime.io.sinks import JsonLinesSink, MaskFolderSink, NullSink, VideoSink, open_sinks
from shls.runtime.io.sources import open_source
from shls.runtime.types import Frame, Mask


def result(index: int, size: tuple[int, int] = (48, 64), noise: bool = False) -> tuple[Frame, Mask]:
    """A frame that gets brighter, and a square, object 2, that moves right by a pixel a frame."""
    image = np.full((*size, 3), 4 * index % 256, np.uint8)
    if noise:
        image = np.random.default_rng(index).integers(0, 256, (*size, 3), np.uint8)
    labels = np.zeros(size, np.uint8)
    labels[10:20, 5 + index % 20 : 15 + index % 20] = 2
    return Frame(image, index, index / 25, f"{index:05d}"), Mask(labels, {2: 0.75})


def write_many(sink: Sink) -> None:
    for index in range(1000):
        sink.write(*result(index, noise=True))


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let writing past a size fail as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_video_is_h264_with_the_overlay(tmp_path: Path) -> None:
    path = tmp_path / "new" / "o.mp4"
    with VideoSink(path, 25) as sink:
        for index in range(40):
            sink.write(*result(index))
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt, codec.width, codec.height) == ("h264", "yuv420p", 64, 48)
    with open_source(str(path)) as source:
        frames = list(source)
    assert len(frames) == 40
    assert frames[-1].time == pytest.approx(39 / 25, abs=1e-3)
    frame, mask = result(30)
    expected = overlay(frame.image, mask.labels)
    assert np.abs(frames[30].image.astype(int) - expected).mean() < 6


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (48, 63), (47, 64)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "o.mp4"
    with VideoSink(path, 30) as sink:
        for index in range(3):
            sink.write(*result(index, size))
    assert [frame.image.shape[:2] for frame in open_source(str(path))] == [
        (size[0] + size[0] % 2, size[1] + size[1] % 2)
    ] * 3


@pytest.mark.parametrize("fps", [24.0, 30000 / 1001, 12.5, 0.5])
def test_rate(tmp_path: Path, fps: float) -> None:
    with VideoSink(tmp_path / "o.mp4", fps) as sink:
        for index in range(5):
            frame, mask = result(index)
            sink.write(frame._replace(time=index / fps), mask)
    assert open_source(str(tmp_path / "o.mp4")).fps == pytest.approx(fps)


def test_frames_of_a_camera_show_at_their_times(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "o.mp4", 30) as sink:
        for index, seconds in enumerate([7.0, 7.1, 7.1, 8.0]):
            frame, mask = result(index)
            sink.write(frame._replace(time=seconds), mask)
    times = [frame.time for frame in open_source(str(tmp_path / "o.mp4"))]
    assert times == pytest.approx([0, 0.1, 4 / 30, 1.0], abs=1e-3), "no two at once"


def test_only_mp4(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"expected a name that ends in \.mp4"):
        VideoSink(tmp_path / "o.avi", 25)


WRITER = """
import sys, time
import numpy as np
from pathlib import Path
from shls.runtime.io.sinks import open_sinks
from shls.runtime.types import Frame, Mask
folder = Path(sys.argv[1])
sink = open_sinks(str(folder / "in.png"), folder / "o.mp4", folder / "masks", folder / "o.jsonl", 20)
for index in range(100000):
    image = np.full((48, 64, 3), index % 256, np.uint8)
    sink.write(Frame(image, index, index / 20, f"{index:05d}"), Mask(image[..., 0] // 255, {1: 0.5}))
    print(index, flush=True)
"""


def test_killed_at_any_time_leaves_a_playable_video(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), np.zeros((48, 64, 3), np.uint8))
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 70:
            break
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    written = int(rest[-1]) + 1 if rest else 71
    frames = list(open_source(str(tmp_path / "o.mp4")))
    assert written - 20 <= len(frames) <= written + 1  # a second is 20 frames
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert len(lines) >= written
    for file in (tmp_path / "masks").glob("*.png"):
        assert cv2.imread(str(file)) is not None


def test_masks_are_named_after_frames(tmp_path: Path) -> None:
    with MaskFolderSink(tmp_path / "a" / "b") as sink:
        for index in range(2):
            frame, mask = result(index)
            sink.write(frame._replace(name=f"img {index}"), mask)
    assert sorted(os.listdir(tmp_path / "a" / "b")) == ["img 0.png", "img 1.png"]
    assert (read_mask(tmp_path / "a" / "b" / "img 1.png", (48, 64)) == result(1)[1].labels).all()
    assert cv2.imread(str(tmp_path / "a" / "b" / "img 1.png"))[15, 10, ::-1].tolist() == PALETTE[2].tolist()


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    frame, mask = result(3)
    sink = JsonLinesSink(path)
    sink.write(frame, Mask(mask.labels, {2: 0.75, 7: 0.0}))
    (line,) = path.read_text().splitlines()  # before it is closed
    sink.close()
    read = json.loads(line)
    assert (read["frame"], read["time"]) == (3, 0.12)
    seen, lost = read["objects"]
    assert {key: seen[key] for key in ("id", "area", "box", "confidence")} == {
        "id": 2,
        "area": 100,
        "box": [8, 10, 10, 10],
        "confidence": 0.75,
    }
    assert (decode_rle(seen["rle"]) == (mask.labels == 2)).all()
    assert "lost" not in seen
    assert {key: lost[key] for key in ("id", "area", "box", "confidence", "lost")} == {
        "id": 7,
        "area": 0,
        "box": None,
        "confidence": 0.0,
        "lost": True,
    }
    assert not decode_rle(lost["rle"]).any()


def test_any_together_or_none(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), np.zeros((48, 64, 3), np.uint8))
    source = str(tmp_path / "in.png")
    assert isinstance(open_sinks(source), NullSink)
    with open_sinks(source, tmp_path / "o.mp4", tmp_path / "masks", tmp_path / "o.jsonl", 25) as sink:
        sink.write(*result(0))
        sink.write(*result(1))
    assert len(list(open_source(str(tmp_path / "o.mp4")))) == 2
    assert len(os.listdir(tmp_path / "masks")) == 2
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 2
    with open_sinks(source, json=tmp_path / "o.jsonl") as sink:  # an older output may be overwritten
        sink.write(*result(0))
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 1


def test_inputs_are_not_overwritten(tmp_path: Path) -> None:
    video = tmp_path / "in.mp4"
    with VideoSink(video, 25) as sink:
        sink.write(*result(0))
    os.link(video, tmp_path / "hard.mp4")
    os.symlink(video, tmp_path / "soft.mp4")
    before = video.read_bytes()
    for out in (video, tmp_path / "hard.mp4", tmp_path / "soft.mp4", tmp_path / "." / "x" / ".." / "in.mp4"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(BadInput, match="is an input, and would be overwritten"):
            open_sinks(str(video), out=out, masks=tmp_path / "masks")
    with pytest.raises(BadInput, match="is an input, and would be overwritten"):
        open_sinks(str(video), json=video)
    assert video.read_bytes() == before
    assert not (tmp_path / "masks").exists()


def test_mask_folder_that_holds_the_input(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "00000.png"), np.zeros((48, 64, 3), np.uint8))
    for uri in (tmp_path, tmp_path / "%05d.png", tmp_path / "*.png"):
        with pytest.raises(BadInput, match=r"holds the input 00000\.png, which a mask would overwrite"):
            open_sinks(str(uri), masks=tmp_path)


def test_first_mask_is_protected(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.jpg"), np.zeros((48, 64, 3), np.uint8))
    (tmp_path / "first").mkdir()
    write_mask(tmp_path / "first" / "00000.png", np.ones((48, 64), np.uint8))
    for protect in (tmp_path / "first" / "00000.png", tmp_path / "first"):
        with pytest.raises(BadInput, match=r"holds the input 00000\.png"):
            open_sinks(str(tmp_path / "in.jpg"), masks=tmp_path / "first", protect=[protect])
    with open_sinks(str(tmp_path / "in.jpg"), masks=tmp_path / "first"):  # an older output, not an input
        pass


def test_two_outputs_of_one_name(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(BadInput, match="named for two outputs"):
        open_sinks(str(tmp_path / "in.png"), out=tmp_path / "o.mp4", json=tmp_path / "o.mp4")


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(BadInput, match="cannot be written"):
        VideoSink(tmp_path / "file" / "o.mp4", 25)
    with pytest.raises(BadInput, match=r"cannot be written \(Is a directory\)"):
        VideoSink(tmp_path / "folder.mp4", 25)
    with pytest.raises(BadInput, match="cannot be written"):
        MaskFolderSink(tmp_path / "file")
    with pytest.raises(BadInput, match="cannot be written"):
        JsonLinesSink(tmp_path / "folder.mp4")


def test_an_earlier_result_stays_until_there_is_a_frame(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), np.zeros((48, 64, 3), np.uint8))
    earlier = [tmp_path / "o.mp4", tmp_path / "o.jsonl"]
    for path in earlier:
        path.write_bytes(b"of yesterday")
    with open_sinks(str(tmp_path / "in.png"), out=earlier[0], json=earlier[1]):
        pass  # the first mask is wrong, say, or the camera gives nothing
    assert [path.read_bytes() for path in earlier] == [b"of yesterday"] * 2
    with open_sinks(str(tmp_path / "in.png"), out=tmp_path / "new.mp4", json=tmp_path / "new.jsonl"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "o.jsonl", "o.mp4"]
    with open_sinks(str(tmp_path / "in.png"), out=earlier[0], json=earlier[1]) as sink:
        sink.write(*result(0))
    assert len(list(open_source(str(earlier[0])))) == 1
    assert json.loads(earlier[1].read_text())["frame"] == 0


def test_full_disk_leaves_a_playable_video(tmp_path: Path) -> None:
    path = tmp_path / "o.mp4"
    sink = VideoSink(path, 25)
    with (
        file_size_limit(300_000),
        pytest.raises(BadInput, match=r"o\.mp4: cannot be written \(File too large\)"),
    ):
        write_many(sink)
    sink.close()
    frames = list(open_source(str(path)))  # complete, without an error at its end
    assert 12 < len(frames) < 1000
    assert not (path.stat().st_size > 300_000)


def test_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    sink = JsonLinesSink(path)
    with file_size_limit(1000), pytest.raises(BadInput, match="the lines before are complete"):
        write_many(sink)
    sink.close()
    lines = path.read_text()
    assert lines.endswith("\n")
    assert [json.loads(line)["frame"] for line in lines.splitlines()] == list(range(len(lines.splitlines())))
    assert lines


def test_full_disk_leaves_whole_masks(tmp_path: Path) -> None:
    sink = MaskFolderSink(tmp_path)
    sink.write(*result(0))
    with file_size_limit(100), pytest.raises(BadInput, match=r"00001\.png: cannot be written"):
        sink.write(*result(1))
    assert os.listdir(tmp_path) == ["00000.png"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_device_without_space(tmp_path: Path) -> None:
    os.symlink("/dev/full", tmp_path / "o.mp4")
    os.symlink("/dev/full", tmp_path / "o.jsonl")
    for sink in (VideoSink(tmp_path / "o.mp4", 25), JsonLinesSink(tmp_path / "o.jsonl")):
        with pytest.raises(BadInput, match="No space left on device"), sink:
            sink.write(*result(0))
