"""The embedding network `shls-r18`: the published architecture, for fidelity. It is slow: 146 GMAC at 864x480.

A ResNet-18 (He et al. 2016) without max-pooling, at strides 2 and 4; a head on each stride; one superfeature of 32
numbers. Source: Mendonça et al. 2023 (SHLS) and the behaviour of their public code.

What is the same: strides, channels and sizes of the backbone, both heads with area, row and column, scalar
normalisation, ReLU, fusion, 32 numbers; NT-Xent at 0.07 over 16 triplets per superpixel of a frame, 3 frames a clip,
300 superpixels; superpixels cut along the objects. The tests of this file, of the loss and of `objects.py` hold it.

Where it differs:

- Both heads' linear maps come before pooling, as 1x1 convolutions; area and place are added after it. That is the same
  arithmetic (a linear map of a mean is the mean of the map), and 64 channels are pooled in place of 320.
- Superpixels that vanish at stride 4 do not exist: pooling weighs cells by area, none is lost, none becomes zeros.
- SLIC is ours, without a Gaussian before it, in training and at run time; `shls.runtime.superpixels.isec` is not connected.
- Superfeatures are of unit length: cosines are what is compared anyway.
- Memory: two neighbours anywhere, ten frames with the first among them, two clusters, as published; but neighbours of
  all objects vote together, weighed by a softmax in place of 1 and 0.5, and every superpixel is written with its
  probabilities, not only those above 0.4 of their class's mean.
- After the memory: attention maps are of one neighbour, not of two with weights 1 and 0.5; the outlier filter is the
  runtime's, for all networks, with what lies beside an object in place of its convex hull (`shls.runtime.memory.visibility`).
  For the segmenter see `r18_segmenter.py`.
- Optimiser: AdamW with weight decay and one cycle, where the published code takes Adam at 1e-4.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shls.runtime.models.contract import Head, MemorySettings

from .edge import Embedding
from .pooling import describe, pool

SHARE = 32
"""Numbers that each stride gives to a superpixel, and that a superfeature has."""

INFO = 3
"""Relative area, mean row, mean column."""


class R18Net(Embedding):
    """Stages of two blocks: 64 channels at stride 2 ("L2"); 128, 256 and 256 at stride 4 ("L4")."""

    stride, size_multiple = 2, 4
    # Two neighbours of all places; a bank of ten frames, the first among them; two clusters per object.
    memory = MemorySettings(recent=9, clusters=2, neighbours=2, radius=10.0)

    def __init__(self) -> None:
        super().__init__()
        self.dim = SHARE
        self.stem = _conv(3, 64, 7, stride=2)
        self.stage64 = nn.Sequential(Block(64, 64), Block(64, 64))
        self.stage128 = nn.Sequential(Block(64, 128, stride=2), Block(128, 128))
        self.stage256 = nn.Sequential(Block(128, 256), Block(256, 256))
        self.last = nn.Sequential(Block(256, 256), Block(256, 256))
        self.head2 = nn.Conv2d(64, SHARE, 1, bias=False)
        self.head4 = nn.Conv2d(256, SHARE, 1, bias=False)
        self.info2, self.info4 = nn.Linear(INFO, SHARE), nn.Linear(INFO, SHARE)
        self.norm2, self.norm4 = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
        self.fusion = nn.Linear(2 * SHARE, SHARE)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalised RGB -> (B, 64, H/2, W/2): what is pooled, of L2 and of L4."""
        at2 = self.stage64(self.stem(image))  # (B, 64, H/2, W/2)
        at4 = self.last(self.stage256(self.stage128(at2)))  # (B, 256, H/4, W/4)
        wide = F.interpolate(self.head4(at4), scale_factor=2.0, mode="nearest")  # each cell keeps its pixels
        return torch.cat([self.head2(at2), wide], dim=1)  # (B, 64, H/2, W/2)

    def superfeatures(self, features: Tensor, labels: Tensor, number: int) -> Tensor:
        """Pool, add area and place, normalise, fuse; see `Embedding.superfeatures`."""
        info = describe(labels, number)  # (B, N, 3)
        there = info[..., 0] > 0
        pooled, info = pool(features, labels, number)[there], info[there]  # (M, 64), (M, 3)
        of2 = _scale(self.norm2, pooled[:, :SHARE] + self.info2(info))
        of4 = _scale(self.norm4, pooled[:, SHARE:] + self.info4(info))
        fused = self.fusion(F.relu(torch.cat([of2, of4], dim=1)))  # (M, 32)
        out = fused.new_zeros(*there.shape, SHARE)
        out[there] = F.normalize(fused, dim=1)
        return out

    @torch.no_grad()
    def fold_head(self) -> Head:
        """Fold the scalar normalisations into what lies before them; give what is left to do after pooling."""
        _fold(self.head2, self.info2, self.norm2)
        _fold(self.head4, self.info4, self.norm4)
        return Head(
            info=_numbers(torch.cat([self.info2.weight.T, self.info4.weight.T], dim=1)),
            bias=_numbers(torch.cat([self.info2.bias, self.info4.bias])[None])[0],
            fusion=_numbers(self.fusion.weight.T),
            shift=_numbers(self.fusion.bias[None])[0],
        )


class Block(nn.Module):
    """The basic block of a ResNet: two 3x3 convolutions and a skip connection, projected where shapes change."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _conv(inputs, outputs, 3, stride)
        self.second = _conv(outputs, outputs, 3)[:2]
        same = inputs == outputs and stride == 1
        self.skip = nn.Identity() if same else _conv(inputs, outputs, 1, stride)[:2]

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.second(self.first(x)))


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _scale(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """Scalar batch normalisation: one mean and one variance for all numbers of all superpixels."""
    normalised: Tensor = norm(x.reshape(-1, 1))
    return normalised.view_as(x)


def _fold(head: nn.Conv2d, info: nn.Linear, norm: nn.BatchNorm1d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    head.weight *= scale
    info.weight *= scale
    info.bias.copy_((info.bias - norm.running_mean) * scale + norm.bias)
    norm.reset_parameters()
    norm.running_var.fill_(1 - norm.eps)  # now it changes nothing


def _numbers(matrix: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
