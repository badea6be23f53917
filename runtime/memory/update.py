"""Probabilities that the memory stores of a frame, and their weights."""

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


def vote_weights(probabilities: np.ndarray, doubt: np.ndarray, certainty: float) -> np.ndarray:
    """Compute the weight with which the memory stores each superpixel.

    An uncertain superpixel gets no vote in later frames; otherwise the memory learns its own mistakes.

    Parameters
    ----------
    probabilities : (N, K + 1) float32
        Rows sum to 1.
    doubt : (N,) float32
        0 to 1; see `Judgement`.
    certainty : float
        Excess of the highest probability over one half from which on the weight is 1 - doubt; 0 gives this weight to
        all superpixels.

    Returns
    -------
    (N, 1) float32, 0 to 1.

    Examples
    --------
    >>> probabilities = np.array([[0.5, 0.5], [0.4, 0.6], [0.1, 0.9]], np.float32)
    >>> vote_weights(probabilities, np.zeros(3, np.float32), 0.2).ravel().round(2)
    array([0. , 0.5, 1. ], dtype=float32)
    """
    trust = 1 - doubt
    if certainty:
        excess = (probabilities * trust[:, None]).max(axis=1) - 0.5
        trust = trust * np.clip(excess / certainty, 0, 1)
    return np.asarray(trust[:, None], np.float32)
