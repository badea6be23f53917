"""Videos of every kind: streams, time stamps, colours, aspect, interlacing, HDR, damage and names."""

from __future__ import annotations

import logging
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io._containers import address_of
from shls.runtime.io._tone_mapping import HLG, PQ, SIDE, to_sdr
from shls.runtime.io.capture import open_stream
from shls.runtime.io.playback import Playback
from shls.runtime.io.sources import open_source
from shls.runtime.io.uris import StreamUri

PATCHES = np.array([[31, 181, 45], [199, 31, 32], [40, 60, 200], [230, 230, 230], [12, 12, 12], [200, 180, 40]])
"""RGB of the patches of `patches`, one column of 32 pixels each."""
LUMA = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
"""Weights of red and blue per matrix of H.273."""


def to_yuv(rgb: np.ndarray, matrix: int, full: bool) -> np.ndarray:
    """(..., 3) R'G'B' 0..255 to Y'CbCr by the formulas of H.273, float."""
    red, blue = LUMA[matrix]
    r, g, b = np.moveaxis(rgb / 255.0, -1, 0)
    y = red * r + (1 - red - blue) * g + blue * b
    planes = np.stack([y, (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)], -1)
    return planes * 255 + (0, 128, 128) if full else planes * (219, 224, 224) + (16, 128, 128)


def patches(matrix: int, full: bool, height: int) -> np.ndarray:
    """Flat patches as the planes of a yuv420p picture, (3/2 H, W) uint8."""
    row = np.repeat(np.rint(to_yuv(PATCHES, matrix, full)), 32, axis=0)
    planes = np.repeat(row[None], height, axis=0).astype(np.uint8)
    halves = [planes[::2, ::2, channel].reshape(height // 4, -1) for channel in (1, 2)]
    return np.concatenate([planes[..., 0], *halves])


def encode(
    path: Path,
    pictures: list[av.VideoFrame],
    options: dict[str, str] | None = None,
    codec: str = "libx264",
    tags: dict[str, Any] | None = None,
) -> Path:
    """Write pictures; `tags` are attributes of the codec context."""
    with av.open(str(path), "w") as container:
        add(container, pictures, options, codec, tags)
    return path


def add(
    container: Any,
    pictures: list[av.VideoFrame],
    options: dict[str, str] | None = None,
    codec: str = "libx264",
    tags: dict[str, Any] | None = None,
) -> None:
    stream = container.add_stream(codec, rate=25)
    stream.width, stream.height = pictures[0].width, pictures[0].height
    stream.pix_fmt, stream.options = pictures[0].format.name, options or {}
    for name, value in (tags or {}).items():
        setattr(stream.codec_context, name, value)
    for picture in pictures:
        container.mux(stream.encode(picture))
    container.mux(stream.encode(None))


def grey(value: int, size: tuple[int, int] = (48, 64)) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.full((*size, 3), value, np.uint8), "rgb24").reformat(format="yuv420p")


def noisy(count: int, size: tuple[int, int] = (96, 128)) -> list[av.VideoFrame]:
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (*size, 3), np.uint8) for _ in range(count)]
    return [av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p") for image in images]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("height", [480, 720])
@pytest.mark.parametrize("matrix", [None, 1, 5, 6, 9])
def test_colours_are_within_three_levels(tmp_path: Path, matrix: int | None, height: int, full: bool) -> None:
    used = matrix or (1 if height >= 720 else 6)  # browsers go by the size where there is no tag
    planes = np.tile(patches(used, full, height), (1, 7))  # 1344 wide
    picture = av.VideoFrame.from_ndarray(planes, "yuv420p")
    tags = {"color_range": 2 if full else 1} | ({"colorspace": matrix} if matrix else {})
    picture.colorspace, picture.color_range = matrix or 2, tags["color_range"]
    path = encode(tmp_path / "colours.mkv", [picture], {"qp": "0"}, tags=tags)
    with open_source(path) as source:
        info = source.info
        image = next(source).image
    assert np.abs(image[8, 16:192:32].astype(int) - PATCHES).max() <= 3
    assert (info.color_space, info.color_range) == (used, tags["color_range"])
    assert info.color_primaries == {1: 1, 5: 5, 6: 6, 9: 9}[used]


def test_time_stamps_of_a_variable_frame_rate(tmp_path: Path) -> None:
    times = [0, 40, 80, 95, 1200, 1201, 1500]  # milliseconds
    pictures = [grey(20 * at) for at in range(len(times))]
    for picture, time in zip(pictures, times, strict=True):
        picture.pts, picture.time_base = time + 700, Fraction(1, 1000)
    path = tmp_path / "screen.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for picture in pictures:
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with open_source(path) as source:
        assert [round(1000 * frame.time) for frame in source] == times
        assert source.info.time_base == Fraction(1, 1000)
        assert source.info.begin == pytest.approx(0.7, abs=0.05)
    with Playback(lambda: open_source(path), every=2) as source:
        assert [round(1000 * frame.time) for frame in source] == times[::2]
        assert (source.info.time_base, source.info.fps) == (Fraction(1, 1000), source.fps)


def test_the_best_stream_is_read_and_another_on_request(tmp_path: Path) -> None:
    path = tmp_path / "drone.mkv"
    with av.open(str(path), "w") as container:  # a preview picture of one frame, then the video
        preview = container.add_stream("mjpeg", rate=25)
        preview.width, preview.height, preview.pix_fmt = 320, 240, "yuvj420p"
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        container.mux(preview.encode(grey(200, (240, 320)).reformat(format="yuvj420p")))
        container.mux(preview.encode(None))
        for at in range(12):
            container.mux(video.encode(grey(10 * at)))
        container.mux(video.encode(None))
    with open_source(path) as source:
        assert (source.size, len(list(source)), source.info.stream) == ((48, 64), 12, 1)
    with open_source(f"{path}#stream=1") as source:
        assert (source.size, source.name) == ((48, 64), "drone")
    with open_source(f"{path}#stream=0") as source:
        assert (source.size, len(list(source)), source.info.stream) == ((240, 320), 1, 0)
    with pytest.raises(BadInput, match=r"no such video stream \(got 2, video streams: 0, 1\)"):
        open_source(f"{path}#stream=2")
    with pytest.raises(BadInput, match=r"bad index of a video stream \(got 'one'"):
        open_source(f"{path}#stream=one")


def test_the_cover_of_a_song_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("mp3", rate=44100)
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.int16), "s16", "mono")
        samples.rate = 44100
        container.mux(cover.encode(grey(9).reformat(format="yuvj420p")))
        container.mux(cover.encode(None))
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    with pytest.raises(BadInput, match="has no video"):
        open_source(path)


