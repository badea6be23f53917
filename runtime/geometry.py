"""Sizes that several stages share: the half-resolution grid, and masks at another size."""

from __future__ import annotations

import cv2
import numpy as np


def grid_of(size: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of the grid for a frame of a size (H, W)."""
    return max(1, size[0] // 2), max(1, size[1] // 2)


def fit(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A mask, (H, W) uint8, at an image's size."""
    return cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
