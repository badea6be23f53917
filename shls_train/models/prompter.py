"""The prompter of `shls-edge`: from a crop, a prompt and the embedding's features to a logit per pixel.

The prompter is a U-Net at half the crop's resolution. Its output is a correction of the linear function of the features
that `shls.runtime.prompts.crop` fits to the prompt. Like the refiner, it uses only convolutions, ReLU and residual
additions, without batch normalisation.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from shls.runtime.models.contract import PrompterContract
from shls.runtime.prompts.crop import PromptChannel

from .edge import Residual, double
from .edge_refiner import plain_conv

SIMILARITIES = 3
"""Channels of the features after those of the embedding; the last is the linear function."""

PRIOR_SCALE = 3.0
"""Logit at the largest value of the linear function."""


class PrompterNetwork(nn.Module):
    """Prompter with stages at strides 2, 4, 8, 16 and 32 of the crop, fused top-down; features enter at stride 4.

    Source: U-Net (Ronneberger et al. 2015); the previous mask as an input: Sofiiuk et al. 2022.

    Parameters
    ----------
    dim : int
        D, channels of the embedding's map.
    widths : tuple of int
        Channels at strides 2, 4, 8, 16 and 32.

    Examples
    --------
    >>> network = PrompterNetwork()
    >>> network(torch.zeros(1, 7, 64, 64), torch.zeros(1, 67, 16, 16)).shape
    torch.Size([1, 32, 32])
    """

    stride: ClassVar[int] = 4
    size_multiple: ClassVar[int] = 32

    def __init__(self, dim: int = 64, widths: tuple[int, int, int, int, int] = (16, 40, 64, 72, 64)) -> None:
        super().__init__()
        self.dim = dim
        c2, c4, c8, c16, c32 = widths
        self.stem = plain_conv(len(PromptChannel), c2, stride=2)
        self.block2 = plain_conv(c2, c2)
        self.down4 = plain_conv(c2, c4, stride=2)
        self.features4 = nn.Conv2d(dim + SIMILARITIES, c4, 1)
        self.block4 = Residual(c4, False)
        self.down8 = plain_conv(c4, c8, stride=2)
        self.block8 = nn.Sequential(Residual(c8, False), Residual(c8, False))
        self.down16 = plain_conv(c8, c16, stride=2)
        self.block16 = Residual(c16, False)
        self.down32 = plain_conv(c16, c32, stride=2)
        self.block32 = Residual(c32, False)
        self.lateral32 = nn.Conv2d(c32, c16, 1)
        self.merge16 = plain_conv(c16, c16)
        self.lateral16 = nn.Conv2d(c16, c8, 1)
        self.merge8 = plain_conv(c8, c8)
        self.lateral8 = nn.Conv2d(c8, c4, 1)
        self.merge4 = plain_conv(c4, c4)
        self.lateral4 = nn.Conv2d(c4, c2, 1)
        self.merge2 = plain_conv(c2, c2)
        self.head = nn.Conv2d(c2, 1, 3, padding=1)
        _start(self)

    def forward(self, crops: Tensor, features: Tensor) -> Tensor:
        """Map crops, (V, C, S, S), and features, (V, D + 3, S/4, S/4), to logits, (V, S/2, S/2).

        `shls.runtime.prompts.crop` defines the channels.
        """
        at2 = self.block2(self.stem(crops))  # (V, c2, S/2, S/2)
        at4 = self.block4(self.down4(at2) + self.features4(features))  # (V, c4, S/4, S/4)
        at8 = self.block8(self.down8(at4))  # (V, c8, S/8, S/8)
        at16 = self.block16(self.down16(at8))  # (V, c16, S/16, S/16)
        at32 = self.block32(self.down32(at16))  # (V, c32, S/32, S/32)
        at16 = self.merge16(at16 + double(self.lateral32(at32)))
        at8 = self.merge8(at8 + double(self.lateral16(at16)))
        at4 = self.merge4(at4 + double(self.lateral8(at8)))
        at2 = self.merge2(at2 + double(self.lateral4(at4)))
        prior = double(features[:, -1:])[:, 0]  # (V, S/2, S/2)
        logits: Tensor = self.head(at2)[:, 0] + prior * PRIOR_SCALE
        return logits


def contract_of(
    network: PrompterNetwork, size: int, checkpoint_sha256: str = "", embedding_sha256: str = ""
) -> PrompterContract:
    """Build the contract of a prompter for crops of side `size`; the digests are empty during training.

    Examples
    --------
    >>> contract_of(PrompterNetwork(), 192).dim
    64
    """
    return PrompterContract(
        "shls-edge-prompter", size, len(PromptChannel), network.dim, checkpoint_sha256, embedding_sha256, SIMILARITIES
    )


def _start(network: PrompterNetwork) -> None:
    """Initialise in place: variance-preserving weights, residual blocks as the identity, and a head of zeros."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # there is one
    for module in network.modules():
        if isinstance(module, Residual):
            module.quieten()
    nn.init.zeros_(network.head.weight)
    with torch.no_grad():
        network.features4.weight *= network.dim**0.5  # its inputs are of unit length, not of unit variance
        network.features4.weight[:, network.dim :] *= network.dim**-0.5
