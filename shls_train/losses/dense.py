"""Dense correspondence loss of the embedding stage."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Matching(NamedTuple):
    """Loss and matching accuracy.

    Attributes
    ----------
    loss : Tensor
        Scalar to minimise.
    accuracy : Tensor
        Share of anchors whose correct partner is the most similar candidate, 0 to 1.

    Examples
    --------
    >>> Matching(torch.tensor(0.5), torch.tensor(0.9)).loss
    tensor(0.5000)
    """

    loss: Tensor
    accuracy: Tensor


def dense_correspondence(
    first: Tensor, second: Tensor, points: Tensor, temperature: float = 0.07, margin: float = 10.0
) -> Matching:
    """InfoNCE loss between corresponding points of two views, in both directions.

    The negatives of a point are all points of the other views in the batch. Points of the same still within `margin`
    pixels of the correct partner are excluded, because they show nearly the same content.
    Source: InfoNCE, van den Oord et al. 2018, equation 4, applied to points.

    Parameters
    ----------
    first, second : (B, P, D)
        Unit vectors. ``first[b, p]`` and ``second[b, p]`` describe the same point of still b.
    points : (B, P, 2)
        Positions of the points in the second view, x and y in pixels.
    temperature : float
        Softmax temperature, the divisor of the cosine similarities.
    margin : float
        Radius of the excluded neighbourhood, in pixels.

    Returns
    -------
    Matching
        Mean loss of both directions; accuracy from the first view to the second.

    Examples
    --------
    >>> vectors = torch.eye(4)[None]  # four points of one still, identical in both views
    >>> points = torch.tensor([[[0.0, 0], [50, 0], [0, 50], [50, 50]]])
    >>> dense_correspondence(vectors, vectors, points).accuracy
    tensor(1.)
    """
    B, P, _ = first.shape
    similarity = first.flatten(0, 1) @ second.flatten(0, 1).T / temperature  # (B*P, B*P)
    similarity = similarity.masked_fill(_neighbours(points, margin), float("-inf"))
    target = torch.arange(B * P, device=first.device)
    loss = (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2
    accuracy = (similarity.argmax(1) == target).float().mean()
    return Matching(loss, accuracy)


def _neighbours(points: Tensor, margin: float) -> Tensor:
    """Mask of pairs of different points of one still within `margin` pixels, (B*P, B*P) bool."""
    near = torch.cdist(points, points) < margin  # (B, P, P)
    near &= ~torch.eye(points.shape[1], dtype=torch.bool, device=points.device)
    blocks: Tensor = torch.block_diag(*near)
    return blocks.bool()
