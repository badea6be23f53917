"""Saliency network: a small network that predicts the salient object of a photograph."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shls.runtime.models.contract import PIXEL_MEAN, PIXEL_STD

SIDE = 128  # side of the network's input in pixels; images are resized without keeping the aspect ratio
MAP = SIDE // 2  # side of the network's output in pixels
WIDTHS = 16, 32, 64, 96, 128  # channels at strides 2, 4, 8, 16, 32
FUSED = 32  # channels of the decoder


class SaliencyNet(nn.Module):
    """Encoder down to 4x4 cells with a global receptive field, and a light decoder; 0.5 M parameters, 60 MMAC.

    Parameters
    ----------
    lessons : int
        Number of training stills.

    Attributes
    ----------
    average : (lessons, MAP, MAP) uint8 Tensor
        Running average of the network's predictions for each training still.

    Examples
    --------
    >>> SaliencyNet().eval()(torch.zeros(1, 3, SIDE, SIDE)).shape
    torch.Size([1, 64, 64])
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
        """Map normalised images, (B, 3, S, S), to logits, (B, S / 2, S / 2)."""
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
    """Resize an image of any size to the network's input size.

    Parameters
    ----------
    image : (H, W, 3) uint8
        Image of any size and aspect ratio.

    Returns
    -------
    (SIDE, SIDE, 3) uint8 array
        Image with the aspect ratio changed to 1.

    Examples
    --------
    >>> squash(np.zeros((30, 40, 3), np.uint8)).shape
    (128, 128, 3)
    """
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def normalise(images: Tensor) -> Tensor:
    """Normalise RGB images to the networks' input range.

    Parameters
    ----------
    images : (B, S, S, 3) uint8 Tensor
        RGB images.

    Returns
    -------
    (B, 3, S, S) float32 Tensor
        Zero mean and unit variance per channel on natural images; channels last in memory.

    Examples
    --------
    >>> normalise(torch.zeros(2, 8, 8, 3, dtype=torch.uint8)).shape
    torch.Size([2, 3, 8, 8])
    """
    return images.float().sub_(torch.tensor(PIXEL_MEAN)).div_(torch.tensor(PIXEL_STD)).permute(0, 3, 1, 2)


@torch.inference_mode()
def predict(network: SaliencyNet, image: np.ndarray) -> np.ndarray:
    """Predict the saliency of an image, averaged over the image and its mirror image.

    Parameters
    ----------
    network : SaliencyNet
        Network in evaluation mode.
    image : (H, W, 3) uint8
        RGB image of any size.

    Returns
    -------
    (MAP, MAP) float32 array
        Probability of the salient object, 0 to 1.

    Examples
    --------
    >>> predict(SaliencyNet().eval(), np.zeros((30, 40, 3), np.uint8)).shape
    (64, 64)
    """
    views = normalise(torch.from_numpy(squash(image))[None])
    original, mirrored = torch.sigmoid(network(torch.cat([views, views.flip(3)])))
    return ((original + mirrored.flip(1)) / 2).numpy()


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )
