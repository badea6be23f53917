"""Crops of objects at one size for the refiner, and the aggregation of its logits.

The grid is the frame at half the resolution, (h, w). A crop has S x S pixels for an object of any size: the cost per
object is constant, and every shape is known when an engine is built.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import cv2
import numpy as np
from numba import njit, prange

from .._support.prange import PRANGE_ONLY
from ..features.preprocess import normalise
from ..models.contract import PIXEL_MEAN, PIXEL_STD
from ..models.settings import CropSettings
from ..types import Crops, Superpixels
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
    objects, boxes = find_boxes(scene.planes, scene.last, least, settings)
    images = np.empty((len(objects), CHANNELS, size, size), np.float32)
    h, w = scene.planes.shape[:2]
    scale = np.array([scene.image.shape[1] / w, scene.image.shape[0] / h])
    for colours, box in zip(images, boxes, strict=True):
        normalise(_colours(scene.image, box, scale, size), PIXEL_MEAN, PIXEL_STD, colours[: CropChannel.PRIOR])
    _fill(
        images, objects, boxes, scale, scene.superpixels.labels, scene.probabilities, scene.attention, scene.planes,
        scene.last, int(CropChannel.PRIOR), np.float32(PRIOR_SCALE),
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
    _fill_features(crops, boxes, features, *grid)
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
    _aggregate(refined, crops.objects, crops.boxes, logits, np.float32(1e-3))
    return refined


def average(planes: np.ndarray, superpixels: Superpixels, otherwise: np.ndarray) -> np.ndarray:
    """Average the grid's probabilities over each superpixel, (N, K + 1).

    Parameters
    ----------
    planes : (h, w, K + 1) float32
    superpixels : Superpixels
    otherwise : (N, K + 1) float32
        Values of superpixels that contain no cell's centre.

    Examples
    --------
    >>> whole = Superpixels(np.zeros((2, 4), np.int32), np.zeros((1, 2), np.float32), np.array([8], np.int32))
    >>> average(np.float32([[[1, 0], [0, 1]]]), whole, np.zeros((1, 2), np.float32)).tolist()
    [[0.5, 0.5]]
    """
    sums, cells = _sums(planes, superpixels.labels, len(superpixels.areas))
    return np.where(cells[:, None] > 0, sums / np.maximum(cells, 1)[:, None], otherwise)


def _colours(image: np.ndarray, box: np.ndarray, scale: np.ndarray, size: int) -> np.ndarray:
    """Resize the image inside a box to (S, S, 3) uint8."""
    left, right = np.rint(box[[0, 2]] * scale[0]).astype(int)
    top, bottom = np.rint(box[[1, 3]] * scale[1]).astype(int)
    part = image[top:bottom, left:right]
    shrinks = part.shape[0] * part.shape[1] > size * size
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


@njit(cache=True, nogil=True)
def _between(at: float, cells: int) -> tuple[int, int, np.float32]:
    """Return the two cells around a place on one axis and the weight of the second."""
    at = min(max(at - 0.5, 0.0), cells - 1.0)
    first = int(at)
    return first, min(first + 1, cells - 1), np.float32(at - first)


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def _fill(
    images: np.ndarray,
    objects: np.ndarray,
    boxes: np.ndarray,
    scale: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    attention: np.ndarray,
    planes: np.ndarray,
    last: np.ndarray,
    prior: int,
    prior_scale: np.float32,
) -> None:
    """Fill all channels from `prior` on."""
    size = images.shape[2]
    h, w, classes = planes.shape
    for row in prange(len(objects) * size):
        v, i = row // size, row % size
        k = objects[v]
        left, top, right, bottom = boxes[v]
        y = top + (i + 0.5) * (bottom - top) / size
        y0, y1, fy = _between(y, h)
        for j in range(size):
            x = left + (j + 0.5) * (right - left) / size
            x0, x1, fx = _between(x, w)
            own, other = np.float32(0), np.float32(0)
            for c in range(1, classes):
                upper = planes[y0, x0, c] * (1 - fx) + planes[y0, x1, c] * fx
                lower = planes[y1, x0, c] * (1 - fx) + planes[y1, x1, c] * fx
                value = upper * (1 - fy) + lower * fy
                if c == k:
                    own = value
                else:
                    other = max(other, value)
            own = min(max(own, np.float32(1e-4)), np.float32(1 - 1e-4))
            logit = np.log(own / (1 - own)) / prior_scale
            n = labels[int(y * scale[1]), int(x * scale[0])]
            images[v, prior, i, j] = min(max(logit, np.float32(-1)), np.float32(1))
            images[v, prior + 1, i, j] = other
            images[v, prior + 2, i, j] = probabilities[n, k]
            images[v, prior + 3, i, j] = 1.0 if last[int(y), int(x)] == k else 0.0
            for a in range(4):
                images[v, prior + 4 + a, i, j] = attention[n, k - 1, a]


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def _fill_features(crops: np.ndarray, boxes: np.ndarray, features: np.ndarray, h: int, w: int) -> None:
    """Interpolate the map bilinearly inside the boxes."""
    count, D, size, _ = crops.shape
    for row in prange(count * size):
        v, i = row // size, row % size
        left, top, right, bottom = boxes[v]
        y = (top + (i + 0.5) * (bottom - top) / size) * features.shape[1] / h
        y0, y1, fy = _between(y, features.shape[1])
        for j in range(size):
            x = (left + (j + 0.5) * (right - left) / size) * features.shape[2] / w
            x0, x1, fx = _between(x, features.shape[2])
            for d in range(D):
                upper = features[d, y0, x0] * (1 - fx) + features[d, y0, x1] * fx
                lower = features[d, y1, x0] * (1 - fx) + features[d, y1, x1] * fx
                crops[v, d, i, j] = upper * (1 - fy) + lower * fy


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def _aggregate(
    planes: np.ndarray, objects: np.ndarray, boxes: np.ndarray, logits: np.ndarray, least: np.float32
) -> None:
    """Replace the probabilities inside the boxes, in place."""
    h, _, classes = planes.shape
    size = logits.shape[1]
    for y in prange(h):
        left, right = planes.shape[1], 0
        for v in range(len(objects)):
            if boxes[v, 1] <= y < boxes[v, 3]:
                left, right = min(left, boxes[v, 0]), max(right, boxes[v, 2])
        for x in range(left, right):
            inside = False
            for v in range(len(objects)):
                if boxes[v, 0] <= x < boxes[v, 2] and boxes[v, 1] <= y < boxes[v, 3]:
                    inside = True
                    u = (x + 0.5 - boxes[v, 0]) * size / (boxes[v, 2] - boxes[v, 0])
                    t = (y + 0.5 - boxes[v, 1]) * size / (boxes[v, 3] - boxes[v, 1])
                    u0, u1, fu = _between(u, size)
                    t0, t1, ft = _between(t, size)
                    upper = logits[v, t0, u0] * (1 - fu) + logits[v, t0, u1] * fu
                    lower = logits[v, t1, u0] * (1 - fu) + logits[v, t1, u1] * fu
                    logit = upper * (1 - ft) + lower * ft
                    planes[y, x, objects[v]] = np.float32(1) / (np.float32(1) + np.exp(-logit))
            if not inside:
                continue
            nobody = np.float32(1)
            for c in range(1, classes):
                nobody *= 1 - planes[y, x, c]
            planes[y, x, 0] = nobody
            total = np.float32(0)
            for c in range(classes):
                value = min(max(planes[y, x, c], least), 1 - least)
                planes[y, x, c] = value / (1 - value)
                total += planes[y, x, c]
            for c in range(classes):
                planes[y, x, c] /= total


@njit(cache=True, nogil=True)
def _sums(planes: np.ndarray, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum over each superpixel, (N, K + 1), and count the cells whose centre it contains, (N,)."""
    h, w, classes = planes.shape
    sums, cells = np.zeros((count, classes), np.float32), np.zeros(count, np.int64)
    for y in range(h):
        row = int((y + 0.5) * labels.shape[0] / h)
        for x in range(w):
            n = labels[row, int((x + 0.5) * labels.shape[1] / w)]
            cells[n] += 1
            for c in range(classes):
                sums[n, c] += planes[y, x, c]
    return sums, cells
