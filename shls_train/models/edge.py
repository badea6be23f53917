"""The embedding network `shls-edge`: a frame in, a dense map of unit vectors at stride 4 out.

Plain 3x3 convolutions, ReLU and residual additions, so that every builder fuses and quantises all of it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from shls.runtime.models.contract import Head, MemorySettings

from .pooling import pool


class Embedding(nn.Module):
    """Any network that gives a dense map which is pooled over superpixels.

    Attributes
    ----------
    dim : D, length of a superfeature
    stride : frame pixels per cell of the map
    size_multiple : height and width of a frame must be multiples of it
    memory : how the past is kept and read with it
    """

    dim: int
    stride: ClassVar[int]
    size_multiple: ClassVar[int]
    memory: ClassVar[MemorySettings] = MemorySettings()

    def superfeatures(self, features: Tensor, labels: Tensor, number: int) -> Tensor:
        """Describe superpixels, as the runtime does.

        Parameters
        ----------
        features : (B, C, h, w)
            What the network gave, in float32.
        labels : (B, H, W) int64
            Partitions of the frames, each from 0 on.
        number : int
            N, more than any label.

        Returns
        -------
        (B, N, D) of unit length; zeros for labels that a frame lacks.
        """
        return F.normalize(pool(features, labels, number), dim=2)

    def fold_head(self) -> Head | None:
        """Prepare for export: what is left to do after pooling; None if that is nothing but the unit length."""
        return None


class EdgeNet(Embedding):
    """Three stages (strides 4, 8, 16), fused top-down into one map at stride 4.

    Parameters
    ----------
    dim : int
        D, length of a superfeature.
    widths : channels of the stem (stride 2) and of the stages at strides 4, 8 and 16.
    blocks : residual blocks per stage.
    """

    stride, size_multiple = 4, 16  # the coarsest stage has stride 16

    def __init__(
        self,
        dim: int = 64,
        widths: tuple[int, int, int, int] = (24, 48, 96, 128),
        blocks: tuple[int, int, int] = (2, 2, 1),
    ) -> None:
        super().__init__()
        self.dim = dim
        stem, c4, c8, c16 = widths
        self.stem = conv(3, stem, stride=2)
        self.stage4 = _stage(stem, c4, blocks[0])
        self.stage8 = _stage(c4, c8, blocks[1])
        self.stage16 = _stage(c8, c16, blocks[2])
        self.lateral16 = nn.Conv2d(c16, c8, 1)
        self.merge8 = conv(c8, c8)
        self.lateral8 = nn.Conv2d(c8, dim, 1)
        self.lateral4 = nn.Conv2d(c4, dim, 1)
        self.merge4 = conv(dim, dim)
        self.head = nn.Conv2d(dim, dim, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) normalised RGB -> (B, D, H/4, W/4), unit length along D."""
        at4 = self.stage4(self.stem(image))  # (B, c4, H/4, W/4)
        at8 = self.stage8(at4)  # (B, c8, H/8, W/8)
        at16 = self.stage16(at8)  # (B, c16, H/16, W/16)
        at8 = self.merge8(at8 + double(self.lateral16(at16)))
        at4 = self.merge4(self.lateral4(at4) + double(self.lateral8(at8)))  # (B, D, H/4, W/4)
        return F.normalize(self.head(at4), dim=1)


class Residual(nn.Module):
    """Two 3x3 convolutions and a skip connection; see `conv`."""

    def __init__(self, channels: int, normalised: bool = True) -> None:
        super().__init__()
        self.first = conv(channels, channels, normalised=normalised)
        self.second = conv(channels, channels, normalised=normalised)[:-1]

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))

    def quieten(self) -> None:
        """Start as the identity."""
        nn.init.zeros_(self.second.get_submodule("0").weight)  # type: ignore[arg-type]  # a convolution


def conv(inputs: int, outputs: int, stride: int = 1, normalised: bool = True) -> nn.Sequential:
    """3x3 convolution, batch normalisation or a bias in its place, and ReLU."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=not normalised)
    norms = [nn.BatchNorm2d(outputs)] if normalised else []
    return nn.Sequential(convolution, *norms, nn.ReLU(inplace=True))


def _stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    down: list[tuple[str, nn.Module]] = [("down", conv(inputs, outputs, stride=2))]
    residuals: list[tuple[str, nn.Module]] = [(f"block{i + 1}", Residual(outputs)) for i in range(blocks)]
    return nn.Sequential(OrderedDict(down + residuals))


def double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
