"""The published loss: superfeatures of one object lie together, apart from those of others."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .dense import Matching


def nt_xent(features: Tensor, triplets: Tensor, temperature: float) -> Matching:
    """NT-Xent over random triplets: each positive against all negatives of its anchor.

    Source: Mendonça et al. 2023 (SHLS), temperature 0.07, 16 triplets per anchor; the loss is that of Chen et al.
    2020 (SimCLR), equation 1.

    Parameters
    ----------
    features : (N, D)
        Unit vectors.
    triplets : (A, 1 + 2 T) int64
        See `draw_triplets`.
    temperature : float
        Divisor of the cosine similarities.

    Returns
    -------
    The mean over anchors and positives, and how often a positive is nearer than all negatives; both 0 without anchors.
    """
    if not len(triplets):
        return Matching(features.sum() * 0, torch.zeros((), device=features.device))
    # Not features[triplets]: on several threads the order of its gradient's sums is that of chance.
    chosen = features.index_select(0, triplets.flatten()).view(*triplets.shape, -1)  # (A, 1 + 2 T, D)
    cosines = (chosen[:, 1:] @ chosen[:, 0, :, None])[..., 0] / temperature  # (A, 2 T)
    right, wrong = cosines.chunk(2, dim=1)  # (A, T) each
    rest = torch.logsumexp(wrong, dim=1, keepdim=True)  # (A, 1)
    loss = (torch.logaddexp(right, rest) - right).mean()
    accuracy = (right > wrong.amax(1, keepdim=True)).float().mean()
    return Matching(loss, accuracy)


def draw_triplets(owners: np.ndarray, per_anchor: int, rng: np.random.Generator) -> np.ndarray:
    """Draw triplets of superpixels of one frame.

    Every superpixel is an anchor whose object has another one and is not alone in the frame.

    Parameters
    ----------
    owners : (N,) integers
        The object of each superpixel; negative ones belong to none and are left out.
    per_anchor : int
        T.

    Returns
    -------
    (A, 1 + 2 T) int64: an anchor, its positives, its negatives; indices of superpixels.
    """
    order = np.argsort(owners, kind="stable")
    order = order[np.searchsorted(owners[order], 0) :]
    _, firsts, members = np.unique(owners[order], return_index=True, return_counts=True)
    first, size = np.repeat(firsts, members), np.repeat(members, members)  # of each one's object, in `order`
    at = np.flatnonzero((size > 1) & (size < len(order)))
    first, size = first[at, None], size[at, None]
    steps = rng.integers(1, size, (len(at), per_anchor))  # to another one of the object, never to itself
    positives = first + (at[:, None] - first + steps) % size
    others = rng.integers(0, len(order) - size, (len(at), per_anchor))
    negatives = others + size * (others >= first)
    return order[np.hstack([at[:, None], positives, negatives])]
