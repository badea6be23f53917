"""Nearest stored superfeatures, by the processor's 8-bit dot products and only near where each superpixel was.

x86's instruction (VNNI) multiplies unsigned by signed bytes, so there numbers are stored plus 128, and 128 times the
sum of the query's numbers comes off again; ARM's (dot product) and the plain SIMD of older processors take signed ones.
Which of the three is compiled is decided here: LLVM finds neither instruction in a plain loop.

Milliseconds on one thread, 1,473 superpixels, 8 frames: a feature after the other with its sum across the register
16; queries one by one, runs of groups by row of the frame 9; tiles of queries 4.7; keys without branches 3.9.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from shls.runtime.packing import GROUP, LANES, UNIT, signed

MOST = 16
"""Neighbours that can be found."""

TILE = 8
"""Queries that are compared with a group while it is in registers; neighbours, so that they have groups in common."""


@lru_cache(1)
def offset() -> int:
    """What is added to stored numbers for the sake of the processor's instruction."""
    return 128 if _kind(cpu_target.target_context) == "vnni" else 0


def class_cosines(features: np.ndarray, packed: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Cosine of each feature with the nearest of each class.

    Parameters
    ----------
    features : (N, D) float32
    packed : (classes, groups, 1024) uint8, from `pack`
    known : (classes, 16 groups) bool, which of them count

    Returns
    -------
    (N, classes) float32; -2 where a class has none.
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
    places : (S, N, 2) float32, where each is looked for in each frame, pixels
    order : (N,) int64, from `spatial_order`
    visit : int64, the frames to search; soonest done where the likeliest come first
    reach : (S,) float32, pixels
    stored : (S, groups, 1024) uint8, from `pack`
    centres, boxes : (S, groups, 2, 16) and (S, groups, 4) int16, from `groups_of`
    neighbours : wanted, at most MOST

    Returns
    -------
    (N, neighbours) float32 cosines, best first, and (N, neighbours) int32 entries, slot * 16 groups + index;
    -1 where there are fewer.
    """
    similarity = np.full((len(features), neighbours), -1, np.float32)
    entry = np.full((len(features), neighbours), -1, np.int32)
    _search(
        signed(features), places, order, visit, reach, stored, centres, boxes, UNIT, offset(), TILE, similarity, entry
    )
    return similarity, entry


def _kind(context: Any) -> str:
    """Which dot product the processor that is compiled for has: vnni, sdot, or plain for none."""
    triple, _, features = context.codegen().magic_tuple()
    if "+avx512vnni" in features and "+avx512f" in features:
        return "vnni"
    if triple.startswith(("aarch64", "arm64")) and "+dotprod" in features:
        return "sdot"
    return "plain"


def _splat(builder: Any, scalar: Any, lanes: int) -> Any:
    vector = ir.VectorType(scalar.type, lanes)
    nothing, order = ir.Constant(vector, ir.Undefined), ir.VectorType(ir.IntType(32), lanes)
    one = builder.insert_element(nothing, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(order, [0] * lanes))


def _pick(builder: Any, vector: Any, lanes: list[int]) -> Any:
    order = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), order)


def _bits(builder: Any, flags: Any) -> Any:
    return builder.zext(builder.bitcast(flags, ir.IntType(GROUP)), ir.IntType(32))


def _multiply_vnni(builder: Any, total: Any, entries: Any, query: Any) -> Any:
    wide = ir.VectorType(ir.IntType(32), GROUP)
    kind = ir.FunctionType(wide, [wide, wide, wide])
    step = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
    return builder.call(step, [total, builder.bitcast(entries, wide), _splat(builder, query, GROUP)])


def _multiply_sdot(builder: Any, total: Any, entries: Any, query: Any) -> Any:
    wide, narrow = ir.VectorType(ir.IntType(32), 4), ir.VectorType(ir.IntType(8), 16)
    kind = ir.FunctionType(wide, [wide, narrow, narrow])
    step = cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.neon.sdot.v4i32.v16i8")
    numbers = builder.bitcast(_splat(builder, query, 4), narrow)
    parts = []
    for i in range(0, GROUP, 4):
        four = _pick(builder, total, [*range(i, i + 4)])
        parts.append(builder.call(step, [four, _pick(builder, entries, [*range(4 * i, 4 * i + 16)]), numbers]))
    return _join(builder, _join(builder, *parts[:2]), _join(builder, *parts[2:]))


def _join(builder: Any, one: Any, two: Any) -> Any:
    lanes = 2 * one.type.count
    return builder.shuffle_vector(one, two, ir.Constant(ir.VectorType(ir.IntType(32), lanes), [*range(lanes)]))


def _multiply_plain(builder: Any, total: Any, entries: Any, query: Any) -> Any:
    """Pairs of products, which LLVM knows for pmaddwd."""
    pairs, short = ir.VectorType(ir.IntType(32), 2 * GROUP), ir.VectorType(ir.IntType(16), 4 * GROUP)
    numbers = builder.bitcast(_splat(builder, query, GROUP), ir.VectorType(ir.IntType(8), 4 * GROUP))
    e, q = builder.sext(entries, short), builder.sext(numbers, short)
    products = []
    for first in (0, 1):
        lanes = list(range(first, 4 * GROUP, 2))
        products.append(builder.mul(*(builder.sext(_pick(builder, v, lanes), pairs) for v in (e, q))))
    both = builder.add(*products)
    halves = (_pick(builder, both, list(range(first, 2 * GROUP, 2))) for first in (0, 1))
    return builder.add(total, builder.add(*halves))


@intrinsic
def _dots(_: Any, group: Any, queries: Any, begins: Any, count: Any, out: Any) -> Any:
    """Dot products of each of some queries, 64 signed bytes, with a group's 16 features, to `out` (int32).

    Addresses; `begins` (int32) undo the offset of the stored numbers.
    """

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> None:
        four, wide, narrow = ir.IntType(32), ir.VectorType(ir.IntType(32), GROUP), ir.VectorType(ir.IntType(8), 64)
        multiply = {"vnni": _multiply_vnni, "sdot": _multiply_sdot, "plain": _multiply_plain}[_kind(context)]

        def load(base: Any, offset: Any, kind: Any) -> Any:
            address = builder.add(base, offset if isinstance(offset, ir.Value) else ir.Constant(base.type, offset))
            return builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)

        def times(index: Any, size: int) -> Any:
            return builder.mul(index, ir.Constant(index.type, size))

        entries = [load(args[0], 4 * GROUP * i, narrow) for i in range(LANES // 4)]
        with cgutils.for_range(builder, args[3]) as loop:
            begin = load(args[2], times(loop.index, 4), four)
            totals = [
                _splat(builder, begin, GROUP),
                ir.Constant(wide, [0] * GROUP),
            ]  # two: each waits for its last step
            query = builder.add(args[1], times(loop.index, LANES))
            for i, numbers in enumerate(entries):
                totals[i % 2] = multiply(builder, totals[i % 2], numbers, load(query, 4 * i, four))
            to = builder.inttoptr(builder.add(args[4], times(loop.index, 4 * GROUP)), wide.as_pointer())
            builder.store(builder.add(*totals), to, align=4)

    return types.void(group, queries, begins, count, out), generate


@intrinsic
def _above(_: Any, dots: Any, _least: Any) -> Any:
    """Which of 16 numbers at an address are above another, as bits."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        wide = ir.VectorType(ir.IntType(32), GROUP)
        found = builder.load(builder.inttoptr(args[0], wide.as_pointer()), align=4)
        return _bits(builder, builder.icmp_signed(">", found, _splat(builder, args[1], GROUP)))

    return types.uint32(dots, types.int32), generate


@intrinsic
def _within(_: Any, centres: Any, _x: Any, _y: Any, _square: Any) -> Any:
    """Which of a group's places lie within the root of `square` of x, y (float32), as bits."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        narrow, wide = ir.VectorType(ir.IntType(16), GROUP), ir.VectorType(ir.FloatType(), GROUP)
        total = None
        for i, place in enumerate(args[1:3]):
            address = builder.add(args[0], ir.Constant(args[0].type, 2 * GROUP * i))
            stored = builder.load(builder.inttoptr(address, narrow.as_pointer()), align=2)
            off = builder.fsub(builder.sitofp(stored, wide), _splat(builder, place, GROUP))
            off = builder.fmul(off, off)
            total = off if total is None else builder.fadd(total, off)
        return _bits(builder, builder.fcmp_ordered("<=", total, _splat(builder, args[3], GROUP)))

    return types.uint32(centres, types.float32, types.float32, types.float32), generate


@intrinsic
def _take(_: Any, best: Any, _key: Any) -> Any:
    """Take a key among 16 at an address, which fall; no branch, since where it belongs cannot be foreseen."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> None:
        kind, order = ir.VectorType(ir.IntType(64), MOST), ir.VectorType(ir.IntType(32), MOST)
        at = builder.inttoptr(args[0], kind.as_pointer())
        kept = builder.load(at, align=8)
        key = _splat(builder, args[1], MOST)
        above = builder.shuffle_vector(kept, key, ir.Constant(order, [MOST, *range(MOST - 1)]))
        moved = builder.select(builder.icmp_signed("<", above, key), above, key)
        builder.store(builder.select(builder.icmp_signed(">", kept, moved), kept, moved), at, align=8)

    return types.void(best, types.int64), generate


@intrinsic
def _first_bit(_: Any, _set: Any) -> Any:
    """Index of the lowest bit that is set; there must be one."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint32(types.uint32), generate


@njit(cache=True, nogil=True)
def _begin(query: np.ndarray, offset: int) -> np.int32:
    """Where sums begin so that the offset of the stored numbers comes off."""
    total = np.int32(0)
    for d in range(len(query)):
        total += np.int32(query[d])
    return np.int32(-offset * total)


@njit(cache=True, nogil=True, parallel=True)
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
                _dots(packed[c, group].ctypes.data, queries, begins.ctypes.data, size, dots.ctypes.data)
                for i in range(size):
                    for lane in range(GROUP):
                        if known[c, group * GROUP + lane]:
                            best[i] = max(best[i], dots[i, lane])
            for i in range(size):
                found[t * tile + i, c] = best[i] * np.float32(1 / (unit * unit))


@njit(cache=True, nogil=True)
def _close(places: np.ndarray, boxes: np.ndarray, reach: float, close: np.ndarray) -> int:
    """List the groups whose box is within reach of the places' box."""
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


@njit(cache=True, nogil=True, parallel=True)
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
    """Frame by frame for a tile of queries; numbers are compared first, places only where that was not enough."""
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
                _dots(numbers, queries.ctypes.data, begins.ctypes.data, size, dots.ctypes.data)
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
