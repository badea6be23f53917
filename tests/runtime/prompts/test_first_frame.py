"""Prompts: boxes and points on drawn scenes, and every prompt that cannot be used."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.masks import write_mask
from shls.runtime.prompts.first_frame import first_mask, mask_from_box, mask_from_point, parse_box, parse_point


def scene(*centres: tuple[int, int], size: tuple[int, int] = (240, 320)) -> tuple[np.ndarray, np.ndarray]:
    """Red discs of radius 30 on noisy green: the image, and (H, W) ids 1, 2, ... of the discs."""
    image = np.random.default_rng(0).integers(0, 40, (*size, 3), np.uint8) + np.array([40, 130, 60], np.uint8)
    labels = np.zeros(size, np.uint8)
    for object_id, centre in enumerate(centres, 1):
        cv2.circle(labels, centre, 30, object_id, -1)
    image[labels > 0] = image[labels > 0][:, [1, 0, 2]]
    return image, labels


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("scale", [1, 3])  # the second is shrunk for GrabCut
def test_box(scale: int) -> None:
    image, labels = scene((160, 120))
    image, labels = (cv2.resize(array, None, fx=scale, fy=scale, interpolation=0) for array in (image, labels))
    found = mask_from_box(image, (125 * scale, 85 * scale, 70 * scale, 70 * scale), object_id=9)
    assert set(np.unique(found)) == {0, 9}
    assert iou(found > 0, labels > 0) > 0.95


def test_box_is_never_left() -> None:
    image, _ = scene((160, 120))
    found = mask_from_box(image, (125, 85, 35, 70))  # half of the disc
    assert found.any()
    assert not found[:, 160:].any()


def test_box_without_an_object_stays_a_box() -> None:
    image = np.full((100, 100, 3), 90, np.uint8)
    expected = np.zeros((100, 100), np.uint8)
    expected[20:50, 10:60] = 2
    assert (mask_from_box(image, (10, 20, 50, 30), object_id=2) == expected).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (40, 50)])
def test_box_around_the_whole_frame(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    assert mask_from_box(image, (0, 0, size[1], size[0])).any()


@pytest.mark.parametrize("centre", [(160, 120), (0, 0), (319, 100), (160, 239)])
def test_point(centre: tuple[int, int]) -> None:
    image, labels = scene(centre)
    found = mask_from_point(image, centre, object_id=3)
    assert set(np.unique(found)) == {0, 3}
    assert iou(found > 0, labels > 0) > 0.9


def test_point_takes_one_connected_object() -> None:
    image, labels = scene((110, 120), (180, 120))
    assert iou(mask_from_point(image, (110, 120)) > 0, labels == 1) > 0.9


def test_point_on_one_pixel() -> None:
    assert mask_from_point(np.zeros((1, 1, 3), np.uint8), (0, 0)).tolist() == [[1]]


def test_the_same_prompt_gives_the_same_mask() -> None:
    image = np.random.default_rng(1).integers(0, 255, (90, 90, 3), np.uint8)
    assert (mask_from_box(image, (20, 20, 50, 50)) == mask_from_box(image, (20, 20, 50, 50))).all()


def test_first_mask_numbers_boxes_then_points() -> None:
    image, labels = scene((60, 60), (250, 170), (60, 190))
    found = first_mask(image, boxes=[(25, 25, 70, 70), (215, 135, 70, 70)], points=[(60, 190)])
    assert (found == labels).mean() > 0.99


def test_the_smaller_object_is_on_top() -> None:
    image = np.full((100, 100, 3), 90, np.uint8)  # flat: boxes stay boxes
    found = first_mask(image, boxes=[(40, 40, 10, 10), (20, 20, 50, 50)])
    assert (found == 1).sum() == 100
    assert (found == 2).sum() == 2400
    with pytest.raises(BadInput, match="object 1 lies wholly under another"):
        first_mask(image, boxes=[(20, 20, 50, 50), (20, 20, 50, 50)])


def test_first_mask_from_a_file(tmp_path: Path) -> None:
    image, labels = scene((60, 60))
    write_mask(tmp_path / "m.png", labels)
    assert (first_mask(image, tmp_path / "m.png") == labels).all()
    with pytest.raises(BadInput, match="expected one or the other"):
        first_mask(image, tmp_path / "m.png", points=[(1, 1)])


def test_nothing_or_too_much_is_marked() -> None:
    image, _ = scene()
    with pytest.raises(BadInput, match="0 objects marked; expected a mask, or 1 to 254"):
        first_mask(image)
    with pytest.raises(BadInput, match="255 objects marked"):
        first_mask(image, points=[(1, 1)] * 255)


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (5, 5, -2, 5), (-1, 0, 5, 5), (300, 0, 30, 5), (400, 300, 5, 5)])
def test_box_outside(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(BadInput, match="not inside the frame, which is 320x240; expected x,y,width,height"):
        mask_from_box(scene()[0], box)


@pytest.mark.parametrize("point", [(-1, 0), (320, 0), (0, 240)])
def test_point_outside(point: tuple[int, int]) -> None:
    with pytest.raises(BadInput, match="is outside the frame, which is 320x240"):
        mask_from_point(scene()[0], point)


def test_parsing() -> None:
    assert parse_box("1, 2,30,40") == (1, 2, 30, 40)
    assert parse_point("5,6") == (5, 6)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1.5,2,3,4", "1 2 3 4"])
def test_box_that_cannot_be_read(text: str) -> None:
    with pytest.raises(BadInput, match=f"box '{text}' cannot be read; expected x,y,width,height"):
        parse_box(text)


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "x,y"])
def test_point_that_cannot_be_read(text: str) -> None:
    with pytest.raises(BadInput, match=f"point '{text}' cannot be read; expected x,y"):
        parse_point(text)