def test_sample_aspect(tmp_path: Path) -> None:
    path = encode(tmp_path / "dv.mp4", [grey(9)], tags={"sample_aspect_ratio": Fraction(2)})
    with open_source(path) as source:
        assert source.info.sample_aspect == 2
    with open_source(encode(tmp_path / "square.mp4", [grey(9)])) as source:
        assert source.info.sample_aspect == 1


def test_sample_aspect_of_a_turned_video(tmp_path: Path) -> None:
    path = encode(tmp_path / "phone.mp4", [grey(9)], tags={"sample_aspect_ratio": Fraction(2)})
    data = bytearray(path.read_bytes())
    at = data.find(struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30), data.find(b"tkhd"))
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)  # a quarter, clockwise
    path.write_bytes(data)
    with open_source(path) as source:
        assert (source.size, source.info.size, source.info.sample_aspect) == ((64, 48), (64, 48), Fraction(1, 2))


def tape(path: Path) -> tuple[Path, list[float]]:
    """Write an interlaced video; return how much its pictures are combed."""
    pictures = []
    for at in range(8):  # a white bar that moves 6 pixels from field to field
        image = np.zeros((96, 128, 3), np.uint8)
        for field in (0, 1):
            left = 6 * (2 * at + field)
            image[field::2, left : left + 24] = 255
        pictures.append(av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p"))
    encode(path, pictures, {"x264-params": "tff=1", "qp": "4"})
    with av.open(str(path)) as container:
        combs = [comb(picture.to_ndarray(format="gray")) for picture in container.decode(video=0)]
    assert min(combs) > 20, "the file is combed"
    return path, combs


def comb(image: np.ndarray) -> float:
    """Mean difference between neighbouring lines."""
    return float(np.abs(np.diff(image[8:-8].astype(int), axis=0)).mean())


def test_interlaced_video_is_deinterlaced(tmp_path: Path) -> None:
    path, before = tape(tmp_path / "tape.mkv")
    frames = list(open_source(path))
    assert len(frames) == 8
    assert [frame.time for frame in frames] == pytest.approx([at / 25 for at in range(8)], abs=2e-3)
    assert max(comb(frame.image[..., 1]) for frame in frames) < min(before) / 4
    start = list(open_source(path, start=7))
    assert [frame.index for frame in start] == [7]
    assert np.array_equal(start[0].image, frames[7].image)


def test_interlaced_live_streams_are_deinterlaced(tmp_path: Path) -> None:
    path, before = tape(tmp_path / "camera.ts")
    images = list(open_stream(StreamUri(address_of(path))).images)
    combs = [comb(image[..., 1]) for image in images if image is not None]
    assert len(combs) >= 6
    assert max(combs) < min(before) / 4


@pytest.mark.parametrize(("transfer", "white"), [(HLG, 0.75), (PQ, 0.5807)])
def test_hdr_is_tone_mapped(tmp_path: Path, transfer: int, white: float) -> None:
    levels = np.array([0.0, 0.2, 0.35, white, 1.0])
    picture = av.VideoFrame(160, 32, "yuv420p10le")
    for plane, row in zip(
        picture.planes, (np.repeat(64 + 876 * levels, 32), np.full(80, 512), np.full(80, 512)), strict=True
    ):
        rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)  # lines are padded
        rows[:, : len(row)] = np.rint(row)
        plane.update(rows.tobytes())
    picture.colorspace, picture.color_range = 9, 1
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": transfer, "color_range": 1}
    path = encode(tmp_path / "hdr.mkv", [picture, picture], {"qp": "0"}, tags=tags)
    with open_source(path) as source:
        image = next(source).image
        assert np.array_equal(next(source).image, image)
        info = source.info
    assert (info.color_space, info.color_primaries, info.color_trc, info.color_range) == (1, 1, 1, 1)
    columns = image[8, 16::32].astype(int)
    assert np.ptp(columns, axis=1).max() <= 2, "grey stays grey"
    assert np.abs(columns - 255 * to_sdr(np.repeat(levels[:, None], 3, 1), transfer)).max() <= 3
    assert columns[0].max() == 0
    assert columns[3].min() > 215, "white of 203 cd/m2"
    assert columns[4].min() == 255


