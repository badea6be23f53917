"""Where the objects of a frame are: boxes of the refiner's crops, from what the memory says and from the last mask.

The grid is the frame at half the resolution, as in `refine.py`: (h, w).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

ENLARGED = 0.3
"""Of a box's sides, added to them. Source: the published method."""

LEAST_SIDE = 24
"""Of a box, in cells of the grid."""

LEAST_ASPECT = 0.5
"""Of a box, shorter side over longer one."""

TRIMMED = 0.002
"""Share of an object's mass beyond each side of its box: stray pixels do not make it large."""

VISIBLE = 0.3
"""Least probability of a pixel that belongs to an object's box."""

LEAST_SHARE = 0.0025
"""Of the grid, that an object must cover to be refined: of smaller ones there is less to see than colours tell."""


def find_boxes(planes: np.ndarray, last: np.ndarray, least: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Where the objects are, or just were.

    Parameters
    ----------
    planes, last : see `crops.Scene`
    least : (K, 2) float, least width and height of each object's box, cells; none by default

    Returns
    -------
    objects : (V,) int64, columns of `planes` that have anything to see
    boxes : (V, 4) int64, see `crops.Crops`
    """
    down, across = _masses(planes, last, VISIBLE)
    objects, boxes = [], []
    for k in range(1, planes.shape[2]):
        if down[k].sum() >= LEAST_SHARE * last.size:
            objects.append(k)
            boxes.append(box_of(down[k], across[k], (0, 0) if least is None else least[k - 1]))
    return np.array(objects, np.int64), np.array(boxes, np.int64).reshape(-1, 4)


def box_of(down: np.ndarray, across: np.ndarray, least: Sequence[float] | np.ndarray = (0, 0)) -> tuple[int, ...]:
    """Left, top, right and bottom of an object whose mass per row and per column is given; `least` of `find_boxes`."""
    w, h = len(across), len(down)
    left, right = _side(across, w)
    top, bottom = _side(down, h)
    left, right = _at_least(left, right, max(least[0], LEAST_ASPECT * (bottom - top)), w)
    top, bottom = _at_least(top, bottom, max(least[1], LEAST_ASPECT * (right - left)), h)
    return left, top, right, bottom


def _side(mass: np.ndarray, cells: int) -> tuple[int, int]:
    """Begin and end of an object's box along one axis."""
    share = np.cumsum(mass) / mass.sum()
    first, end = int(np.searchsorted(share, TRIMMED)), int(np.searchsorted(share, 1 - TRIMMED)) + 1
    return _at_least(first, end, max(LEAST_SIDE, (end - first) * (1 + ENLARGED)), cells)


def _at_least(first: int, end: int, length: float, cells: int) -> tuple[int, int]:
    """Widen a span to a length about its middle, as far as the grid goes."""
    more = max(0, int(np.ceil((length - (end - first)) / 2)))
    return max(0, first - more), min(cells, end + more)


@njit(cache=True, nogil=True)
def _masses(planes: np.ndarray, last: np.ndarray, visible: float) -> tuple[np.ndarray, np.ndarray]:
    """Mass of each class per row, (K + 1, h), and per column, (K + 1, w)."""
    h, w, classes = planes.shape
    down, across = np.zeros((classes, h)), np.zeros((classes, w))
    for y in range(h):
        for x in range(w):
            for c in range(1, classes):
                mass = 1.0 if last[y, x] == c else planes[y, x, c]
                if mass > visible:
                    down[c, y] += mass
                    across[c, x] += mass
    return down, across
