"""Superpixels: SLIC (Achanta et al., 2012) with numba kernels, cold or warm-started from the previous frame."""

from __future__ import annotations

import cv2
import numpy as np
from numba import get_num_threads, njit, prange

from shls.runtime.contract import SuperpixelSettings
from shls.runtime.errors import BadInput, ShapeMismatch
from shls.runtime.types import Superpixels

LANES = 16  # pixels handled by one step of the inner loop: a compile-time trip count becomes plain SIMD
MAX_COUNT = 60_000  # labels are 16 bit inside the kernels


def slic(image: np.ndarray, settings: SuperpixelSettings) -> Superpixels:
    """Partition a frame, starting from a regular grid.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    settings : SuperpixelSettings

    Returns
    -------
    Superpixels
        About `settings.count` of them, each 4-connected.

    Raises
    ------
    ShapeMismatch
        If the image is not (H, W, 3), or empty.
    BadInput
        If it is not uint8, or a setting is out of range.
    """
    _check(image, settings)
    planes = _planes(image)
    height, width = image.shape[:2]
    centres, step = _grid(height, width, settings.count)
    labels = np.zeros(planes.shape[1:], np.uint16)
    _seed(planes, centres, width)
    _cluster(planes, labels, centres, width, step, settings.compactness, settings.iterations)
    return _finish(labels[:, :width], len(centres), max(1, int(step * step) // 4))


class SuperpixelTracker:
    """Superpixels of a video: the first frame and each cut start cold, other frames start from the last one."""

    def __init__(self, settings: SuperpixelSettings) -> None:
        self.settings = settings

    def step(self, image: np.ndarray) -> Superpixels:
        """Partition the next frame; see `slic` for the array and the errors."""
        return slic(image, self.settings)


def cut_along(superpixels: Superpixels, mask: np.ndarray) -> Superpixels:
    """Split superpixels so that each lies within one object of a mask.

    Parameters
    ----------
    superpixels : Superpixels
    mask : (H, W) uint8, object id per pixel

    Returns
    -------
    Superpixels
        Labels 0..N'-1, all present. A part may fall into several pieces.

    Raises
    ------
    ShapeMismatch
        If the mask is not of the superpixels' size.
    """
    labels, centres, _ = superpixels
    if mask.shape != labels.shape:
        raise ShapeMismatch(
            f"a mask of {mask.shape} cannot cut superpixels of {labels.shape}; make their sizes equal"
        )
    if mask.dtype != np.uint8:
        raise BadInput(f"the mask holds {mask.dtype}, object ids are uint8")
    return Superpixels(*_cut(labels, np.ascontiguousarray(mask), len(centres)))


def _check(image: np.ndarray, settings: SuperpixelSettings) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ShapeMismatch(f"an image of shape {image.shape} came, superpixels need (height, width, 3) RGB")
    if image.dtype != np.uint8:
        raise BadInput(f"an image of {image.dtype} came, superpixels need uint8")
    if not 1 <= settings.count <= MAX_COUNT:
        raise BadInput(f"{settings.count} superpixels are wanted; choose from 1 to {MAX_COUNT}")
    if not settings.compactness > 0 or settings.iterations < 1:
        raise BadInput("compactness must be above 0 and iterations at least 1")


def _planes(image: np.ndarray) -> np.ndarray:
    """Lab in three planes, (3, H, W padded to whole lanes) uint8."""
    height, width = image.shape[:2]
    planes = np.zeros((3, height, -(-width // LANES) * LANES), np.uint8)
    lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB)
    planes[:, :, :width] = lab.transpose(2, 0, 1)
    return planes


def _grid(height: int, width: int, count: int) -> tuple[np.ndarray, float]:
    """Centres (N, 5) float32 of x, y and three colours on a regular grid, and the grid's step in pixels."""
    count = min(count, height * width)
    step = max(1.0, (height * width / count) ** 0.5)
    rows = min(max(1, round(height / step)), height)
    columns = min(max(1, round(count / rows)), width)
    centres = np.zeros((rows * columns, 5), np.float32)
    y, x = np.mgrid[0:rows, 0:columns]
    centres[:, 0] = ((x + 0.5) * (width / columns) - 0.5).ravel()
    centres[:, 1] = ((y + 0.5) * (height / rows) - 0.5).ravel()
    return centres, step


def _cluster(planes, labels, centres, width, step, compactness, iterations):  # type: ignore
    reach = int(np.ceil(step)) + 1
    window = min(-(-(2 * reach + 1) // LANES) * LANES, labels.shape[1])
    weight = (compactness / step) ** 2
    table = np.minimum(np.arange(-labels.shape[1], labels.shape[1]) ** 2 * weight, 16000).astype(np.uint16)
    nearest = np.empty(labels.shape, np.uint16)
    for _ in range(iterations):
        _assign(planes, labels, nearest, centres, table, window, reach, get_num_threads())
        _update(planes, labels, centres, width)


def _finish(labels: np.ndarray, count: int, least: int) -> Superpixels:
    return Superpixels(*_connect(labels, count, least))


@njit(cache=True, nogil=True)
def _seed(planes: np.ndarray, centres: np.ndarray, width: int) -> None:
    height = planes.shape[1]
    for k in range(len(centres)):
        x, y = int(centres[k, 0] + 0.5), int(centres[k, 1] + 0.5)
        for c in range(3):
            centres[k, 2 + c] = planes[c, min(y, height - 1), min(x, width - 1)]


@njit(cache=True, nogil=True, parallel=True)
def _assign(planes, labels, nearest, centres, table, window, reach, chunks):  # type: ignore
    height, width = labels.shape
    rows = -(-height // chunks)
    for chunk in prange(chunks):
        for top in range(chunk * rows, min(height, (chunk + 1) * rows), 16):
            bottom = min(top + 16, (chunk + 1) * rows, height)
            nearest[top:bottom] = 65535
            for k in range(len(centres)):
                cy = int(centres[k, 1] + 0.5)
                y0, y1 = max(top, cy - reach), min(bottom, cy + reach + 1)
                if y0 >= y1:
                    continue
                cx = int(centres[k, 0] + 0.5)
                x0 = min(max(cx - window // 2, 0), width - window)
                l, a, b = int(centres[k, 2] + 0.5), int(centres[k, 3] + 0.5), int(centres[k, 4] + 0.5)
                for y in range(y0, y1):
                    dy = table[width + y - cy]
                    for x in range(x0, x0 + window, LANES):
                        tx = table[width + x - cx : width + x - cx + LANES]
                        pl = planes[0, y, x : x + LANES]
                        pa = planes[1, y, x : x + LANES]
                        pb = planes[2, y, x : x + LANES]
                        near = nearest[y, x : x + LANES]
                        lab = labels[y, x : x + LANES]
                        for i in range(LANES):
                            d1 = np.uint16(min(abs(np.int16(pl[i]) - l), 104))
                            d2 = np.uint16(min(abs(np.int16(pa[i]) - a), 104))
                            d3 = np.uint16(min(abs(np.int16(pb[i]) - b), 104))
                            d = np.uint16(d1 * d1 + d2 * d2 + d3 * d3 + tx[i] + dy)
                            closer = d < near[i]
                            near[i] = d if closer else near[i]
                            lab[i] = np.uint16(k) if closer else lab[i]


@njit(cache=True, nogil=True)
def _update(planes, labels, centres, width):  # type: ignore
    sums = np.zeros((len(centres), 6), np.int64)
    for y in range(labels.shape[0]):
        for x in range(width):
            s = sums[labels[y, x]]
            s[0] += x
            s[1] += y
            s[2] += planes[0, y, x]
            s[3] += planes[1, y, x]
            s[4] += planes[2, y, x]
            s[5] += 1
    for k in range(len(centres)):
        if sums[k, 5]:
            for c in range(5):
                centres[k, c] = sums[k, c] / sums[k, 5]


@njit(cache=True, nogil=True)
def _root(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def _connect(labels, count, least):  # type: ignore
    """Runs, union of touching runs of one label, orphans into a neighbour, renumbering."""
    height, width = labels.shape
    start = np.empty(height * width + 1, np.int32)  # where each run starts, in pixels
    first = np.empty(height + 1, np.int32)  # first run of each row
    n = 0
    for y in range(height):
        first[y] = n
        start[n] = y * width
        n += 1
        for x in range(1, width):
            start[n] = y * width + x
            n += labels[y, x] != labels[y, x - 1]
    first[height] = n
    start[n] = height * width
    parent = np.arange(n).astype(np.int32)
    area = np.empty(n, np.int32)
    for r in range(n):
        area[r] = start[r + 1] - start[r]
    for y in range(1, height):
        up, here = first[y - 1], first[y]
        while up < first[y] and here < first[y + 1]:
            if labels[y - 1, start[up] - (y - 1) * width] == labels[y, start[here] - y * width]:
                i, j = _root(parent, up), _root(parent, here)
                if i != j:
                    i, j = min(i, j), max(i, j)
                    parent[j] = i
                    area[i] += area[j]
            end_up, end_here = start[up + 1] + width, start[here + 1]
            up += end_up <= end_here
            here += end_here <= end_up
    largest = np.full(count, -1, np.int32)
    for r in range(n):
        if parent[r] == r:
            y = start[r] // width
            k = labels[y, start[r] - y * width]
            if largest[k] < 0 or area[r] > area[largest[k]]:
                largest[k] = r
    kept = np.zeros(n, np.bool_)
    for r in range(n):
        if parent[r] == r:
            y = start[r] // width
            kept[r] = largest[labels[y, start[r] - y * width]] == r or area[r] >= least
    # an orphan's first run touches, in raster order, a component that starts before it (or, at the origin, after)
    for r in range(n):
        if parent[r] == r and not kept[r] and r > 0:
            y = start[r] // width
            x = start[r] - y * width
            if x > 0:
                other = r - 1
            else:
                other = first[y - 1]
            parent[r] = _root(parent, other)
        elif parent[r] == r:
            kept[r] = True
    names = np.full(n, -1, np.int32)
    total = 0
    out = np.empty((height, width), np.int32)
    flat = out.reshape(-1)
    centres = np.zeros((n, 2), np.float64)
    areas = np.zeros(n, np.int32)
    y = 0
    for r in range(n):
        if r == first[y + 1]:
            y += 1
        root = _root(parent, r)
        if names[root] < 0:
            names[root] = total
            total += 1
        k = names[root]
        size = start[r + 1] - start[r]
        flat[start[r] : start[r + 1]] = k
        areas[k] += size
        centres[k, 0] += size * (0.5 * (start[r] + start[r + 1] - 1) - y * width)
        centres[k, 1] += size * y
    for k in range(total):
        centres[k] /= areas[k]
    return out, centres[:total].astype(np.float32), areas[:total].copy()


@njit(cache=True, nogil=True)
def _cut(labels, mask, count):  # type: ignore
    height, width = labels.shape
    names = np.full((count, 256), -1, np.int32)
    out = np.empty((height, width), np.int32)
    total = 0
    for y in range(height):
        for x in range(width):
            k, m = labels[y, x], mask[y, x]
            if names[k, m] < 0:
                names[k, m] = total
                total += 1
            out[y, x] = names[k, m]
    centres = np.zeros((total, 2), np.float64)
    areas = np.zeros(total, np.int32)
    for y in range(height):
        for x in range(width):
            k = out[y, x]
            areas[k] += 1
            centres[k, 0] += x
            centres[k, 1] += y
    for k in range(total):
        centres[k] /= areas[k]
    return out, centres.astype(np.float32), areas
