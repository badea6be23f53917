"""Sources: order, names, times, and every way in which a video or a folder can be bad."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.image_files import natural_key, source_files
from shls.runtime.io.sources import open_source
from shls.runtime.types import Frame


def picture(value: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """One flat grey frame, (H, W, 3)."""
    return np.full((*size, 3), value, np.uint8)


def write_images(folder: Path, names: list[str], size: tuple[int, int] = (48, 64)) -> Path:
    folder.mkdir(exist_ok=True)
    for at, name in enumerate(names):
        cv2.imwrite(str(folder / name), picture(10 * at, size))
    return folder


def write_video(path: Path, count: int = 30, codec: str = "libx264", **options: str) -> Path:
    """Write frames that get brighter by 4; the upper left corner is red."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        noise = np.random.default_rng(0)
        for at in range(count):
            image = picture(4 * at)
            image[24:, 32:] += noise.integers(0, 20, (24, 32, 3), np.uint8)  # so that every packet has some bytes
            image[:16, :16] = 255, 0, 0
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))
    return path


def cut(path: Path, keep: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def test_folder_is_read_in_natural_order_whatever_the_names(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", ["b 10.png", "b 2.PNG", "a.jpg", "Ü1.jpeg"])
    (folder / "notes.txt").write_text("not an image")
    with open_source(str(folder)) as source:
        frames = list(source)
    assert [frame.name for frame in frames] == ["a", "b 2", "b 10", "Ü1"]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [20, 10, 0, 30]
    assert frames[3].time == pytest.approx(3 / 24)
    assert (source.name, source.size, source.fps, source.count) == ("clip", (48, 64), 24.0, 4)


def test_images_are_rgb(tmp_path: Path) -> None:
    image = picture(0)
    image[:] = 0, 0, 255  # OpenCV's order: red
    cv2.imwrite(str(tmp_path / "red.png"), image)
    (frame,) = open_source(str(tmp_path / "red.png"))
    assert frame.image[0, 0].tolist() == [255, 0, 0]


def test_printf_pattern_takes_exactly_its_names(tmp_path: Path) -> None:
    write_images(tmp_path, ["i_00010.png", "i_00009.png", "i_7.png", "j_00001.png", "i_00001.jpg"])
    with open_source(str(tmp_path / "i_%05d.png")) as source:
        assert [frame.name for frame in source] == ["i_00009", "i_00010"]
    assert source.name == tmp_path.name


def test_glob(tmp_path: Path) -> None:
    write_images(tmp_path, ["x10.png", "x9.png", "y1.png"])
    assert [frame.name for frame in open_source(str(tmp_path / "x*.png"))] == ["x9", "x10"]


def test_a_file_whose_own_name_looks_like_a_pattern(tmp_path: Path) -> None:
    write_images(tmp_path, ["a[1]%d.png"])
    assert source_files(str(tmp_path / "a[1]%d.png")) == [tmp_path / "a[1]%d.png"]


@pytest.mark.parametrize("pattern", ["", "*", "a.*"])
def test_images_beside_their_masks_are_refused(tmp_path: Path, pattern: str) -> None:
    write_images(tmp_path, ["a.jpg", "a.png"])
    with pytest.raises(BadInput, match=r"two images of one frame \(got a\.jpg and a\.png, .*\*\.jpg"):
        open_source(str(tmp_path / pattern))
    assert [frame.name for frame in open_source(str(tmp_path / "*.jpg"))] == ["a"]


@pytest.mark.parametrize("ending", ["_mask", "-label", "_gt"])
def test_images_beside_masks_with_an_ending_are_refused(tmp_path: Path, ending: str) -> None:
    write_images(tmp_path, ["7.png", f"7{ending}.png"])
    with pytest.raises(BadInput, match=rf"got 7\.png and 7{ending}\.png"):
        open_source(str(tmp_path))
    write_images(tmp_path / "masks", [f"7{ending}.png", f"8{ending}.png"])
    assert len(list(open_source(str(tmp_path / "masks")))) == 2


def test_equal_stems_of_several_folders_are_named_by_index(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_images(tmp_path / folder, ["0.png"])
    assert [frame.name for frame in open_source(str(tmp_path / "*" / "0.png"))] == ["00000", "00001"]


def test_hidden_files_are_ignored(tmp_path: Path) -> None:
    write_images(tmp_path, ["000.png"])
    (tmp_path / "._000.png").write_bytes(b"resource fork of macOS")
    for name in (tmp_path, tmp_path / "*.png", tmp_path / "*000.png"):
        assert [frame.name for frame in open_source(str(name))] == ["000"]


def test_natural_key() -> None:
    assert sorted(["10", "9", "a2", "a10", "a"], key=natural_key) == ["9", "10", "a", "a2", "a10"]


def test_one_pixel_flows(tmp_path: Path) -> None:
    write_images(tmp_path, ["0.png"], size=(1, 1))
    source = open_source(str(tmp_path))
    assert source.size == (1, 1)
    assert next(source).image.shape == (1, 1, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_video(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"clip{suffix}", codec="mpeg4" if suffix == ".avi" else "libx264")
    with open_source(str(path)) as source:
        frames = list(source)
    assert (source.name, source.size, source.fps, source.count) == ("clip", (48, 64), 30.0, 30)
    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.name for frame in frames[:2]] == ["00000", "00001"]
    assert [frame.time for frame in frames] == pytest.approx([at / 30 for at in range(30)], abs=2e-3)
    assert [int(frame.image[10, 40, 1]) for frame in frames] == pytest.approx([4 * at for at in range(30)], abs=6)
    assert np.abs(frames[0].image[4, 4].astype(int) - (255, 0, 0)).max() < 12


def test_start_skips_but_counts_from_the_first_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4")
    source = open_source(str(path), start=27)
    assert source.count == 3
    frames = list(source)
    assert [(frame.index, frame.name) for frame in frames] == [(27, "00027"), (28, "00028"), (29, "00029")]
    assert frames[0].time == pytest.approx(27 / 30, abs=1e-3)
    folder = write_images(tmp_path / "images", ["a.png", "b.png", "c.png"])
    assert [(frame.index, frame.name) for frame in open_source(str(folder), start=2)] == [(2, "c")]


@pytest.mark.parametrize("start", [30, 1000])
def test_start_past_the_end(tmp_path: Path, start: int) -> None:
    path = write_video(tmp_path / "clip.mp4")
    with pytest.raises(BadInput, match=rf"has 30 frames \(got start {start}, expected at most 29\)"):
        open_source(str(path), start=start)
    folder = write_images(tmp_path / "images", ["a.png"])
    with pytest.raises(BadInput, match="has 1 frames"):
        open_source(str(folder), start=1)
    with pytest.raises(BadInput, match=r"bad start \(got -1"):
        open_source(str(folder), start=-1)


def test_rotation_of_phones(tmp_path: Path) -> None:
    path = write_video(tmp_path / "phone.mp4", count=2)
    data = bytearray(path.read_bytes())
    at = data.find(struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30), data.find(b"tkhd"))
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)  # a quarter, clockwise
    path.write_bytes(data)
    source = open_source(str(path))
    assert source.size == (64, 48)
    image = next(source).image
    assert np.abs(image[4, -4].astype(int) - (255, 0, 0)).max() < 12  # upper left went to upper right


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.mp4", {"movflags": "faststart"}), ("b.mkv", {}), ("c.avi", {})],
)
def test_truncated_video_delivers_what_it_has(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    path = cut(write_video(tmp_path / name, count=60, **options), keep=0.7)
    frames: list[Frame] = []
    with open_source(str(path)) as source, pytest.raises(BadInput, match="truncated or damaged") as error:
        frames.extend(source)
    assert 5 < len(frames) < 60
    assert f" {len(frames)} frames" in str(error.value)


def test_video_without_its_index_is_refused_at_once(tmp_path: Path) -> None:
    path = cut(write_video(tmp_path / "a.mp4"), keep=0.7)  # mp4 writes its index last
    with pytest.raises(BadInput, match=r"a\.mp4: (cannot be read as a video|has no video)"):
        open_source(str(path))


@pytest.mark.parametrize("name", ["a.mp4", "a.txt", "a.bin"])
def test_not_a_video(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"some words\n" * 500)
    with pytest.raises(BadInput, match=r"cannot be read as a video|has no video (stream|\(expected)"):
        open_source(str(tmp_path / name))
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadInput, match=name):
        open_source(str(tmp_path / name))


