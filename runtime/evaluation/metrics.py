"""J and F, the two measures of the DAVIS benchmark, as its published evaluation computes them.

J is intersection over union (Perazzi et al. 2016, section 5.1), F the F-measure of the boundary pixels that
find a counterpart within a small distance. The published code (davischallenge.org, davis2017-evaluation)
settles what the paper leaves open: empty masks, which pixels are a boundary, the shape of the tolerance.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from ..errors import ShapeMismatch

VOID = 255  # pixels annotated as neither object nor background; the protocol counts them as background
BOUND = 0.008  # tolerance of F, as a part of the image diagonal


class Score(NamedTuple):
    """Mean J and F of one object, each 0..1."""

    j: float
    f: float


def jaccard(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two masks; 1 where both are empty.

    Parameters
    ----------
    prediction, truth : (H, W) bool, or any type of which non-zero is the object

    Raises
    ------
    ShapeMismatch
        If the masks differ in size.
    """
    prediction, truth = _binary(prediction, truth)
    union = np.count_nonzero(prediction | truth)
    return np.count_nonzero(prediction & truth) / union if union else 1.0


def boundary_f(prediction: np.ndarray, truth: np.ndarray, bound: float = BOUND) -> float:
    """F-measure of a mask's boundary.

    Precision is the part of the predicted boundary within the tolerance of the true one, recall the reverse.
    Of a mask without a boundary (empty, or the whole frame) that part is 1, and of a boundary without a
    counterpart 0: F is 1 where both masks have none, 0 where one has.

    Parameters
    ----------
    prediction, truth : (H, W) bool, or any type of which non-zero is the object
    bound : tolerance as a part of the image diagonal, rounded up to whole pixels

    Raises
    ------
    ShapeMismatch
        If the masks differ in size.
    """
    prediction, truth = _binary(prediction, truth)
    radius = math.ceil(bound * math.hypot(*truth.shape))
    # Outside the two objects and one pixel around them nothing is a boundary: the rest need not be looked at.
    box = _box(prediction | truth)
    predicted, true = _boundary(prediction[box]), _boundary(truth[box])
    disk = _disk(radius)
    precision = _matched(predicted, cv2.dilate(true, disk))
    recall = _matched(true, cv2.dilate(predicted, disk))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def object_ids(labels: np.ndarray) -> list[int]:
    """Object ids in a mask, ascending: neither background (0) nor void (255)."""
    return [int(k) for k in np.unique(labels) if k not in (0, VOID)]


def _binary(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if prediction.shape != truth.shape or prediction.ndim != 2:
        raise ShapeMismatch(
            f"the predicted mask is {prediction.shape}, the true one {truth.shape}; expected (H, W), the same"
        )
    return prediction.astype(bool), truth.astype(bool)


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the mask and one pixel around it, within the frame; of one pixel if it is empty."""
    spans = []
    for axis in (1, 0):
        used = np.flatnonzero(mask.any(axis=axis))
        spans.append(slice(max(int(used[0]) - 1, 0), int(used[-1]) + 2) if used.size else slice(0, 1))
    return spans[0], spans[1]


def _boundary(mask: np.ndarray) -> np.ndarray:
    """(H, W) uint8, 1 where a pixel differs from its right, lower or lower right neighbour, if it has one."""
    square = np.ones((2, 2), np.uint8)
    edges: np.ndarray = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, square, anchor=(0, 0))
    return edges


def _disk(radius: int) -> np.ndarray:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    inside: np.ndarray = x * x + y * y <= radius * radius
    return inside.astype(np.uint8)


def _matched(boundary: np.ndarray, reach: np.ndarray) -> float:
    """Part of a boundary that lies within reach of the other; 1 if there is no boundary."""
    size = np.count_nonzero(boundary)
    return np.count_nonzero(boundary & reach) / size if size else 1.0
