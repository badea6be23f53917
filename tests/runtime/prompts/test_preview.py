"""Preview: objects in their colours, prompts on top, and the picture of the caller unchanged."""

from __future__ import annotations

import numpy as np
import pytest

from shls.runtime.io.masks import overlay
from shls.runtime.io.objects import NamedMask
from shls.runtime.prompts.preview import BOX, OFF, ON, draw_preview
from shls.runtime.prompts.prompt import Prompt


@pytest.mark.parametrize("size", [(240, 320), (30, 20), (1, 1)])
def test_objects_and_prompts_are_drawn(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    before = image.copy()
    labels = np.zeros(size, np.uint8)
    labels[: size[0] // 2 + 1] = 1
    labels[-1] = 7
    found = NamedMask(labels, {1: "Käfer", 7: "cat"}, {7: 300})
    x, y = size[1] - 1, size[0] - 1
    picture = draw_preview(
        image, found, [Prompt(points=((x, y),)), Prompt(points=((0, y),), negative_points=((0, y),))]
    )
    assert picture.shape == image.shape
    assert tuple(picture[y, x]) in (ON, OFF)
    assert tuple(picture[y, 0]) == OFF
    assert (image == before).all()


def test_boxes_are_drawn_where_they_are() -> None:
    image, labels = np.zeros((240, 320, 3), np.uint8), np.zeros((240, 320), np.uint8)
    picture = draw_preview(image, NamedMask(labels), [Prompt(boxes=((-9, 20, 59, 60),))])
    rows, columns = np.nonzero((picture == BOX).all(2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 79, 0, 49)


def test_the_name_is_written() -> None:
    image, labels = np.zeros((240, 320, 3), np.uint8), np.zeros((240, 320), np.uint8)
    labels[100:150, 100:150] = 1
    named, plain = (draw_preview(image, NamedMask(labels, names)) for names in ({1: "dog"}, {}))
    assert (named != plain).any()
    assert (plain != overlay(image, labels)).any(), "the id is written without a name"
