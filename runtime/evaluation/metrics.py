"""J and F, the two measures of the DAVIS benchmark, as its published evaluation computes them.

J is intersection over union, F the F-measure of the boundary pixels that have a counterpart within a small distance
(Perazzi et al. 2016, section 5.1). Empty masks, the choice of boundary pixels and the shape of the tolerance follow the
published code (davis2017-evaluation).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from ..errors import ShapeMismatch

VOID = 255
"""Label of pixels that are annotated as neither object nor background. The protocol counts them as background."""

BOUND = 0.008
"""Tolerance of F, a share of the image diagonal."""


class Score(NamedTuple):
    """Mean J and F of one object.

    Attributes
    ----------
    j, f : float
        Region similarity and boundary accuracy, 0 to 1.

    Examples
    --------
    >>> Score(0.75, 0.8).j
    0.75
    """

    j: float
    f: float


def jaccard(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return the intersection over union of two masks.

    Parameters
    ----------
    prediction, truth : ndarray
        (H, W) bool, or another type in which non-zero is the object.

    Returns
    -------
    float
        0 to 1; 1 if both masks are empty.

    Raises
    ------
    ShapeMismatch
        If the masks differ in size.

    Examples
    --------
    >>> jaccard(np.array([[1, 1, 0]]), np.array([[0, 1, 0]]))
    0.5
    """
    prediction, truth = _binary(prediction, truth)
    union = np.count_nonzero(prediction | truth)
    return float(np.count_nonzero(prediction & truth) / union) if union else 1.0


def boundary_f(prediction: np.ndarray, truth: np.ndarray, bound: float = BOUND) -> float:
    """Return the F-measure of a mask's boundary.

    Precision is the share of the predicted boundary within the tolerance of the true boundary, recall the reverse.

    Parameters
    ----------
    prediction, truth : ndarray
        (H, W) bool, or another type in which non-zero is the object.
    bound : float
        Tolerance as a share of the image diagonal, rounded up to whole pixels.

    Returns
    -------
    float
        0 to 1. 1 if neither mask has a boundary, because it is empty or fills the frame; 0 if one of them has none.

    Raises
    ------
    ShapeMismatch
        If the masks differ in size.

    Examples
    --------
    >>> truth = np.zeros((100, 100), bool)
    >>> truth[20:40, 20:40] = True
    >>> boundary_f(np.roll(truth, 2, axis=1), truth)  # the tolerance is 2 pixels
    1.0
    """
    prediction, truth = _binary(prediction, truth)
    radius = math.ceil(bound * math.hypot(*truth.shape))
    # All boundary pixels are within one pixel of the two masks, so only that part is computed.
    box = _box(prediction | truth)
    predicted, true = _boundary(prediction[box]), _boundary(truth[box])
    disk = _disk(radius)
    precision = _matched(predicted, cv2.dilate(true, disk))
    recall = _matched(true, cv2.dilate(predicted, disk))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def object_ids(labels: np.ndarray) -> list[int]:
    """Return the object ids of a mask in ascending order, without background (0) and void (255).

    Examples
    --------
    >>> object_ids(np.array([[0, 7, 255], [2, 2, 0]], np.uint8))
    [2, 7]
    """
    return [int(k) for k in np.unique(labels) if k not in (0, VOID)]


def _binary(prediction: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both masks as bool; raises ShapeMismatch if they differ in size."""
    if prediction.shape != truth.shape or prediction.ndim != 2:
        raise ShapeMismatch(
            f"masks: different sizes (got a prediction of {prediction.shape} and an annotation of {truth.shape}, "
            "expected (H, W) for both). Scale the prediction without smoothing"
        )
    return prediction.astype(bool), truth.astype(bool)


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns of a mask and one pixel around it; a single pixel for an empty mask."""
    spans = []
    for axis in (1, 0):
        used = np.flatnonzero(mask.any(axis=axis))
        spans.append(slice(max(int(used[0]) - 1, 0), int(used[-1]) + 2) if used.size else slice(0, 1))
    return spans[0], spans[1]


def _boundary(mask: np.ndarray) -> np.ndarray:
    """Return (H, W) uint8, 1 where a pixel differs from its right, lower or lower right neighbour."""
    square = np.ones((2, 2), np.uint8)
    edges: np.ndarray = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, square, anchor=(0, 0))
    return edges


def _disk(radius: int) -> np.ndarray:
    """Return a (2 radius + 1, 2 radius + 1) uint8 disk."""
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    inside: np.ndarray = x * x + y * y <= radius * radius
    return inside.astype(np.uint8)


def _matched(boundary: np.ndarray, reach: np.ndarray) -> float:
    """Return the share of a boundary within reach of the other boundary; 1 if there is no boundary."""
    size = np.count_nonzero(boundary)
    return float(np.count_nonzero(boundary & reach) / size) if size else 1.0
