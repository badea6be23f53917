"""Connected superpixels from a labelling: the last step of SLIC and ISEC.

All functions work on run lengths (`_run_lengths`). Two things differ from the published SLIC (Achanta
et al., 2012). An orphan joins the neighbour with the nearest colour instead of the first one met. A large orphan
becomes a superpixel.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .._support.prange import PRANGE_ONLY
from ..types import Superpixels
from . import _orphans as orphans
from ._row_sampling import choose, count_rows, row_of
from ._run_lengths import Runs, components, find


def connect(
    labels: np.ndarray,
    planes: np.ndarray,
    colours: np.ndarray,
    runs: Runs,
    count: int,
    least: float,
    chunks: int,
    every: int = 1,
) -> Superpixels:
    """Turn any labelling into connected superpixels.

    The largest part of a label keeps it. Other parts of at least `least` pixels, the largest first, take free
    labels; the rest joins neighbours. Then the last labels move into the holes.

    Parameters
    ----------
    labels : (H, at least W) uint16, below `count` in the first W columns
        Overwritten with the result, in the rows that count.
    planes : (3, H, at least W) uint8, colours of the pixels
    colours : (n, 3) integers, colour of each label
    runs : Runs, from `runs.allocate(H, W)`
    count : most labels that may come out
    least : pixels that a part needs to stand alone, about, where not every row counts; the largest of all always does
    chunks : bands of rows that are worked on in parallel, at most H; the result does not depend on it
    every : a power of 2, 1 where H is 1: only every so many-th row of labels counts, from the second for
        all but 1; between them, colours decide
    """
    height = len(runs.rows)
    width = len(runs.start) // height - 1
    runs = runs._replace(rows=runs.rows[: count_rows(height, every)])
    chunks = min(chunks, len(runs.rows))
    find(labels, runs, width, chunks, every)
    total = _name(components(labels, runs, chunks, every), runs.names, count, least / every)
    orphans.adopt(labels, colours, runs, *orphans.nameless(planes, runs, every), every)
    return Superpixels(*_paint(labels, planes, runs, total, width, chunks, every))


def _name(found: np.ndarray, names: np.ndarray, count: int, least: float) -> int:
    """Name components that become superpixels at their roots, 0 to total - 1, the others -1; return total."""
    holder, spare = _hold(found, names, count, least)
    return _number(found, holder, names, spare[np.argsort(-found[spare, 2], kind="stable")])


@njit(cache=True, nogil=True)
def _hold(found: np.ndarray, names: np.ndarray, count: int, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Name the largest component of each label; return the component per label, and large components without one."""
    holder = np.full(count, -1, np.int32)  # component that bears a label
    biggest = 0
    for i in range(len(found)):
        k = found[i, 1]
        names[found[i, 0]] = -1
        if found[i, 2] > found[biggest, 2]:
            biggest = i
        if (found[i, 2] >= least) and (holder[k] < 0 or found[i, 2] > found[holder[k], 2]):
            holder[k] = i
    if found[biggest, 2] < least:
        holder[found[biggest, 1]] = biggest
    for k in range(count):
        if holder[k] >= 0:
            names[found[holder[k], 0]] = k
    spare = np.empty(len(found), np.int32)
    n = 0
    for i in range(len(found)):
        if names[found[i, 0]] < 0 and found[i, 2] >= least:
            spare[n] = i
            n += 1
    return holder, spare[:n]


