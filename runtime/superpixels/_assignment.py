"""Rounds of SLIC: assignment of pixels to centres and update of the centres, in SIMD and in bands of rows.

Centres are (n, 5) int16: x, y and three colours. Planes are (3, H, P) uint8 and labels (H, P) uint16, P a multiple of
16. `_row_sampling` defines every n-th row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from .._support.prange import PRANGE_ONLY
from .._support.simd import splat
from . import _thin_runs as closing
from ._color_planes import LANES
from ._row_sampling import row_of

BAND = 32  # rows assigned together: of the window of a centre they stay in the first-level cache
PIECE = 256  # rows summed at once: 16-bit lanes overflow above 512
TIDY = 8  # least reach, in pixels, at which thin stretches are closed: they are whole superpixels below
NOWHERE = 65535  # label of the columns that pad a row


def _at(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


# The two SIMD steps take addresses in bytes and 16-bit scalars: plain loops of 16-bit integers reach half of
# their speed at best, since numba computes in 64 bits.


@intrinsic
def _nearer(
    _: Any,
    p0: Any,
    p1: Any,
    p2: Any,
    table: Any,
    nearest: Any,
    labels: Any,
    c0: Any,
    c1: Any,
    c2: Any,
    dy: Any,
    name: Any,
) -> Any:
    """Assign 16 pixels: where a centre is nearer than the nearest so far, take its label."""
    narrow, wide = ir.VectorType(ir.IntType(8), LANES), ir.VectorType(ir.IntType(16), LANES)

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> None:
        distance = builder.add(splat(builder, args[9], LANES), builder.load(_at(builder, args[3], wide), align=2))
        for plane, colour in zip(args[:3], args[6:9], strict=True):
            pixels = builder.zext(builder.load(_at(builder, plane, narrow), align=1), wide)
            off = builder.sub(pixels, splat(builder, colour, LANES))
            distance = builder.add(distance, builder.mul(off, off))
        at_nearest, at_labels = _at(builder, args[4], wide), _at(builder, args[5], wide)
        known, label = builder.load(at_nearest, align=2), builder.load(at_labels, align=2)
        closer = builder.icmp_unsigned("<", distance, known)
        builder.store(builder.select(closer, distance, known), at_nearest, align=2)
        builder.store(builder.select(closer, splat(builder, args[10], LANES), label), at_labels, align=2)

    return types.void(p0, p1, p2, table, nearest, labels, c0, c1, c2, dy, name), generate


def _total(builder: Any, vector: Any) -> Any:
    """Add 16 lanes of 16 bits to a number of 32 bits."""
    order = ir.VectorType(ir.IntType(32), LANES)
    vector = builder.zext(vector, order)
    for step in (8, 4, 2, 1):
        lanes = ir.Constant(order, [(i + step) % LANES for i in range(LANES)])
        vector = builder.add(vector, builder.shuffle_vector(vector, ir.Constant(order, ir.Undefined), lanes))
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


@intrinsic
def _gather(_: Any, p0: Any, p1: Any, p2: Any, labels: Any, stride: Any, rows: Any, name: Any, out: Any) -> Any:
    """Sum a label over a column of 16-pixel blocks: count, column, row and three colours, six int32 to `out`."""
    narrow, wide = ir.VectorType(ir.IntType(8), LANES), ir.VectorType(ir.IntType(16), LANES)

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> None:
        sums = [cgutils.alloca_once_value(builder, ir.Constant(wide, [0] * LANES)) for _ in range(5)]
        wanted = splat(builder, args[6], LANES)
        with cgutils.for_range(builder, args[5]) as loop:
            offset = builder.mul(loop.index, args[4])
            at = _at(builder, builder.add(args[3], builder.add(offset, offset)), wide)
            mask = builder.sext(builder.icmp_unsigned("==", builder.load(at, align=2), wanted), wide)
            row = splat(builder, builder.trunc(loop.index, ir.IntType(16)), LANES)
            terms = [ir.Constant(wide, [1] * LANES), row]
            for plane in args[:3]:
                at = _at(builder, builder.add(plane, offset), narrow)
                terms.append(builder.zext(builder.load(at, align=1), wide))
            for total, term in zip(sums, terms, strict=True):
                builder.store(builder.add(builder.load(total), builder.and_(mask, term)), total)
        count, *others = (builder.load(total) for total in sums)
        columns = builder.mul(count, ir.Constant(wide, list(range(LANES))))
        for i, vector in enumerate((count, columns, *others)):
            at = builder.add(args[7], ir.Constant(args[7].type, 4 * i))
            builder.store(_total(builder, vector), _at(builder, at, ir.IntType(32)), align=4)

    return types.void(p0, p1, p2, labels, stride, rows, name, out), generate


@njit(cache=True, nogil=True)
def seed(planes: np.ndarray, centres: np.ndarray, width: int) -> None:
    """Move seeds to the lowest gradient within 3x3 pixels, as published, and read the colours there."""
    height = planes.shape[1]
    for k in range(len(centres)):
        cx, cy = centres[k, 0], centres[k, 1]
        lowest = 1 << 30
        for y in range(max(cy - 1, 1), min(cy + 2, height - 1)):
            for x in range(max(cx - 1, 1), min(cx + 2, width - 1)):
                gradient = 0
                for c in range(3):
                    gradient += (np.int64(planes[c, y, x + 1]) - np.int64(planes[c, y, x - 1])) ** 2
                    gradient += (np.int64(planes[c, y + 1, x]) - np.int64(planes[c, y - 1, x])) ** 2
                if gradient < lowest:
                    lowest = gradient
                    centres[k, 0], centres[k, 1] = x, y
        for c in range(3):
            centres[k, 2 + c] = planes[c, centres[k, 1], centres[k, 0]]


@njit(cache=True, nogil=True)
def _assign(
    planes: np.ndarray,
    labels: np.ndarray,
    nearest: np.ndarray,
    centres: np.ndarray,
    table: np.ndarray,
    window: int,
    reach: int,
    width: int,
    top: int,
    bottom: int,
    step: int,
) -> None:
    """Assign every `step`th row; pixels out of reach of all centres keep their label; `top` is even."""
    height, padded = labels.shape
    size, zero = height * padded, len(table) // 2
    at_planes, at_labels, at_nearest = planes.ctypes.data, labels.ctypes.data, nearest.ctypes.data
    first = top + row_of(0, step)
    for y in range(first, bottom, step):
        nearest[y] = np.uint16(65535)
    for k in range(len(centres)):
        cx, cy = int(centres[k, 0]), int(centres[k, 1])
        y0, y1 = max(top, cy - reach), min(bottom, cy + reach + 1)
        if y0 >= y1:
            continue
        y0 += (top + row_of(0, step) - y0) % step
        x0 = min(max(cx - window // 2, 0), padded - window)
        c0, c1, c2 = centres[k, 2], centres[k, 3], centres[k, 4]
        for y in range(y0, y1, step):
            dy = table[zero + y - cy]
            offsets = table.ctypes.data + 2 * (zero + x0 - cx)
            for at in range(y * padded + x0, y * padded + x0 + window, LANES):
                p0 = at_planes + at
                found = at_nearest + 2 * at
                _nearer(
                    p0,
                    p0 + size,
                    p0 + 2 * size,
                    offsets,
                    found,
                    at_labels + 2 * at,
                    c0,
                    c1,
                    c2,
                    dy,
                    np.uint16(k),
                )
                offsets += 2 * LANES
    for y in range(first, bottom, step):
        labels[y, width:] = np.uint16(NOWHERE)


@njit(cache=True, nogil=True)
def _sum(
    planes: np.ndarray,
    labels: np.ndarray,
    centres: np.ndarray,
    sums: np.ndarray,
    window: int,
    reach: int,
    top: int,
    bottom: int,
    step: int,
) -> None:
    """Add count, x, y and colours of each label within its centre's window to `sums`, every `step`th row."""
    height, padded = labels.shape
    size = height * padded
    at_planes, at_labels = planes.ctypes.data, labels.ctypes.data
    of = np.empty(6, np.int32)
    for k in range(len(centres)):
        cx, cy = int(centres[k, 0]), int(centres[k, 1])
        y0, y1 = max(top, cy - reach), min(bottom, cy + reach + 1)
        if y0 >= y1:
            continue
        y0 += (top + row_of(0, step) - y0) % step
        x0 = min(max(cx - window // 2, 0), padded - window)
        for y in range(y0, y1, step * PIECE):
            rows = min(PIECE, (y1 - y + step - 1) // step)
            for x in range(x0, x0 + window, LANES):
                p0 = at_planes + y * padded + x
                label = at_labels + 2 * (y * padded + x)
                _gather(p0, p0 + size, p0 + 2 * size, label, step * padded, rows, np.uint16(k), of.ctypes.data)
                sums[k, 0] += of[0]
                sums[k, 1] += of[0] * x + of[1]
                sums[k, 2] += of[0] * y + of[2] * step
                for c in range(3, 6):
                    sums[k, c] += of[c]


@njit(cache=True, nogil=True)
def _band(height: int, chunk: int, chunks: int) -> tuple[int, int]:
    """Return first and last row of a chunk; chunks are whole bands and start on even rows."""
    bands = -(-height // BAND)
    return chunk * bands // chunks * BAND, min(height, (chunk + 1) * bands // chunks * BAND)


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def cluster(
    planes: np.ndarray,
    labels: np.ndarray,
    nearest: np.ndarray,
    centres: np.ndarray,
    table: np.ndarray,
    window: int,
    reach: int,
    width: int,
    rounds: int,
    step: int,
    last: int,
    chunks: int,
) -> None:
    """Assign and update on every `step`th row, then assign every `last`th row and close thin runs."""
    height = labels.shape[0]
    for r in range(rounds + 1):
        every = step if r < rounds else last
        sums = np.zeros((chunks, len(centres), 6), np.int64)
        for chunk in prange(chunks):
            top, bottom = _band(height, chunk, chunks)
            for y in range(top, bottom, BAND * every):
                end = min(bottom, y + BAND * every)
                _assign(planes, labels, nearest, centres, table, window, reach, width, y, end, every)
            if r < rounds:
                _sum(planes, labels, centres, sums[chunk], window, reach, top, bottom, every)
            elif reach >= TIDY:
                closing.across(labels, nearest, top, bottom, width, last)
        if r < rounds:
            _move(centres, sums)
    for chunk in prange(chunks if reach >= TIDY else 0):
        top, bottom = _band(height, chunk, chunks)
        if last == 1:
            closing.down(nearest, labels, top, bottom)
        else:
            closing.between(nearest, labels, top, bottom, last)


@njit(cache=True, nogil=True)
def _move(centres: np.ndarray, sums: np.ndarray) -> None:
    """Move each centre to the rounded mean of its sums, (chunks, n, 6); a centre without pixels stays."""
    for k in range(len(centres)):
        n = 0
        for chunk in range(len(sums)):
            n += sums[chunk, k, 0]
        for c in range(5 if n > 0 else 0):
            total = 0
            for chunk in range(len(sums)):
                total += sums[chunk, k, c + 1]
            centres[k, c] = (2 * total + n) // (2 * n)


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def measure(
    planes: np.ndarray, labels: np.ndarray, centres: np.ndarray, window: int, reach: int, step: int, chunks: int
) -> None:
    """Move centres to the means of their labels, measured on every `step`th row."""
    sums = np.zeros((chunks, len(centres), 6), np.int64)
    for chunk in prange(chunks):
        top, bottom = _band(labels.shape[0], chunk, chunks)
        _sum(planes, labels, centres, sums[chunk], window, reach, top, bottom, step)
    _move(centres, sums)
