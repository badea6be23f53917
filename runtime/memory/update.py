"""Probabilities that the memory stores of a frame."""

from __future__ import annotations

import numpy as np

from ..types import MIN_PROBABILITY


def stored_probabilities(read: np.ndarray, background: np.ndarray, weight: float) -> np.ndarray:
    """Combine what the memory read with the background probability that the refiner gave.

    The odds of the background are multiplied by the refiner's odds to the power of `weight`. The ratios between objects
    stay as the memory read them: a refiner that also decided between objects made similar objects swap.

    Parameters
    ----------
    read : (N, K + 1) float32
        Probabilities per superpixel, column 0 the background.
    background : (N, 1) float32
        Mean background probability of each superpixel's refined pixels.
    weight : float
        Exponent, 0 to 1; 0 ignores the refiner.

    Returns
    -------
    (N, K + 1) float32, rows sum to 1.

    Examples
    --------
    >>> read = np.array([[0.5, 0.5]], np.float32)
    >>> stored_probabilities(read, np.array([[0.9]], np.float32), 1.0).round(2)
    array([[0.9, 0.1]], dtype=float32)
    """
    least = np.float32(MIN_PROBABILITY)
    memory, refined = (np.clip(p, least, 1 - least) for p in (read[:, :1], background))
    odds = memory / (1 - memory) * (refined / (1 - refined)) ** np.float32(weight)
    objects = np.maximum(read[:, 1:], least)
    objects /= objects.sum(axis=1, keepdims=True) * (1 + odds)
    return np.hstack([odds / (1 + odds), objects])
