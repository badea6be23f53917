"""Superfeatures in training: `shls.runtime.pooling` again, with gradients and for a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def pool(features: Tensor, labels: Tensor, count: int) -> Tensor:
    """Average feature maps over superpixels; the same cells and weights as the runtime's.

    Parameters
    ----------
    features : (B, C, h, w)
        Maps that cover the whole frames.
    labels : (B, H, W) int64
        Partitions of the frames, each from 0 on.
    count : int
        N, more than any label.

    Returns
    -------
    (B, N, C) float32 means, not normalised; zeros for labels that a frame lacks.
    """
    B, C, h, w = features.shape
    H, W = labels.shape[1:]
    device = labels.device
    cells = _cells(H, h, device)[:, None] * w + _cells(W, w, device)  # (H, W)
    frames = torch.arange(B, device=device)[:, None, None]
    # Each superpixel covers few cells: the sums run over pairs of superpixel and cell, not over pixels.
    pairs, pixels = (((frames * count + labels) * (h * w) + cells).flatten()).unique(return_counts=True)
    superpixel, cell = pairs // (h * w), pairs % (h * w)
    cell = cell + superpixel // count * (h * w)
    flat = features.permute(0, 2, 3, 1).reshape(-1, C).float()  # (B*h*w, C)
    weights = pixels.float()
    sums = flat.new_zeros(B * count, C).index_add(0, superpixel, flat[cell] * weights[:, None])
    areas = weights.new_zeros(B * count).index_add(0, superpixel, weights)
    return (sums / areas.clamp(min=1)[:, None]).view(B, count, C)


def _cells(pixels: int, cells: int, device: torch.device) -> Tensor:
    """The map cell that each pixel of one axis lies in."""
    return ((torch.arange(pixels, device=device) + 0.5) * cells / pixels).long()