@pytest.mark.parametrize("form", ["gray", "bgra", "bgr0", "yuv444p", "yuv420p10le"])
def test_other_pixel_formats(tmp_path: Path, form: str) -> None:
    image = np.full((48, 64, 3), 90, np.uint8)
    image[:, 32:] = 200
    picture = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=form)
    with open_source(encode(tmp_path / "a.mkv", [picture], codec="ffv1")) as source:
        found = next(source).image
        assert source.info.color_space in (2, 6)
    assert np.abs(found[:, ::8].astype(int) - image[:, ::8]).max() <= 3


def test_the_table_of_tone_mapping_keeps_primaries_apart() -> None:
    colours = 0.7 * np.eye(3)
    for transfer in (HLG, PQ):
        mapped = to_sdr(colours, transfer)
        assert (mapped.argmax(1) == [0, 1, 2]).all()
        assert np.isfinite(to_sdr(np.random.default_rng(0).random((SIDE, 3)), transfer)).all()


def damage(path: Path, at: int) -> None:
    """Overwrite the middle of a packet."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        place, size = packets[at].pos, packets[at].size
    data = bytearray(path.read_bytes())
    data[place + size // 2 : place + size // 2 + size // 4] = bytes(size // 4)
    path.write_bytes(data)


def test_damaged_frames_are_counted_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = encode(tmp_path / "scratched.mp4", noisy(12), {"qp": "30", "x264-params": "bframes=0:ref=1"})
    with open_source(path) as source:
        assert (len(list(source)), source.damaged) == (12, 0)
    damage(path, 4)
    with caplog.at_level(logging.WARNING, "shls"), Playback(lambda: open_source(path)) as source:
        frames = list(source)
        assert len(frames) == 12
        assert source.damaged >= 1
    assert any("scratched.mp4: damaged at 0.16 s" in record.message for record in caplog.records)


@pytest.mark.parametrize(
    "name", ["cam:1.mp4", "2024-01-01T12:30:00.mp4", "concat:a.mp4", "a%05d.mp4", "a#stream=1.mp4"]
)
def test_names_that_resemble_protocols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    encode(tmp_path / "plain.mp4", [grey(9)] * 3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for uri in (name, str(tmp_path / name), (tmp_path / name).as_uri()):
        with open_source(uri) as source:
            assert len(list(source)) == 3
            assert source.info.address == address_of(tmp_path / name if uri != name else name)
            assert source.name == name.removesuffix(".mp4")


def test_gif_gives_all_frames(tmp_path: Path) -> None:
    pictures = [grey(40 * at).reformat(format="rgb8") for at in range(5)]
    with open_source(encode(tmp_path / "loop.gif", pictures, codec="gif")) as source:
        frames = list(source)
    assert [int(frame.image[20, 20, 1]) for frame in frames] == pytest.approx([0, 40, 80, 120, 160], abs=20)
    assert frames[4].time == pytest.approx(4 / 25, abs=0.03)
