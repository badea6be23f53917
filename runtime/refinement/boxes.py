"""Boxes of the refiner's crops, from the memory's probabilities and the warped previous mask.

The grid is the frame at half the resolution, (h, w).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from ..models.settings import CropSettings


def find_boxes(
    planes: np.ndarray,
    last: np.ndarray,
    least: np.ndarray | None = None,
    settings: CropSettings = CropSettings(),
) -> tuple[np.ndarray, np.ndarray]:
    """Find the boxes of all visible objects.

    Parameters
    ----------
    planes : (h, w, K + 1) float32
        Probabilities on the grid.
    last : (h, w) uint8
        Warped previous mask, as columns of `planes`.
    least : (K, 2) float, optional
        Least width and height of each object's box, cells.
    settings : CropSettings

    Returns
    -------
    objects : (V,) int64
        Columns of `planes` that are visible.
    boxes : (V, 4) int64
        Left, top, right, bottom, the last two exclusive.

    Examples
    --------
    >>> planes = np.zeros((60, 80, 2), np.float32)
    >>> planes[20:40, 30:50, 1] = 1
    >>> find_boxes(planes, np.zeros((60, 80), np.uint8))[1]
    array([[27, 17, 53, 43]])
    """
    down, across = _masses(planes, last, settings.visible)
    objects, boxes = [], []
    for k in range(1, planes.shape[2]):
        if down[k].sum() >= settings.min_area * last.size:
            objects.append(k)
            boxes.append(box_of(down[k], across[k], (0, 0) if least is None else least[k - 1], settings))
    return np.array(objects, np.int64), np.array(boxes, np.int64).reshape(-1, 4)


def box_of(
    down: np.ndarray,
    across: np.ndarray,
    least: Sequence[float] | np.ndarray = (0, 0),
    settings: CropSettings = CropSettings(),
) -> tuple[int, ...]:
    """Compute the box of an object from its mass per row, (h,), and per column, (w,); see `find_boxes`.

    Examples
    --------
    >>> mass = np.zeros(80)
    >>> mass[30:50] = 1
    >>> box_of(mass, mass)
    (27, 27, 53, 53)
    """
    w, h = len(across), len(down)
    left, right = _side(across, w, settings)
    top, bottom = _side(down, h, settings)
    left, right = _at_least(left, right, max(least[0], settings.min_aspect * (bottom - top)), w)
    top, bottom = _at_least(top, bottom, max(least[1], settings.min_aspect * (right - left)), h)
    return left, top, right, bottom


def _side(mass: np.ndarray, cells: int, settings: CropSettings) -> tuple[int, int]:
    """Return begin and end of a box along one axis."""
    share = np.cumsum(mass) / mass.sum()
    first, end = int(np.searchsorted(share, settings.trim)), int(np.searchsorted(share, 1 - settings.trim)) + 1
    return _at_least(first, end, max(settings.min_side, (end - first) * (1 + settings.margin)), cells)


def _at_least(first: int, end: int, length: float, cells: int) -> tuple[int, int]:
    """Widen a span to a length about its middle, within the grid."""
    more = max(0, int(np.ceil((length - (end - first)) / 2)))
    return max(0, first - more), min(cells, end + more)


@njit(cache=True, nogil=True)
def _masses(planes: np.ndarray, last: np.ndarray, visible: float) -> tuple[np.ndarray, np.ndarray]:
    """Sum the mass of each class per row, (K + 1, h), and per column, (K + 1, w)."""
    h, w, classes = planes.shape
    down, across = np.zeros((classes, h)), np.zeros((classes, w))
    sure = 1.1 - visible  # background above which no object is visible; rows sum to 1 within 0.1
    for y in range(h):
        for x in range(w):
            if last[y, x] == 0 and planes[y, x, 0] > sure:
                continue
            for c in range(1, classes):
                mass = 1.0 if last[y, x] == c else planes[y, x, c]
                if mass > visible:
                    down[c, y] += mass
                    across[c, x] += mass
    return down, across