def test_frame_size_that_changes(tmp_path: Path) -> None:
    write_images(tmp_path, ["a.png", "b.png"])
    write_images(tmp_path, ["c.png"], size=(32, 40))
    source = open_source(str(tmp_path))
    assert [next(source).name, next(source).name] == ["a", "b"]
    with pytest.raises(BadInput, match=r"frame 2 \(c\) has another size \(got 40x32, expected 64x48\)"):
        next(source)


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_unreadable_image_is_named(tmp_path: Path, content: bytes) -> None:
    write_images(tmp_path, ["a.png"])
    (tmp_path / "b.png").write_bytes(content)
    source = open_source(str(tmp_path))
    next(source)
    with pytest.raises(BadInput, match=r"b\.png: not a readable image"):
        next(source)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file or folder"):
        open_source(str(tmp_path / "none.mp4"))
    with pytest.raises(BadInput, match="the folder has no images"):
        open_source(str(tmp_path))
    with pytest.raises(BadInput, match="no image has a name of this pattern"):
        open_source(str(tmp_path / "%05d.jpg"))
    with pytest.raises(BadInput, match="no image has a name of this pattern"):
        open_source(str(tmp_path / "gone" / "%05d.jpg"))
    with pytest.raises(BadInput, match="no image has a name of this pattern"):
        open_source(str(tmp_path / "*.jpg"))


def test_close_ends_the_frames(tmp_path: Path) -> None:
    with open_source(str(write_video(tmp_path / "clip.mp4"))) as source:
        next(source)
    assert list(source) == []
