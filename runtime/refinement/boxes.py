"""Where the objects of a frame are: boxes of the refiner's crops, from what the memory says and from the last mask.

The grid is the frame at half the resolution, as in `refine.py`: (h, w).
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
    """Left, top, right and bottom of an object whose mass per row and per column is given; `least` of `find_boxes`."""
    w, h = len(across), len(down)
    left, right = _side(across, w, settings)
    top, bottom = _side(down, h, settings)
    left, right = _at_least(left, right, max(least[0], settings.min_aspect * (bottom - top)), w)
    top, bottom = _at_least(top, bottom, max(least[1], settings.min_aspect * (right - left)), h)
    return left, top, right, bottom


def _side(mass: np.ndarray, cells: int, settings: CropSettings) -> tuple[int, int]:
    """Begin and end of an object's box along one axis."""
    share = np.cumsum(mass) / mass.sum()
    first, end = int(np.searchsorted(share, settings.trim)), int(np.searchsorted(share, 1 - settings.trim)) + 1
    return _at_least(first, end, max(settings.min_side, (end - first) * (1 + settings.margin)), cells)


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
