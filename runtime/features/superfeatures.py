"""Superfeatures: one vector per superpixel, for networks with and without a projection head."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..models.contract import Head
from ..types import Superpixels
from .pooling import pool, pool_means


def superfeatures(features: np.ndarray, superpixels: Superpixels, head: Head | None) -> np.ndarray:
    """Describe each superpixel by one vector.

    Parameters
    ----------
    features : (C, h, w) float32
        Output of the network; it covers the whole frame.
    superpixels : Superpixels
    head : Head, optional
        Projection applied after pooling; shls-edge has none.

    Returns
    -------
    (N, D) float32
        Unit length, or zeros.

    Raises
    ------
    ShapeMismatch
        If `features` is not a (C, h, w) map.

    Examples
    --------
    >>> whole = Superpixels(np.zeros((8, 8), np.int32), np.zeros((1, 2), np.float32), np.array([64], np.int32))
    >>> superfeatures(np.ones((4, 2, 2), np.float32), whole, None)
    array([[0.5, 0.5, 0.5, 0.5]], dtype=float32)
    """
    if head is None:
        return pool(features, superpixels)
    info, bias, fusion, shift = _matrices(head)
    means = pool_means(features, superpixels)  # (N, C)
    fused = np.maximum(means + _describe(superpixels) @ info + bias, 0) @ fusion + shift  # (N, D)
    lengths = np.linalg.norm(fused, axis=1, keepdims=True)
    return fused / np.where(lengths > 0, lengths, np.float32(1))


def _describe(superpixels: Superpixels) -> np.ndarray:
    """Area, mean row and mean column of each superpixel, as ratios of the frame's, (N, 3) float32."""
    height, width = superpixels.labels.shape
    x, y = superpixels.centres.T
    return np.stack([superpixels.areas / (height * width), y / height, x / width], axis=1).astype(np.float32)


@lru_cache(2)
def _matrices(head: Head) -> tuple[np.ndarray, ...]:
    return tuple(np.array(part, np.float32) for part in (head.info, head.bias, head.fusion, head.shift))
