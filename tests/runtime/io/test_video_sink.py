"""Videos that are written: times, colours, pixel shape and sound; playable after SIGKILL and on a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.base import StreamInfo
from shls.runtime.io.masks import overlay
from shls.runtime.io.sources import open_source
from shls.runtime.io.video_sink import ENCODINGS, MaskVideoSink, VideoSink
from shls.runtime.types import Frame, Mask
from tests.sink_inputs import file_size_limit, result, video_with_sound, write_many

KINDS = list(ENCODINGS)
INFO = StreamInfo((48, 64), 25.0)
HLG = {"color_space": 9, "color_primaries": 9, "color_trc": 18}


def decoded(path: Path) -> list[Any]:
    with av.open(f"file:{path}") as container:
        return list(container.decode(video=0))


def write(path: Path, info: StreamInfo, times: Sequence[float | Fraction], **options: bool) -> None:
    with VideoSink(path, info, **options) as sink:
        for index, seconds in enumerate(times):
            frame, mask = result(index, info.size)
            sink.write(frame._replace(time=float(seconds)), mask)


@pytest.mark.parametrize(
    ("suffix", "codec", "pixels"),
    [
        (".mp4", "h264", "yuv420p"),
        (".mov", "h264", "yuv420p"),
        (".mkv", "h264", "yuv420p"),
        (".webm", "vp9", "yuv420p"),
        (".gif", "gif", "bgra"),
    ],
)
def test_each_suffix_is_a_kind_of_video(suffix: str, codec: str, pixels: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"cam:1{suffix.upper()}"
    write(path, INFO, [index / 25 for index in range(40)])
    with av.open(f"file:{path}") as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.width, context.height) == (codec, pixels, 64, 48)
    frames = decoded(path)
    assert [frame.time for frame in frames] == pytest.approx([index / 25 for index in range(40)], abs=1e-3)
    frame, mask = result(30)
    error = np.abs(frames[30].to_ndarray(format="rgb24").astype(int) - overlay(frame.image, mask.labels))
    assert error.mean() < 6


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"got '\.avi', expected \.mp4, \.mov, \.mkv, \.webm, \.gif"):
        VideoSink(tmp_path / "o.avi", INFO)
    with pytest.raises(BadInput, match=r"got '\.mp4', expected \.mkv"):
        MaskVideoSink(tmp_path / "o.mp4", INFO)


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (48, 63), (47, 64)])
def test_odd_sizes(size: tuple[int, int], suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"o{suffix}"
    write(path, StreamInfo(size, 30.0), [0, 0.1, 0.2])
    even = size if suffix == ".gif" else (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert [(frame.height, frame.width) for frame in decoded(path)] == [even] * 3


@pytest.mark.parametrize("fps", [24.0, 30000 / 1001, 12.5, 0.5])
def test_rate(fps: float, tmp_path: Path) -> None:
    path = tmp_path / "o.mp4"
    write(path, StreamInfo((48, 64), fps), [index / fps for index in range(5)])
    with av.open(str(path)) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(fps, rel=1e-4)


@pytest.mark.parametrize("suffix", KINDS)
def test_frames_of_a_camera_show_at_their_times(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"o{suffix}"
    write(path, StreamInfo((48, 64), 30.0, Fraction(1, 90_000)), [7.0, 7.1, 7.1, 8.0])
    times = [frame.time for frame in decoded(path)]
    assert times == pytest.approx([0, 0.1, 0.1, 1.0], abs=0.03)
    assert sorted(set(times)) == times, "no two at once"


@pytest.mark.parametrize(
    "unit", [Fraction(1, 12_800), Fraction(1, 90_000), Fraction(1001, 30_000), Fraction(1, 25), Fraction(1, 1000)]
)
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_each_frame_keeps_the_time_stamp_of_its_source(unit: Fraction, suffix: str, tmp_path: Path) -> None:
    stamps = [0, 1, 2, 7, 8, 400]
    path = tmp_path / f"o{suffix}"
    write(path, StreamInfo((48, 64), 25.0, unit), [stamp * unit for stamp in stamps])
    with av.open(str(path)) as container:
        base = container.streams.video[0].time_base
        assert [frame.pts * base for frame in container.decode(video=0)] == [stamp * unit for stamp in stamps]


COLOURS = [(31, 181, 45), (199, 31, 32), (30, 60, 220), (240, 200, 30), (250, 250, 250), (5, 5, 5)]


@pytest.mark.parametrize("suffix", [suffix for suffix in KINDS if suffix != ".gif"])
@pytest.mark.parametrize(
    ("tags", "written"),
    [
        ({}, (1, 1, 1)),
        ({"color_space": 1, "color_primaries": 1, "color_trc": 1}, (1, 1, 1)),
        ({"color_space": 5, "color_primaries": 5, "color_trc": 6}, (5, 5, 6)),
        ({"color_space": 6, "color_primaries": 6, "color_trc": 6}, (6, 6, 6)),
        (HLG, (9, 9, 18)),
        ({"color_space": 10}, (1, 1, 1)),
    ],
)
def test_colours_are_written_and_tagged_as_the_source_is(
    tags: dict[str, int], written: tuple[int, ...], suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"o{suffix}"
    image = np.repeat(np.array([COLOURS], np.uint8), 16, axis=1).repeat(48, axis=0)
    info = StreamInfo(image.shape[:2], 25.0, color_range=2, **tags)
    with VideoSink(path, info) as sink:
        for index in range(3):
            sink.write(Frame(image, index, index / 25, ""), Mask(np.zeros(image.shape[:2], np.uint8), {}))
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == written
        assert context.color_range == 1
    (_, _, frame) = decoded(path)
    for at, colour in enumerate(COLOURS):
        assert np.abs(_rgb(frame, written[0])[24, 8 + 16 * at] - colour).max() <= 3, colour


def _rgb(picture: Any, matrix: int) -> np.ndarray:
    """Convert a limited-range picture to RGB with the matrix of its tag, by the definition of the matrix."""
    red, blue = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[matrix]
    y, u, v = (
        np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width].astype(float)
        for plane in picture.planes
    )
    y, cb, cr = (y - 16) / 219, *((c.repeat(2, 0).repeat(2, 1) - 128) / 224 for c in (u, v))
    r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
    g = (y - red * r - blue * b) / (1 - red - blue)
    return 255 * np.stack([r, g, b], -1).clip(0, 1)


@pytest.mark.parametrize("suffix", KINDS)
def test_the_shape_of_a_pixel_is_kept(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"o{suffix}"
    write(path, StreamInfo((48, 64), 25.0, sample_aspect=Fraction(2, 1)), [0, 0.04])
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        shown = video.width * (video.sample_aspect_ratio or 1), video.height
    assert shown == (128, 48)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_sound_is_copied(suffix: str, tmp_path: Path) -> None:
    video_with_sound(tmp_path / "in.mp4")
    path = tmp_path / f"o{suffix}"
    with open_source(str(tmp_path / "in.mp4"), start=15) as source, VideoSink(path, source.info, sound=True) as sink:
        for frame in source:
            if frame.index < 40:
                sink.write(frame, Mask(np.zeros((48, 64), np.uint8), {}))
    assert [frame.time for frame in decoded(path)] == pytest.approx([index / 25 for index in range(25)], abs=1e-3)
    with av.open(str(path)) as container:
        sound = [(frame.time, np.abs(frame.to_ndarray()).max()) for frame in container.decode(audio=0)]
    loud = [seconds for seconds, level in sound if level > 0.5]
    assert loud[0] == pytest.approx(0.4, abs=0.03), "one second less the 15 frames before the first"
    assert sound[-1][0] == pytest.approx(1.0, abs=0.06), "it ends with the last frame"


@pytest.mark.parametrize(
    ("source", "codec"),
    [("in.ts", "aac"), ("in.ts", "mp2"), ("in.mkv", "ac3"), ("in.mkv", "flac"), ("in.mov", "pcm_s16le")],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_of_other_files_keeps_its_time(source: str, codec: str, suffix: str, tmp_path: Path) -> None:
    video_with_sound(tmp_path / source, codec)
    with (
        open_source(str(tmp_path / source), start=3) as frames,
        VideoSink(tmp_path / f"o{suffix}", frames.info, sound=True) as sink,
    ):
        for frame in frames:
            sink.write(frame, Mask(np.zeros((48, 64), np.uint8), {}))
    with av.open(str(tmp_path / f"o{suffix}")) as container:
        loud = [frame.time for frame in container.decode(audio=0) if np.abs(frame.to_ndarray()).max() > 0.5]
    assert loud[0] == pytest.approx(0.88, abs=0.1)


@pytest.mark.parametrize(
    ("suffix", "sound"),
    [*((suffix, "") for suffix in KINDS), (".mp4", "aac"), (".mov", "aac"), (".mkv", "ac3"), (".webm", "libopus")],
)
def test_the_file_plays_while_it_is_written(suffix: str, sound: str, tmp_path: Path) -> None:
    if sound:
        video_with_sound(tmp_path / "in.mkv", sound, seconds=1, sound_seconds=0.3)  # the video goes on without sound
    path = tmp_path / f"o{suffix}"
    info = StreamInfo((48, 64), 25.0, address=f"file:{tmp_path / 'in.mkv'}")
    with VideoSink(path, info, sound=bool(sound)) as sink:
        for index in range(100):
            sink.write(*result(index))
            if index % 10 == 9:
                (tmp_path / f"then{suffix}").write_bytes(path.read_bytes())
                assert index < 25 or index - 25 <= len(decoded(tmp_path / f"then{suffix}")) <= index + 1


def test_sound_for_webm(tmp_path: Path) -> None:
    video_with_sound(tmp_path / "in.mkv", "libopus")
    with (
        open_source(str(tmp_path / "in.mkv")) as source,
        VideoSink(tmp_path / "o.webm", source.info, sound=True) as sink,
    ):
        for frame in source:
            sink.write(frame, Mask(np.zeros((48, 64), np.uint8), {}))
    with av.open(str(tmp_path / "o.webm")) as container:
        assert container.streams.audio[0].codec_context.name == "opus"
        assert sum(frame.samples for frame in container.decode(audio=0)) == pytest.approx(96_000, rel=0.02)


def test_sound_that_cannot_be_copied(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(BadInput, match="--sound: the source is no video file"):
        VideoSink(tmp_path / "o.mp4", INFO, sound=True)
    video_with_sound(tmp_path / "in.mp4")
    address = f"file:{tmp_path / 'in.mp4'}"
    with pytest.raises(BadInput, match=r"o\.webm: .* cannot hold sound of the codec aac\. Choose .*\.mkv"):
        VideoSink(tmp_path / "o.webm", StreamInfo((48, 64), 25.0, address=address), sound=True)
    video_with_sound(tmp_path / "in.mkv", "flac")
    flac = StreamInfo((48, 64), 25.0, address=f"file:{tmp_path / 'in.mkv'}")
    with pytest.raises(BadInput, match=r"o\.mov: .* cannot hold sound of the codec flac"):
        VideoSink(tmp_path / "o.mov", flac, sound=True)
    with pytest.raises(BadInput, match="a GIF has no sound"):
        VideoSink(tmp_path / "o.gif", StreamInfo((48, 64), 25.0, address=address), sound=True)
    write(tmp_path / "silent.mp4", INFO, [0, 0.04])
    info = StreamInfo((48, 64), 25.0, address=f"file:{tmp_path / 'silent.mp4'}")
    write(tmp_path / "o.mp4", info, [0, 0.04], sound=True)
    assert "the source has no sound; o.mp4 is written without sound" in caplog.text
    assert len(decoded(tmp_path / "o.mp4")) == 2


def test_masks_come_back_from_their_video(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    masks = [rng.integers(0, 255, (47, 63), np.uint8) for _ in range(4)]
    with MaskVideoSink(tmp_path / "m.mkv", StreamInfo((47, 63), 25.0)) as sink:
        for index, labels in enumerate(masks):
            sink.write(Frame(np.zeros((47, 63, 3), np.uint8), index, index / 10, ""), Mask(labels, {}))
    frames = decoded(tmp_path / "m.mkv")
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3])
    for frame, labels in zip(frames, masks, strict=True):
        assert (frame.to_ndarray() == labels).all()
        assert (frame.to_ndarray(format="rgb24")[..., 1] == labels).all(), "grey levels are not stretched"


WRITER = """
import sys
import numpy as np
from pathlib import Path
from shls.runtime.io.base import StreamInfo
from shls.runtime.io.sinks import Outputs, open_sinks
from shls.runtime.types import Frame, Mask
folder, suffix = Path(sys.argv[1]), sys.argv[2]
outputs = Outputs(folder / f"o{suffix}", folder / "masks", folder / "o.jsonl", mask_video=folder / "m.mkv")
sink = open_sinks(outputs, str(folder / "in.png"), StreamInfo((48, 64), 20.0))
for index in range(100000):
    image = np.full((48, 64, 3), index % 256, np.uint8)
    sink.write(Frame(image, index, index / 20, f"{index:05d}"), Mask(image[..., 0] // 255, {1: 0.5}))
    print(index, flush=True)
"""


@pytest.mark.parametrize("suffix", KINDS)
def test_killed_at_any_time_leaves_a_playable_video(suffix: str, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), np.zeros((48, 64, 3), np.uint8))
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), suffix], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 70:
            break
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    written = int(rest[-1]) + 1 if rest else 71
    for path in (tmp_path / f"o{suffix}", tmp_path / "m.mkv"):
        assert written - 20 <= len(decoded(path)) <= written + 1  # a second is 20 frames
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert len(lines) >= written
    for file in (tmp_path / "masks").glob("*.png"):
        assert cv2.imread(str(file)) is not None


@pytest.mark.parametrize("suffix", KINDS)
def test_full_disk_leaves_a_playable_video(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"o{suffix}"
    sink = VideoSink(path, INFO)
    with (
        file_size_limit(300_000),
        pytest.raises(BadInput, match=rf"o\{suffix}: cannot be written \(File too large\)"),
    ):
        write_many(sink)
    with pytest.raises(BadInput, match="is finished, so no frame can be added"):
        sink.write(*result(0))
    sink.close()
    assert 12 < len(decoded(path)) < 1000  # complete, without an error at its end
    assert path.stat().st_size <= 300_000


def write_noise(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 96, 128, 3), np.uint8)
    with VideoSink(path, StreamInfo((96, 128), 25.0)) as sink:
        for index, image in enumerate(noise):
            sink.write(Frame(image, index, index / 25, ""), Mask(np.zeros((96, 128), np.uint8), {}))


@pytest.mark.parametrize("limit", [200, 2_000, 20_000])
@pytest.mark.parametrize("suffix", KINDS)
def test_a_file_without_a_whole_part_is_removed(suffix: str, limit: int, tmp_path: Path) -> None:
    path = tmp_path / f"o{suffix}"
    with file_size_limit(limit), pytest.raises(BadInput, match="cannot be written") as error:
        write_noise(path)
    assert path.exists() is ("No file was kept" not in str(error.value))
    assert not path.exists() or decoded(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("suffix", KINDS)
def test_device_without_space(suffix: str, tmp_path: Path) -> None:
    os.symlink("/dev/full", tmp_path / f"o{suffix}")
    with pytest.raises(BadInput, match="No space left on device"), VideoSink(tmp_path / f"o{suffix}", INFO) as sink:
        write_many(sink)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(BadInput, match="cannot be written"):
        VideoSink(tmp_path / "file" / "o.mp4", INFO)
    with pytest.raises(BadInput, match=r"cannot be written \(Is a directory\)"):
        VideoSink(tmp_path / "folder.mp4", INFO)
