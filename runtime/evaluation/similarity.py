"""How alike two outputs of a network are."""

from __future__ import annotations

import numpy as np


def cell_cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each cell's two vectors; of logits, of each whole map.

    Parameters
    ----------
    a, b : (F, C, h, w) feature maps, or (F, S, S) logits

    Returns
    -------
    (F, h, w), or (F,); 0 where a vector has no length.
    """
    if a.ndim == 3:
        a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: np.ndarray = (a * b).sum(axis=1) / np.maximum(lengths, 1e-12)
    return cosines
