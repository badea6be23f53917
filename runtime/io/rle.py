"""Run-length encoding of binary masks, as COCO's JSON files and pycocotools have it."""

from __future__ import annotations

from typing import TypedDict

import numba
import numpy as np

from ..errors import BadInput


class Rle(TypedDict):
    """Binary mask as run lengths.

    size : [H, W]
    counts : lengths of the runs of zeros and ones in turn, down the columns, in pycocotools' text code

    Examples
    --------
    >>> Rle(size=[2, 2], counts="13")
    {'size': [2, 2], 'counts': '13'}
    """

    size: list[int]
    counts: str


def encode_rle(mask: np.ndarray) -> Rle:
    """Encode a binary mask exactly as `pycocotools.mask.encode` does, with `counts` as a str.

    Parameters
    ----------
    mask : (H, W) array, non-zero inside the object

    Examples
    --------
    >>> encode_rle(np.array([[0, 1], [0, 1]]))
    {'size': [2, 2], 'counts': '22'}
    """
    height, width = mask.shape
    flat = (mask != 0).T.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate(([0, 0] if flat[0] else [0], changes, [flat.size]))  # the first run is of zeros
    return {"size": [height, width], "counts": _encode_counts(np.diff(bounds)).tobytes().decode("ascii")}


def decode_rle(rle: Rle) -> np.ndarray:
    """Decode run lengths in pycocotools' text code.

    Parameters
    ----------
    rle : size and counts of the mask

    Returns
    -------
    (H, W) uint8, 1 inside the object and 0 elsewhere

    Raises
    ------
    BadInput
        If the text is not this code, or if the runs do not fill the size.

    Examples
    --------
    >>> decode_rle({"size": [2, 2], "counts": "22"})
    array([[0, 1],
           [0, 1]], dtype=uint8)
    """
    code = np.frombuffer(rle["counts"].encode(), np.uint8)
    if code.size and (code.min() < 48 or code.max() >= 112):
        raise BadInput("RLE: the text has other characters than pycocotools writes. Write counts with pycocotools")
    return decode_counts(rle["size"], _decode_counts(code))


def decode_counts(size: list[int], counts: np.ndarray) -> np.ndarray:
    """Decode run lengths that are plain numbers.

    Parameters
    ----------
    size : [H, W]
    counts : (R,) int64, lengths of the runs of zeros and ones in turn, down the columns

    Returns
    -------
    (H, W) uint8, 1 inside the object and 0 elsewhere

    Raises
    ------
    BadInput
        If the runs do not fill the size.

    Examples
    --------
    >>> decode_counts([2, 2], np.array([3, 1]))
    array([[0, 0],
           [0, 1]], dtype=uint8)
    """
    height, width = size
    if (counts < 0).any() or (counts > height * width).any() or counts.sum() != height * width:
        raise BadInput(
            f"RLE: the runs do not fill the mask (got {counts.sum()} pixels, expected {height * width} = "
            f"{width}x{height}). The text was cut, or it belongs to another frame"
        )
    return (
        np.repeat(np.arange(counts.size, dtype=np.int64).astype(np.uint8) & 1, counts).reshape(width, height).T.copy()
    )


@numba.njit(cache=True, nogil=True)
def _encode_counts(counts: np.ndarray) -> np.ndarray:
    """Write each count, from the fourth on its difference to the last but one, in signed groups of 5 bits."""
    out = np.empty(13 * counts.size, np.uint8)
    at = 0
    for index in range(counts.size):
        value = counts[index] - (counts[index - 2] if index > 2 else 0)
        more = True
        while more:
            group = value & 0x1F
            value >>= 5
            more = value != (-1 if group & 0x10 else 0)
            out[at] = group + (0x20 if more else 0) + 48
            at += 1
    return out[:at]


@numba.njit(cache=True, nogil=True)
def _decode_counts(text: np.ndarray) -> np.ndarray:
    """Read the groups of 5 bits back as run lengths; groups beyond 60 bits are dropped."""
    counts = np.zeros(text.size, np.int64)
    size, value, shift = 0, np.int64(0), 0
    for index in range(text.size):
        group = np.int64(text[index]) - 48
        if shift < 60:
            value |= (group & 0x1F) << shift
        shift += 5
        if not group & 0x20:
            if group & 0x10 and shift < 60:
                value |= -1 << shift
            counts[size] = value + (counts[size - 2] if size > 2 else 0)
            size, value, shift = size + 1, np.int64(0), 0
    return counts[:size]
