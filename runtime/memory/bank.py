"""Memory bank: the clustered, bounded past of the objects that were marked together.

The bank has three layers. The reference frame, in which the objects were marked, is kept. Some past frames are kept
whole; their ages grow about geometrically, so the newest frames are dense and older frames are sparse. All other frames
are summarised by prototypes (spherical k-means, one step per frame).

A superpixel is compared with three kinds of entries: those of recent frames near its traced place, those
of the reference frame within a wider radius, and all prototypes.

The bank of the published SHLS grows with the video and is read without regard to place.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .._support.prange import PRANGE_ONLY
from ..errors import ShapeMismatch
from ..models.settings import MemorySettings
from ..types import Readout
from . import _int8_dot as dot_products
from . import _packing as packing
from . import _search as nearest
from .prototypes import Prototypes

CERTAIN = (1 << 16) - 1
"""Stored value of probability 1."""

SPACING = 1.6
"""Ratio of the ages of two neighbouring past frames that the choice of frames aims at."""


class MemoryBank:
    """Bounded memory of superfeatures and their owners.

    The size depends on the settings, the number of superpixels and the number of objects, never on the video's length.

    Parameters
    ----------
    settings : MemorySettings
    size : (H, W)
        Size of the frames, pixels.
    dim : int
        D, length of a superfeature.
    objects : int
        K, without the background.

    Examples
    --------
    >>> bank = MemoryBank(MemorySettings(neighbours=1, radius=10.0), (48, 64), dim=4, objects=1)
    >>> features, centres = np.eye(2, 4, dtype=np.float32), np.float32([[10, 10], [50, 10]])
    >>> bank.write(features, centres, np.float32([[1, 0], [0, 1]]))
    >>> bank.read(features, centres[None]).probabilities.argmax(1)
    array([0, 1])
    """

    def __init__(self, settings: MemorySettings, size: tuple[int, int], dim: int, objects: int) -> None:
        self._settings = settings
        self._size = size
        self._reach = settings.radius * size[0]
        slots = settings.recent + 1
        self._counts = np.zeros(slots, np.int64)
        self._features = np.zeros((slots, 0, packing.GROUP * packing.LANES), np.uint8)
        self._centres = np.zeros((slots, 0, 2, packing.GROUP), np.int16)
        self._boxes = np.zeros((slots, 0, 4), np.int16)
        self._probabilities = np.zeros((slots, 0, objects + 1), np.uint16)
        self._prototypes = Prototypes(objects + 1, settings, dim)
        self._stored_at = np.zeros(slots, np.int64)  # number of the frame in each slot
        self._fixed = 1  # protected slots: the reference frame and a corrected frame
        self._written = 0  # frames written so far, the reference frame included

    @property
    def nbytes(self) -> int:
        """Bytes of state."""
        frames = (self._features, self._centres, self._boxes, self._probabilities)
        return sum(array.nbytes for array in frames) + self._prototypes.nbytes

    def write(self, features: np.ndarray, centres: np.ndarray, probabilities: np.ndarray) -> None:
        """Store a frame. The first frame is protected; the past frame that it replaces moves into the prototypes.

        Parameters
        ----------
        features : (N, D) float32
            Unit length.
        centres : (N, 2) float32
            x and y in pixels.
        probabilities : (N, K + 1) float32

        Raises
        ------
        ShapeMismatch
            If the arrays do not fit together.
        """
        classes, _, dim = self._prototypes.features.shape
        expected = (len(features), dim), (len(features), classes)
        if (features.shape, probabilities.shape) != expected:
            raise ShapeMismatch(
                f"memory: wrong shapes (got features {features.shape} and probabilities {probabilities.shape}, "
                f"expected {expected[0]} and {expected[1]})"
            )
        slot = 0 if self._written == 0 else self._free_slot()
        if self._written == 0 or self._counts[slot]:
            self._learn(slot, features, probabilities)
        self._store(slot, features, centres, probabilities)
        self._written += 1

    def correct(self, features: np.ndarray, centres: np.ndarray, probabilities: np.ndarray) -> None:
        """Replace the newest frame by a corrected one, protect it, and drop the recent frames.

        The reference frame and the prototypes stay. An earlier correction moves into the prototypes. The corrected
        frame takes the slot of a past frame. If only the reference frame exists, the corrected frame replaces it.

        Parameters
        ----------
        features, centres, probabilities : as for `write`
        """
        if self._written <= 1 and self._fixed == 1:
            self._written = 0
            self.write(features, centres, probabilities)
            return
        if self._fixed == 2:
            self._learn(1, features, probabilities)
        self._fixed = min(2, len(self._counts) - 1)  # a single recent frame's place may not be taken
        self._counts[1:] = 0
        self._written -= 1
        self._store(1, features, centres, probabilities)
        self._written += 1

    def read(self, features: np.ndarray, expected: np.ndarray) -> Readout:
        """Let the nearest entries vote for each superpixel.

        Parameters
        ----------
        features : (N, D) float32
            Unit length.
        expected : (A, N, 2) float32
            Traced place of each superpixel 0, 1, 2, ... frames ago, x and y in pixels. Older frames use place A - 1.
            The protected frames use the present place.

        Returns
        -------
        Readout
        """
        features = np.ascontiguousarray(features, np.float32)
        ages = self._ages()
        places = np.ascontiguousarray(expected[np.minimum(ages, len(expected) - 1)], np.float32)
        newest = self._fixed + np.argsort(ages[self._fixed :], kind="stable")
        visit = np.append(newest[self._counts[newest] > 0], np.arange(self._fixed)[::-1])
        reach = np.full(len(ages), self._reach, np.float32)
        reach[: self._fixed] *= self._settings.first_radius
        similarity, entry = nearest.search(
            features, places, packing.spatial_order(places[0], self._size), visit, reach,
            self._features, self._centres, self._boxes, self._settings.neighbours,
        )  # fmt: skip
        nearby = self._prototypes.cosines(features)
        flat = self._probabilities.reshape(-1, nearby.shape[1])
        temperature, handicap = np.float32(self._settings.temperature), np.float32(self._settings.prototype_penalty)
        return Readout(*_vote(similarity, entry, flat, CERTAIN, nearby, handicap, temperature))

    def _ages(self) -> np.ndarray:
        """Return each slot's age in frames for the next frame, (S,); 0 for protected slots."""
        ages = self._written - self._stored_at
        ages[: self._fixed] = 0
        return ages

    def _free_slot(self) -> int:
        """Return an empty slot, or that of the past frame which its neighbours in time replace best."""
        slots = np.arange(self._fixed, len(self._counts))
        empty = slots[self._counts[slots] == 0]
        if empty.size:
            return int(empty[0])
        slots = slots[np.argsort(-self._stored_at[slots], kind="stable")]  # the newest first
        ages = self._ages()[slots]
        if len(ages) == 1:
            return int(slots[0])
        gaps = np.append(ages[2:], SPACING * ages[-1]) - ages[:-1]  # left by the removal of each but the newest
        return int(slots[1 + np.argmin(gaps / ages[1:])])

    def _store(self, slot: int, features: np.ndarray, centres: np.ndarray, probabilities: np.ndarray) -> None:
        """Pack the superpixels of a frame into a slot, 16 neighbours to a group."""
        order = packing.spatial_order(centres, self._size)
        groups = -(-len(order) // packing.GROUP)
        self._grow(groups)
        self._features[slot, :groups] = packing.pack(features[order], dot_products.offset())
        self._centres[slot, :groups], self._boxes[slot, :groups] = packing.groups_of(centres[order])
        self._boxes[slot, groups:] = packing.NO_BOX
        self._probabilities[slot, : len(order)] = np.rint(probabilities[order] * CERTAIN)
        self._counts[slot] = len(order)
        self._stored_at[slot] = self._written

    def _grow(self, groups: int) -> None:
        capacity = self._features.shape[1]
        if groups <= capacity:
            return
        more = groups + groups // 32 - capacity
        self._features = np.pad(self._features, ((0, 0), (0, more), (0, 0)))
        self._centres = np.pad(self._centres, ((0, 0), (0, more), (0, 0), (0, 0)))
        self._boxes = np.pad(self._boxes, ((0, 0), (0, more), (0, 0)))
        self._boxes[:, capacity:] = packing.NO_BOX
        self._probabilities = np.pad(self._probabilities, ((0, 0), (0, more * packing.GROUP), (0, 0)))

    def _learn(self, slot: int, features: np.ndarray, probabilities: np.ndarray) -> None:
        """Update the prototypes: seeded by the reference frame, then moved by each frame that leaves the ring."""
        if self._written == 0:
            self._prototypes.seed(features, probabilities)
        else:
            count, dim = int(self._counts[slot]), self._prototypes.features.shape[2]
            features = packing.unpack(self._features[slot], dot_products.offset(), count, dim)
            probabilities = self._probabilities[slot, :count] / np.float32(CERTAIN)
        self._prototypes.learn(features, probabilities)


@njit(cache=True, nogil=True, parallel=PRANGE_ONLY, fastmath=True)
def _vote(
    similarity: np.ndarray,
    entry: np.ndarray,
    remembered: np.ndarray,
    certain: int,
    nearby: np.ndarray,
    handicap: np.float32,
    temperature: np.float32,
) -> tuple[np.ndarray, np.ndarray]:
    """Vote of the neighbours and nearest prototypes, weighted by softmax, (N, K + 1); and attention, (N, K, 4)."""
    N, classes = nearby.shape
    probabilities = np.empty((N, classes), np.float32)
    attention = np.zeros((N, classes - 1, 4), np.float32)
    for n in prange(N):
        entries = np.zeros(classes, np.float32)
        best = similarity[n, 0]
        for c in range(classes):
            best = max(best, nearby[n, c] - handicap)
        for c in range(classes):
            probabilities[n, c] = np.exp((nearby[n, c] - handicap - best) / temperature)
        for j in range(entry.shape[1]):
            if entry[n, j] < 0:
                break
            vote = np.exp((similarity[n, j] - best) / temperature) / np.float32(certain)
            for c in range(classes):
                probabilities[n, c] += vote * np.float32(remembered[entry[n, j], c])
                if 2 * remembered[entry[n, j], c] > certain:
                    entries[c] = max(entries[c], similarity[n, j])
        total = np.float32(0)
        for c in range(classes):
            total += probabilities[n, c]
        for c in range(classes):
            probabilities[n, c] /= total
        _attend(entries, nearby[n], attention[n])
    return probabilities, attention


@njit(cache=True, nogil=True)
def _attend(entries: np.ndarray, nearby: np.ndarray, attention: np.ndarray) -> None:
    """Write each object's similarities and the largest of all others into (K, 4)."""
    classes = len(entries)
    for k in range(1, classes):
        attention[k - 1, 0], attention[k - 1, 2] = entries[k], max(nearby[k], np.float32(0))
        for c in range(classes):
            if c != k:
                attention[k - 1, 1] = max(attention[k - 1, 1], entries[c])
                attention[k - 1, 3] = max(attention[k - 1, 3], nearby[c])
