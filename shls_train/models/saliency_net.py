"""The small network that learns from its own smoothed predictions what stands out in a photograph."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shls.runtime.models.contract import PIXEL_MEAN, PIXEL_STD

SIDE = 128  # pixels of the input, into which images are squashed
MAP = SIDE // 2  # pixels of the output
WIDTHS = 16, 32, 64, 96, 128  # channels at strides 2, 4, 8, 16, 32
FUSED = 32  # channels of the way up


class SaliencyNet(nn.Module):
    """Convolutions down to 4x4 cells, which see the whole image, and a light way up; 0.5 M parameters, 60 MMAC.

    Parameters
    ----------
    lessons : stills that it learns from; `average`, (lessons, MAP, MAP) uint8, is what it said of them so far
    """

    average: Tensor

    def __init__(self, lessons: int = 0) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(lessons, MAP, MAP, dtype=torch.uint8))
        before = (3, *WIDTHS[:-1])
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(i, o, 2), _convolution(o, o, 1)) for i, o in zip(before, WIDTHS, strict=True)
        )
        self.side = nn.ModuleList(nn.Conv2d(width, FUSED, 1) for width in WIDTHS)
        self.up = nn.ModuleList(_convolution(FUSED, FUSED, 1) for _ in before[1:])
        self.head = nn.Conv2d(FUSED, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) normalised images to (B, S / 2, S / 2) logits."""
        maps = []
        for stage in self.down:
            images = stage(images)
            maps.append(images)  # (B, C, S / 2^k, S / 2^k)
        x = self.side[-1](maps.pop())
        for side, up in zip(reversed(self.side[:-1]), reversed(self.up), strict=True):
            x = up(F.interpolate(x, scale_factor=2.0) + side(maps.pop()))  # twice the size
        logits: Tensor = self.head(x)[:, 0]
        return logits


def squash(image: np.ndarray) -> np.ndarray:
    """An image of any size to the network's (S, S, 3) uint8."""
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def normalise(images: Tensor) -> Tensor:
    """(B, S, S, 3) uint8 RGB -> (B, 3, S, S) float32, channels last in memory."""
    return images.float().sub_(torch.tensor(PIXEL_MEAN)).div_(torch.tensor(PIXEL_STD)).permute(0, 3, 1, 2)


@torch.inference_mode()
def predict(network: SaliencyNet, image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB to probabilities (MAP, MAP) float32, the mean over the image and its mirror image."""
    views = normalise(torch.from_numpy(squash(image))[None])
    one, mirrored = torch.sigmoid(network(torch.cat([views, views.flip(3)])))
    return ((one + mirrored.flip(1)) / 2).numpy()


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )
