"""Crops of objects at one size for the refiner, and the aggregation of its logits.

The grid is the frame at half the resolution, (h, w). A crop has S x S pixels for an object of any size: the cost per
object is constant, and every shape is known when an engine is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import cv2
import numpy as np

from ..features.preprocess import normalise
from ..geometry import on_grid
from ..models.contract import PIXEL_MEAN, PIXEL_STD
from ..models.settings import CropSettings
from ..types import Crops, Superpixels
from . import _crop_kernels as kernels
from .boxes import find_boxes


class CropChannel(IntEnum):
    """Channels of a crop, in order.

    Colours are normalised as for the embedding. The attention channels are those of `Readout`.

    Examples
    --------
    >>> len(CropChannel)
    11
    """

    RED = 0
    GREEN = 1
    BLUE = 2
    PRIOR = 3
    """Logit of the pixel filter, clipped to PRIOR_SCALE and divided by it."""
    OTHER = 4
    """Probability of the most probable other object."""
    SUPERPIXEL = 5
    """Probability of the pixel's superpixel."""
    LAST = 6
    """Previous mask, warped to this frame by optical flow."""
    NEAREST = 7
    NEAREST_OTHER = 8
    PROTOTYPE = 9
    PROTOTYPE_OTHER = 10


CHANNELS = len(CropChannel)
"""C, the number of channels of a crop."""

PRIOR_SCALE = 5.0
"""Bound of the prior logit, which is then divided by it."""

STRIDE = 4
"""Crop pixels per cell of the features, unless a contract says otherwise."""


SATURATED = 0.9934
"""Probability above which the prior's logit is beyond PRIOR_SCALE."""

LEAST_RIVAL = 1e-3
"""Least probability of another object that a crop's channel `OTHER` reads; below half a step of an INT8 channel."""


class Scene(NamedTuple):
    """A frame after the memory was read.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    superpixels : Superpixels
        Partition of `image`.
    features : (D, h', w') float32
        Map of the embedding.
    probabilities : (N, K + 1) float32
        Of the superpixels.
    attention : (N, K, 4) float32
        See `Readout`.
    planes : (h, w, K + 1) float32
        Probabilities on the grid, to be refined.
    last : (h, w) uint8
        Warped previous mask, as columns of `planes`.

    Examples
    --------
    >>> whole = Superpixels(np.zeros((96, 96), np.int32), np.float32([[48, 48]]), np.int32([9216]))
    >>> planes = np.zeros((48, 48, 2), np.float32)
    >>> planes[8:40, 8:40, 1] = 1
    >>> scene = Scene(
    ...     image=np.zeros((96, 96, 3), np.uint8),
    ...     superpixels=whole,
    ...     features=np.zeros((4, 24, 24), np.float32),
    ...     probabilities=np.float32([[0.5, 0.5]]),
    ...     attention=np.zeros((1, 1, 4), np.float32),
    ...     planes=planes,
    ...     last=np.zeros((48, 48), np.uint8),
    ... )
    >>> cut_out(scene, size=32).images.shape
    (1, 11, 32, 32)
    """

    image: np.ndarray
    superpixels: Superpixels
    features: np.ndarray
    probabilities: np.ndarray
    attention: np.ndarray
    planes: np.ndarray
    last: np.ndarray


def cut_out(
    scene: Scene,
    size: int,
    stride: int = STRIDE,
    least: np.ndarray | None = None,
    settings: CropSettings = CropSettings(),
) -> Crops:
    """Cut the crops of all visible objects.

    Parameters
    ----------
    scene : Scene
    size : int
        S, side of a crop in pixels; a multiple of the stride.
    stride : int
        Crop pixels per cell of the features.
    least : (K, 2) float, optional
        Least width and height of each object's box, cells.
    settings : CropSettings

    Returns
    -------
    Crops

    Examples
    --------
    See `Scene`.
    """
    return cut_boxes(scene, *find_boxes(scene.planes, scene.last, least, settings), size, stride)


