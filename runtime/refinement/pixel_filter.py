"""Pixel filter: from probabilities per superpixel to probabilities per pixel, and to the mask.

Where neighbouring superpixels disagree, each pixel averages the superpixels around it, weighted by similarity of
colour and by distance: a bilateral filter whose support is superpixels. It works on the half-resolution grid; a
binomial filter removes speckle. The mask is decided at the frame's own resolution from bilinearly interpolated
probabilities.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..geometry import grid_of, on_grid
from ..models.settings import PixelFilterSettings
from ..types import Mask, Superpixels
from . import _pixel_kernels as kernels


def spread(
    probabilities: np.ndarray,
    superpixels: Superpixels,
    image: np.ndarray,
    settings: PixelFilterSettings = PixelFilterSettings(),
) -> np.ndarray:
    """Filter the probabilities of superpixels on the half-resolution grid.

    Parameters
    ----------
    probabilities : (N, K + 1) float32
        Column 0 is the background.
    superpixels : Superpixels
    image : (H, W, 3) uint8 RGB
        Image that the superpixels partition.
    settings : PixelFilterSettings

    Returns
    -------
    (h, w, K + 1) float32

    Examples
    --------
    >>> labels = np.repeat(np.int32([[0, 1]]), 8, axis=1).repeat(16, axis=0)
    >>> superpixels = Superpixels(labels, np.float32([[3.5, 7.5], [11.5, 7.5]]), np.int32([128, 128]))
    >>> image = np.where(labels[..., None] == 0, np.uint8([255, 0, 0]), np.uint8([0, 0, 255])).astype(np.uint8)
    >>> spread(np.eye(2, dtype=np.float32), superpixels, image).shape
    (8, 8, 2)
    """
    height, width = superpixels.labels.shape
    h, w = grid_of((height, width))
    colours = cv2.cvtColor(cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2LAB)
    labels = on_grid(superpixels.labels)
    spacing = max(1.0, (height * width / len(superpixels.areas)) ** 0.5)
    side = settings.reach * spacing
    columns, rows = int(width / side) + 1, int(height / side) + 1
    bucket = (superpixels.centres // side).astype(np.int64) @ np.array([1, columns])
    order = np.argsort(bucket, kind="stable").astype(np.int32)
    starts = np.searchsorted(bucket[order], np.arange(rows * columns + 1)).astype(np.int32)
    disputed, varying = kernels.disputed(probabilities, bucket, order, starts, columns, settings.agreement)
    means = kernels.mean_colours(colours, labels, len(superpixels.areas))
    planes = kernels.ask(
        labels, colours, superpixels.centres, means, probabilities, disputed, varying, order,
        starts, columns, side, width / w, height / h,
        np.float32(0.5 / settings.color_sigma**2), np.float32(0.5 / (settings.space_sigma * spacing) ** 2),
    )  # fmt: skip
    return kernels.smooth(planes, labels, disputed)


def decide(planes: np.ndarray, size: tuple[int, int]) -> Mask:
    """Decide the mask of a frame; object ids are 1 to K.

    Parameters
    ----------
    planes : (h, w, K + 1) float32
        Probabilities on the grid.
    size : (height, width)
        Resolution of the mask, pixels; the frame's own.

    Returns
    -------
    Mask

    Examples
    --------
    >>> planes = np.float32([[[0.9, 0.1], [0.2, 0.8]]])
    >>> decide(planes, (2, 4)).labels
    array([[0, 0, 1, 1],
           [0, 0, 1, 1]], dtype=uint8)
    """
    labels, sums = kernels.decide(planes, size[0], size[1])
    sums = sums.sum(0)
    shares = sums[:, 0] / np.maximum(sums[:, 1], 1)
    return Mask(labels, {c: float(shares[c]) for c in range(1, len(shares))})
