"""Training samples of the NT-Xent loss: superpixels of synthetic clips, and triplets of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from shls.runtime.models.settings import SuperpixelSettings
from shls.runtime.superpixels.slic import cut_along, slic
from shls.runtime.types import Superpixels

from ..losses.nt_xent import draw_triplets
from .clips import Clip
from .views import Rng

COMPACTNESS = 20.0
"""Compactness of the superpixels in training, as published."""


class Objects(NamedTuple):
    """Superpixels and triplets of F frames.

    Attributes
    ----------
    labels : (F, H, W) int64 Tensor
        Superpixel labels, 0 to N - 1 in each frame.
    triplets : (A, 1 + 2 T) int64 Tensor
        Triplets of superpixels; superpixel n of frame f has the index ``f * N + n``. See `draw_triplets`.
    number : int
        N, largest number of superpixels of a frame. Other frames do not use all labels.

    Examples
    --------
    >>> join([Cut(np.zeros((4, 4), np.int32), np.zeros((0, 3), np.int64))]).number
    1
    """

    labels: Tensor
    triplets: Tensor
    number: int


class Cut(NamedTuple):
    """Superpixels and triplets of one frame.

    Attributes
    ----------
    labels : (H, W) int32 array
        Superpixel labels.
    triplets : (A, 1 + 2 T) int64 array
        Triplets of superpixels; see `draw_triplets`.

    Examples
    --------
    >>> Cut(np.zeros((4, 4), np.int32), np.zeros((0, 3), np.int64)).labels.shape
    (4, 4)
    """

    labels: np.ndarray
    triplets: np.ndarray


def cut_frames(clip: Clip, superpixels: int, triplets: int, rng: Rng) -> list[Cut]:
    """Compute superpixels of every frame of a clip and draw triplets within each frame.

    Superpixels are cut along the objects' outlines, so that each superpixel belongs to one object.

    Parameters
    ----------
    clip : Clip
        Frames and labels.
    superpixels : int
        Number of superpixels per frame before the cut.
    triplets : int
        T, positives and negatives per anchor.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    list of Cut
        One entry per frame.

    Examples
    --------
    >>> frame, label = np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 32, 32), np.uint8)
    >>> label[0, :, 16:] = 1
    >>> (cut,) = cut_frames(Clip(frame, label, []), 16, 2, np.random.default_rng(0))
    >>> cut.triplets.shape[1]
    5
    """
    settings = SuperpixelSettings(superpixels, COMPACTNESS)
    cuts = [cut_along(slic(frame, settings), objects) for frame, objects in zip(clip.frames, clip.labels, strict=True)]
    return [
        Cut(cut.labels, draw_triplets(_owners(cut, objects), triplets, rng))
        for cut, objects in zip(cuts, clip.labels, strict=True)
    ]


def join(cuts: Sequence[Cut]) -> Objects:
    """Stack frames of one size into one batch with consecutive superpixel indices.

    Parameters
    ----------
    cuts : sequence of Cut
        Superpixels and triplets of each frame.

    Returns
    -------
    Objects
        Labels and triplets of all frames.

    Examples
    --------
    >>> cut = Cut(np.array([[0, 1], [0, 2]], np.int32), np.array([[0, 1, 2]]))
    >>> join([cut, cut]).triplets.tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    number = 1 + max(int(cut.labels.max()) for cut in cuts)
    triplets = np.concatenate([cut.triplets + frame * number for frame, cut in enumerate(cuts)])
    labels = np.stack([cut.labels for cut in cuts]).astype(np.int64)
    return Objects(torch.from_numpy(labels), torch.from_numpy(triplets), number)


def _owners(superpixels: Superpixels, objects: np.ndarray) -> np.ndarray:
    """Object id of each superpixel, (N,) int64."""
    owners = np.zeros(len(superpixels.areas), np.int64)
    owners[superpixels.labels.ravel()] = objects.ravel()
    return owners
