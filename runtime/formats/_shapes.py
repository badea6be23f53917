"""Shapes of a mask that formats need: boxes, and polygons from which the mask can be drawn again."""

from __future__ import annotations

import cv2
import numpy as np


def box_of(inside: np.ndarray) -> list[int]:
    """Return x, y, width and height around the pixels of a mask (H, W) bool that is not empty."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]


def runs_of(flat: np.ndarray) -> list[int]:
    """Return the lengths of the runs of a flat bool array, those of False first."""
    begin = [0, 0] if flat[0] else [0]
    bounds = np.concatenate((begin, np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]))
    runs: list[int] = np.diff(bounds).tolist()
    return runs


def one_polygon(inside: np.ndarray) -> np.ndarray:
    """Return one polygon for a mask of several parts with holes.

    The contours are connected by lines there and back, which have no area but are drawn one pixel wide. A mask of one
    part without holes is drawn again exactly by `cv2.fillPoly`.

    Parameters
    ----------
    inside : (H, W) bool, not empty

    Returns
    -------
    (V, 2) int, x and y of pixels
    """
    found, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    contours = sorted((contour[:, 0] for contour in found), key=len, reverse=True)
    joined = contours.pop(0)
    while contours:
        at = min(range(len(contours)), key=lambda at: _nearest(joined, contours[at])[0])
        joined = _join(joined, contours.pop(at))
    return joined


def _nearest(one: np.ndarray, other: np.ndarray) -> tuple[int, int, int]:
    """Return the squared distance of the nearest two vertices, and their places."""
    distances = ((one[:, None] - other[None]) ** 2).sum(-1)
    at, to = np.unravel_index(distances.argmin(), distances.shape)
    return int(distances[at, to]), int(at), int(to)


def _join(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Walk along the first polygon to the nearest vertex, around the second one, and back."""
    _, at, to = _nearest(one, other)
    around = np.roll(other, -to, axis=0)
    return np.concatenate([one[: at + 1], around, around[:1], one[at:]])
