"""Search of the nearest stored superfeatures, by 8-bit dot products, within a radius of each superpixel's place.

Queries are compared in tiles, so that a group of stored features stays in registers. The dot products are in
`_int8_dot`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic

from .._support.prange import PRANGE_ONLY
from .._support.simd import splat
from ._int8_dot import multiply_group, offset, to_bits
from ._packing import GROUP, LANES, UNIT, signed

MOST = 16
"""Largest number of neighbours per query."""

TILE = 8
"""Queries per tile; queries of a tile are neighbours in the frame and have most groups in common."""


def class_cosines(features: np.ndarray, packed: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Compute the cosine similarity of each feature with the nearest stored feature of each class.

    Parameters
    ----------
    features : (N, D) float32
        Unit length.
    packed : (classes, groups, 1024) uint8
        From `pack`.
    known : (classes, 16 groups) bool
        Stored features that exist.

    Returns
    -------
    (N, classes) float32
        -2 where a class has no stored feature.
    """
    found = np.empty((len(features), len(packed)), np.float32)
    _class_cosines(signed(features), packed, known, UNIT, offset(), TILE, found)
    return found


def search(
    features: np.ndarray,
    places: np.ndarray,
    order: np.ndarray,
    visit: np.ndarray,
    reach: np.ndarray,
    stored: np.ndarray,
    centres: np.ndarray,
    boxes: np.ndarray,
    neighbours: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Find each superpixel's nearest entries within reach of its place in each frame.

    Parameters
    ----------
    features : (N, D) float32
        Unit length.
    places : (S, N, 2) float32
        Centre of the search window of each superpixel in each stored frame, pixels.
    order : (N,) int64
        From `spatial_order`.
    visit : (V,) int64
        Stored frames to search; the search is fastest if the most similar frames come first.
    reach : (S,) float32
        Radius of the search window in each stored frame, pixels.
    stored : (S, groups, 1024) uint8
        From `pack`.
    centres, boxes : (S, groups, 2, 16) and (S, groups, 4) int16
        From `groups_of`.
    neighbours : int
        Number of neighbours, at most MOST.

    Returns
    -------
    similarity : (N, neighbours) float32
        Cosine similarities, largest first; -1 where there are fewer.
    entry : (N, neighbours) int32
        ``slot * 16 * groups + index``; -1 where there are fewer.
    """
    similarity = np.full((len(features), neighbours), -1, np.float32)
    entry = np.full((len(features), neighbours), -1, np.int32)
    _search(
        signed(features), places, order, visit, reach, stored, centres, boxes, UNIT, offset(), TILE, similarity, entry
    )
    return similarity, entry


@intrinsic
def _above(_: Any, dots: Any, _least: Any) -> Any:
    """Compare 16 numbers at an address with a threshold; return a bit per number that is above."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        wide = ir.VectorType(ir.IntType(32), GROUP)
        found = builder.load(builder.inttoptr(args[0], wide.as_pointer()), align=4)
        return to_bits(builder, builder.icmp_signed(">", found, splat(builder, args[1], GROUP)))

    return types.uint32(dots, types.int32), generate


@intrinsic
def _within(_: Any, centres: Any, _x: Any, _y: Any, _square: Any) -> Any:
    """Compare a group's distances to (x, y) with a radius; return a bit per place within sqrt(`square`)."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        narrow, wide = ir.VectorType(ir.IntType(16), GROUP), ir.VectorType(ir.FloatType(), GROUP)
        total = None
        for i, place in enumerate(args[1:3]):
            address = builder.add(args[0], ir.Constant(args[0].type, 2 * GROUP * i))
            stored = builder.load(builder.inttoptr(address, narrow.as_pointer()), align=2)
            off = builder.fsub(builder.sitofp(stored, wide), splat(builder, place, GROUP))
            off = builder.fmul(off, off)
            total = off if total is None else builder.fadd(total, off)
        return to_bits(builder, builder.fcmp_ordered("<=", total, splat(builder, args[3], GROUP)))

    return types.uint32(centres, types.float32, types.float32, types.float32), generate


@intrinsic
def _take(_: Any, best: Any, _key: Any) -> Any:
    """Insert a key into 16 descending keys at an address, without a branch: its rank cannot be predicted."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> None:
        kind, order = ir.VectorType(ir.IntType(64), MOST), ir.VectorType(ir.IntType(32), MOST)
        at = builder.inttoptr(args[0], kind.as_pointer())
        kept = builder.load(at, align=8)
        key = splat(builder, args[1], MOST)
        above = builder.shuffle_vector(kept, key, ir.Constant(order, [MOST, *range(MOST - 1)]))
        moved = builder.select(builder.icmp_signed("<", above, key), above, key)
        builder.store(builder.select(builder.icmp_signed(">", kept, moved), kept, moved), at, align=8)

    return types.void(best, types.int64), generate


@intrinsic
def _first_bit(_: Any, _set: Any) -> Any:
    """Return the index of the lowest set bit; at least one bit must be set."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint32(types.uint32), generate


@njit(cache=True, nogil=True)
def _begin(query: np.ndarray, offset: int) -> np.int32:
    """Return the start value of a query's dot products, which cancels the offset of the stored numbers."""
    total = np.int32(0)
    for d in range(len(query)):
        total += np.int32(query[d])
    return np.int32(-offset * total)


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def _class_cosines(
    features: np.ndarray, packed: np.ndarray, known: np.ndarray, unit: int, offset: int, tile: int, found: np.ndarray
) -> None:
    N = len(features)
    classes, groups = packed.shape[:2]
    for t in prange(-(-N // tile)):
        size = min(tile, N - t * tile)
        begins = np.empty(tile, np.int32)
        dots = np.empty((tile, GROUP), np.int32)
        best = np.empty(tile, np.int32)
        for i in range(size):
            begins[i] = _begin(features[t * tile + i], offset)
        for c in range(classes):
            best[:] = -2 * unit * unit
            for group in range(groups):
                queries = features.ctypes.data + t * tile * LANES
                multiply_group(packed[c, group].ctypes.data, queries, begins.ctypes.data, size, dots.ctypes.data)
                for i in range(size):
                    for lane in range(GROUP):
                        if known[c, group * GROUP + lane]:
                            best[i] = max(best[i], dots[i, lane])
            for i in range(size):
                found[t * tile + i, c] = best[i] * np.float32(1 / (unit * unit))


@njit(cache=True, nogil=True)
def _close(places: np.ndarray, boxes: np.ndarray, reach: float, close: np.ndarray) -> int:
    """List the groups whose bounding box is within reach of the bounding box of the places; return their number."""
    low_x, high_x, low_y, high_y = places[0, 0], places[0, 0], places[0, 1], places[0, 1]
    for i in range(1, len(places)):
        low_x, high_x = min(low_x, places[i, 0]), max(high_x, places[i, 0])
        low_y, high_y = min(low_y, places[i, 1]), max(high_y, places[i, 1])
    n = 0
    zero, square = np.float32(0), np.float32(reach * reach)
    for group in range(len(boxes)):
        dx = max(np.float32(boxes[group, 0]) - high_x, low_x - np.float32(boxes[group, 2]), zero)
        dy = max(np.float32(boxes[group, 1]) - high_y, low_y - np.float32(boxes[group, 3]), zero)
        close[n] = group
        n += dx * dx + dy * dy <= square
    return n


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def _search(
    features: np.ndarray,
    places: np.ndarray,
    order: np.ndarray,
    visit: np.ndarray,
    reach: np.ndarray,
    stored: np.ndarray,
    centres: np.ndarray,
    boxes: np.ndarray,
    unit: int,
    offset: int,
    tile: int,
    similarity: np.ndarray,
    entry: np.ndarray,
) -> None:
    """Search frame by frame for a tile of queries; similarities are compared first, places only if necessary."""
    N, neighbours = similarity.shape
    groups = stored.shape[1]
    none = -(1 << 62)
    for t in prange(-(-N // tile)):
        names = order[t * tile : (t + 1) * tile]
        size = len(names)
        queries, begins = features[names], np.empty(tile, np.int32)
        best = np.full((size, MOST), none, np.int64)  # keys: product, then entry
        dots = np.empty((tile, GROUP), np.int32)
        close = np.empty(groups + 1, np.int32)
        for i in range(size):
            begins[i] = _begin(queries[i], offset)
        for s in visit:
            here, square = places[s][names], np.float32(reach[s] * reach[s])
            for group in close[: _close(here, boxes[s], reach[s], close)]:
                numbers, at = stored[s, group].ctypes.data, centres[s, group].ctypes.data
                multiply_group(numbers, queries.ctypes.data, begins.ctypes.data, size, dots.ctypes.data)
                for i in range(size):
                    bits = _above(dots[i].ctypes.data, np.int32(best[i, neighbours - 1] >> 32))
                    if bits == 0:
                        continue
                    bits &= _within(at, here[i, 0], here[i, 1], square)
                    while bits != 0:
                        lane = _first_bit(bits)
                        bits &= bits - np.uint32(1)
                        key = (np.int64(dots[i, lane]) << 32) + (s * groups + group) * GROUP + lane
                        _take(best[i].ctypes.data, key)
        for i in range(size):
            for j in range(neighbours):
                if best[i, j] != none:
                    similarity[names[i], j] = (best[i, j] >> 32) * np.float32(1 / (unit * unit))
                    entry[names[i], j] = best[i, j] & 0x7FFFFFFF
