"""Pooling: from a dense feature map to one vector per superpixel.

The kernel sums the features along each row of the map. A run of equal labels then takes the difference of two such
sums, however many cells it covers. Below `FORK` threads the work is not split: waiting for a second core that other
work keeps busy takes longer than the half that could be saved (`benchmarks/core.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir
from numba import get_num_threads, njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from .._support.prange import PRANGE_ONLY
from .._support.simd import splat
from ..errors import ShapeMismatch
from ..types import Superpixels

BANDS = 4
"""Bands of the map that are summed separately; constant, so that sums do not depend on the number of threads."""

FORK = 4
"""Number of threads from which on the bands are summed in parallel."""

BLOCK = 8
"""Rows and columns per block that is transposed in registers."""

LANES = 16
"""Channels per SIMD step."""


def pool(features: np.ndarray, superpixels: Superpixels) -> np.ndarray:
    """Average a feature map over each superpixel.

    Every pixel takes the nearest cell of the map. A superpixel's vector is the mean of the cells that it covers, each
    weighted by the number of covered pixels.

    Parameters
    ----------
    features : (D, h, w) float32
        Map that covers the whole frame.
    superpixels : Superpixels

    Returns
    -------
    (N, D) float32
        Unit length; zeros where the mean is zero.

    Raises
    ------
    ShapeMismatch
        If `features` is not a (D, h, w) map.

    Examples
    --------
    >>> whole = Superpixels(np.zeros((8, 8), np.int32), np.zeros((1, 2), np.float32), np.array([64], np.int32))
    >>> pool(np.ones((4, 2, 2), np.float32), whole)
    array([[0.5, 0.5, 0.5, 0.5]], dtype=float32)
    """
    return _unit_rows(_sums(features, superpixels))


def pool_means(features: np.ndarray, superpixels: Superpixels) -> np.ndarray:
    """Average a feature map over each superpixel without normalisation, (N, D) float32; see `pool`.

    Examples
    --------
    >>> whole = Superpixels(np.zeros((8, 8), np.int32), np.zeros((1, 2), np.float32), np.array([64], np.int32))
    >>> pool_means(np.full((2, 2, 2), 3, np.float32), whole)
    array([[3., 3.]], dtype=float32)
    """
    return _sums(features, superpixels).sum(0) / superpixels.areas[:, None].astype(np.float32)


def _sums(features: np.ndarray, superpixels: Superpixels) -> np.ndarray:
    """Check the map and sum it over each superpixel, (bands, N, D) float32."""
    labels = superpixels.labels
    if features.ndim != 3 or min(features.shape) < 1:
        raise ShapeMismatch(f"feature map: wrong shape (got {features.shape}, expected (D, h, w))")
    downwards, rightwards = (_edges(*sides) for sides in zip(labels.shape, features.shape[1:], strict=True))
    features, labels = (np.require(array, requirements=["C", "W"]) for array in (features, labels))
    sum_bands = _bands_beside if get_num_threads() >= FORK else _bands_in_turn
    sums = sum_bands(
        features.astype(np.float32, copy=False), labels, downwards, rightwards, len(superpixels.areas), BANDS
    )
    return sums[:, :, : len(features)]


def _edges(pixels: int, cells: int) -> np.ndarray:
    """Return the first pixel of each cell of one axis, then the number of pixels, (cells + 1,) int32."""
    cell = ((np.arange(pixels) + 0.5) * cells / pixels).astype(np.int32)
    return np.searchsorted(cell, np.arange(cells + 1)).astype(np.int32)


@intrinsic
def _transpose(_: Any, source: Any, step: Any, target: Any, stride: Any) -> Any:
    """Transpose 8x8 float32 at an address, rows `step` bytes apart; LLVM compiles the plain loop number by number."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> None:
        row, order = ir.VectorType(ir.FloatType(), BLOCK), ir.VectorType(ir.IntType(32), BLOCK)

        def at(base: Any, bytes_apart: Any, i: int) -> Any:
            address = builder.add(base, builder.mul(bytes_apart, ir.Constant(bytes_apart.type, i)))
            return builder.inttoptr(address, row.as_pointer())

        rows = [builder.load(at(args[0], args[1], i), align=4) for i in range(BLOCK)]
        for _ in range(3):  # three times every row is shuffled with the one half the block away
            pairs = [(rows[i], rows[i + BLOCK // 2]) for i in range(BLOCK // 2)]
            halves = [[i // 2 + h + BLOCK * (i % 2) for i in range(BLOCK)] for h in (0, BLOCK // 2)]
            rows = [builder.shuffle_vector(*pair, ir.Constant(order, lanes)) for pair in pairs for lanes in halves]
        for i, column in enumerate(rows):
            builder.store(column, at(args[2], args[3], i), align=4)

    return types.void(source, step, target, stride), generate


def _lane_loop(builder: Any, blocks: Any) -> Any:
    """Loop over blocks of channels; yield functions that load from and store to an address of the block."""
    row = ir.VectorType(ir.FloatType(), LANES)

    @contextmanager
    def loop() -> Iterator[tuple[Callable[[Any], Any], Callable[[Any, Any], None]]]:
        with cgutils.for_range(builder, blocks) as counted:
            offset = builder.mul(counted.index, ir.Constant(counted.index.type, 4 * LANES))

            def at(address: Any) -> Any:
                return builder.inttoptr(builder.add(address, offset), row.as_pointer())

            yield (
                (lambda address: builder.load(at(address), align=4)),
                (lambda value, address: builder.store(value, at(address), align=4)),
            )

    return loop()


# The two steps of the sums take addresses of float32, and their length in blocks of channels: LLVM would test at each
# step of a plain loop whether the arrays overlap.


@intrinsic
def _add(_: Any, before: Any, cell: Any, _pixels: Any, after: Any, blocks: Any) -> Any:
    """Extend a prefix sum by one cell: after = before + pixels * cell."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> None:
        pixels = splat(builder, args[2], LANES)
        with _lane_loop(builder, args[4]) as (load, store):
            store(builder.fadd(load(args[0]), builder.fmul(pixels, load(args[1]))), args[3])

    return types.void(before, cell, types.float32, after, blocks), generate


@intrinsic
def _take(_: Any, before: Any, cell: Any, _pixels: Any, last: Any, target: Any, blocks: Any) -> Any:
    """Give a run that ends some pixels into a cell the sum since the end of the previous run."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> None:
        pixels = splat(builder, args[2], LANES)
        with _lane_loop(builder, args[5]) as (load, store):
            here = builder.fadd(load(args[0]), builder.fmul(pixels, load(args[1])))
            store(builder.fadd(load(args[4]), builder.fsub(here, load(args[3]))), args[4])
            store(here, args[3])

    return types.void(before, cell, types.float32, last, target, blocks), generate


@njit(cache=True, nogil=True)
def _side_by_side(features: np.ndarray, row: int, across: np.ndarray) -> None:
    """Transpose one row of the map into (w + 1, depth), channels side by side."""
    D, h, w = features.shape
    depth = across.shape[1]
    wide, deep = w // BLOCK * BLOCK, D // BLOCK * BLOCK
    for d in range(0, deep, BLOCK):
        for x in range(0, wide, BLOCK):
            source = features.ctypes.data + 4 * ((d * h + row) * w + x)
            _transpose(source, 4 * h * w, across.ctypes.data + 4 * (x * depth + d), 4 * depth)
    for d in range(D):
        for x in range(wide if d < deep else 0, w):
            across[x, d] = features[d, row, x]


@njit(cache=True, nogil=True)
def _stretches(labels: np.ndarray, starts: np.ndarray) -> int:
    """Write the start of each run of equal labels and the end of the last run; return their number."""
    n = np.uint64(1)
    starts[0] = 0
    for x in range(1, len(labels)):
        starts[n] = x
        n += np.uint64(labels[x] != labels[x - 1])
    starts[n] = len(labels)
    return int(n)


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def _bands_beside(
    features: np.ndarray, labels: np.ndarray, downwards: np.ndarray, rightwards: np.ndarray, count: int, bands: int
) -> np.ndarray:
    """Sum the cells over each superpixel per band of map rows, (bands, N, D or more); edges in pixels."""
    sums = np.zeros((bands, count, -(-len(features) // LANES) * LANES), np.float32)
    for band in prange(bands):
        _sum_band(features, labels, downwards, rightwards, band, sums)
    return sums


@njit(cache=True, nogil=True)
def _bands_in_turn(
    features: np.ndarray, labels: np.ndarray, downwards: np.ndarray, rightwards: np.ndarray, count: int, bands: int
) -> np.ndarray:
    """Sum the bands one after the other."""
    sums = np.zeros((bands, count, -(-len(features) // LANES) * LANES), np.float32)
    for band in range(bands):
        _sum_band(features, labels, downwards, rightwards, band, sums)
    return sums


@njit(cache=True, nogil=True)
def _sum_band(
    features: np.ndarray,
    labels: np.ndarray,
    downwards: np.ndarray,
    rightwards: np.ndarray,
    band: int,
    sums: np.ndarray,
) -> None:
    """Add the cells of one band of map rows to its sums."""
    h, w = features.shape[1:]
    bands, count, depth = sums.shape
    W, blocks = labels.shape[1], depth // LANES
    cell = np.full(W + 1, w, np.int32)
    for c in range(w):
        cell[rightwards[c] : rightwards[c + 1]] = c
    across = np.zeros((w + 1, depth), np.float32)
    before = np.zeros((w + 1, depth), np.float32)  # sums of all pixels before each cell
    last = np.empty(depth, np.float32)
    starts = np.empty(W + 1, np.int32)
    at_across, at_before = across.ctypes.data, before.ctypes.data
    at_sums = sums.ctypes.data + 4 * band * count * depth
    for row in range(band * h // bands, (band + 1) * h // bands):
        _side_by_side(features, row, across)
        for c in range(w):
            pixels, at = np.float32(rightwards[c + 1] - rightwards[c]), 4 * c * depth
            _add(at_before + at, at_across + at, pixels, at_before + at + 4 * depth, blocks)
        for y in range(downwards[row], downwards[row + 1]):
            last[:] = 0
            for i in range(_stretches(labels[y], starts)):
                end, k = starts[i + 1], labels[y, starts[i]]
                pixels, at = np.float32(end - rightwards[cell[end]]), 4 * cell[end] * depth
                target = at_sums + 4 * k * depth
                _take(at_before + at, at_across + at, pixels, last.ctypes.data, target, blocks)


@njit(cache=True, nogil=True, fastmath=True)
def _unit_rows(sums: np.ndarray) -> np.ndarray:
    """Add the bands, (bands, N, D), and scale each vector to unit length, (N, D); zeros stay."""
    bands, N, D = sums.shape
    unit = np.empty((N, D), np.float32)
    for n in range(N):
        square = np.float32(0)
        for d in range(D):
            total = np.float32(0)
            for band in range(bands):
                total += sums[band, n, d]
            unit[n, d] = total
            square += total * total
        scale = np.float32(1) / np.sqrt(square) if square > 0 else np.float32(0)
        for d in range(D):
            unit[n, d] *= scale
    return unit
