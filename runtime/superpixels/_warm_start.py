"""Warm start from the previous frame: camera motion, shifted centres, cuts, and superpixels that grew too large."""

from __future__ import annotations

import numpy as np
from numba import njit

THUMB = 8
"""Frame pixels per thumbnail pixel, along each axis."""

FASTEST = 6
"""Largest camera motion, in thumbnail pixels per frame."""


@njit(cache=True, nogil=True)
def thumbnail(luma: np.ndarray, width: int, size: int) -> np.ndarray:
    """Average squares of `size` pixels, smaller ones at the right and lower border; faster than OpenCV.

    `luma` may have more than `width` columns: a slice would have another type, for which numba compiles again.
    """
    height = len(luma)
    out = np.empty((-(-height // size), -(-width // size)), np.uint8)
    sums = np.empty(width, np.uint16)
    for j in range(len(out)):
        rows = luma[j * size : (j + 1) * size]
        sums[:] = 0
        for y in range(len(rows)):
            row = rows[y]
            for x in range(width):
                sums[x] = np.uint16(sums[x] + np.uint16(row[x]))
        for i in range(out.shape[1]):
            total, end = 0, min(width, (i + 1) * size)
            for x in range(i * size, end):
                total += sums[x]
            out[j, i] = total // ((end - i * size) * len(rows))
    return out


@njit(cache=True, nogil=True)
def motion(before: np.ndarray, after: np.ndarray, most: int) -> tuple[int, int]:
    """Estimate the camera motion (x, y) in pixels: the translation of least mean difference, refined by parabolas."""
    height, width = before.shape
    most = min(most, min(height, width) // 4)
    size = 2 * most + 3
    cost = np.full((size, size), np.inf)  # one wider on each side
    best_i, best_j = most + 1, most + 1
    still = best_i - most - 1  # no literal, for which numba would compile `_difference` again
    cost[best_j, best_i] = _difference(before, after, still, still, np.inf)
    for j in range(1, size - 1):
        for i in range(1, size - 1):
            if cost[j, i] == np.inf:
                cost[j, i] = _difference(before, after, i - most - 1, j - most - 1, cost[best_j, best_i])
                if cost[j, i] < cost[best_j, best_i]:
                    best_i, best_j = i, j
    for j, i in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        if max(abs(best_j + j - most - 1), abs(best_i + i - most - 1)) <= most:
            x, y = best_i + i - most - 1, best_j + j - most - 1
            cost[best_j + j, best_i + i] = _difference(before, after, x, y, np.inf)
    least = cost[best_j, best_i]
    dx = _lowest(cost[best_j, best_i - 1], least, cost[best_j, best_i + 1]) + best_i - most - 1
    dy = _lowest(cost[best_j - 1, best_i], least, cost[best_j + 1, best_i]) + best_j - most - 1
    return round(THUMB * dx), round(THUMB * dy)


@njit(cache=True, nogil=True)
def _difference(before: np.ndarray, after: np.ndarray, dx: int, dy: int, enough: float) -> float:
    """Mean absolute difference between a thumbnail moved by (dx, dy) and the next; infinite once above `enough`."""
    height, width = before.shape
    area = (height - abs(dy)) * (width - abs(dx))
    total = 0
    for y in range(max(0, dy), min(height, height + dy)):
        old = before[y - dy, max(0, -dx) : min(width, width - dx)]
        new = after[y, max(0, dx) : min(width, width + dx)]
        row = np.int32(0)
        for x in range(len(old)):
            row += np.int32(abs(np.int32(old[x]) - np.int32(new[x])))
        total += row
        if total > enough * area:
            return np.inf
    return total / area


@njit(cache=True, nogil=True)
def _lowest(left: float, middle: float, right: float) -> float:
    """Return the minimum of a parabola through three costs, -0.5 to 0.5."""
    bend = left + right - 2 * middle
    return (left - right) / (2 * bend) if 0 < bend < np.inf else 0.0


@njit(cache=True, nogil=True)
def shift(planes: np.ndarray, centres: np.ndarray, dx: int, dy: int, width: int) -> None:
    """Shift centres; a centre that leaves the frame re-enters on the other side and reads the colour there."""
    height = planes.shape[1]
    for k in range(len(centres)):
        x, y = centres[k, 0] + dx, centres[k, 1] + dy
        centres[k, 0], centres[k, 1] = x % width, y % height
        if not (0 <= x < width and 0 <= y < height):
            for c in range(3):
                centres[k, 2 + c] = planes[c, y % height, x % width]


def split(
    labels: np.ndarray, centres: np.ndarray, areas: np.ndarray, count: int, limit: float, width: int
) -> np.ndarray:
    """Add centres, up to `count`, towards the far ends of the largest superpixels; colours are copied."""
    total = len(centres)
    large = np.flatnonzero(areas.astype(np.int64) * count > limit * labels.shape[0] * width)
    large = large[np.argsort(-areas[large], kind="stable")[: count - total]]
    place = np.full(total, -1, np.int32)
    place[large] = np.arange(total, total + len(large))
    out = np.empty((total + len(large), 5), np.int16)
    out[:total] = centres
    if len(large):
        _place(labels, centres, place, np.full(len(out), -1, np.int64), width, out)
    return out


@njit(cache=True, nogil=True)
def _place(
    labels: np.ndarray, centres: np.ndarray, place: np.ndarray, farthest: np.ndarray, width: int, out: np.ndarray
) -> None:
    """Place each new centre; `place` has its index for each superpixel that is split, `farthest` is work space."""
    for y in range(min(1, labels.shape[0] - 1), labels.shape[0], 4):
        for x in range(0, width, 4):
            k = labels[y, x]
            i = place[k]
            if i >= 0:
                dx, dy = x - int(centres[k, 0]), y - int(centres[k, 1])
                if dx * dx + dy * dy > farthest[i]:
                    farthest[i] = dx * dx + dy * dy
                    for c in range(5):
                        out[i, c] = centres[k, c]
                    out[i, 0] += int(0.6 * dx)
                    out[i, 1] += int(0.6 * dy)
    for i in range(len(centres), len(out)):
        if farthest[i] < 0:  # too small for the sample: at the end of the list it is never assigned a pixel
            for c in range(5):
                out[i, c] = out[0, c]


@njit(cache=True, nogil=True)
def residual(planes: np.ndarray, labels: np.ndarray, centres: np.ndarray, dx: int, dy: int, width: int) -> float:
    """Mean L1 colour difference between every 8th pixel and the superpixel that was at (dx, dy) before it."""
    total, n = 0, 0
    height = labels.shape[0]
    first = min(1, height - 1)  # row that is sampled in every frame
    for y in range(dy + first + max(0, 7 - first - dy) // 8 * 8, min(height, height + dy), 8):
        for x in range(max(0, dx), min(width, width + dx), 8):
            for c in range(3):
                total += abs(np.int64(planes[c, y, x]) - np.int64(centres[labels[y - dy, x - dx], 2 + c]))
            n += 1
    return total / n
