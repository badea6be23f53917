"""Context: every superfeature takes in those of the neighbouring superpixels that are similar to it.

A small network sees little around a point. One exchange between neighbours on the superpixel graph widens that view.
The weights keep the exchange within the objects: a neighbour of another kind has nearly no weight.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..models.settings import ContextSettings
from ..types import Superpixels

MOST_NEIGHBOURS = 24
"""Neighbours of a superpixel that are considered; more are rare."""


def with_context(
    features: np.ndarray, superpixels: Superpixels, settings: ContextSettings = ContextSettings()
) -> np.ndarray:
    """Add to each superfeature the weighted mean of its neighbours' superfeatures.

    The weight of a neighbour is `exp((cosine - 1) / temperature)`, at most 1.

    Parameters
    ----------
    features : (N, D) float32
        Superfeatures, unit length.
    superpixels : Superpixels
    settings : ContextSettings

    Returns
    -------
    (N, D) float32
        Unit length, or zeros.

    Examples
    --------
    >>> row = Superpixels(np.arange(3, dtype=np.int32).repeat(8)[None].repeat(4, 0), np.zeros((3, 2)), np.full(3, 32))
    >>> with_context(np.float32([[1, 0], [0.8, 0.6], [0, 1]]), row).round(2)
    array([[0.96, 0.28],
           [0.86, 0.51],
           [0.15, 0.99]], dtype=float32)
    """
    if not settings.weight:
        return features
    neighbours, counts = _neighbours(superpixels.labels, len(features))
    weight, temperature = np.float32(settings.weight), np.float32(settings.temperature)
    return _mix(np.ascontiguousarray(features, np.float32), neighbours, counts, weight, temperature)


@njit(cache=True, nogil=True)
def _neighbours(labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """List and count the superpixels that touch each superpixel on every second row and column, (N, MOST) and (N,)."""
    neighbours, counts = np.empty((count, MOST_NEIGHBOURS), np.int32), np.zeros(count, np.int32)
    for y in range(0, labels.shape[0], 2):
        for x in range(0, labels.shape[1], 2):
            n = labels[y, x]
            if x >= 2 and labels[y, x - 2] != n:
                _join(neighbours, counts, n, labels[y, x - 2])
            if y >= 2 and labels[y - 2, x] != n:
                _join(neighbours, counts, n, labels[y - 2, x])
    return neighbours, counts


@njit(cache=True, nogil=True)
def _join(neighbours: np.ndarray, counts: np.ndarray, one: int, other: int) -> None:
    """Enter two superpixels into each other's list, unless they are there or a list is full."""
    for i in range(counts[one]):
        if neighbours[one, i] == other:
            return
    if max(counts[one], counts[other]) < MOST_NEIGHBOURS:
        neighbours[one, counts[one]], neighbours[other, counts[other]] = other, one
        counts[one] += 1
        counts[other] += 1


@njit(cache=True, nogil=True, fastmath=True)
def _mix(
    features: np.ndarray, neighbours: np.ndarray, counts: np.ndarray, weight: np.float32, temperature: np.float32
) -> np.ndarray:
    """Add the weighted mean of the neighbours and scale to unit length."""
    N, D = features.shape
    mixed = features.copy()
    for n in range(N):
        for i in range(counts[n]):
            other = features[neighbours[n, i]]
            cosine = np.float32(0)
            for d in range(D):
                cosine += features[n, d] * other[d]
            share = weight / np.float32(counts[n]) * np.exp((cosine - np.float32(1)) / temperature)
            for d in range(D):
                mixed[n, d] += share * other[d]
        square = np.float32(0)
        for d in range(D):
            square += mixed[n, d] * mixed[n, d]
        if square > 0:
            mixed[n] /= np.sqrt(square)
    return mixed
