"""Losses of the embedding stage."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Matching(NamedTuple):
    """A loss and how often the right partner was the nearest of all candidates."""

    loss: Tensor
    accuracy: Tensor


def dense_correspondence(
    first: Tensor, second: Tensor, points: Tensor, temperature: float = 0.07, margin: float = 10.0
) -> Matching:
    """InfoNCE between corresponding points of two views, in both directions.

    Every point of the other views in the batch is a candidate, except those of the same still that lie nearer than
    `margin` to the right partner: they show nearly the same thing and are not wrong.
    Source: InfoNCE, van den Oord et al. 2018, equation 4, on points in place of images.

    Parameters
    ----------
    first, second : (B, P, D)
        Unit vectors; ``first[b, p]`` and ``second[b, p]`` show the same point of still b.
    points : (B, P, 2)
        Where the points lie in the second view, in pixels.
    temperature : float
        Divisor of the cosine similarities.
    margin : float
        Radius of the excluded neighbourhood, in pixels.
    """
    B, P, _ = first.shape
    similarity = first.flatten(0, 1) @ second.flatten(0, 1).T / temperature  # (B*P, B*P)
    similarity = similarity.masked_fill(_neighbours(points, margin), float("-inf"))
    target = torch.arange(B * P, device=first.device)
    loss = (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2
    accuracy = (similarity.argmax(1) == target).float().mean()
    return Matching(loss, accuracy)


def _neighbours(points: Tensor, margin: float) -> Tensor:
    """(B*P, B*P) bool: pairs of different points of one still that lie nearer than `margin`."""
    near = torch.cdist(points, points) < margin  # (B, P, P)
    near &= ~torch.eye(points.shape[1], dtype=torch.bool, device=points.device)
    blocks: Tensor = torch.block_diag(*near)
    return blocks.bool()
