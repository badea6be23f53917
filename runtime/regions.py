"""From labels of pixels to connected superpixels: what SLIC and ISEC do last.

Everything works on runs, the stretches of equal labels in a row: a frame of 854x480 has about 30,000 of them,
so after one scan of the pixels little is left to do. Where we differ from the published SLIC (Achanta et al.,
2012): an orphan joins the neighbour whose colour is nearest, not the one met first (J ceiling at N = 1,000:
0.908 against 0.902); and a large orphan becomes a superpixel of its own while fewer than wanted exist.

Tried and dropped: a search by bisection for the runs that touch (remembering them while uniting halves the
time of the orphans); rounds over all orphans at once (as many as the longest chain; now an orphan sees those
settled before it).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from shls.runtime.types import Superpixels


class Runs(NamedTuple):
    """Work space for the runs of a frame; entries of a chunk of rows lie one after the other.

    start : (R,) int32, first column of each run; after the last one of a row, the width
    parent : (R,) int32, union-find over runs, never above its own index
    touch : (R, 2) int32, last run that touches in the row above, below
    names : (R,) int32, at the root of each component its final label; negative while it has none
    rows : (H, 2) int32, first run of each row and the end of its runs
    """

    start: np.ndarray
    parent: np.ndarray
    touch: np.ndarray
    names: np.ndarray
    rows: np.ndarray


def allocate(height: int, width: int) -> Runs:
    """Work space for frames of this size."""
    most = height * (width + 1)
    flat = [np.empty(most, np.int32) for _ in range(3)]
    return Runs(flat[0], flat[1], np.empty((most, 2), np.int32), flat[2], np.empty((height, 2), np.int32))


def connect(
    labels: np.ndarray,
    planes: np.ndarray,
    colours: np.ndarray,
    runs: Runs,
    count: int,
    least: float,
    chunks: int,
) -> Superpixels:
    """Turn any labelling into connected superpixels.

    The largest part of a label keeps it. Other parts of at least `least` pixels, the largest first, take free
    labels; the rest joins neighbours. Then the last labels move into the holes.

    Parameters
    ----------
    labels : (H, at least W) uint16, below `count` in the first W columns
        Overwritten with the result.
    planes : (3, H, at least W) uint8, colours of the pixels
    colours : (n, 3) integers, colour of each label
    runs : Runs, from `allocate(H, W)`
    count : most labels that may come out
    least : pixels that a part needs to stand alone; the largest of all always does
    chunks : bands of rows that are worked on in parallel, at most H; the result does not depend on it
    """
    width = len(runs.start) // len(runs.rows) - 1
    _find_runs(labels, runs, width, chunks)
    total = _name(labels, runs, count, least, chunks)
    _adopt(labels, colours, runs, *_orphans(planes, runs))
    out, sums = _paint(labels, runs, total, width, chunks)
    return Superpixels(out, (sums[:, 1:] / sums[:, :1]).astype(np.float32), sums[:, 0].astype(np.int32))


@njit(cache=True, nogil=True)
def _root(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def _unite(labels: np.ndarray, runs: Runs, y: int) -> None:
    """Unite the runs of row y with those of the same label that they touch in the row above."""
    start, parent, touch = runs.start, runs.parent, runs.touch
    up, up_end = runs.rows[y - 1, 0], runs.rows[y - 1, 1]
    here, here_end = runs.rows[y, 0], runs.rows[y, 1]
    above, row = labels[y - 1], labels[y]
    while up < up_end and here < here_end:
        touch[up, 1], touch[here, 0] = here, up
        same = above[start[up]] == row[start[here]]
        p, q = parent[up], parent[here]
        if parent[p] != p:
            p = _root(parent, p)
        if same and q != here and q != p:
            q = _root(parent, q)
            parent[max(p, q)] = min(p, q)
        else:  # most often the first match of a new run: no branch, it could not be foreseen
            parent[here] = p if same else q
        end_up, end_here = start[up + 1], start[here + 1]
        up += end_up <= end_here
        here += end_here <= end_up


@njit(cache=True, nogil=True, parallel=True)
def _find_runs(labels: np.ndarray, runs: Runs, width: int, chunks: int) -> None:
    height = labels.shape[0]
    start, parent, rows = runs.start, runs.parent, runs.rows
    for chunk in prange(chunks):
        top, bottom = chunk * height // chunks, (chunk + 1) * height // chunks
        n = np.uint64(top * (width + 1))  # unsigned: numba adds no test for indices from the end
        for y in range(top, bottom):
            row = labels[y, :width]
            rows[y, 0] = n
            start[n] = 0
            n += np.uint64(1)
            for x in range(1, width):
                start[n] = x
                n += np.uint64(row[x] != row[x - 1])
            start[n] = width
            rows[y, 1] = n
            for r in range(rows[y, 0], rows[y, 1]):
                parent[r] = r
            n += np.uint64(1)
            if y > top:
                _unite(labels, runs, y)


@njit(cache=True, nogil=True)
def _components(labels: np.ndarray, runs: Runs, chunks: int) -> np.ndarray:
    """Unite across the seams of the bands, flatten the union-find: (components, 3) of root, label, area."""
    for chunk in range(1, chunks):
        _unite(labels, runs, chunk * len(labels) // chunks)
    parent, names, start = runs.parent, runs.names, runs.start
    most = 0
    for y in range(len(runs.rows)):
        most += runs.rows[y, 1] - runs.rows[y, 0]
    found = np.empty((most, 3), np.int32)
    n = 0
    for y in range(len(runs.rows)):
        for r in range(runs.rows[y, 0], runs.rows[y, 1]):
            p = parent[parent[r]]
            parent[r] = p
            if p == r:
                names[p] = n
                found[n, 0], found[n, 1], found[n, 2] = r, labels[y, start[r]], 0
                n += 1
            found[names[p], 2] += start[r + 1] - start[r]
    return found[:n]


@njit(cache=True, nogil=True)
def _name(labels: np.ndarray, runs: Runs, count: int, least: float, chunks: int) -> int:
    """Name the components that stand alone, 0 .. total - 1, in runs.names, the others -1; returns total."""
    found = _components(labels, runs, chunks)
    holder = np.full(count, -1, np.int32)  # component that bears a label
    biggest = 0
    for i in range(len(found)):
        k = found[i, 1]
        runs.names[found[i, 0]] = -1
        if found[i, 2] > found[biggest, 2]:
            biggest = i
        if (found[i, 2] >= least) and (holder[k] < 0 or found[i, 2] > found[holder[k], 2]):
            holder[k] = i
    if found[biggest, 2] < least:
        holder[found[biggest, 1]] = biggest
    total = 0
    for k in range(count):
        if holder[k] >= 0:
            runs.names[found[holder[k], 0]] = k
            total += 1
    total = _spread(found, holder, runs.names, total, least)
    free = 0
    for k in range(count - 1, total - 1, -1):
        if holder[k] >= 0:
            while holder[free] >= 0:
                free += 1
            holder[free] = holder[k]
            runs.names[found[holder[k], 0]] = free
    return total


@njit(cache=True, nogil=True)
def _spread(found: np.ndarray, holder: np.ndarray, names: np.ndarray, total: int, least: float) -> int:
    """Give free labels to the largest nameless components; returns the new total."""
    spare = np.empty(len(found), np.int32)
    n = 0
    for i in range(len(found)):
        if names[found[i, 0]] < 0 and found[i, 2] >= least:
            spare[n] = i
            n += 1
    k = 0
    for j in np.argsort(-found[spare[:n], 2], kind="mergesort")[: len(holder) - total]:
        while holder[k] >= 0:
            k += 1
        holder[k] = spare[j]
        names[found[spare[j], 0]] = k
        total += 1
    return total


@njit(cache=True, nogil=True)
def _orphans(planes: np.ndarray, runs: Runs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nameless components: their runs (run, row) one after the other, where each begins, their colours.

    A run counts with the colour of its middle pixel.
    """
    start, parent, names, rows = runs.start, runs.parent, runs.names, runs.rows
    most = 0
    for y in range(len(rows)):
        for r in range(rows[y, 0], rows[y, 1]):
            most += names[parent[r]] < 0
    found = np.empty((most, 3), np.int32)  # run, row, orphan
    begin = np.zeros(most + 2, np.int32)
    n, orphans = 0, 0
    for y in range(len(rows)):
        for r in range(rows[y, 0], rows[y, 1]):
            p = parent[r]
            if names[p] < 0:
                if p == r:
                    names[p] = -1 - orphans
                    orphans += 1
                found[n, 0], found[n, 1], found[n, 2] = r, y, -1 - names[p]
                begin[found[n, 2] + 2] += 1
                n += 1
    for i in range(2, orphans + 2):
        begin[i] += begin[i - 1]
    members = np.empty((most, 2), np.int32)
    colours = np.zeros((orphans, 4), np.int32)  # pixels, then sums
    for j in range(n):
        r, y, orphan = found[j, 0], found[j, 1], found[j, 2]
        to = begin[orphan + 1]
        members[to, 0], members[to, 1] = r, y
        begin[orphan + 1] += 1
        size = start[r + 1] - start[r]
        colours[orphan, 0] += size
        for c in range(3):
            colours[orphan, 1 + c] += size * planes[c, y, (start[r] + start[r + 1]) // 2]
    for orphan in range(orphans):
        for c in range(3):
            colours[orphan, 1 + c] //= colours[orphan, 0]
    return members, begin[: orphans + 1], colours


@njit(cache=True, nogil=True)
def _adopt(
    labels: np.ndarray,
    colours: np.ndarray,
    runs: Runs,
    members: np.ndarray,
    begin: np.ndarray,
    own: np.ndarray,
) -> None:
    """Give each nameless component the name of the neighbour whose colour is nearest."""
    start, parent, names, rows, touch = runs.start, runs.parent, runs.names, runs.rows, runs.touch
    waiting = np.arange(len(begin) - 1)
    left = len(waiting)
    while left > 0:  # an orphan amid orphans waits for the next round
        again = 0
        for orphan in waiting[:left]:
            best, name = 1 << 30, -1
            for j in range(begin[orphan], begin[orphan + 1]):
                r, y = members[j, 0], members[j, 1]
                for v in range(max(y - 1, 0), min(y + 2, len(rows))):
                    other = min(r + 1, rows[y, 1] - 1) if v == y else touch[r, 1 if v > y else 0]
                    while other >= rows[v, 0] and start[other + 1] >= start[r] + (v != y):
                        if names[parent[other]] >= 0:
                            k = labels[v, start[other]]
                            distance = 0
                            for c in range(3):
                                distance += (own[orphan, 1 + c] - colours[k, c]) ** 2
                            if distance < best:
                                best, name = distance, names[parent[other]]
                        other -= 1
            if name >= 0:
                names[parent[members[begin[orphan], 0]]] = name
            else:
                waiting[again] = orphan
                again += 1
        left = again


@njit(cache=True, nogil=True, parallel=True)
def _paint(labels: np.ndarray, runs: Runs, total: int, width: int, chunks: int) -> tuple[np.ndarray, np.ndarray]:
    """Write the names to labels, and out as int32; count and sums of x and y of each, (total, 3)."""
    start, parent, names, rows = runs.start, runs.parent, runs.names, runs.rows
    height = len(rows)
    out = np.empty((height, width), np.int32)
    sums = np.zeros((chunks, total, 3), np.int64)
    for chunk in prange(chunks):
        for y in range(chunk * height // chunks, (chunk + 1) * height // chunks):
            for r in range(rows[y, 0], rows[y, 1]):
                begin, end = start[r], start[r + 1]
                k = names[parent[r]]
                if labels[y, begin] != k:
                    labels[y, begin:end] = k
                sums[chunk, k, 0] += end - begin
                sums[chunk, k, 1] += ((end - begin) * (begin + end - 1)) >> 1
                sums[chunk, k, 2] += (end - begin) * y
            for x in range(width):
                out[y, x] = labels[y, x]
    return out, sums.sum(0)
