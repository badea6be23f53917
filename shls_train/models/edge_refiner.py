"""The refiner of `shls-edge`: what the memory says of an object's surroundings in, a logit per pixel out.

A small U-Net at half the crop's resolution, and a thin last layer at the whole. It corrects the logit that it is given,
so that it starts as the identity.
As in the embedding: 3x3 convolutions, ReLU and residual additions, so that every builder fuses and quantises all of it.
Tried and dropped: batch normalisation. Crops of a few clips are alike: by their own mean and deviation the network
learned well; by the running ones, which it has in use, it did worse than nothing, and led its own roll-outs astray.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from shls.runtime.models.contract import RefinerContract
from shls.runtime.refinement.crops import CHANNELS, PRIOR, PRIOR_SCALE, STRIDE
from shls.runtime.refinement.reference_frames import channels

from .edge import Residual, conv, double


class RefinerNetwork(nn.Module):
    """Any network that decides the pixels of an object's crop.

    Attributes
    ----------
    dim : D, channels of the embedding's map
    stride : pixels of a crop per cell of its features
    past : whether it reads the marked frame and the last one, too; see `shls.runtime.refinement.reference_frames`
    size_multiple : a crop's side must be a multiple of it
    """

    dim: int
    stride: ClassVar[int]
    past: ClassVar[bool]
    size_multiple: ClassVar[int]


def plain_conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution and ReLU."""
    return conv(inputs, outputs, stride, normalised=False)


def start(network: RefinerNetwork) -> None:
    """Weights that keep the size of what goes through (He et al. 2015); residual blocks do nothing yet."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # there is one
        elif isinstance(module, Residual):
            module.quieten()


def contract_of(
    network: RefinerNetwork, name: str, size: int, checkpoint_sha256: str = "", embedding_sha256: str = ""
) -> RefinerContract:
    """What a network reads, for crops of a size; in training it has no digests yet."""
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
    """Stages at strides 2, 4, 8 and 16 of the crop, fused top-down; the embedding's features come in at stride 4.

    Source: SHLS's segmenter reads the same (attention maps, last mask, features), with 40 times the arithmetic; the
    shape is that of U-Net, Ronneberger et al. 2015.

    Parameters
    ----------
    dim : int
        D, length of a superfeature.
    widths : channels at strides 2, 4, 8 and 16.
    fine : channels at stride 1.
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
        """(K, C, S, S) and (K, D, S/4, S/4) -> (K, S, S) logits; see `shls.runtime.refinement.crops` for the channels."""
        at2 = self.block2(self.stem(crops))  # (K, c2, S/2, S/2)
        at4 = self.block4(self.down4(at2) + self.features4(features))  # (K, c4, S/4, S/4)
        at8 = self.block8(self.down8(at4))  # (K, c8, S/8, S/8)
        at16 = self.block16(self.down16(at8))  # (K, c16, S/16, S/16)
        at8 = self.merge8(at8 + double(self.lateral16(at16)))
        at4 = self.merge4(at4 + double(self.lateral8(at8)))
        at2 = self.merge2(at2 + double(self.lateral4(at4)))
        at1 = self.merge1(self.lateral1(crops) + double(self.lateral2(at2)))  # (K, fine, S, S)
        logits: Tensor = self.head(at1)[:, 0] + crops[:, PRIOR] * PRIOR_SCALE  # (K, S, S)
        return logits