@njit(cache=True, nogil=True)
def _number(found: np.ndarray, holder: np.ndarray, names: np.ndarray, spare: np.ndarray) -> int:
    """Give free labels to spare components, the largest first, then close the gaps; return the number of labels."""
    count, total = len(holder), 0
    for k in range(count):
        total += holder[k] >= 0
    free = 0
    for i in range(min(len(spare), count - total)):
        while holder[free] >= 0:
            free += 1
        holder[free] = spare[i]
        names[found[spare[i], 0]] = free
        total += 1
    free = 0
    for k in range(count - 1, total - 1, -1):
        if holder[k] >= 0:
            while holder[free] >= 0:
                free += 1
            holder[free] = holder[k]
            names[found[holder[k], 0]] = free
    return total


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def _paint(
    labels: np.ndarray, planes: np.ndarray, runs: Runs, total: int, width: int, chunks: int, every: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write the names to `labels` and to an int32 array, in all rows; compute centres and areas."""
    count = len(runs.rows)
    out = np.empty((labels.shape[0], width), np.int32)
    sums = np.zeros((chunks, total, 3), np.int64)
    for chunk in prange(chunks):
        top, bottom = chunk * count // chunks, (chunk + 1) * count // chunks
        starts = np.empty(width + 1, np.int32)
        for j in range(top, bottom):
            y = row_of(j, every)
            _paint_row(labels[y], runs, j, y, out, sums[chunk])
            if j > top:  # between two rows that are still in the cache
                _paint_between(planes, labels, y - every, y, out, sums[chunk], starts)
    starts = np.empty(width + 1, np.int32)
    for chunk in range(1, chunks):
        seam = row_of(chunk * count // chunks, every)
        _paint_between(planes, labels, seam - every, seam, out, sums[0], starts)
    first, last = row_of(0, every), row_of(count - 1, every)
    for y in range(first):
        _paint_like(planes, labels, y, first, first, out, sums[0], starts)
    for y in range(last + 1, len(out)):
        _paint_like(planes, labels, y, last, last, out, sums[0], starts)
    centres, areas = np.empty((total, 2), np.float32), np.empty(total, np.int32)
    for k in range(total):
        n, x, y = 0, 0, 0
        for chunk in range(chunks):
            n += sums[chunk, k, 0]
            x += sums[chunk, k, 1]
            y += sums[chunk, k, 2]
        centres[k, 0], centres[k, 1], areas[k] = x / n, y / n, n
    return out, centres, areas


@njit(cache=True, nogil=True)
def _paint_row(row: np.ndarray, runs: Runs, j: int, y: int, out: np.ndarray, sums: np.ndarray) -> None:
    for r in range(runs.rows[j, 0], runs.rows[j, 1]):
        begin, end = runs.start[r], runs.start[r + 1]
        k = runs.names[runs.parent[r]]
        if row[begin] != k:
            row[begin:end] = k
        _add(sums[k], begin, end, y)
    for x in range(out.shape[1]):
        out[y, x] = row[x]


@njit(cache=True, nogil=True)
def _paint_between(
    planes: np.ndarray, labels: np.ndarray, up: int, down: int, out: np.ndarray, sums: np.ndarray, starts: np.ndarray
) -> None:
    """Fill the rows between two labelled rows, the middle row first, then the rows on both sides of it."""
    step = (down - up) // 2
    while step > 0:
        for y in range(up + step, down, 2 * step):
            _paint_like(planes, labels, y, y - step, y + step, out, sums, starts)
        step //= 2


@njit(cache=True, nogil=True)
def _paint_like(
    planes: np.ndarray,
    labels: np.ndarray,
    y: int,
    up: int,
    down: int,
    out: np.ndarray,
    sums: np.ndarray,
    starts: np.ndarray,
) -> None:
    """Fill row y from the rows `up` and `down`; `starts` is work space of width + 1."""
    choose(planes, labels, y, up, down)
    row = labels[y, : out.shape[1]]
    for x in range(len(row)):
        out[y, x] = row[x]
    _count(row, y, sums, starts)


@njit(cache=True, nogil=True)
def _count(row: np.ndarray, y: int, sums: np.ndarray, starts: np.ndarray) -> None:
    """Add the runs of row y to the sums."""
    n = np.uint64(1)
    for x in range(1, len(row)):
        starts[n] = x
        n += np.uint64(row[x] != row[x - 1])
    starts[0], starts[n] = 0, len(row)
    for i in range(n):
        _add(sums[row[starts[i]]], starts[i], starts[i + 1], y)


@njit(cache=True, nogil=True)
def _add(sums: np.ndarray, begin: int, end: int, y: int) -> None:
    """Add a run of row y to the count and to the sums of x and y of its label."""
    sums[0] += end - begin
    sums[1] += ((end - begin) * (begin + end - 1)) >> 1
    sums[2] += (end - begin) * y
