"""One memory per prompt, read together: so objects come and go while the others stay as they are.

Each memory knows the objects that were marked together, and takes everything else for background. What several say
of one superpixel is put together by their odds, as Oh et al. (STM, 2019) do for objects; what is written back is
what came of that, so that two memories do not claim one superpixel for long. With one memory nothing is changed.
Reading takes as much longer as there are prompts; a prompt whose objects are all gone costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..types import MIN_PROBABILITY, Readout
from .bank import MemoryBank


class MemoryManager:
    """The past of all objects.

    Attributes
    ----------
    ids : (K + 1,) uint8, the objects' ids in the order of `read`'s columns; the first is 0, the background
    """

    def __init__(self) -> None:
        self._groups: list[tuple[MemoryBank, np.ndarray, np.ndarray]] = []  # memory, its ids, which of them are left
        self.ids = np.zeros(1, np.uint8)

    def add(self, memory: MemoryBank, ids: np.ndarray) -> None:
        """Take in a memory of objects that were marked together, whose ids are new."""
        self._groups.append((memory, ids.astype(np.uint8), np.ones(len(ids), bool)))
        self._list()

    def correct(self, features: np.ndarray, centres: np.ndarray, shares: np.ndarray, marked: np.ndarray) -> None:
        """Remember the newest frame anew where objects were marked again; see `MemoryBank.correct`.

        Parameters
        ----------
        features, centres : of the newest frame
        shares : (N, K + 1) float32, has `read`'s columns
        marked : ids of the objects marked; those marked together with them before are told, too
        """
        for memory, ids, own in self._told(shares):
            if np.isin(marked, ids).any():
                memory.correct(features, centres, own)

    def remove(self, object_id: int) -> None:
        """Forget an object; from then on it is background."""
        for _, ids, left in self._groups:
            left[ids == object_id] = False
        self._groups = [group for group in self._groups if group[2].any()]
        self._list()

    def read(self, features: np.ndarray, expected: np.ndarray) -> Readout:
        """Probabilities and attention of the ids; see `MemoryBank.read` for the parameters."""
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
        """Remember a frame in all memories; `probabilities` has `read`'s columns."""
        if self._one_whole:
            self._groups[0][0].write(features, centres, probabilities)
            return
        for memory, _, own in self._told(probabilities):
            memory.write(features, centres, own)

    def _told(self, probabilities: np.ndarray) -> Iterator[tuple[MemoryBank, np.ndarray, np.ndarray]]:
        """Each memory, the ids that are left of it, and its own columns; what is not its own is background to it."""
        at = 1
        for memory, ids, left in self._groups:
            own = np.zeros((len(probabilities), len(ids) + 1), np.float32)
            own[:, 1:][:, left] = probabilities[:, at : at + left.sum()]
            own[:, 0] = probabilities.sum(1) - own[:, 1:].sum(1)
            yield memory, ids[left], own
            at += int(left.sum())

    @property
    def _one_whole(self) -> bool:
        """Nothing came and nothing went: the one memory speaks for itself, to the last bit."""
        return len(self._groups) == 1 and bool(self._groups[0][2].all())

    def _list(self) -> None:
        self.ids = np.concatenate([[0], *(ids[left] for _, ids, left in self._groups)]).astype(np.uint8)
