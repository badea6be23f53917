"""Kernels of the crops: channels, features, merged logits and means over superpixels."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .._support.prange import PRANGE_ONLY


@njit(cache=True, nogil=True)
def _between(at: float, cells: int) -> tuple[int, int, np.float32]:
    """Return the two cells around a place on one axis and the weight of the second."""
    at = min(max(at - 0.5, 0.0), cells - 1.0)
    first = int(at)
    return first, min(first + 1, cells - 1), np.float32(at - first)


@njit(cache=True, nogil=True)
def _along(
    begin: int, end: int, whole: int, cells: int, first: np.ndarray, second: np.ndarray, weight: np.ndarray
) -> None:
    """Write `_between` of every sample of a span on an axis of length `whole` that has so many cells."""
    for i in range(len(first)):
        at = (begin + (i + 0.5) * (end - begin) / len(first)) * cells / whole
        first[i], second[i], weight[i] = _between(at, cells)


@njit(cache=True, nogil=True)
def _rivals(planes: np.ndarray, box: np.ndarray, k: int, least: float) -> np.ndarray:
    """List the other objects that some cell in and around a box gives more than `least`."""
    h, w, classes = planes.shape
    found = np.zeros(classes, np.bool_)
    for y in range(max(0, box[1] - 1), min(h, box[3] + 1) if classes > 2 else 0):
        for x in range(max(0, box[0] - 1), min(w, box[2] + 1)):
            for c in range(1, classes):
                found[c] |= planes[y, x, c] > least
    found[k] = False
    listed, count = np.empty(classes, np.int64), 0
    for c in range(classes):
        if found[c]:
            listed[count] = c
            count += 1
    return listed[:count]


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def fill(
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
    saturated: float,
    least: float,
) -> None:
    """Fill all channels from `prior` on; beyond `saturated` a prior is 1."""
    size = images.shape[2]
    h, w = planes.shape[:2]
    for v in range(len(objects)):
        k = objects[v]
        left, top, right, bottom = boxes[v]
        rivals = _rivals(planes, boxes[v], k, least)
        x0, x1, fx = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.float32)
        _along(left, right, w, w, x0, x1, fx)
        for i in prange(size):
            y = top + (i + 0.5) * (bottom - top) / size
            y0, y1, fy = _between(y, h)
            row = int(y * scale[1])
            for j in range(size):
                x = left + (j + 0.5) * (right - left) / size
                upper = planes[y0, x0[j], k] * (1 - fx[j]) + planes[y0, x1[j], k] * fx[j]
                lower = planes[y1, x0[j], k] * (1 - fx[j]) + planes[y1, x1[j], k] * fx[j]
                own = upper * (1 - fy) + lower * fy
                if own > saturated:
                    images[v, prior, i, j] = 1
                elif own < 1 - saturated:
                    images[v, prior, i, j] = -1
                else:
                    logit = np.log(own / (1 - own)) / prior_scale
                    images[v, prior, i, j] = min(max(logit, np.float32(-1)), np.float32(1))
                other = 0.0
                for c in rivals:
                    upper = planes[y0, x0[j], c] * (1 - fx[j]) + planes[y0, x1[j], c] * fx[j]
                    lower = planes[y1, x0[j], c] * (1 - fx[j]) + planes[y1, x1[j], c] * fx[j]
                    other = max(other, upper * (1 - fy) + lower * fy)
                n = labels[row, int(x * scale[0])]
                images[v, prior + 1, i, j] = other
                images[v, prior + 2, i, j] = probabilities[n, k]
                images[v, prior + 3, i, j] = 1.0 if last[int(y), int(x)] == k else 0.0
                for a in range(4):
                    images[v, prior + 4 + a, i, j] = attention[n, k - 1, a]


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def fill_features(crops: np.ndarray, boxes: np.ndarray, features: np.ndarray, h: int, w: int) -> None:
    """Interpolate the map bilinearly inside the boxes."""
    count, D, size, _ = crops.shape
    _, rows, columns = features.shape
    places = np.empty((count, 4, size), np.int64)
    weights = np.empty((count, 2, size), np.float32)
    for v in range(count):
        left, top, right, bottom = boxes[v]
        _along(left, right, w, columns, places[v, 0], places[v, 1], weights[v, 0])
        _along(top, bottom, h, rows, places[v, 2], places[v, 3], weights[v, 1])
    one = np.float32(1)
    for plane in prange(count * D):
        v, d = plane // D, plane % D
        x0, x1, fx = places[v, 0], places[v, 1], weights[v, 0]
        for i in range(size):
            above, below, fy = features[d, places[v, 2, i]], features[d, places[v, 3, i]], weights[v, 1, i]
            for j in range(size):
                upper = above[x0[j]] * (one - fx[j]) + above[x1[j]] * fx[j]
                lower = below[x0[j]] * (one - fx[j]) + below[x1[j]] * fx[j]
                crops[v, d, i, j] = upper * (one - fy) + lower * fy


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def aggregate(
    planes: np.ndarray,
    objects: np.ndarray,
    boxes: np.ndarray,
    logits: np.ndarray,
    sizes: np.ndarray,
    least: np.float32,
) -> None:
    """Replace the probabilities inside the boxes, in place; `logits` are padded to the largest of the `sizes`."""
    h, w, classes = planes.shape
    one = np.float32(1)
    rare = least / (one - least)
    for y in prange(h):
        inside = np.zeros(w, np.bool_)
        left, right = w, 0
        for v in range(len(objects)):
            if not boxes[v, 1] <= y < boxes[v, 3]:
                continue
            left, right = min(left, boxes[v, 0]), max(right, boxes[v, 2])
            t = (y + 0.5 - boxes[v, 1]) * sizes[v] / (boxes[v, 3] - boxes[v, 1])
            t0, t1, ft = _between(t, sizes[v])
            for x in range(boxes[v, 0], boxes[v, 2]):
                inside[x] = True
                u = (x + 0.5 - boxes[v, 0]) * sizes[v] / (boxes[v, 2] - boxes[v, 0])
                u0, u1, fu = _between(u, sizes[v])
                upper = logits[v, t0, u0] * (1 - fu) + logits[v, t0, u1] * fu
                lower = logits[v, t1, u0] * (1 - fu) + logits[v, t1, u1] * fu
                logit = upper * (1 - ft) + lower * ft
                planes[y, x, objects[v]] = np.float32(1) / (np.float32(1) + np.exp(-logit))
        for x in range(left, right):
            if not inside[x]:
                continue
            nobody = np.float32(1)
            for c in range(1, classes):
                nobody *= one - planes[y, x, c]
            planes[y, x, 0] = nobody
            total = np.float32(0)
            for c in range(classes):
                value = planes[y, x, c]
                if value <= least:
                    odds = rare
                else:
                    value = min(value, one - least)
                    odds = value / (one - value)
                planes[y, x, c] = odds
                total += odds
            for c in range(classes):
                planes[y, x, c] /= total


@njit(cache=True, nogil=True)
def sums(planes: np.ndarray, labels: np.ndarray, count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum the first classes over each superpixel, (N, classes), and count its cells' centres, (N,)."""
    h, w = labels.shape
    sums, cells = np.zeros((count, classes), np.float32), np.zeros(count, np.int64)
    for y in range(h):
        for x in range(w):
            n = labels[y, x]
            cells[n] += 1
            for c in range(classes):
                sums[n, c] += planes[y, x, c]
    return sums, cells
