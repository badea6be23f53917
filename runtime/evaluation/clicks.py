"""Simulated clicks: where a user who knows the object would click next."""

from __future__ import annotations

import cv2
import numpy as np

NEAR = 0.4
"""Random clicks keep at least this ratio of the largest distance to the error's outline."""


def next_click(
    truth: np.ndarray, found: np.ndarray, rng: np.random.Generator | None = None
) -> tuple[tuple[int, int], bool] | None:
    """Return the next click: the middle of the largest error.

    The errors are the connected parts of what is missed and of what is wrong; the largest is the one with the largest
    inscribed circle. Source: Xu et al. 2016, Sofiiuk et al. 2022.

    Parameters
    ----------
    truth, found : (H, W) bool
    rng : source of random numbers; with it the click is not quite in the middle

    Returns
    -------
    point : (x, y), pixels
    positive : True if the click is on the object
        None if there is no error.

    Examples
    --------
    >>> truth = np.zeros((9, 9), bool)
    >>> truth[2:7, 2:7] = True
    >>> next_click(truth, np.zeros_like(truth))
    ((4, 4), True)
    """
    depths = [_depth(truth & ~found), _depth(found & ~truth)]
    peaks = [float(depth.max()) for depth in depths]
    positive = peaks[0] >= peaks[1]
    depth, peak = depths[not positive], max(peaks)
    if peak == 0:
        return None
    at = int(depth.argmax()) if rng is None else int(rng.choice(np.flatnonzero(depth >= NEAR * peak)))
    y, x = divmod(at, truth.shape[1])
    return (x, y), positive


def _depth(part: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the outline of a mask, where the frame ends too, (H, W) float32."""
    padded = np.pad(part.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
