"""Superfeatures as the memory stores them: 8-bit numbers, 16 features to a group, neighbours in the frame together.

Within a group four numbers of the first feature come first, then the same four of the second, ...: a step of SIMD
multiplies four numbers of all 16 and adds them up, without the sums across a register that a feature by itself would
need at its end (a third of the time). See dot_products.py for the instructions.
"""

from __future__ import annotations

import numpy as np
from numba import njit

UNIT = 127
"""Length 1 in the stored features: 8 bits are enough for unit vectors, and a quarter of the bytes."""

LANES = 64
"""Numbers of a stored feature, the most that a superfeature may have."""

GROUP = 16
"""Features that are compared in one step."""

NOWHERE = -(1 << 15)
"""Place of an entry that is none: farther than any reach."""

NO_BOX = (1 << 15) - 1, (1 << 15) - 1, NOWHERE, NOWHERE
"""Box of a group of none."""


def pack(features: np.ndarray, offset: int) -> np.ndarray:
    """(n, D) float32 of at most unit length, D up to 64 -> (ceil(n / 16), 1024) uint8, zeros for what is missing.

    `offset`, from `nearest.offset`, is added to every number.
    """
    packed = np.empty((-(-len(features) // GROUP), GROUP * LANES), np.uint8)
    _pack(features, UNIT, offset, packed)
    return packed


def unpack(packed: np.ndarray, offset: int, count: int, dim: int) -> np.ndarray:
    """The first `count` features again, (count, dim) float32."""
    features = np.empty((count, dim), np.float32)
    _unpack(packed, UNIT, offset, features)
    return features


def spatial_order(places: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Order of (N, 2) places in a frame of `size` (H, W) in which 16 in a row lie close together, (N,) int64.

    In strips of four superpixels' height, to the right and back in turn, so that no group spans the frame.
    """
    height = 4 * max(1.0, (size[0] * size[1] / max(1, len(places))) ** 0.5)
    return np.argsort(_along_strips(np.asarray(places, np.float32), np.float32(height)), kind="stable")


def groups_of(centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (n, 2) of entries, pixels, by group: (groups, 2, 16) int16, NOWHERE where there is none, and their
    boxes (groups, 4) int16, the least and the greatest x and y."""  # fmt: skip
    groups = -(-len(centres) // GROUP)
    rounded = np.full((groups * GROUP, 2), NOWHERE, np.int16)
    rounded[: len(centres)] = np.clip(np.rint(centres), NOWHERE + 1, -NOWHERE - 1)
    places = rounded.reshape(groups, GROUP, 2).transpose(0, 2, 1).copy()
    rounded[len(centres) :] = rounded[len(centres) - 1]
    filled = rounded.reshape(groups, GROUP, 2)
    return places, np.hstack([filled.min(1), filled.max(1)])


def signed(features: np.ndarray) -> np.ndarray:
    """(N, D) float32 -> (N, 64) int8, filled up with zeros."""
    numbers = np.zeros((len(features), LANES), np.int8)
    _round(features, UNIT, numbers)
    return numbers


@njit(cache=True, nogil=True)
def _pack(features: np.ndarray, unit: int, offset: int, packed: np.ndarray) -> None:
    """Four numbers of all 16 features after each other; zeros fill up."""
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
    """How far along the strips each place is, in units that only the order matters of."""
    along = np.empty(len(places), np.int64)
    for n in range(len(places)):
        strip, x = int(places[n, 1] // height), int(4 * places[n, 0])
        along[n] = (strip << 32) + (-x if strip % 2 else x)
    return along
