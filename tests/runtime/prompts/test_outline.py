"""Colours decide unsure pixels, and sure pixels stay."""

from __future__ import annotations

import numpy as np

from shls.runtime.prompts.outline import outlined
from tests.runtime.prompts.scenes import iou, scene

WHOLE = (0, 0, 320, 240)


def test_unsure_pixels_follow_the_colours() -> None:
    image, labels = scene((160, 120))
    found = np.full(labels.shape, 0.02, np.float32)
    found[60:180, 100:220] = 0.4  # somewhere here
    found[110:130, 150:170] = 0.95
    mask = outlined(image, found, WHOLE)
    assert iou(mask, labels > 0) > 0.85
    assert (outlined(image, found, WHOLE) == mask).all(), "the same each time"


def test_sure_pixels_stay() -> None:
    image, _ = scene((160, 120))
    found = np.zeros((240, 320), np.float32)
    found[:, :100] = 1
    assert (outlined(image, found, WHOLE) == (found > 0.5)).all()


def test_pixels_outside_of_the_window_stay() -> None:
    image, labels = scene((160, 120))
    found = np.where(labels > 0, 0.7, 0.3).astype(np.float32)
    found[100:140, 140:180], found[:, :20], found[90:150, 250:] = 0.95, 0.8, 0.01
    mask = outlined(image, found, (120, 80, 320, 160))
    assert mask[:, :20].all()


def test_too_little_to_learn_colours_from() -> None:
    image, _ = scene((160, 120))
    found = np.full((240, 320), 0.3, np.float32)
    found[120, 160] = 0.95
    assert outlined(image, found, WHOLE).sum() == 1
