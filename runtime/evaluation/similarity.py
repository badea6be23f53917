"""Similarity of two outputs of a network."""

from __future__ import annotations

import numpy as np


def cell_cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cosine of the two vectors of each cell, or of two whole maps of logits.

    Parameters
    ----------
    a, b : ndarray
        (F, C, h, w) feature maps, or (F, S, S) logits, of F frames.

    Returns
    -------
    ndarray
        (F, h, w) cosines for feature maps, (F,) for logits; 0 where a vector is zero.

    Examples
    --------
    >>> cell_cosines(np.array([[[1.0, 0.0]]]), np.array([[[3.0, 4.0]]]))
    array([0.6])
    """
    if a.ndim == 3:
        a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: np.ndarray = (a * b).sum(axis=1) / np.maximum(lengths, 1e-12)
    return cosines
