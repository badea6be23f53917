"""Packing of superfeatures: 8-bit numbers in groups of 16 features that are neighbours in the frame.

A group holds four numbers of its first feature, then the same four of the second, and so on. One SIMD step then
multiplies four numbers of all 16 features, and no sum across a register is needed. See `_int8_dot` for the
instructions.
"""

from __future__ import annotations

import numpy as np
from numba import njit

UNIT = 127
"""Stored value of 1.0: 8 bits suffice for unit vectors and take a quarter of the bytes of float32."""

LANES = 64
"""Numbers per stored feature; the largest length of a superfeature."""

GROUP = 16
"""Features per group."""

NOWHERE = -(1 << 15)
"""Place of an empty entry: beyond every search radius."""

NO_BOX = (1 << 15) - 1, (1 << 15) - 1, NOWHERE, NOWHERE
"""Bounding box of an empty group."""


def pack(features: np.ndarray, offset: int) -> np.ndarray:
    """Pack features, (n, D) float32 of at most unit length, into (ceil(n / 16), 1024) uint8.

    D is at most 64. Missing features and numbers are zeros. `offset` is added to every number.
    """
    packed = np.empty((-(-len(features) // GROUP), GROUP * LANES), np.uint8)
    _pack(features, UNIT, offset, packed)
    return packed


def unpack(packed: np.ndarray, offset: int, count: int, dim: int) -> np.ndarray:
    """Unpack the first `count` features, (count, dim) float32."""
    features = np.empty((count, dim), np.float32)
    _unpack(packed, UNIT, offset, features)
    return features


def spatial_order(places: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Sort (N, 2) places of a frame of `size` (H, W) so that 16 successive places are close together, (N,) int64.

    The order follows strips of four superpixels' height, alternately to the right and to the left.
    """
    height = 4 * max(1.0, (size[0] * size[1] / max(1, len(places))) ** 0.5)
    return np.argsort(_along_strips(np.asarray(places, np.float32), np.float32(height)), kind="stable")


def groups_of(centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Group the places of entries, (n, 2) pixels.

    Returns
    -------
    places : (groups, 2, 16) int16
        NOWHERE for empty entries.
    boxes : (groups, 4) int16
        Least and greatest x and y.
    """
    groups = -(-len(centres) // GROUP)
    rounded = np.full((groups * GROUP, 2), NOWHERE, np.int16)
    rounded[: len(centres)] = np.clip(np.rint(centres), NOWHERE + 1, -NOWHERE - 1)
    places = rounded.reshape(groups, GROUP, 2).transpose(0, 2, 1).copy()
    rounded[len(centres) :] = rounded[len(centres) - 1]
    filled = rounded.reshape(groups, GROUP, 2)
    return places, np.hstack([filled.min(1), filled.max(1)])


def signed(features: np.ndarray) -> np.ndarray:
    """Convert (N, D) float32 to (N, 64) int8, padded with zeros."""
    numbers = np.zeros((len(features), LANES), np.int8)
    _round(features, UNIT, numbers)
    return numbers


@njit(cache=True, nogil=True)
def _pack(features: np.ndarray, unit: int, offset: int, packed: np.ndarray) -> None:
    """Write four numbers of all 16 features after each other; the rest are zeros."""
    N, D = features.shape
    packed[:] = np.uint8(offset)
    for n in range(N):
        group, lane = n // GROUP, n % GROUP
        for d in range(D):
            number = int(np.rint(features[n, d] * np.float32(unit)))
            packed[group, d // 4 * 4 * GROUP + 4 * lane + d % 4] = np.uint8(number + offset)


@njit(cache=True, nogil=True)
def _unpack(packed: np.ndarray, unit: int, offset: int, features: np.ndarray) -> None:
    N, D = features.shape
    for n in range(N):
        group, lane = n // GROUP, n % GROUP
        for d in range(D):
            number = packed[group, d // 4 * 4 * GROUP + 4 * lane + d % 4]
            features[n, d] = np.int8(np.uint8(number - offset)) / np.float32(unit)


@njit(cache=True, nogil=True)
def _round(features: np.ndarray, unit: int, numbers: np.ndarray) -> None:
    for n in range(features.shape[0]):
        for d in range(features.shape[1]):
            numbers[n, d] = np.int8(np.rint(features[n, d] * np.float32(unit)))


@njit(cache=True, nogil=True)
def _along_strips(places: np.ndarray, height: np.float32) -> np.ndarray:
    """Return a sort key per place that grows along the strips."""
    along = np.empty(len(places), np.int64)
    for n in range(len(places)):
        strip, x = int(places[n, 1] // height), int(4 * places[n, 0])
        along[n] = (strip << 32) + (-x if strip % 2 else x)
    return along
