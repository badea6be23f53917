"""Closing of thin runs that the assignment leaves inside another superpixel; half of all orphans are such runs."""

from __future__ import annotations

import numpy as np
from numba import njit

from ._row_sampling import row_of


@njit(cache=True, nogil=True)
def across(labels: np.ndarray, out: np.ndarray, top: int, bottom: int, width: int, every: int) -> None:
    """Copy sampled rows to `out`; runs of one or two pixels between two runs of one label take that label."""
    for y in range(top + row_of(0, every), bottom, every):
        row, to = labels[y, :width], out[y, :width]
        for x in range(width):
            to[x] = row[x]
        if width >= 5:
            a, b, c, d, e = row[:-4], row[1:-3], row[2:-2], row[3:-1], row[4:]
            inner = to[2:-2]
            for x in range(len(inner)):
                near = b[x] if b[x] == d[x] or b[x] == e[x] else c[x]
                inner[x] = a[x] if a[x] == d[x] else near


@njit(cache=True, nogil=True)
def down(labels: np.ndarray, out: np.ndarray, top: int, bottom: int) -> None:
    """Close thin runs in columns."""
    for y in range(top, bottom):
        to, c = out[y], labels[y]
        if y < 2 or y >= len(labels) - 2:
            for x in range(len(to)):
                to[x] = c[x]
            continue
        a, b, d, e = labels[y - 2], labels[y - 1], labels[y + 1], labels[y + 2]
        for x in range(len(to)):
            near = b[x] if b[x] == d[x] or b[x] == e[x] else c[x]
            to[x] = a[x] if a[x] == d[x] else near


@njit(cache=True, nogil=True)
def between(labels: np.ndarray, out: np.ndarray, top: int, bottom: int, every: int) -> None:
    """Close thin runs in columns where rows are sampled: a run is then one row."""
    for y in range(top + 1, bottom, every):
        to, b = out[y], labels[y]
        if y < every or y >= len(labels) - every:
            for x in range(len(to)):
                to[x] = b[x]
            continue
        a, c = labels[y - every], labels[y + every]
        for x in range(len(to)):
            to[x] = a[x] if a[x] == c[x] else b[x]
