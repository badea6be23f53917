"""From a dense feature map to one superfeature per superpixel.

Along a row of the map the features are summed up from the left; a stretch of equal labels then takes the difference
of two such sums, however many cells it covers. Tried and dropped, for they are slower: the pixels that each cell shares
with each superpixel, counted stretch by stretch or pixel by pixel; transposing by plain loops.

Two threads are not asked to share the work: of 1.5 ms they can save half, and waiting for a second core that anything
else keeps busy takes several (`python benchmarks/core.py` on a busy machine).
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

from .._support.simd import splat
from ..errors import ShapeMismatch
from ..types import Superpixels

BANDS = 4
"""Parts of the map that are summed at the same time; fixed, so that the sums do not depend on the machine's threads."""

FORK = 4
"""Threads from which on the parts are summed side by side."""

BLOCK = 8
"""Rows and columns that are transposed in registers."""

LANES = 16
"""Channels per SIMD step."""


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
        If the features are no (D, h, w) map.
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
    downwards, rightwards = (_edges(*sides) for sides in zip(labels.shape, features.shape[1:], strict=True))
    features, labels = (np.require(array, requirements=["C", "W"]) for array in (features, labels))
    sum_bands = _bands_beside if get_num_threads() >= FORK else _bands_in_turn
    sums = sum_bands(
        features.astype(np.float32, copy=False), labels, downwards, rightwards, len(superpixels.areas), BANDS
    )
    return sums[:, :, : len(features)]


def _edges(pixels: int, cells: int) -> np.ndarray:
    """The first pixel of each cell of one axis, and the number of pixels; (cells + 1,) int32."""
    cell = ((np.arange(pixels) + 0.5) * cells / pixels).astype(np.int32)
    return np.searchsorted(cell, np.arange(cells + 1)).astype(np.int32)


@intrinsic
def _transpose(_: Any, source: Any, step: Any, target: Any, stride: Any) -> Any:
    """8x8 float32 at an address, rows `step` bytes apart, to columns; LLVM writes the plain loop number by number."""

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
    """Loop over blocks of channels; gives how to load from and store to an address within it."""
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
    """Sum up to the next cell: after = before + pixels * cell."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> None:
        pixels = splat(builder, args[2], LANES)
        with _lane_loop(builder, args[4]) as (load, store):
            store(builder.fadd(load(args[0]), builder.fmul(pixels, load(args[1]))), args[3])

    return types.void(before, cell, types.float32, after, blocks), generate


@intrinsic
def _take(_: Any, before: Any, cell: Any, _pixels: Any, last: Any, target: Any, blocks: Any) -> Any:
    """Give a stretch that ends some pixels into a cell the sum since the last one's end."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> None:
        pixels = splat(builder, args[2], LANES)
        with _lane_loop(builder, args[5]) as (load, store):
            here = builder.fadd(load(args[0]), builder.fmul(pixels, load(args[1])))
            store(builder.fadd(load(args[4]), builder.fsub(here, load(args[3]))), args[4])
            store(here, args[3])

    return types.void(before, cell, types.float32, last, target, blocks), generate


@njit(cache=True, nogil=True)
def _side_by_side(features: np.ndarray, row: int, across: np.ndarray) -> None:
    """One row of the map, its channels side by side: into (w + 1, depth)."""
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
    """Where each stretch of equal labels starts, and the end of the last; returns their number."""
    n = np.uint64(1)
    starts[0] = 0
    for x in range(1, len(labels)):
        starts[n] = x
        n += np.uint64(labels[x] != labels[x - 1])
    starts[n] = len(labels)
    return int(n)


@njit(cache=True, nogil=True, parallel=True)
def _bands_beside(
    features: np.ndarray, labels: np.ndarray, downwards: np.ndarray, rightwards: np.ndarray, count: int, bands: int
) -> np.ndarray:
    """Sums of the cells over each superpixel, per band of map rows, (bands, N, D or more); edges in pixels."""
    sums = np.zeros((bands, count, -(-len(features) // LANES) * LANES), np.float32)
    for band in prange(bands):
        _sum_band(features, labels, downwards, rightwards, band, sums)
    return sums


@njit(cache=True, nogil=True)
def _bands_in_turn(
    features: np.ndarray, labels: np.ndarray, downwards: np.ndarray, rightwards: np.ndarray, count: int, bands: int
) -> np.ndarray:
    """The same, one after the other."""
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
    """(bands, N, D) -> (N, D) of unit length, zeros kept."""
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
