"""From a dense feature map to one superfeature per superpixel."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from shls.runtime.errors import ShapeMismatch
from shls.runtime.types import Superpixels


def pool(features: np.ndarray, superpixels: Superpixels) -> np.ndarray:
    """Average a feature map over each superpixel.

    Every pixel of the frame takes the cell of the map that it lies in (nearest), so a superpixel's feature is the mean
    of the cells that it covers, each weighted with exactly the number of pixels that it covers of it.

    Parameters
    ----------
    features : (D, h, w) float32
    superpixels : Superpixels
        Partition of the frame, (H, W) labels; the map covers the whole frame.

    Returns
    -------
    (N, D) float32, unit length; zeros where the mean feature is zero.

    Raises
    ------
    ShapeMismatch
        If the features are no (D, h, w) map, or the map is larger than the frame.
    """
    labels = superpixels.labels
    if features.ndim != 3 or min(features.shape) < 1:
        raise ShapeMismatch(f"feature map of shape {features.shape}; expected (D, h, w)")
    rows = _cells(labels.shape[0], features.shape[1])
    columns = _cells(labels.shape[1], features.shape[2])
    cell, label, weight = _shares(labels, rows, columns, features.shape[2])
    flat = np.ascontiguousarray(features, np.float32).reshape(features.shape[0], -1)
    sums = _weighted_sums(flat, cell, label, weight, len(superpixels.areas))
    return _unit_rows(sums)


def _cells(pixels: int, cells: int) -> np.ndarray:
    """The map cell that each pixel of one axis lies in, (pixels,) int32."""
    return ((np.arange(pixels) + 0.5) * cells / pixels).astype(np.int32)


@njit(cache=True, nogil=True)
def _shares(
    labels: np.ndarray, rows: np.ndarray, columns: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs of pixels in one row that share a cell and a superpixel, merged over the rows of a cell.

    Returns cell index, label and pixel count of each share, (S,) int32, int32, float32.
    """
    H, W = labels.shape
    cell = np.empty(H * W, np.int32)
    label = np.empty(H * W, np.int32)
    weight = np.empty(H * W, np.float32)
    newest = np.full(width, -1, np.int32)  # the last share of each cell in this row of cells
    count = 0
    for y in range(H):
        if y > 0 and rows[y] != rows[y - 1]:
            newest[:] = -1
        base = rows[y] * width
        for x in range(W):
            column = columns[x]
            share = newest[column]
            if share >= 0 and label[share] == labels[y, x]:
                weight[share] += 1
            else:
                cell[count] = base + column
                label[count] = labels[y, x]
                weight[count] = 1
                newest[column] = count
                count += 1
    return cell[:count], label[:count], weight[:count]


@njit(cache=True, nogil=True, parallel=True)
def _weighted_sums(
    features: np.ndarray, cell: np.ndarray, label: np.ndarray, weight: np.ndarray, count: int
) -> np.ndarray:
    """(D, h*w) map and (S,) shares -> (D, N) sums. One channel's sums fit the first-level cache."""
    D = features.shape[0]
    sums = np.zeros((D, count), np.float32)
    for d in prange(D):
        for s in range(cell.size):
            sums[d, label[s]] += features[d, cell[s]] * weight[s]
    return sums


@njit(cache=True, nogil=True)
def _unit_rows(sums: np.ndarray) -> np.ndarray:
    """(D, N) -> (N, D) of unit length, zeros kept."""
    D, N = sums.shape
    unit = np.empty((N, D), np.float32)
    for n in range(N):
        square = np.float32(0)
        for d in range(D):
            square += sums[d, n] * sums[d, n]
        scale = np.float32(1) / np.sqrt(square) if square > 0 else np.float32(0)
        for d in range(D):
            unit[n, d] = sums[d, n] * scale
    return unit
