"""Run lengths: runs of equal labels in a row, united where they touch, gathered into connected components.

A frame of 854x480 has about 30,000 runs, so little is left to do after one scan of the pixels. With `every` above 1
only the sampled rows are read (`_row_sampling`), as if the others did not exist.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from .._support.prange import PRANGE_ONLY
from ._row_sampling import row_of


class Runs(NamedTuple):
    """Work space for the runs of a frame; the runs of a chunk of rows are stored one after the other.

    start : (R,) int32, first column of each run; after the last one of a row, the width
    parent : (R,) int32, union-find over runs, never above its own index
    touch : (R, 2) int32, last run that touches in the row above, below
    names : (R,) int32, at the root of each component its final label; negative while it has none
    rows : (rows that count, 2) int32, first run of each and the end of its runs
    """

    start: np.ndarray
    parent: np.ndarray
    touch: np.ndarray
    names: np.ndarray
    rows: np.ndarray


def allocate(height: int, width: int) -> Runs:
    """Allocate work space for frames of this size."""
    most = height * (width + 1)
    flat = [np.empty(most, np.int32) for _ in range(3)]
    return Runs(flat[0], flat[1], np.empty((most, 2), np.int32), flat[2], np.empty((height, 2), np.int32))


@njit(cache=True, nogil=True)
def _root(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def _unite(labels: np.ndarray, runs: Runs, j: int, every: int) -> None:
    """Unite the runs of the j-th sampled row with touching runs of the same label in the row above."""
    start, parent, touch = runs.start, runs.parent, runs.touch
    up, up_end = runs.rows[j - 1, 0], runs.rows[j - 1, 1]
    here, here_end = runs.rows[j, 0], runs.rows[j, 1]
    above, row = labels[row_of(j - 1, every)], labels[row_of(j, every)]
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


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY)
def find(labels: np.ndarray, runs: Runs, width: int, chunks: int, every: int) -> None:
    """Find all runs and unite them within each chunk of rows."""
    height = len(runs.rows)
    start, parent, rows = runs.start, runs.parent, runs.rows
    for chunk in prange(chunks):
        top, bottom = chunk * height // chunks, (chunk + 1) * height // chunks
        n = np.uint64(top * (width + 1))  # unsigned: numba adds no test for indices from the end
        for j in range(top, bottom):
            row = labels[row_of(j, every), :width]
            rows[j, 0] = n
            start[n] = 0
            n += np.uint64(1)
            for x in range(1, width):
                start[n] = x
                n += np.uint64(row[x] != row[x - 1])
            start[n] = width
            rows[j, 1] = n
            for r in range(rows[j, 0], rows[j, 1]):
                parent[r] = r
            n += np.uint64(1)
            if j > top:
                _unite(labels, runs, j, every)


@njit(cache=True, nogil=True)
def components(labels: np.ndarray, runs: Runs, chunks: int, every: int) -> np.ndarray:
    """Unite across the borders of the chunks and flatten the union-find: (components, 3) of root, label, area."""
    for chunk in range(1, chunks):
        _unite(labels, runs, chunk * len(runs.rows) // chunks, every)
    parent, names, start = runs.parent, runs.names, runs.start
    most = 0
    for j in range(len(runs.rows)):
        most += runs.rows[j, 1] - runs.rows[j, 0]
    found = np.empty((most, 3), np.int32)
    n = 0
    for j in range(len(runs.rows)):
        for r in range(runs.rows[j, 0], runs.rows[j, 1]):
            p = parent[parent[r]]
            parent[r] = p
            if p == r:
                names[p] = n
                found[n, 0], found[n, 1], found[n, 2] = r, labels[row_of(j, every), start[r]], 0
                n += 1
            found[names[p], 2] += start[r + 1] - start[r]
    return found[:n]