def cut_boxes(scene: Scene, objects: np.ndarray, boxes: np.ndarray, size: int, stride: int = STRIDE) -> Crops:
    """Cut the crops of given objects along given boxes; see `cut_out` and `find_boxes`.

    Examples
    --------
    >>> whole = Superpixels(np.zeros((96, 96), np.int32), np.float32([[48, 48]]), np.int32([9216]))
    >>> planes = np.full((48, 48, 2), 0.5, np.float32)
    >>> image, features = np.zeros((96, 96, 3), np.uint8), np.zeros((4, 24, 24), np.float32)
    >>> last = np.zeros((48, 48), np.uint8)
    >>> scene = Scene(image, whole, features, np.float32([[0.5, 0.5]]), np.zeros((1, 1, 4), np.float32), planes, last)
    >>> cut_boxes(scene, np.array([1]), np.array([[0, 0, 20, 20]]), 16).features.shape
    (1, 4, 4, 4)
    """
    images = np.empty((len(objects), CHANNELS, size, size), np.float32)
    h, w = scene.planes.shape[:2]
    scale = np.array([scene.image.shape[1] / w, scene.image.shape[0] / h])
    for colours, box in zip(images, boxes, strict=True):
        normalise(_colours(scene.image, box, scale, size), PIXEL_MEAN, PIXEL_STD, colours[: CropChannel.PRIOR])
    kernels.fill(
        images, objects, boxes, scale, scene.superpixels.labels, scene.probabilities, scene.attention, scene.planes,
        scene.last, int(CropChannel.PRIOR), np.float32(PRIOR_SCALE), SATURATED, LEAST_RIVAL,
    )  # fmt: skip
    return Crops(scene.planes, objects, boxes, images, cut_map(scene.features, boxes, (h, w), size // stride))


def cut_map(features: np.ndarray, boxes: np.ndarray, grid: tuple[int, int], side: int) -> np.ndarray:
    """Cut a map of the whole frame, (D, h', w') float32, along boxes of the grid (h, w), (V, D, side, side).

    Examples
    --------
    >>> features = np.arange(4, dtype=np.float32).reshape(1, 2, 2)
    >>> cut_map(features, np.array([[0, 0, 4, 4]]), (4, 4), 2)[0, 0]
    array([[0., 1.],
           [2., 3.]], dtype=float32)
    """
    crops = np.empty((len(boxes), len(features), side, side), np.float32)
    kernels.fill_features(crops, boxes, features, *grid)
    return crops


def put_back(crops: Crops, logits: np.ndarray) -> np.ndarray:
    """Merge the refiner's logits into the probabilities on the grid, (h, w, K + 1) float32.

    Objects are merged by soft aggregation of their odds (Oh et al., STM, 2019, section 3.4). Cells outside of all boxes
    keep their probabilities.

    Parameters
    ----------
    crops : Crops
        As they were refined.
    logits : (V, S, S) float32

    Examples
    --------
    >>> planes = np.full((2, 2, 2), 0.5, np.float32)
    >>> empty = np.zeros((1, 0, 1, 1), np.float32)
    >>> crops = Crops(planes, np.array([1]), np.array([[0, 0, 1, 2]]), empty, empty)
    >>> put_back(crops, np.full((1, 4, 4), 9, np.float32))[..., 1].round(1)
    array([[1. , 0.5],
           [1. , 0.5]], dtype=float32)
    """
    refined = crops.planes.copy()
    merge(refined, [(crops, logits)])
    return refined


def merge(planes: np.ndarray, parts: Sequence[tuple[Crops, np.ndarray]]) -> None:
    """Merge the logits of crops of several sizes into the grid's probabilities, in place; see `put_back`.

    Parameters
    ----------
    planes : (h, w, K + 1) float32
    parts : pairs of crops and their (V, S, S) float32 logits, one pair per size S

    Examples
    --------
    >>> planes = np.full((2, 2, 2), 0.5, np.float32)
    >>> empty = np.zeros((1, 0, 1, 1), np.float32)
    >>> crops = Crops(planes, np.array([1]), np.array([[0, 0, 1, 2]]), empty, empty)
    >>> merge(planes, [(crops, np.full((1, 4, 4), 9, np.float32))])
    >>> planes[..., 1].round(1).tolist()
    [[1.0, 0.5], [1.0, 0.5]]
    """
    objects, boxes = (np.concatenate([getattr(crops, name) for crops, _ in parts]) for name in ("objects", "boxes"))
    sizes = np.concatenate([np.full(len(logits), logits.shape[1]) for _, logits in parts])
    most = int(sizes.max())
    padded = [np.pad(logits, ((0, 0), *[(0, most - logits.shape[1])] * 2)) for _, logits in parts]
    kernels.aggregate(planes, objects, boxes, np.concatenate(padded), sizes, np.float32(1e-3))


def average(planes: np.ndarray, superpixels: Superpixels, otherwise: np.ndarray) -> np.ndarray:
    """Average the grid's probabilities over each superpixel, (N, classes).

    Parameters
    ----------
    planes : (h, w, K + 1) float32
    superpixels : Superpixels
    otherwise : (N, classes) float32
        At most K + 1 columns; only the first classes are averaged.
        Values of superpixels that contain no cell's centre.

    Examples
    --------
    >>> whole = Superpixels(np.zeros((2, 4), np.int32), np.zeros((1, 2), np.float32), np.array([8], np.int32))
    >>> average(np.float32([[[1, 0], [0, 1]]]), whole, np.zeros((1, 2), np.float32)).tolist()
    [[0.5, 0.5]]
    """
    sums, cells = kernels.sums(planes, on_grid(superpixels.labels), len(superpixels.areas), otherwise.shape[1])
    return np.where(cells[:, None] > 0, sums / np.maximum(cells, 1)[:, None], otherwise)


def _colours(image: np.ndarray, box: np.ndarray, scale: np.ndarray, size: int) -> np.ndarray:
    """Resize the image inside a box to (S, S, 3) uint8."""
    left, right = np.rint(box[[0, 2]] * scale[0]).astype(int)
    top, bottom = np.rint(box[[1, 3]] * scale[1]).astype(int)
    part = image[top:bottom, left:right]
    shrinks = part.shape[0] * part.shape[1] > size * size
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
