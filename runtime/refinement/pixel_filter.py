"""Pixel filter: from probabilities per superpixel to probabilities per pixel, and to the mask.

Where neighbouring superpixels disagree, each pixel averages the superpixels around it, weighted by similarity of
colour and by distance: a bilateral filter whose support is superpixels. It works on the half-resolution grid; a
binomial filter removes speckle. The mask is decided at the frame's own resolution from bilinearly interpolated
probabilities.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit, prange

from .._support.prange import PRANGE_ONLY
from ..geometry import grid_of
from ..models.settings import PixelFilterSettings
from ..types import Mask, Superpixels


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
    labels = superpixels.labels[_nearest(h, height)][:, _nearest(w, width)]
    spacing = max(1.0, (height * width / len(superpixels.areas)) ** 0.5)
    side = settings.reach * spacing
    columns, rows = int(width / side) + 1, int(height / side) + 1
    bucket = (superpixels.centres // side).astype(np.int64) @ np.array([1, columns])
    order = np.argsort(bucket, kind="stable").astype(np.int32)
    starts = np.searchsorted(bucket[order], np.arange(rows * columns + 1)).astype(np.int32)
    disputed = _disputed(probabilities, bucket, order, starts, columns, settings.agreement)
    planes = _ask(
        labels, colours, superpixels.centres, _mean_colours(colours, labels, len(superpixels.areas)), probabilities,
        disputed, order, starts, columns, side, width / w, height / h,
        np.float32(0.5 / settings.color_sigma**2), np.float32(0.5 / (settings.space_sigma * spacing) ** 2),
    )  # fmt: skip
    return _smooth(planes, labels, disputed)


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
    labels, sums = _decide(planes, size[0], size[1])
    sums = sums.sum(0)
    shares = sums[:, 0] / np.maximum(sums[:, 1], 1)
    return Mask(labels, {c: float(shares[c]) for c in range(1, len(shares))})


def _nearest(cells: int, pixels: int) -> np.ndarray:
    return ((np.arange(cells) + 0.5) * pixels / cells).astype(np.intp)


@njit(cache=True, nogil=True)
def _mean_colours(colours: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Average (h, w, 3) uint8 over superpixels, (N, 3) float32; far from every colour if no cell belongs to one."""
    sums = np.zeros((count, 3), np.float32)
    pixels = np.zeros(count, np.float32)
    h, w = labels.shape
    for y in range(h):
        for x in range(w):
            n = labels[y, x]
            pixels[n] += 1
            for i in range(3):
                sums[n, i] += colours[y, x, i]
    for n in range(count):
        for i in range(3):
            sums[n, i] = sums[n, i] / pixels[n] if pixels[n] > 0 else np.float32(1e4)
    return sums


