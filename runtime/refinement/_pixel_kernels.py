"""Kernels of the pixel filter: disputed superpixels, weighted means, smoothing and the mask."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .._support.prange import PRANGE_ONLY

SURE = 0.6
"""Probability of the background above which no object is compared with it; rows sum to 1 within `CONSTANT` a class."""

CONSTANT = 0.01
"""Difference of an object's probabilities among neighbours up to which it is not averaged."""


@njit(cache=True, nogil=True)
def mean_colours(colours: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
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
def disputed(
    probabilities: np.ndarray,
    bucket: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    columns: int,
    agreement: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Find superpixels whose neighbourhood disagrees, (N,) bool, and the classes that vary there, (buckets, K + 1)."""
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
    varying = np.zeros((rows * columns, classes), np.bool_)
    for row in range(rows):
        for column in range(columns):
            b = row * columns + column
            differ = False
            for c in range(classes):
                least, most = np.float32(2), np.float32(-1)
                for r in range(max(0, row - 1), min(rows, row + 2)):
                    for i in range(max(0, column - 1), min(columns, column + 2)):
                        least, most = min(least, low[r, i, c]), max(most, high[r, i, c])
                varying[b, c] = most - least > CONSTANT
                if most - least > agreement:
                    differ = True
            if differ:
                for i in range(starts[b], starts[b + 1]):
                    disputed[order[i]] = True
    return disputed, varying


@njit(cache=True, nogil=True)
def _around(starts: np.ndarray, rows: int, columns: int, row: int, column: int) -> int:
    """Number of superpixels in a bucket and its eight neighbours."""
    count = 0
    for r in range(max(0, row - 1), min(rows - 1, row + 1) + 1):
        count += starts[r * columns + min(columns - 1, column + 1) + 1] - starts[r * columns + max(0, column - 1)]
    return count


@njit(cache=True, nogil=True, fastmath=True)
def _weigh(
    near_x: np.ndarray,
    near_y: np.ndarray,
    near_0: np.ndarray,
    near_1: np.ndarray,
    near_2: np.ndarray,
    members: int,
    pixel: tuple[np.float32, np.float32, np.float32, np.float32, np.float32],
    colour_scale: np.float32,
    space_scale: np.float32,
    weights: np.ndarray,
) -> np.float32:
    """Write the weights of superpixels, given by place and colour, for a pixel, and return the weights' sum."""
    x, y, colour0, colour1, colour2 = pixel
    total = np.float32(0)
    for b in range(members):
        dx, dy = near_x[b] - x, near_y[b] - y
        d0, d1, d2 = near_0[b] - colour0, near_1[b] - colour1, near_2[b] - colour2
        far = (dx * dx + dy * dy) * space_scale + (d0 * d0 + d1 * d1 + d2 * d2) * colour_scale
        weight = max(np.float32(0), np.float32(1) - far / np.float32(8))  # exp(-far) as (1 - far / 8)^8
        weight *= weight
        weight *= weight
        weight *= weight
        weights[b] = weight
        total += weight
    return total


@njit(cache=True, nogil=True, fastmath=True)
def _weighted(weights: np.ndarray, shares: np.ndarray, members: int) -> np.float32:
    """Sum of the first shares by weight."""
    total = np.float32(0)
    for b in range(members):
        total += weights[b] * shares[b]
    return total


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY, fastmath=True)
def ask(
    labels: np.ndarray,
    colours: np.ndarray,
    centres: np.ndarray,
    means: np.ndarray,
    probabilities: np.ndarray,
    disputed: np.ndarray,
    varying: np.ndarray,
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
    planes = np.empty((h, w, classes), np.float32)
    own = np.float32(1e-6)  # without a similar neighbour the pixel's own superpixel decides
    for y in prange(h):
        place_y = np.float32((y + 0.5) * step_y - 0.5)
        row = int(place_y / side)
        most = 0
        for column in range(columns):
            most = max(most, _around(starts, rows, columns, row, column))
        near, share = np.empty((6, most), np.float32), np.empty((classes, most), np.float32)
        near_x, near_y, near_0, near_1, near_2, weights = near[0], near[1], near[2], near[3], near[4], near[5]
        names, before, count, members = np.empty(classes, np.int64), -1, 0, 0
        for x in range(w):
            n = labels[y, x]
            for c in range(classes):
                planes[y, x, c] = probabilities[n, c]
            if not disputed[n]:
                continue
            place_x = np.float32((x + 0.5) * step_x - 0.5)
            column = int(place_x / side)
            if column != before:
                before, count, members = column, 0, 0
                for c in range(classes):
                    if varying[row * columns + column, c]:
                        names[count] = c
                        count += 1
                for r in range(max(0, row - 1), min(rows - 1, row + 1) + 1):
                    first = starts[r * columns + max(0, column - 1)]
                    behind = starts[r * columns + min(columns - 1, column + 1) + 1]
                    for b in range(first, behind):
                        m = order[b]
                        near_x[members], near_y[members] = centres[m, 0], centres[m, 1]
                        near_0[members], near_1[members], near_2[members] = means[m, 0], means[m, 1], means[m, 2]
                        for i in range(count):
                            share[i, members] = probabilities[m, names[i]]
                        members += 1
            colour = np.float32(colours[y, x, 0]), np.float32(colours[y, x, 1]), np.float32(colours[y, x, 2])
            pixel = (place_x, place_y, colour[0], colour[1], colour[2])
            total = own + _weigh(
                near_x, near_y, near_0, near_1, near_2, members, pixel, colour_scale, space_scale, weights
            )
            for i in range(count):
                value = own * probabilities[n, names[i]] + _weighted(weights, share[i], members)
                planes[y, x, names[i]] = value / total
    return planes


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def smooth(planes: np.ndarray, labels: np.ndarray, disputed: np.ndarray) -> np.ndarray:
    """3x3 binomial filter where neighbours disagree."""
    h, w, classes = planes.shape
    smooth = np.empty_like(planes)
    for y in prange(h):
        inside = 0 < y < h - 1
        for x in range(w):
            if not (inside and 0 < x < w - 1 and disputed[labels[y, x]]):
                for c in range(classes):
                    smooth[y, x, c] = planes[y, x, c]
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
    """The likeliest object of each cell of a row; sums (K + 1, 2) of the objects' probabilities and of their cells."""
    for x in range(len(row)):
        if row[x, 0] > SURE:
            winner[x] = 0
            continue
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
def decide(planes: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
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
