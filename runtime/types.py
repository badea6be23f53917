"""The values that pass from stage to stage.

Shapes are written with one alphabet everywhere: H W frame, h w network map, C channels, D superfeature length,
N superpixels, K objects, M memory entries. Positions are x, y in frame pixels; object id 0 is the background.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MAX_OBJECTS = 254
"""Object ids are uint8; 0 is the background."""

MIN_PROBABILITY = 1e-4
"""Probabilities are clipped to this before they become odds, which would not be finite otherwise."""


class Frame(NamedTuple):
    """One picture of a video.

    image : (H, W, 3) uint8 RGB
    index : position in the source, from 0
    time : seconds since the source's first frame
    name : the frame's file name without suffix, where it came from a file of its own; else its index, five digits
    """

    image: np.ndarray
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    time: float
    name: str


class Superpixels(NamedTuple):
    """A partition of the frame.

    labels : (H, W) int32, 0..N-1, all present, each 4-connected
    centres : (N, 2) float32, mean x and y of each superpixel
    areas : (N,) int32, pixels
    """

    labels: np.ndarray
    centres: np.ndarray
    areas: np.ndarray


class Mask(NamedTuple):
    """What the segmenter says of one frame.

    labels : (H, W) uint8, object id per pixel, 0 background
    scores : object id -> confidence, mean probability over the object's pixels, 0 where it is not seen
    """

    labels: np.ndarray
    scores: dict[int, float]


class Readout(NamedTuple):
    """What the memory says of a frame's superpixels.

    probabilities : (N, K + 1) float32; rows sum to 1, column 0 is the background
    attention : (N, K, 4) float32, cosines from 0 to 1: of the object's nearest entry and of the nearest entry of
        anything else, among the neighbours that vote, 0 where there is none; of the object's nearest centroid and of
        the nearest other one. Source: the published attention maps, with one neighbour in place of two
    """

    probabilities: np.ndarray
    attention: np.ndarray


class Crops(NamedTuple):
    """V objects of a frame that are visible.

    planes : (h, w, K + 1) float32, what they were cut from
    objects : (V,) int64, columns of `planes`
    boxes : (V, 4) int64, left, top, right, bottom in cells of the grid, the last two exclusive
    images : (V, C, S, S) float32
    features : (V, D, S / stride, S / stride) float32
    """

    planes: np.ndarray
    objects: np.ndarray
    boxes: np.ndarray
    images: np.ndarray
    features: np.ndarray
