"""The refiner of `shls-edge`: from an object's crop and the memory's prediction to a logit per pixel.

The refiner is a small U-Net at half the crop's resolution with a thin output layer at full resolution. The output is
a correction that is added to the memory's logit; an untrained refiner is therefore the identity.
Like the embedding, the refiner uses only convolutions, ReLU and residual additions. It has no batch normalisation,
because the crops of a few clips have unrepresentative statistics.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from shls.runtime.models.contract import RefinerContract
from shls.runtime.refinement.crops import CHANNELS, PRIOR_SCALE, STRIDE, CropChannel
from shls.runtime.refinement.reference_frames import channels

from .edge import Residual, conv, double


class RefinerNetwork(nn.Module):
    """Base class of refiners, which predict the mask of one object in its crop.

    Attributes
    ----------
    dim : int
        D, channels of the embedding's feature map.
    stride : int
        Crop pixels per cell of the features.
    past : bool
        True if the refiner also reads the reference frame and the previous frame; see
        `shls.runtime.refinement.reference_frames`.
    size_multiple : int
        The side of a crop must be a multiple of this number.

    Examples
    --------
    >>> issubclass(EdgeRefiner, RefinerNetwork)
    True
    """

    dim: int
    stride: ClassVar[int]
    past: ClassVar[bool]
    size_multiple: ClassVar[int]


def plain_conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Build a 3x3 convolution with bias and ReLU; see `shls_train.models.edge.conv`.

    Examples
    --------
    >>> [type(layer).__name__ for layer in plain_conv(3, 8)]
    ['Conv2d', 'ReLU']
    """
    return conv(inputs, outputs, stride, normalised=False)


def start(network: RefinerNetwork) -> None:
    """Initialise a refiner in place: variance-preserving weights (He et al. 2015) and zero biases.

    Examples
    --------
    >>> network = EdgeRefiner()
    >>> start(network)
    >>> bool(network.head.bias.eq(0).all())
    True
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # there is one
        elif isinstance(module, Residual):
            module.quieten()  # no effect: `modules` yields the block's convolutions after the block itself


def contract_of(
    network: RefinerNetwork, name: str, size: int, checkpoint_sha256: str = "", embedding_sha256: str = ""
) -> RefinerContract:
    """Build the contract of a refiner.

    Parameters
    ----------
    network : RefinerNetwork
        Refiner to describe.
    name : str
        Name of the network, for example "shls-edge-refiner".
    size : int
        S, side of a crop in pixels.
    checkpoint_sha256, embedding_sha256 : str
        Digests of the refiner's and the embedding's weights; empty during training.

    Returns
    -------
    RefinerContract
        Shapes and channels that the network reads.

    Examples
    --------
    >>> contract_of(EdgeRefiner(), "shls-edge-refiner", 224).dim
    64
    """
    return RefinerContract(
        name,
        size,
        channels(network.past),
        network.dim,
        checkpoint_sha256,
        embedding_sha256,
        stride=network.stride,
        past=network.past,
    )


class EdgeRefiner(RefinerNetwork):
    """Refiner with stages at strides 2, 4, 8 and 16 of the crop, fused top-down; features enter at stride 4.

    Source: the inputs are those of the SHLS segmenter (attention maps, last mask, features), which needs 40 times the
    arithmetic. The architecture is a U-Net (Ronneberger et al. 2015).

    Parameters
    ----------
    dim : int
        D, length of a superfeature.
    widths : tuple of int
        Channels at strides 2, 4, 8 and 16.
    fine : int
        Channels at stride 1.

    Examples
    --------
    >>> crops, features = torch.zeros(2, CHANNELS, 32, 32), torch.zeros(2, 64, 8, 8)
    >>> EdgeRefiner()(crops, features).shape
    torch.Size([2, 32, 32])
    """

    stride, past, size_multiple = STRIDE, False, 16  # the coarsest stage has stride 16

    def __init__(self, dim: int = 64, widths: tuple[int, int, int, int] = (16, 32, 64, 96), fine: int = 8) -> None:
        super().__init__()
        c2, c4, c8, c16 = widths
        self.dim = dim
        self.stem = plain_conv(CHANNELS, c2, stride=2)
        self.block2 = plain_conv(c2, c2)
        self.down4 = plain_conv(c2, c4, stride=2)
        self.features4 = nn.Conv2d(dim, c4, 1)
        self.block4 = Residual(c4, False)
        self.down8 = plain_conv(c4, c8, stride=2)
        self.block8 = Residual(c8, False)
        self.down16 = plain_conv(c8, c16, stride=2)
        self.block16 = Residual(c16, False)
        self.lateral16 = nn.Conv2d(c16, c8, 1)
        self.merge8 = plain_conv(c8, c8)
        self.lateral8 = nn.Conv2d(c8, c4, 1)
        self.merge4 = plain_conv(c4, c4)
        self.lateral4 = nn.Conv2d(c4, c2, 1)
        self.merge2 = plain_conv(c2, c2)
        self.lateral2 = nn.Conv2d(c2, fine, 1)
        self.lateral1 = plain_conv(CHANNELS, fine)
        self.merge1 = plain_conv(fine, fine)
        self.head = nn.Conv2d(fine, 1, 3, padding=1)
        start(self)
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.features4.weight *= dim**0.5  # its inputs are of unit length, not of unit variance

    def forward(self, crops: Tensor, features: Tensor) -> Tensor:
        """Map crops, (K, C, S, S), and features, (K, D, S/4, S/4), to logits, (K, S, S).

        `shls.runtime.refinement.crops` defines the channels of a crop.
        """
        at2 = self.block2(self.stem(crops))  # (K, c2, S/2, S/2)
        at4 = self.block4(self.down4(at2) + self.features4(features))  # (K, c4, S/4, S/4)
        at8 = self.block8(self.down8(at4))  # (K, c8, S/8, S/8)
        at16 = self.block16(self.down16(at8))  # (K, c16, S/16, S/16)
        at8 = self.merge8(at8 + double(self.lateral16(at16)))
        at4 = self.merge4(at4 + double(self.lateral8(at8)))
        at2 = self.merge2(at2 + double(self.lateral4(at4)))
        at1 = self.merge1(self.lateral1(crops) + double(self.lateral2(at2)))  # (K, fine, S, S)
        logits: Tensor = self.head(at1)[:, 0] + crops[:, CropChannel.PRIOR] * PRIOR_SCALE  # (K, S, S)
        return logits
