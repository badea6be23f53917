"""Run-length code of label maps, as the page reads it and as the history keeps it."""

from __future__ import annotations

import numpy as np

ID_SHIFT = 24
"""Bits of a run's length; the object id is above them."""


def encode_runs(labels: np.ndarray) -> bytes:
    """Encode object ids as runs along the rows; no run goes from one row to the next.

    Parameters
    ----------
    labels : (H, W) uint8 object ids

    Returns
    -------
    bytes
        Little-endian uint32 per run: id * 2**24 + length in pixels, row by row.

    Examples
    --------
    >>> np.frombuffer(encode_runs(np.array([[0, 1, 1]], np.uint8)), "<u4").tolist()
    [1, 16777218]
    """
    flat = labels.ravel()
    fresh = np.empty(flat.size, bool)
    np.not_equal(flat[1:], flat[:-1], out=fresh[1:])
    fresh[:: labels.shape[1]] = True
    starts = np.flatnonzero(fresh)
    lengths = np.diff(starts, append=flat.size).astype("<u4")
    return (lengths | flat[starts].astype("<u4") << np.uint32(ID_SHIFT)).astype("<u4").tobytes()


def decode_runs(code: bytes, size: tuple[int, int]) -> np.ndarray:
    """Decode runs to object ids, (H, W) uint8.

    Parameters
    ----------
    code : runs as `encode_runs` writes them
    size : (H, W)

    Examples
    --------
    >>> decode_runs(encode_runs(np.array([[0, 3], [3, 3]], np.uint8)), (2, 2)).tolist()
    [[0, 3], [3, 3]]
    """
    runs = np.frombuffer(code, "<u4")
    ids = (runs >> np.uint32(ID_SHIFT)).astype(np.uint8)
    return np.repeat(ids, runs & np.uint32((1 << ID_SHIFT) - 1)).reshape(size)
