"""Sizes that several stages share: the half-resolution grid, and masks at another size."""

from __future__ import annotations

import cv2
import numpy as np


def grid_of(size: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of the half-resolution grid for a frame of `size` (H, W), at least 1 each.

    Examples
    --------
    >>> grid_of((481, 854))
    (240, 427)
    """
    return max(1, size[0] // 2), max(1, size[1] // 2)


def fit(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Resize a mask to the size of an image, without interpolation.

    Parameters
    ----------
    mask : (h, w) uint8
    image : (H, W, ...) array

    Returns
    -------
    (H, W) uint8

    Examples
    --------
    >>> fit(np.eye(2, dtype=np.uint8), np.zeros((4, 4, 3)))
    array([[1, 1, 0, 0],
           [1, 1, 0, 0],
           [0, 0, 1, 1],
           [0, 0, 1, 1]], dtype=uint8)
    """
    return cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def on_grid(labels: np.ndarray, size: tuple[int, ...] | None = None) -> np.ndarray:
    """Sample labels at the centres of a grid's cells.

    Parameters
    ----------
    labels : (H, W) array
    size : (h, w), optional
        By default that of the half-resolution grid.

    Returns
    -------
    (h, w) array, contiguous

    Examples
    --------
    >>> on_grid(np.arange(16).reshape(4, 4))
    array([[ 5,  7],
           [13, 15]])
    """
    height, width = labels.shape
    h, w = size or grid_of(labels.shape)
    if (height, width) == (2 * h, 2 * w):
        return np.ascontiguousarray(labels[1::2, 1::2])
    rows, columns = (((np.arange(n) + 0.5) * pixels / n).astype(np.intp) for n, pixels in ((h, height), (w, width)))
    return np.ascontiguousarray(labels[rows][:, columns])
