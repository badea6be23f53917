"""The embedding network `shls-edge`: from a frame to a dense map of unit vectors at stride 4.

The network uses only 3x3 and 1x1 convolutions, ReLU and residual additions. Every engine builder can fuse and
quantise all of these operations.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from shls.runtime.models.contract import Head
from shls.runtime.models.settings import MemorySettings

from .pooling import pool


class Embedding(nn.Module):
    """Base class of embedding networks, whose dense feature map is pooled over superpixels.

    Attributes
    ----------
    dim : int
        D, length of a superfeature.
    stride : int
        Frame pixels per cell of the feature map.
    size_multiple : int
        Height and width of a frame must be multiples of this number.
    memory : MemorySettings
        Memory settings that suit the network's features.

    Examples
    --------
    >>> issubclass(EdgeNet, Embedding)
    True
    """

    dim: int
    stride: ClassVar[int]
    size_multiple: ClassVar[int]
    memory: ClassVar[MemorySettings] = MemorySettings()

    def superfeatures(self, features: Tensor, labels: Tensor, number: int) -> Tensor:
        """Compute superfeatures as the runtime does, with gradient.

        Parameters
        ----------
        features : (B, C, h, w)
            Output of the network, in float32.
        labels : (B, H, W) int64
            Superpixel labels of each frame, from 0 on.
        number : int
            N, larger than every label.

        Returns
        -------
        (B, N, D) Tensor
            Vectors of unit length; zeros for labels that a frame does not contain.
        """
        return F.normalize(pool(features, labels, number), dim=2)

    def fold_head(self) -> Head | None:
        """Return the projection that follows pooling, for export; None if only normalisation follows."""
        return None


class EdgeNet(Embedding):
    """Embedding network with three stages (strides 4, 8, 16), fused top-down into one map at stride 4.

    Parameters
    ----------
    dim : int
        D, length of a superfeature.
    widths : tuple of int
        Channels of the stem (stride 2) and of the stages at strides 4, 8 and 16.
    blocks : tuple of int
        Residual blocks per stage.

    Examples
    --------
    >>> import torch
    >>> EdgeNet().eval()(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 64, 16, 24])
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
        """Map normalised RGB, (B, 3, H, W), to features of unit length, (B, D, H/4, W/4)."""
        at4 = self.stage4(self.stem(image))  # (B, c4, H/4, W/4)
        at8 = self.stage8(at4)  # (B, c8, H/8, W/8)
        at16 = self.stage16(at8)  # (B, c16, H/16, W/16)
        at8 = self.merge8(at8 + double(self.lateral16(at16)))
        at4 = self.merge4(self.lateral4(at4) + double(self.lateral8(at8)))  # (B, D, H/4, W/4)
        return F.normalize(self.head(at4), dim=1)


class Residual(nn.Module):
    """Residual block: two 3x3 convolutions and a skip connection.

    Parameters
    ----------
    channels : int
        Input and output channels.
    normalised : bool
        Batch normalisation after each convolution; otherwise the convolutions have a bias.

    Examples
    --------
    >>> import torch
    >>> Residual(8)(torch.zeros(1, 8, 4, 4)).shape
    torch.Size([1, 8, 4, 4])
    """

    def __init__(self, channels: int, normalised: bool = True) -> None:
        super().__init__()
        self.first = conv(channels, channels, normalised=normalised)
        self.second = conv(channels, channels, normalised=normalised)[:-1]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C, h, w)."""
        return F.relu(x + self.second(self.first(x)))

    def quieten(self) -> None:
        """Set the last weights to zero, so that the block starts as the identity."""
        nn.init.zeros_(self.second.get_submodule("0").weight)  # type: ignore[arg-type]  # a convolution


def conv(inputs: int, outputs: int, stride: int = 1, normalised: bool = True) -> nn.Sequential:
    """Build a 3x3 convolution with batch normalisation (or a bias) and ReLU.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    stride : int
        Stride of the convolution.
    normalised : bool
        Batch normalisation after the convolution; otherwise the convolution has a bias.

    Examples
    --------
    >>> [type(layer).__name__ for layer in conv(3, 8, normalised=False)]
    ['Conv2d', 'ReLU']
    """
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=not normalised)
    norms = [nn.BatchNorm2d(outputs)] if normalised else []
    return nn.Sequential(convolution, *norms, nn.ReLU(inplace=True))


def _stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    down: list[tuple[str, nn.Module]] = [("down", conv(inputs, outputs, stride=2))]
    residuals: list[tuple[str, nn.Module]] = [(f"block{i + 1}", Residual(outputs)) for i in range(blocks)]
    return nn.Sequential(OrderedDict(down + residuals))


def double(x: Tensor) -> Tensor:
    """Double height and width of a map by nearest-neighbour interpolation.

    Examples
    --------
    >>> import torch
    >>> double(torch.tensor([[[[1.0, 2.0]]]])).tolist()
    [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]
    """
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
