"""Orphans: components that no label is left for, and the neighbours that they join."""

from __future__ import annotations

import numpy as np
from numba import njit

from ._row_sampling import row_of
from ._run_lengths import Runs


@njit(cache=True, nogil=True)
def nameless(planes: np.ndarray, runs: Runs, every: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List the unnamed components: their runs (run, sampled row), the first run of each, and their colours.

    A run contributes the colour of its middle pixel.
    """
    start, parent, names, rows = runs.start, runs.parent, runs.names, runs.rows
    most = 0
    for y in range(len(rows)):
        most += rows[y, 1] - rows[y, 0]
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
    members = np.empty((n, 2), np.int32)
    colours = np.zeros((orphans, 4), np.int32)  # pixels, then sums
    for j in range(n):
        r, y, orphan = found[j, 0], found[j, 1], found[j, 2]
        to = begin[orphan + 1]
        members[to, 0], members[to, 1] = r, y
        begin[orphan + 1] += 1
        size = start[r + 1] - start[r]
        colours[orphan, 0] += size
        for c in range(3):
            colours[orphan, 1 + c] += size * planes[c, row_of(y, every), (start[r] + start[r + 1]) // 2]
    for orphan in range(orphans):
        for c in range(3):
            colours[orphan, 1 + c] //= colours[orphan, 0]
    return members, begin[: orphans + 1], colours


@njit(cache=True, nogil=True)
def adopt(
    labels: np.ndarray,
    colours: np.ndarray,
    runs: Runs,
    members: np.ndarray,
    begin: np.ndarray,
    own: np.ndarray,
    every: int,
) -> None:
    """Give each unnamed component the name of the neighbour with the nearest colour."""
    start, parent, names, rows, touch = runs.start, runs.parent, runs.names, runs.rows, runs.touch
    left = len(begin) - 1
    waiting = np.empty(left, np.int64)
    for orphan in range(left):
        waiting[orphan] = orphan
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
                            k = labels[row_of(v, every), start[other]]
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
