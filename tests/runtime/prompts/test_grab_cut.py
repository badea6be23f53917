"""GrabCut: boxes, points on and off the object, and masks, alone and together, on drawn scenes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.masks import write_mask
from shls.runtime.prompts.grab_cut import mask_from_prompt
from shls.runtime.prompts.prompt import Prompt
from tests.runtime.prompts.scenes import iou, scene


@pytest.mark.parametrize("scale", [1, 3])  # the second is shrunk for GrabCut
def test_box(scale: int) -> None:
    image, labels = scene((160, 120))
    image, labels = (cv2.resize(array, None, fx=scale, fy=scale, interpolation=0) for array in (image, labels))
    found = mask_from_prompt(image, Prompt(boxes=((125 * scale, 85 * scale, 70 * scale, 70 * scale),)))
    assert found.dtype == bool
    assert iou(found, labels > 0) > 0.95


def test_box_is_never_left() -> None:
    image, _ = scene((160, 120))
    found = mask_from_prompt(image, Prompt(boxes=((125, 85, 35, 70),)))  # half of the disc
    assert found.any()
    assert not found[:, 160:].any()


def test_box_without_an_object_stays_a_box() -> None:
    image = np.full((100, 100, 3), 90, np.uint8)
    expected = np.zeros((100, 100), bool)
    expected[20:50, 10:60] = True
    assert (mask_from_prompt(image, Prompt(boxes=((10, 20, 50, 30),))) == expected).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (40, 50)])
def test_box_around_the_whole_frame(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    assert mask_from_prompt(image, Prompt(boxes=((0, 0, size[1], size[0]),))).any()


def test_several_boxes_are_parts_of_one_object() -> None:
    image, labels = scene((80, 120), (240, 120))
    found = mask_from_prompt(image, Prompt(boxes=((45, 85, 70, 70), (205, 85, 70, 70))))
    assert iou(found, labels > 0) > 0.95


@pytest.mark.parametrize("centre", [(160, 120), (0, 0), (319, 100), (160, 239)])
def test_point(centre: tuple[int, int]) -> None:
    image, labels = scene(centre)
    assert iou(mask_from_prompt(image, Prompt(points=(centre,))), labels > 0) > 0.9


def test_point_takes_one_connected_object() -> None:
    image, labels = scene((110, 120), (180, 120))
    assert iou(mask_from_prompt(image, Prompt(points=((110, 120),))), labels == 1) > 0.9


def test_several_points_are_one_object() -> None:
    image, labels = scene((110, 120), (180, 120))
    assert iou(mask_from_prompt(image, Prompt(points=((110, 120), (180, 120)))), labels > 0) > 0.9


def test_point_on_one_pixel() -> None:
    assert mask_from_prompt(np.zeros((1, 1, 3), np.uint8), Prompt(points=((0, 0),))).tolist() == [[True]]


def two_colors() -> tuple[np.ndarray, np.ndarray]:
    """A red disc that touches a blue one, on green: 1 is red, 2 is blue."""
    image, labels = scene((130, 120), (180, 120))
    image[labels == 2] = image[labels == 2][:, [2, 1, 0]]
    return image, labels


def test_a_point_off_the_object_takes_its_color_out() -> None:
    image, labels = two_colors()
    box = ((95, 85, 120, 70),)
    assert iou(mask_from_prompt(image, Prompt(boxes=box)), labels > 0) > 0.9
    assert iou(mask_from_prompt(image, Prompt(boxes=box, negative_points=((185, 120),))), labels == 1) > 0.9
    found = mask_from_prompt(image, Prompt(points=((120, 120),), negative_points=((185, 120),)))
    assert iou(found, labels == 1) > 0.9


def test_a_point_outside_the_box_extends_the_object() -> None:
    image, labels = scene((100, 120), (220, 120))
    found = mask_from_prompt(image, Prompt(boxes=((65, 85, 70, 70),), points=((220, 120),)))
    assert iou(found, labels > 0) > 0.9


def test_points_are_kept_exactly() -> None:
    image = np.random.default_rng(3).integers(0, 255, (90, 90, 3), np.uint8)
    found = mask_from_prompt(image, Prompt(boxes=((10, 10, 60, 60),), points=((20, 20),), negative_points=((21, 20),)))
    assert found[20, 20]
    assert not found[20, 21]


def test_a_mask_alone_is_the_result(tmp_path: Path) -> None:
    image, labels = scene((100, 120), (220, 120))
    assert (mask_from_prompt(image, Prompt(mask=labels)) == (labels > 0)).all()
    write_mask(tmp_path / "m.png", labels)
    assert (mask_from_prompt(image, Prompt(mask=tmp_path / "m.png")) == (labels > 0)).all()
    with pytest.raises(BadInput, match="cannot be read as a mask"):
        mask_from_prompt(image, Prompt(mask=tmp_path / "absent.png"))


def test_points_correct_a_mask() -> None:
    image, labels = two_colors()
    found = mask_from_prompt(image, Prompt(mask=labels, negative_points=((185, 120),)))
    assert iou(found, labels == 1) > 0.9
    found = mask_from_prompt(image, Prompt(mask=labels == 1, points=((185, 120),)))
    assert iou(found, labels > 0) > 0.9


def test_a_box_cuts_a_mask() -> None:
    image, labels = scene((160, 120))
    found = mask_from_prompt(image, Prompt(mask=labels, boxes=((100, 60, 60, 120),)))
    assert (found == ((labels > 0) & (np.arange(320) < 160))).all()


def test_the_same_prompt_gives_the_same_mask() -> None:
    image = np.random.default_rng(1).integers(0, 255, (90, 90, 3), np.uint8)
    prompt = Prompt(boxes=((20, 20, 50, 50),), points=((40, 40),), negative_points=((60, 60),))
    assert (mask_from_prompt(image, prompt) == mask_from_prompt(image, prompt)).all()


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(negative_points=((1, 1),)),
        Prompt(boxes=((400, 0, 5, 5),)),
        Prompt(points=((320, 0),)),
        Prompt(points=((3, 3),), negative_points=((0, 240),)),
    ],
)
def test_prompts_that_do_not_fit(prompt: Prompt) -> None:
    with pytest.raises(BadInput):
        mask_from_prompt(scene()[0], prompt)
