"""Memory of all objects: one memory bank per marking, read together.

Each bank knows the objects that were marked together and takes everything else as background. Predictions of several
banks are merged by soft aggregation of their odds (Oh et al., STM, 2019). The merged probabilities are written back, so
two banks do not claim one superpixel for long. With a single bank its prediction is used unchanged.

The time to read grows with the number of banks. A bank whose objects were all removed is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..types import MIN_PROBABILITY, Readout
from .bank import MemoryBank


class MemoryManager:
    """All memory banks.

    Attributes
    ----------
    ids : (K + 1,) uint8
        Object ids in the order of the columns of `read`; the first is 0, the background.

    Examples
    --------
    >>> MemoryManager().ids
    array([0], dtype=uint8)
    """

    def __init__(self) -> None:
        self._groups: list[tuple[MemoryBank, np.ndarray, np.ndarray]] = []  # bank, its ids, ids that are still followed
        self.ids = np.zeros(1, np.uint8)

    def add(self, memory: MemoryBank, ids: np.ndarray) -> None:
        """Add the bank of objects that were marked together; their ids must be new."""
        self._groups.append((memory, ids.astype(np.uint8), np.ones(len(ids), bool)))
        self._list()

    def correct(self, features: np.ndarray, centres: np.ndarray, shares: np.ndarray, marked: np.ndarray) -> None:
        """Replace the newest frame in the banks of corrected objects; see `MemoryBank.correct`.

        Parameters
        ----------
        features, centres : (N, D) and (N, 2) float32
            Of the newest frame.
        shares : (N, K + 1) float32
            Owner of each superpixel, in the columns of `read`.
        marked : (n,) int
            Ids of the corrected objects.
        """
        for memory, ids, own in self._columns(shares):
            if np.isin(marked, ids).any():
                memory.correct(features, centres, own)

    def remove(self, object_id: int) -> None:
        """Remove an object; from then on it is background."""
        for _, ids, left in self._groups:
            left[ids == object_id] = False
        self._groups = [group for group in self._groups if group[2].any()]
        self._list()

    def read(self, features: np.ndarray, expected: np.ndarray) -> Readout:
        """Read all banks; see `MemoryBank.read` for the parameters."""
        read = [memory.read(features, expected) for memory, _, _ in self._groups]
        if self._one_whole:
            return read[0]
        lefts = [left for _, _, left in self._groups]
        parts = [one.probabilities[:, 1:][:, left] for one, left in zip(read, lefts, strict=True)]
        if len(parts) > 1:
            parts = [part / np.maximum(1 - part.sum(1, keepdims=True), MIN_PROBABILITY) for part in parts]
            total = 1 + sum(part.sum(1, keepdims=True) for part in parts)
            parts = [part / total for part in parts]
        objects = np.hstack([np.zeros((len(features), 0), np.float32), *parts])
        attention = [one.attention[:, left] for one, left in zip(read, lefts, strict=True)]
        return Readout(
            np.hstack([1 - objects.sum(1, keepdims=True), objects]).astype(np.float32),
            np.hstack([np.zeros((len(features), 0, 4), np.float32), *attention]),
        )

    def write(self, features: np.ndarray, centres: np.ndarray, probabilities: np.ndarray) -> None:
        """Store a frame in all banks; `probabilities` has the columns of `read`."""
        if self._one_whole:
            self._groups[0][0].write(features, centres, probabilities)
            return
        for memory, _, own in self._columns(probabilities):
            memory.write(features, centres, own)

    def _columns(self, probabilities: np.ndarray) -> Iterator[tuple[MemoryBank, np.ndarray, np.ndarray]]:
        """Yield each bank, its remaining ids and its own columns; other objects are background to it."""
        at = 1
        for memory, ids, left in self._groups:
            own = np.zeros((len(probabilities), len(ids) + 1), np.float32)
            own[:, 1:][:, left] = probabilities[:, at : at + left.sum()]
            own[:, 0] = probabilities.sum(1) - own[:, 1:].sum(1)
            yield memory, ids[left], own
            at += int(left.sum())

    @property
    def _one_whole(self) -> bool:
        """True if there is one bank and none of its objects was removed."""
        return len(self._groups) == 1 and bool(self._groups[0][2].all())

    def _list(self) -> None:
        self.ids = np.concatenate([[0], *(ids[left] for _, ids, left in self._groups)]).astype(np.uint8)