@njit(cache=True, nogil=True)
def _disputed(
    probabilities: np.ndarray,
    bucket: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    columns: int,
    agreement: float,
) -> np.ndarray:
    """Find superpixels whose neighbourhood disagrees, (N,) bool."""
    N, classes = probabilities.shape
    rows = (len(starts) - 1) // columns
    low = np.full((rows, columns, classes), 2, np.float32)
    high = np.full((rows, columns, classes), -1, np.float32)
    for n in range(N):
        row, column = bucket[n] // columns, bucket[n] % columns
        for c in range(classes):
            low[row, column, c] = min(low[row, column, c], probabilities[n, c])
            high[row, column, c] = max(high[row, column, c], probabilities[n, c])
    disputed = np.zeros(N, np.bool_)
    for row in range(rows):
        for column in range(columns):
            differ = False
            for c in range(classes):
                least, most = low[row, column, c], high[row, column, c]
                for r in range(max(0, row - 1), min(rows, row + 2)):
                    for s in range(max(0, column - 1), min(columns, column + 2)):
                        least, most = min(least, low[r, s, c]), max(most, high[r, s, c])
                differ |= most - least > agreement
            b = row * columns + column
            for i in range(starts[b], starts[b + 1] if differ else starts[b]):
                disputed[order[i]] = True
    return disputed


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY, fastmath=True)
def _ask(
    labels: np.ndarray,
    colours: np.ndarray,
    centres: np.ndarray,
    means: np.ndarray,
    probabilities: np.ndarray,
    disputed: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    columns: int,
    side: float,
    step_x: float,
    step_y: float,
    colour_scale: np.float32,
    space_scale: np.float32,
) -> np.ndarray:
    """Average the superpixels around each pixel where these disagree, (h, w, K + 1)."""
    h, w = labels.shape
    classes = probabilities.shape[1]
    rows = (len(starts) - 1) // columns
    planes = np.zeros((h, w, classes), np.float32)
    for y in prange(h):
        place_y = np.float32((y + 0.5) * step_y - 0.5)
        row = int(place_y / side)
        for x in range(w):
            n = labels[y, x]
            if not disputed[n]:
                for c in range(classes):
                    planes[y, x, c] = probabilities[n, c]
                continue
            place_x = np.float32((x + 0.5) * step_x - 0.5)
            column = int(place_x / side)
            colour0 = np.float32(colours[y, x, 0])
            colour1 = np.float32(colours[y, x, 1])
            colour2 = np.float32(colours[y, x, 2])
            total = np.float32(1e-6)  # without a similar neighbour the pixel's own superpixel decides
            for c in range(classes):
                planes[y, x, c] = total * probabilities[n, c]
            for r in range(max(0, row - 1), min(rows - 1, row + 1) + 1):
                first = starts[r * columns + max(0, column - 1)]
                behind = starts[r * columns + min(columns - 1, column + 1) + 1]
                for b in range(first, behind):
                    m = order[b]
                    dx, dy = centres[m, 0] - place_x, centres[m, 1] - place_y
                    d0, d1, d2 = means[m, 0] - colour0, means[m, 1] - colour1, means[m, 2] - colour2
                    far = (dx * dx + dy * dy) * space_scale + (d0 * d0 + d1 * d1 + d2 * d2) * colour_scale
                    weight = max(np.float32(0), np.float32(1) - far / np.float32(8))  # exp(-far) as (1 - far / 8)^8
                    if weight == 0:
                        continue
                    weight *= weight
                    weight *= weight
                    weight *= weight
                    total += weight
                    for c in range(classes):
                        planes[y, x, c] += weight * probabilities[m, c]
            for c in range(classes):
                planes[y, x, c] /= total
    return planes


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def _smooth(planes: np.ndarray, labels: np.ndarray, disputed: np.ndarray) -> np.ndarray:
    """3x3 binomial filter where neighbours disagree."""
    h, w, classes = planes.shape
    smooth = planes.copy()
    for y in prange(1, h - 1):
        for x in range(1, w - 1):
            if not disputed[labels[y, x]]:
                continue
            for c in range(classes):
                edges = planes[y - 1, x, c] + planes[y + 1, x, c] + planes[y, x - 1, c] + planes[y, x + 1, c]
                corners = (
                    planes[y - 1, x - 1, c]
                    + planes[y - 1, x + 1, c]
                    + planes[y + 1, x - 1, c]
                    + planes[y + 1, x + 1, c]
                )
                smooth[y, x, c] = (4 * planes[y, x, c] + 2 * edges + corners) / 16
    return smooth


@njit(cache=True, nogil=True)
def _winners(row: np.ndarray, winner: np.ndarray, sums: np.ndarray) -> None:
    """The likeliest object of each cell of a row; sums (K + 1, 2) of its probabilities and of its cells."""
    for x in range(len(row)):
        best = 0
        for c in range(1, row.shape[1]):
            if row[x, c] > row[x, best]:
                best = c
        winner[x] = best
        sums[best, 0] += row[x, best]
        sums[best, 1] += 1


@njit(cache=True, nogil=True)
def _between(cells: int, pixels: int, place: int) -> tuple[int, int, np.float32]:
    """The two cells between whose middles a pixel lies, and how far it is from the first."""
    at = min(max((place + 0.5) * cells / pixels - 0.5, 0.0), cells - 1.0)
    return int(at), min(int(at) + 1, cells - 1), np.float32(at - int(at))


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def _decide(planes: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(height, width) uint8: the likeliest object of the bilinearly interpolated probabilities; sums of each row."""
    h, w, classes = planes.shape
    winner = np.empty((h, w), np.uint8)
    sums = np.zeros((h, classes, 2), np.float64)
    for y in prange(h):
        _winners(planes[y], winner[y], sums[y])
    left, right, between = np.empty(width, np.int32), np.empty(width, np.int32), np.empty(width, np.float32)
    for x in range(width):
        left[x], right[x], between[x] = _between(w, width, x)
    mask = np.empty((height, width), np.uint8)
    for y in prange(height):
        y0, y1, fy = _between(h, height, y)
        above, below = winner[y0], winner[y1]
        for x in range(width):
            x0, x1 = left[x], right[x]
            object_id = above[x0]
            if object_id != above[x1] or object_id != below[x0] or object_id != below[x1]:
                best, fx = np.float32(-1), between[x]
                for c in range(classes):
                    upper = planes[y0, x0, c] * (1 - fx) + planes[y0, x1, c] * fx
                    lower = planes[y1, x0, c] * (1 - fx) + planes[y1, x1, c] * fx
                    value = upper * (1 - fy) + lower * fy
                    if value > best:
                        best, object_id = value, np.uint8(c)
            mask[y, x] = object_id
    return mask, sums
