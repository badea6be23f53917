"""From a dense feature map to one superfeature per superpixel."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from shls.runtime.errors import ShapeMismatch
from shls.runtime.types import Superpixels

BANDS = 4
"""Parts of the map that are summed at the same time; fixed, so that the sums do not depend on the machine's threads."""


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
    return _unit_rows(_sums(features, superpixels))


def pool_means(features: np.ndarray, superpixels: Superpixels) -> np.ndarray:
    """(N, D) float32: as `pool`, but the means as they are."""
    return _sums(features, superpixels).sum(0) / superpixels.areas[:, None].astype(np.float32)


def _sums(features: np.ndarray, superpixels: Superpixels) -> np.ndarray:
    """Check, and sum over each superpixel: (bands, N, D) float32."""
    labels = superpixels.labels
    if features.ndim != 3 or min(features.shape) < 1:
        raise ShapeMismatch(f"feature map of shape {features.shape}; expected (D, h, w)")
    rows = _cells(labels.shape[0], features.shape[1])
    columns = _cells(labels.shape[1], features.shape[2])
    firsts = np.searchsorted(rows, np.arange(features.shape[1] + 1)).astype(np.int32)
    return _band_sums(
        np.ascontiguousarray(features, np.float32), labels, columns, firsts, len(superpixels.areas), BANDS
    )


def _cells(pixels: int, cells: int) -> np.ndarray:
    """The map cell that each pixel of one axis lies in, (pixels,) int32."""
    return ((np.arange(pixels) + 0.5) * cells / pixels).astype(np.int32)


@njit(cache=True, nogil=True, parallel=True)
def _band_sums(
    features: np.ndarray, labels: np.ndarray, columns: np.ndarray, firsts: np.ndarray, count: int, bands: int
) -> np.ndarray:
    """Sums of the cells over each superpixel, per band of map rows, (bands, N, D).

    columns : (W,) map column of each pixel column
    firsts : (h + 1,) first pixel row of each map row
    """
    D, h, w = features.shape
    W = labels.shape[1]
    sums = np.zeros((bands, count, D), np.float32)
    for band in prange(bands):
        across = np.empty((w, D), np.float32)  # one row of the map, its channels side by side
        newest = np.empty(w, np.int32)  # the last share of each cell
        most = 0
        for row in range(band * h // bands, (band + 1) * h // bands):
            most = max(most, firsts[row + 1] - firsts[row])
        column = np.empty(most * W, np.int32)  # shares: pixels of one cell that lie in one superpixel
        label = np.empty(most * W, np.int32)
        weight = np.empty(most * W, np.float32)
        for row in range(band * h // bands, (band + 1) * h // bands):
            for d in range(D):
                for x in range(w):
                    across[x, d] = features[d, row, x]
            newest[:] = -1
            shares = 0
            for y in range(firsts[row], firsts[row + 1]):
                for x in range(W):
                    share = newest[columns[x]]
                    if share >= 0 and label[share] == labels[y, x]:
                        weight[share] += 1
                    else:
                        column[shares], label[shares], weight[shares] = columns[x], labels[y, x], 1
                        newest[columns[x]] = shares
                        shares += 1
            for share in range(shares):
                source, target, pixels = across[column[share]], sums[band, label[share]], weight[share]
                for d in range(D):
                    target[d] += pixels * source[d]
    return sums


@njit(cache=True, nogil=True)
def _unit_rows(sums: np.ndarray) -> np.ndarray:
    """(bands, N, D) -> (N, D) of unit length, zeros kept."""
    unit = sums.sum(0)
    for n in range(len(unit)):
        length = np.sqrt(np.sum(unit[n] * unit[n]))
        if length > 0:
            unit[n] /= length
    return unit
