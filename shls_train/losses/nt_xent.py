"""NT-Xent, the published loss: superfeatures of one object attract, superfeatures of different objects repel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .dense import Matching


def nt_xent(features: Tensor, triplets: Tensor, temperature: float) -> Matching:
    """NT-Xent loss over random triplets: each positive against all negatives of its anchor.

    Source: Chen et al. 2020 (SimCLR), equation 1, with the sampling of Mendonça et al. 2023 (SHLS): temperature 0.07,
    16 triplets per anchor.

    Parameters
    ----------
    features : (N, D)
        Unit vectors.
    triplets : (A, 1 + 2 T) int64
        Rows of indices into `features`: an anchor, T positives, T negatives; see `draw_triplets`.
    temperature : float
        Softmax temperature, the divisor of the cosine similarities.

    Returns
    -------
    Matching
        Mean loss over anchors and positives, and the share of positives that are more similar than all negatives.
        Both are 0 without anchors.

    Examples
    --------
    >>> features = torch.eye(2)[[0, 0, 1]]  # superpixels 0 and 1 are equal, superpixel 2 differs
    >>> nt_xent(features, torch.tensor([[0, 1, 2]]), temperature=0.07).accuracy
    tensor(1.)
    """
    if not len(triplets):
        return Matching(features.sum() * 0, torch.zeros((), device=features.device))
    # index_select, because the gradient of features[triplets] is summed in a random order on several threads.
    chosen = features.index_select(0, triplets.flatten()).view(*triplets.shape, -1)  # (A, 1 + 2 T, D)
    cosines = (chosen[:, 1:] @ chosen[:, 0, :, None])[..., 0] / temperature  # (A, 2 T)
    positives, negatives = cosines.chunk(2, dim=1)  # (A, T) each
    all_negatives = torch.logsumexp(negatives, dim=1, keepdim=True)  # (A, 1)
    loss = (torch.logaddexp(positives, all_negatives) - positives).mean()
    accuracy = (positives > negatives.amax(1, keepdim=True)).float().mean()
    return Matching(loss, accuracy)


def draw_triplets(owners: np.ndarray, per_anchor: int, rng: np.random.Generator) -> np.ndarray:
    """Draw random triplets of superpixels of one frame.

    A superpixel is an anchor if its object has a second superpixel and the frame contains another object.

    Parameters
    ----------
    owners : (N,) integers
        Object id of each superpixel. Superpixels with a negative id are ignored.
    per_anchor : int
        T, positives and negatives per anchor.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    (A, 1 + 2 T) int64 array
        Superpixel indices per anchor: the anchor, its positives, its negatives.

    Examples
    --------
    >>> draw_triplets(np.array([0, 0, 7]), 2, np.random.default_rng(0)).tolist()
    [[0, 1, 1, 2, 2], [1, 0, 0, 2, 2]]
    """
    order = np.argsort(owners, kind="stable")
    order = order[np.searchsorted(owners[order], 0) :]
    _, firsts, members = np.unique(owners[order], return_index=True, return_counts=True)
    first, size = np.repeat(firsts, members), np.repeat(members, members)  # of each superpixel's object, in `order`
    at = np.flatnonzero((size > 1) & (size < len(order)))
    first, size = first[at, None], size[at, None]
    steps = rng.integers(1, size, (len(at), per_anchor))  # to another superpixel of the object, never to the anchor
    positives = first + (at[:, None] - first + steps) % size
    others = rng.integers(0, len(order) - size, (len(at), per_anchor))
    negatives = others + size * (others >= first)
    return order[np.hstack([at[:, None], positives, negatives])]
