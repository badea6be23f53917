"""From a feature map to superfeatures, for networks with and without a head."""

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
        What the network gave.
    superpixels : Superpixels
        Partition of the frame, (H, W) labels; the map covers the whole frame.
    head : of the contract

    Returns
    -------
    (N, D) float32, unit length, or zeros.

    Raises
    ------
    ShapeMismatch
        If the features are no (C, h, w) map.
    """
    if head is None:
        return pool(features, superpixels)
    info, bias, fusion, shift = _matrices(head)
    means = pool_means(features, superpixels)  # (N, C)
    fused = np.maximum(means + _describe(superpixels) @ info + bias, 0) @ fusion + shift  # (N, D)
    lengths = np.linalg.norm(fused, axis=1, keepdims=True)
    return fused / np.where(lengths > 0, lengths, np.float32(1))


def _describe(superpixels: Superpixels) -> np.ndarray:
    """(N, 3) float32: share of the frame, mean row and mean column as shares of its size."""
    height, width = superpixels.labels.shape
    x, y = superpixels.centres.T
    return np.stack([superpixels.areas / (height * width), y / height, x / width], axis=1).astype(np.float32)


@lru_cache(2)
def _matrices(head: Head) -> tuple[np.ndarray, ...]:
    return tuple(np.array(part, np.float32) for part in (head.info, head.bias, head.fusion, head.shift))
