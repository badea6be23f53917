"""Drawn scenes for the tests of prompts."""

from __future__ import annotations

import cv2
import numpy as np


def scene(*centres: tuple[int, int], size: tuple[int, int] = (240, 320)) -> tuple[np.ndarray, np.ndarray]:
    """Draw red discs of radius 30 on noisy green: the image, and (H, W) ids 1, 2, ... of the discs."""
    image = np.random.default_rng(0).integers(0, 40, (*size, 3), np.uint8) + np.array([40, 130, 60], np.uint8)
    labels = np.zeros(size, np.uint8)
    for object_id, centre in enumerate(centres, 1):
        cv2.circle(labels, centre, 30, object_id, -1)
    image[labels > 0] = image[labels > 0][:, [1, 0, 2]]
    return image, labels


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())
