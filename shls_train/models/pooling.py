"""Superfeatures in training: `shls.runtime.features.pooling` again, with gradients and for a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def pool(features: Tensor, labels: Tensor, number: int) -> Tensor:
    """Average feature maps over superpixels; the same cells and weights as the runtime's.

    Parameters
    ----------
    features : (B, C, h, w)
        Maps that cover the whole frames.
    labels : (B, H, W) int64
        Partitions of the frames, each from 0 on.
    number : int
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
    pairs, pixels = (((frames * number + labels) * (h * w) + cells).flatten()).unique(return_counts=True)
    superpixel, cell = pairs // (h * w), pairs % (h * w)
    cell = cell + superpixel // number * (h * w)
    flat = features.permute(0, 2, 3, 1).reshape(-1, C).float()  # (B*h*w, C)
    weights = pixels.float()
    # Not flat[cell]: on several threads the order of its gradient's sums is that of chance.
    sums = flat.new_zeros(B * number, C).index_add(0, superpixel, flat.index_select(0, cell) * weights[:, None])
    areas = weights.new_zeros(B * number).index_add(0, superpixel, weights)
    return (sums / areas.clamp(min=1)[:, None]).view(B, number, C)


def describe(labels: Tensor, number: int) -> Tensor:
    """(B, N, 3) float32: share of the frame, mean row and mean column as shares of its size; from (B, H, W) int64."""
    B, H, W = labels.shape
    index = (labels + torch.arange(B, device=labels.device)[:, None, None] * number).flatten()
    row = (torch.arange(H, device=labels.device) / H)[None, :, None].expand(B, H, W)
    column = (torch.arange(W, device=labels.device) / W).expand(B, H, W)
    per_pixel = torch.stack([torch.ones_like(row), row, column], dim=-1).reshape(-1, 3)
    sums = per_pixel.new_zeros(B * number, 3).index_add(0, index, per_pixel)
    means = sums[:, 1:] / sums[:, :1].clamp(min=1)
    return torch.cat([sums[:, :1] / (H * W), means], dim=1).view(B, number, 3)


def _cells(pixels: int, cells: int, device: torch.device) -> Tensor:
    """The map cell that each pixel of one axis lies in."""
    return ((torch.arange(pixels, device=device) + 0.5) * cells / pixels).long()
