"""Mask pictures: every kind is read, palette PNGs survive a round trip, the overlay equals its slow twin."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from shls.runtime.errors import BadInput
from shls.runtime.io import masks
from shls.runtime.io.masks import PALETTE, overlay, read_mask, read_objects, write_mask


def blobs(*ids: int, size: tuple[int, int] = (20, 30)) -> np.ndarray:
    """Labels with a 4x4 square per id, side by side."""
    labels = np.zeros(size, np.uint8)
    for at, object_id in enumerate(ids):
        labels[5:9, 1 + 5 * at : 5 + 5 * at] = object_id
    return labels


def test_palette_is_davis() -> None:
    known = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        3: (128, 128, 0),
        4: (0, 0, 128),
        7: (128, 128, 128),
    }
    known |= {8: (64, 0, 0), 21: (128, 64, 128), 22: (0, 192, 128), 255: (224, 224, 192)}
    for object_id, colour in known.items():
        assert tuple(PALETTE[object_id].tolist()) == colour
    assert len(np.unique(PALETTE, axis=0)) == 256


def test_written_mask_is_read_back_and_is_not_black(tmp_path: Path) -> None:
    labels = blobs(1, 7, 254)
    write_mask(tmp_path / "m.png", labels)
    assert (read_mask(tmp_path / "m.png", (20, 30)) == labels).all()
    seen = cv2.cvtColor(cv2.imread(str(tmp_path / "m.png")), cv2.COLOR_BGR2RGB)
    assert (seen == PALETTE[labels]).all()
    assert os.listdir(tmp_path) == ["m.png"]


def test_odd_sizes_are_written(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", np.ones((1, 1), np.uint8))
    assert read_mask(tmp_path / "m.png", (1, 1)).tolist() == [[1]]


def test_failed_write_leaves_the_old_mask(tmp_path: Path) -> None:
    (tmp_path / "m.png").mkdir()  # a name that cannot be replaced
    with pytest.raises(BadInput, match=r"m\.png: cannot be written"):
        write_mask(tmp_path / "m.png", blobs(1))
    assert os.listdir(tmp_path) == ["m.png"]
    with pytest.raises(BadInput, match="No such file"):
        write_mask(tmp_path / "gone" / "m.png", blobs(1))


def test_indices_are_kept_whatever_the_palette(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "PALETTE", np.zeros((256, 3), np.uint8))
    write_mask(tmp_path / "m.png", blobs(1, 2))
    assert cv2.imread(str(tmp_path / "m.png")).max() == 0
    assert (read_mask(tmp_path / "m.png", (20, 30)) == blobs(1, 2)).all()


def test_grey_ids(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "m.png"), blobs(1, 3))
    assert (read_mask(tmp_path / "m.png", (20, 30)) == blobs(1, 3)).all()


@pytest.mark.parametrize("white", [np.uint8(255), np.uint16(65535)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_black_and_white_is_object_1(tmp_path: Path, white: np.integer, channels: int) -> None:
    image = np.stack([blobs(1).astype(white.dtype) * white] * channels, axis=-1)
    cv2.imwrite(str(tmp_path / "m.png"), image)
    assert (read_mask(tmp_path / "m.png", (20, 30)) == blobs(1)).all()


def test_one_bit(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "m.png"), blobs(255), [cv2.IMWRITE_PNG_BILEVEL, 1])
    assert struct.unpack(">BB", (tmp_path / "m.png").read_bytes()[24:26]) == (1, 0)
    assert (read_mask(tmp_path / "m.png", (20, 30)) == blobs(1)).all()


def test_palette_colours_without_a_palette(tmp_path: Path) -> None:
    colours = PALETTE[blobs(1, 2, 9)]
    cv2.imwrite(str(tmp_path / "m.png"), colours[..., ::-1])
    assert (read_mask(tmp_path / "m.png", (20, 30)) == blobs(1, 2, 9)).all()
    colours[3, 4] = 1, 2, 3
    cv2.imwrite(str(tmp_path / "m.png"), colours[..., ::-1])
    assert (read_mask(tmp_path / "m.png", (20, 30)) == blobs(1, 2, 9)).all(), "a stray pixel is no object"


def test_void_is_background(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", blobs(1, 255))
    assert (read_mask(tmp_path / "m.png", (20, 30)) == blobs(1, 0)).all()


def test_folder_with_one_picture_per_object(tmp_path: Path) -> None:
    (tmp_path / "._hand.png").write_bytes(b"not a picture")
    cv2.imwrite(str(tmp_path / "part 10.png"), blobs(0, 0, 255))
    cv2.imwrite(str(tmp_path / "part 9.PNG"), blobs(0, 255))
    cv2.imwrite(str(tmp_path / "hand.png"), blobs(1))
    found = read_objects(tmp_path, (20, 30))
    assert (found.labels == blobs(1, 2, 3)).all()
    assert found.names == {1: "hand", 2: "part 9", 3: "part 10"}


def disc(size: tuple[int, int] = (120, 160), radius: int = 30) -> np.ndarray:
    """A disc of 255 in the middle."""
    return cv2.circle(np.zeros(size, np.uint8), (size[1] // 2, size[0] // 2), radius, 255, -1)


@pytest.mark.parametrize("sigma", [0.6, 2.0, 12.0])
@pytest.mark.parametrize("deep", [False, True])
def test_soft_edges_are_cut_at_half(tmp_path: Path, sigma: float, deep: bool) -> None:
    soft = cv2.GaussianBlur(disc(), (0, 0), sigma)
    cv2.imwrite(str(tmp_path / "m.png"), soft.astype(np.uint16) * 257 if deep else soft)
    found = read_objects(tmp_path / "m.png", (120, 160))
    assert (found.labels == (soft >= 128)).all()
    assert found.names == {}
    assert found.file_ids == {}


def test_a_soft_mask_that_is_too_dark(tmp_path: Path) -> None:
    soft = cv2.GaussianBlur(disc(), (0, 0), 2.0)
    Image.fromarray(soft // 3).save(tmp_path / "m.jpg", quality=95)
    with pytest.raises(BadInput, match=r"brightest pixel: got \d+, expected at least 128 of 255"):
        read_mask(tmp_path / "m.jpg", (120, 160))


@pytest.mark.parametrize("quality", [30, 60, 95])
@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_black_and_white_with_noise(tmp_path: Path, quality: int, suffix: str) -> None:
    for channels in (1, 3):
        image = np.squeeze(np.repeat(disc()[..., None], channels, axis=2))
        Image.fromarray(image).save(tmp_path / f"m.{suffix}", quality=quality)
        found = read_mask(tmp_path / f"m.{suffix}", (120, 160))
        assert (found == disc() // 255).mean() > 0.999


def colored(
    *colors: tuple[int, int, int], background: tuple[int, int, int] = (0, 0, 0)
) -> tuple[np.ndarray, np.ndarray]:
    """Squares of colours side by side, and their labels 1, 2, ..."""
    labels = np.zeros((60, 40 * len(colors) + 20), np.uint8)
    for at in range(len(colors)):
        labels[15:45, 20 + 40 * at : 45 + 40 * at] = at + 1
    return np.array([background, *colors], np.uint8)[labels], labels


RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def test_each_flat_color_is_an_object(tmp_path: Path) -> None:
    image, labels = colored(RED, GREEN, BLUE, WHITE)
    Image.fromarray(image).save(tmp_path / "m.png")
    found = read_objects(tmp_path / "m.png", labels.shape)
    assert (found.labels == labels).all()
    assert found.names == {1: "#ff0000", 2: "#00ff00", 3: "#0000ff", 4: "#ffffff"}


def test_flat_colors_with_soft_edges(tmp_path: Path) -> None:
    image, labels = colored(RED, GREEN, BLUE)
    Image.fromarray(cv2.GaussianBlur(image, (0, 0), 0.8)).save(tmp_path / "m.png")
    found = read_mask(tmp_path / "m.png", labels.shape)
    assert set(np.unique(found)) == {0, 1, 2, 3}
    assert (found == labels).mean() > 0.99


@pytest.mark.parametrize("quality", [40, 75, 95])
def test_flat_colors_with_noise(tmp_path: Path, quality: int) -> None:
    image, labels = colored(RED, GREEN, BLUE, (255, 255, 0))
    Image.fromarray(image).save(tmp_path / "m.jpg", quality=quality)
    found = read_mask(tmp_path / "m.jpg", labels.shape)
    assert set(np.unique(found)) == {0, 1, 2, 3, 4}
    assert (found == labels).mean() > 0.98


@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_small_color_with_noise_is_found(tmp_path: Path, subsampling: int) -> None:
    image, labels = colored(RED, BLUE)
    cv2.circle(labels, (90, 7), 6, 3, -1)
    image[labels == 3] = (250, 240, 30)
    Image.fromarray(image).save(tmp_path / "m.jpg", quality=75, subsampling=subsampling)
    found = read_objects(tmp_path / "m.jpg", labels.shape).labels
    assert np.unique(found).tolist() == [0, 1, 2, 3]
    assert (found == found[7, 90])[labels == 3].mean() > 0.8


def test_soft_edges_between_several_greys(tmp_path: Path) -> None:
    image, labels = colored(*[(value,) * 3 for value in (60, 120, 180, 240)])
    Image.fromarray(cv2.GaussianBlur(image[..., 0], (0, 0), 1.0)).save(tmp_path / "m.png")
    found = read_mask(tmp_path / "m.png", labels.shape)
    assert np.unique(found).tolist() == [0, 1, 2, 3, 4]
    assert (found == labels).mean() > 0.99


def test_a_wide_soft_edge_of_a_color_is_no_object(tmp_path: Path) -> None:
    image, labels = (cv2.copyMakeBorder(one, 60, 60, 60, 60, cv2.BORDER_CONSTANT) for one in colored(RED))
    Image.fromarray(cv2.GaussianBlur(image, (0, 0), 4.0)).save(tmp_path / "m.jpg", quality=90)
    assert read_mask(tmp_path / "m.jpg", labels.shape).max() == 1


def test_similar_colors_without_noise_stay_apart(tmp_path: Path) -> None:
    image, labels = colored((200, 10, 10), (205, 10, 10), (200, 15, 10))
    Image.fromarray(image).save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png", labels.shape) == labels).all()


def test_without_black_the_rim_is_the_background(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image, labels = colored(RED, BLUE, background=WHITE)
    Image.fromarray(image).save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png", labels.shape) == labels).all()
    assert "The colour of the rim, #ffffff, is taken as the background" in caplog.text


def test_palette_colors_with_noise_keep_their_ids(tmp_path: Path) -> None:
    image, labels = colored(*map(tuple, PALETTE[[3, 1, 2]].tolist()))
    Image.fromarray(image).save(tmp_path / "m.jpg", quality=90, subsampling=0)
    found = read_mask(tmp_path / "m.jpg", labels.shape)
    assert (found == np.array([0, 3, 1, 2])[labels]).mean() > 0.99


def test_a_photograph_is_no_mask(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (15, 20, 3), np.uint8)
    photograph = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)
    kinds = {"m.png": photograph, "m.jpg": photograph, "grey.png": photograph[..., 1]}
    for name, image in kinds.items():
        Image.fromarray(image).save(tmp_path / name)
        with pytest.raises(BadInput, match=r"no mask \(got a photograph, expected one flat colour per object\)"):
            read_mask(tmp_path / name, (240, 320))


def test_transparency_is_the_mask(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = np.dstack([rng.integers(0, 256, (120, 160, 3), np.uint8), cv2.GaussianBlur(disc(), (0, 0), 1.0)])
    Image.fromarray(image).save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png", (120, 160)) == (image[..., 3] >= 128)).all()
    Image.fromarray(image).quantize(256).save(tmp_path / "p.png")
    assert Image.open(tmp_path / "p.png").mode == "P"
    assert (read_mask(tmp_path / "p.png", (120, 160)) == disc() // 255).mean() > 0.99


def test_nothing_is_opaque(tmp_path: Path) -> None:
    image = np.dstack([np.full((9, 9, 3), 77, np.uint8), np.arange(81, dtype=np.uint8).reshape(9, 9)])
    Image.fromarray(image).save(tmp_path / "m.png")
    with pytest.raises(BadInput, match="has no object"):
        read_mask(tmp_path / "m.png", (9, 9))


def test_palette_whose_black_is_not_index_0(tmp_path: Path) -> None:
    image = Image.fromarray(1 - disc() // 255)
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(tmp_path / "m.png")
    assert (read_mask(tmp_path / "m.png", (120, 160)) == disc() // 255).all()


@pytest.mark.parametrize("ids", [(300, 1000), (1, 65535), (300,)])
def test_ids_above_254_are_renumbered(tmp_path: Path, ids: tuple[int, ...]) -> None:
    labels = blobs(*range(1, len(ids) + 1))
    cv2.imwrite(str(tmp_path / "m.png"), np.array([0, *ids], np.uint16)[labels])
    found = read_objects(tmp_path / "m.png", (20, 30))
    assert (found.labels == labels).all()
    assert found.file_ids == dict(enumerate(ids, 1))


def test_ids_to_254_in_16_bits_stay(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "m.png"), blobs(7, 254).astype(np.uint16))
    found = read_objects(tmp_path / "m.png", (20, 30))
    assert (found.labels == blobs(7, 254)).all()
    assert found.file_ids == {}


def test_ids_of_a_tiff(tmp_path: Path) -> None:
    Image.fromarray(blobs(1, 2).astype(np.int32) * 70000).save(tmp_path / "m.tif")
    found = read_objects(tmp_path / "m.tif", (20, 30))
    assert (found.labels == blobs(1, 2)).all()
    assert found.file_ids == {1: 70000, 2: 140000}
    Image.fromarray(disc().astype(np.float32) / 255).save(tmp_path / "m.tif")
    assert (read_mask(tmp_path / "m.tif", (120, 160)) == disc() // 255).all()


def test_names_are_kept_in_the_png(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", blobs(1, 9), {1: "dog", 9: "Käfer"})
    found = read_objects(tmp_path / "m.png", (20, 30))
    assert found.names == {1: "dog", 9: "Käfer"}
    assert (found.labels == blobs(1, 9)).all()


@pytest.mark.parametrize("void", [True, False])
def test_grey_255_is_void_beside_small_ids_and_an_object_beside_greys(tmp_path: Path, void: bool) -> None:
    ids = (1, 2, 255) if void else (85, 170, 255)
    cv2.imwrite(str(tmp_path / "m.png"), blobs(*ids))
    found = read_objects(tmp_path / "m.png", (20, 30))
    assert (found.labels == blobs(1, 2, 0 if void else 3)).all()
    assert found.file_ids == ({} if void else {1: 85, 2: 170, 3: 255})


def test_turned_by_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees, clockwise
    Image.fromarray(disc()[:, ::-1].T).save(tmp_path / "m.jpg", exif=exif)
    assert read_mask(tmp_path / "m.jpg", (160, 120)[::-1]).shape == (120, 160)


def many(count: int) -> np.ndarray:
    """Ids 1 to `count`, each a block of 3x3."""
    return np.kron(np.arange(256, dtype=np.uint16).reshape(16, 16) % (count + 1), np.ones((3, 3), np.uint16))


@pytest.mark.parametrize("palette", [True, False])
def test_254_objects_and_no_more(tmp_path: Path, palette: bool) -> None:
    def write(labels: np.ndarray) -> None:
        if palette:
            write_mask(tmp_path / "m.png", labels.astype(np.uint8))
        else:
            cv2.imwrite(str(tmp_path / "m.png"), labels)

    write(many(254))
    assert np.unique(read_mask(tmp_path / "m.png", (48, 48))).tolist() == list(range(255))
    cv2.imwrite(str(tmp_path / "m.png"), many(255) * 10)
    with pytest.raises(BadInput, match=r"too many objects \(got 255, expected at most 254\)"):
        read_mask(tmp_path / "m.png", (48, 48))


def test_too_many_files(tmp_path: Path) -> None:
    for at in range(255):
        (tmp_path / f"{at}.png").touch()
    with pytest.raises(BadInput, match=r"too many objects \(got 255, expected at most 254\)"):
        read_mask(tmp_path, (16, 16))


def test_bad_masks(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    with pytest.raises(
        BadInput, match=r"m\.png: cannot be read as a mask \(No such file.*; expected a picture such as PNG"
    ):
        read_mask(path, (20, 30))
    path.write_bytes(b"not a picture")
    with pytest.raises(BadInput, match="cannot be read as a mask"):
        read_mask(path, (20, 30))
    write_mask(path, np.random.default_rng(0).integers(0, 9, (20, 30)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(BadInput, match="cannot be read as a mask"):
        read_mask(path, (20, 30))
    write_mask(path, blobs(1))
    with pytest.raises(BadInput, match=r"another size than the frame \(got 30x20, expected 40x25\)"):
        read_mask(path, (25, 40))
    write_mask(path, blobs(0))
    with pytest.raises(BadInput, match="the mask has no object"):
        read_mask(path, (20, 30))
    path.unlink()
    with pytest.raises(BadInput, match="the folder has no masks"):
        read_mask(tmp_path, (20, 30))


def slow_overlay(image: np.ndarray, labels: np.ndarray, alpha: float) -> np.ndarray:
    out = image.copy()
    height, width = labels.shape
    for y, x in np.argwhere(labels > 0):
        near = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        inside = [labels[v, u] == labels[y, x] for v, u in near if 0 <= v < height and 0 <= u < width]
        colour = PALETTE[labels[y, x]].astype(float)
        if all(inside):
            out[y, x] = np.floor(image[y, x] * (1 - alpha) + colour * alpha + 0.5)
        else:
            out[y, x] = 255 if colour @ (0.299, 0.587, 0.114) < 128 else 0
    return out


@settings(deadline=None)  # the first call compiles
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 1, 22, 254])),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_overlay_equals_its_slow_twin(labels: np.ndarray, alpha: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*labels.shape, 3), np.uint8)
    before = image.copy()
    assert (overlay(image, labels, alpha) == slow_overlay(image, labels, alpha)).all()
    assert (image == before).all()


def test_overlay_wants_one_size() -> None:
    with pytest.raises(ValueError, match=r"expected \(H, W, 3\) and \(H, W\)"):
        overlay(np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4), np.uint8))
