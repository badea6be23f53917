"""Calls of all kernels of SLIC on tiny inputs, in two parts that can be compiled at the same time."""

from __future__ import annotations

import numpy as np

from ..models.settings import SuperpixelSettings
from . import _warm_start
from ._connectivity import connect
from ._run_lengths import allocate
from .slic import SuperpixelTracker, cut_along

LABELS = 60


def compile_tracker(image: np.ndarray) -> None:
    """Follow superpixels from one frame to the next, and cut them along a mask.

    Parameters
    ----------
    image : (H, W, 3) uint8, W a multiple of 16

    Examples
    --------
    >>> compile_tracker(np.zeros((32, 48, 3), np.uint8))
    """
    size = image.shape[:2]
    tracker = SuperpixelTracker(SuperpixelSettings(count=LABELS))
    tracker.step(image)
    cut_along(tracker.step(image), np.zeros(size, np.uint8))
    one, area = np.zeros((1, 5), np.int16), np.array([size[0] * size[1]], np.int32)
    _warm_start.split(np.zeros(size, np.uint16), one, area, 2, 1.5, size[1])


def compile_regions(image: np.ndarray) -> None:
    """Connect the labels of a frame, as the tracker does in the end.

    Parameters
    ----------
    image : (H, W, 3) uint8, W a multiple of 16

    Examples
    --------
    >>> compile_regions(np.zeros((32, 48, 3), np.uint8))
    """
    size = image.shape[:2]
    labels = np.random.default_rng(0).integers(0, LABELS, size).astype(np.uint16)
    planes, centres = np.zeros((3, *size), np.uint8), np.zeros((LABELS, 5), np.int16)
    connect(labels, planes, centres[:, 2:], allocate(*size), LABELS, 2.0, chunks=1, every=4)
