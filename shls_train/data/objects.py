"""What the published loss sees: frames of synthetic clips, cut into superpixels that belong to objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from shls.runtime.models.contract import SuperpixelSettings
from shls.runtime.superpixels.slic import cut_along, slic
from shls.runtime.types import Superpixels

from ..losses.nt_xent import draw_triplets
from .clips import Clip
from .views import Rng

COMPACTNESS = 20.0
"""Of the superpixels in training, as published."""


class Objects(NamedTuple):
    """Superpixels of F frames, N in each, and triplets of them; frames with fewer superpixels leave the last ones out.

    labels : (F, H, W) int64, 0..N-1 in each frame
    triplets : (A, 1 + 2 T) int64, indices of superpixels over all frames, f * N + n; see `draw_triplets`
    number : N
    """

    labels: Tensor
    triplets: Tensor
    number: int


class Cut(NamedTuple):
    """A frame's superpixels, (H, W) int32 labels, and triplets of them, (A, 1 + 2 T)."""

    labels: np.ndarray
    triplets: np.ndarray


def cut_frames(clip: Clip, superpixels: int, triplets: int, rng: Rng) -> list[Cut]:
    """Cut every frame of a clip into superpixels and draw triplets within it.

    Superpixels are cut along the objects' outlines, so that each belongs to one object.

    Parameters
    ----------
    superpixels : wanted number per frame, before they are cut
    triplets : T, per anchor
    """
    settings = SuperpixelSettings(superpixels, COMPACTNESS)
    cuts = [cut_along(slic(frame, settings), objects) for frame, objects in zip(clip.frames, clip.labels, strict=True)]
    return [
        Cut(cut.labels, draw_triplets(_owners(cut, objects), triplets, rng))
        for cut, objects in zip(cuts, clip.labels, strict=True)
    ]


def join(cuts: Sequence[Cut]) -> Objects:
    """Number the superpixels of frames of one size in one row."""
    number = 1 + max(int(cut.labels.max()) for cut in cuts)
    triplets = np.concatenate([cut.triplets + frame * number for frame, cut in enumerate(cuts)])
    labels = np.stack([cut.labels for cut in cuts]).astype(np.int64)
    return Objects(torch.from_numpy(labels), torch.from_numpy(triplets), number)


def _owners(superpixels: Superpixels, objects: np.ndarray) -> np.ndarray:
    """(N,) the object of each superpixel, which lies within one."""
    owners = np.zeros(len(superpixels.areas), np.int64)
    owners[superpixels.labels.ravel()] = objects.ravel()
    return owners
