"""Superpixel pooling for training: the arithmetic of `shls.runtime.features.pooling`, batched and with gradients."""

from __future__ import annotations

import torch
from torch import Tensor


def pool(features: Tensor, labels: Tensor, number: int) -> Tensor:
    """Average feature maps over superpixels, with the same cells and weights as the runtime.

    Parameters
    ----------
    features : (B, C, h, w)
        Feature maps that cover the whole frames.
    labels : (B, H, W) int64
        Superpixel labels of each frame, from 0 on.
    number : int
        N, larger than every label.

    Returns
    -------
    (B, N, C) float32 Tensor
        Means, not normalised; zeros for labels that a frame does not contain.

    Examples
    --------
    >>> features = torch.tensor([[[[1.0, 3.0]]]])  # one cell per pixel
    >>> pool(features, torch.tensor([[[0, 1]]]), 3).flatten()
    tensor([1., 3., 0.])
    """
    B, C, h, w = features.shape
    H, W = labels.shape[1:]
    device = labels.device
    cells = _cells(H, h, device)[:, None] * w + _cells(W, w, device)  # (H, W)
    frames = torch.arange(B, device=device)[:, None, None]
    # A superpixel covers few cells. Summing over pairs of superpixel and cell is cheaper than summing over pixels.
    pairs, pixels = (((frames * number + labels) * (h * w) + cells).flatten()).unique(return_counts=True)
    superpixel, cell = pairs // (h * w), pairs % (h * w)
    cell = cell + superpixel // number * (h * w)
    flat = features.permute(0, 2, 3, 1).reshape(-1, C).float()  # (B*h*w, C)
    weights = pixels.float()
    # index_select, because the gradient of flat[cell] is summed in a random order on several threads.
    sums = flat.new_zeros(B * number, C).index_add(0, superpixel, flat.index_select(0, cell) * weights[:, None])
    areas = weights.new_zeros(B * number).index_add(0, superpixel, weights)
    return (sums / areas.clamp(min=1)[:, None]).view(B, number, C)


def describe(labels: Tensor, number: int) -> Tensor:
    """Compute relative area, mean row and mean column of superpixels.

    Parameters
    ----------
    labels : (B, H, W) int64
        Superpixel labels of each frame, from 0 on.
    number : int
        N, larger than every label.

    Returns
    -------
    (B, N, 3) float32 Tensor
        Area relative to the frame, mean row relative to H, mean column relative to W; 0 to 1.

    Examples
    --------
    >>> describe(torch.tensor([[[0, 1], [0, 1]]]), 2)
    tensor([[[0.5000, 0.2500, 0.0000],
             [0.5000, 0.2500, 0.5000]]])
    """
    B, H, W = labels.shape
    index = (labels + torch.arange(B, device=labels.device)[:, None, None] * number).flatten()
    row = (torch.arange(H, device=labels.device) / H)[None, :, None].expand(B, H, W)
    column = (torch.arange(W, device=labels.device) / W).expand(B, H, W)
    per_pixel = torch.stack([torch.ones_like(row), row, column], dim=-1).reshape(-1, 3)
    sums = per_pixel.new_zeros(B * number, 3).index_add(0, index, per_pixel)
    means = sums[:, 1:] / sums[:, :1].clamp(min=1)
    return torch.cat([sums[:, :1] / (H * W), means], dim=1).view(B, number, 3)


def _cells(pixels: int, cells: int, device: torch.device) -> Tensor:
    """Map cell of each pixel along one axis."""
    return ((torch.arange(pixels, device=device) + 0.5) * cells / pixels).long()
