"""Masks: what is written is read back, in every form that people have; COCO's strings; the overlay's twin."""

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

from shls.runtime.errors import BadInput
from shls.runtime.io import masks
from shls.runtime.io.masks import PALETTE, Rle, decode_rle, encode_rle, overlay, read_mask, write_mask


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
    with pytest.raises(BadInput, match=r"the colour \(1, 2, 3\) at 4,3 belongs to no object id"):
        read_mask(tmp_path / "m.png", (20, 30))


def test_void_is_background(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", blobs(1, 255))
    assert (read_mask(tmp_path / "m.png", (20, 30)) == blobs(1, 0)).all()


def test_folder_with_one_png_per_object(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "part 10.png"), blobs(0, 0, 255))
    cv2.imwrite(str(tmp_path / "part 9.PNG"), blobs(0, 255))
    cv2.imwrite(str(tmp_path / "hand.png"), blobs(1))
    assert (read_mask(tmp_path, (20, 30)) == blobs(1, 2, 3)).all()


def test_soft_edges_are_not_taken_for_objects(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "m.png"), cv2.blur(blobs(255, 255, 255), (2, 2)))
    with pytest.raises(BadInput, match=r"white \(255\) with 2 greys; expected ids .* without smoothing"):
        read_mask(tmp_path / "m.png", (20, 30))


@pytest.mark.parametrize("write", [cv2.imwrite, write_mask])
def test_too_many_objects(tmp_path: Path, write: object) -> None:
    assert callable(write)
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write(str(tmp_path / "m.png"), labels)
    with pytest.raises(BadInput, match=r"marks 255 objects; expected at most 254, ids 1"):
        read_mask(tmp_path / "m.png", (16, 16))
    labels[-1, -1] = 0
    write(str(tmp_path / "m.png"), labels)
    assert read_mask(tmp_path / "m.png", (16, 16)).max() == 254


def test_too_many_files(tmp_path: Path) -> None:
    for at in range(255):
        (tmp_path / f"{at}.png").touch()
    with pytest.raises(BadInput, match="marks 255 objects"):
        read_mask(tmp_path, (16, 16))


def test_bad_masks(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    with pytest.raises(BadInput, match=r"m\.png: cannot be read as a mask .*; expected a PNG"):
        read_mask(path, (20, 30))
    path.write_bytes(b"not a picture")
    with pytest.raises(BadInput, match="cannot be read as a mask"):
        read_mask(path, (20, 30))
    write_mask(path, np.random.default_rng(0).integers(0, 9, (20, 30)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(BadInput, match="cannot be read as a mask"):
        read_mask(path, (20, 30))
    write_mask(path, blobs(1))
    with pytest.raises(BadInput, match="the mask is 30x20, the frame is 40x25"):
        read_mask(path, (25, 40))
    write_mask(path, blobs(0))
    with pytest.raises(BadInput, match="marks no object"):
        read_mask(path, (20, 30))
    path.unlink()
    with pytest.raises(BadInput, match="the folder has no masks"):
        read_mask(tmp_path, (20, 30))


def counted(size: tuple[int, int], modulus: int, below: int) -> np.ndarray:
    return np.arange(size[0] * size[1]).reshape(size) % modulus < below


ROWS, COLUMNS = np.mgrid[:30, :40]
COCO = [  # the strings are pycocotools 2.0.11's
    (counted((5, 7), 3, 1), "01201000O10O1000O10OO"),
    (counted((480, 854), 854, 300), r"0Pd\4PfS8"),
    ((COLUMNS - 20) ** 2 + (ROWS - 15) ** 2 < 100, "e:9d02M4N0O2N2O0000000000000001N2N102L3NR9"),
    (np.ones((1, 1)), "01"),
    (np.zeros((1, 1)), "1"),
]


@pytest.mark.parametrize(("mask", "counts"), COCO)
def test_rle_is_the_one_of_coco(mask: np.ndarray, counts: str) -> None:
    assert encode_rle(mask) == {"size": list(mask.shape), "counts": counts}
    assert (decode_rle({"size": list(mask.shape), "counts": counts}) == mask).all()


@settings(deadline=None)  # the first call compiles
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_rle_round_trip(mask: np.ndarray) -> None:
    assert (decode_rle(encode_rle(mask)) == mask).all()


def test_rle_matches_pycocotools() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for at in range(50):
        noise = cv2.blur(rng.random(rng.integers(1, 90, 2)), (1 + at % 9, 1 + at % 9))
        mask = (noise > rng.random()).astype(np.uint8)
        expected = coco.encode(np.asfortranarray(mask))
        assert encode_rle(mask) == {"size": expected["size"], "counts": expected["counts"].decode()}


def test_rle_that_was_cut() -> None:
    rle: Rle = encode_rle(blobs(1, 2))
    rle["counts"] = rle["counts"][:-1]
    with pytest.raises(BadInput, match=r"RLE of size 20x30 holds \d+ pixels; expected 600"):
        decode_rle(rle)


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
