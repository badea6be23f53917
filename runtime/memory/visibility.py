"""Which of the superpixels that look like an object are it, and whether it is there at all.

A memory must choose between the objects and the background for whatever comes in, so when an object has left, what is
least unlike it would be painted. Two things tell: place and likeness.

- Parts that overlap the last mask, carried to this frame by optical flow, are the object (the published outlier
  filter), and so are parts beside them. Published is the convex hull in place of *beside*: with it, limbs that are cut
  off by a superpixel's width are lost, and then learned as background.
- Where no part overlaps, the object is hidden, gone, faster than the flow, or there was a cut. Then it is looked for
  everywhere, and the best part must be as much like the marked frame, to a share, as the object was right after it.
- What is neither is doubted: it is not painted, and the memory learns nothing of it. If it learned that as background,
  an object that comes in bit by bit would not be found again.

How alike an object is that was followed all the time says little: people who turn are as unlike their mark as many a
background is. But they turn slowly. What in a few frames becomes less than half as alike as it was of late is something
else that came before it, and of a small remnant in place likeness is asked, too: that is how false parts begin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from ..models.settings import VisibilitySettings
from ..types import MIN_PROBABILITY, Readout, Superpixels


@dataclass
class _Marked:
    """An object as it was marked: (n, D) float32, some of its superpixels; its area and its longer side, pixels.

    Its likeness right after that, and of late; 0 until it was seen.
    """

    features: np.ndarray
    area: float
    side: float
    usual: float = 0.0
    late: float = 0.0

    def goes_on(self, likeness: float, large: bool, settings: VisibilitySettings) -> bool:
        """Tell whether what is in place is alike enough, and remember how alike it is."""
        if not self.usual:
            self.usual = self.late = likeness
        alike = likeness >= (
            settings.drop_similarity * self.late if large else settings.remnant_similarity * self.usual
        )
        self.late += settings.mean_rate * alike * (likeness - self.late)
        return alike


class ObjectVisibility:
    """What objects looked like when they were marked, at most 32 kB of each, and how alike they were after that."""

    def __init__(self, settings: VisibilitySettings | None = None) -> None:
        self._settings = settings or VisibilitySettings()
        self._marked: dict[int, _Marked] = {}

    def mark(self, features: np.ndarray, superpixels: Superpixels, shares: np.ndarray, ids: np.ndarray) -> None:
        """Keep what objects look like.

        Parameters
        ----------
        features : (N, D) float32, unit length
        superpixels : Superpixels
        shares : (N, K + 1) float32, which object each superpixel belongs to
        ids : (K,) their ids
        """
        for k, object_id in enumerate(ids.tolist(), 1):
            own = np.flatnonzero(shares[:, k] > 0)
            some, area = (
                features[own[:: -(-len(own) // self._settings.entries) or 1]],
                float(superpixels.areas[own].sum()),
            )
            side = float(np.ptp(superpixels.centres[own], axis=0).max()) if len(own) else 0.0
            self._marked[object_id] = _Marked(some, area, side)

    def forget(self, object_id: int) -> None:
        """Follow an object no longer."""
        self._marked.pop(object_id, None)

    def judge(
        self, readout: Readout, features: np.ndarray, superpixels: Superpixels, last: np.ndarray, ids: np.ndarray
    ) -> tuple[Readout, np.ndarray, np.ndarray]:
        """Take from the objects what is not them.

        Parameters
        ----------
        readout : of the memory
        features : (N, D) float32, unit length
        superpixels : Superpixels
        last : (h, w) uint8
            The last mask where it is in this frame: columns of the readout, on a grid of any size; zeros after a cut.
        ids : (K + 1,) of the columns

        Returns
        -------
        The readout, with what is doubted given to all the others; the last mask, without the objects that are lost;
        (N,) float32 from 0 to 1, how little is known of what is taken for background.
        """
        was = np.bincount(last.ravel(), minlength=len(ids))
        probabilities = readout.probabilities.copy()
        maybe = np.zeros(len(probabilities), np.float32)
        for k in (np.flatnonzero(was[1:] == 0) + 1).tolist():
            cosines = features @ self._marked[int(ids[k])].features.T
            np.maximum(
                maybe,
                _look_for(probabilities, k, readout.attention[:, k - 1], cosines, self._settings.temperature),
                out=maybe,
            )
        owner = probabilities.argmax(1).astype(np.uint8)
        part, overlap, cells = _parts(superpixels.labels, last, owner)
        there = (overlap > self._settings.overlap * was[owner]) | (2 * overlap > cells)
        left = last.copy()
        for k in range(1, len(ids)):
            own = np.flatnonzero(owner == k)
            candidates = _Candidates(features[own], superpixels.centres[own], superpixels.areas[own], part[own])
            sure = self._sure(int(ids[k]), candidates, there[part[own]])
            if sure.any() or (was[k] and not own.size):  # what is thinner than superpixels is for pixels to find
                probabilities[own[~sure], k] = 0
            else:
                probabilities[:, k], left[left == k] = 0, 0
        taken = 1 - probabilities.sum(1)
        probabilities[:, 0] = np.maximum(probabilities[:, 0], MIN_PROBABILITY)
        probabilities /= probabilities.sum(1, keepdims=True)
        doubt = np.where(probabilities.argmax(1) == 0, np.maximum(taken, maybe), 0)
        return readout._replace(probabilities=probabilities), left, doubt

    def _sure(self, object_id: int, candidates: _Candidates, there: np.ndarray) -> np.ndarray:
        """(n,) bool: which of the superpixels that look like an object are it, given those that are in place."""
        marked, settings = self._marked[object_id], self._settings
        if there.any():
            found = candidates.around(there, marked.side, settings.margin)
            large = bool(candidates.areas[there].sum() >= settings.remnant_area * marked.area)
            if marked.goes_on(candidates.likeness(found, marked.features), large, settings):
                return found
        parts = [candidates.part == one for one in np.unique(candidates.part)]
        if parts:
            best = max(parts, key=lambda part: candidates.likeness(part, marked.features))
            found = candidates.around(best, marked.side, settings.margin)
            if candidates.likeness(found, marked.features) >= settings.return_similarity * (
                marked.usual or settings.default_similarity
            ):
                return found
        return np.zeros_like(there)


class _Candidates(NamedTuple):
    """Superpixels that look like one object: (n, D), (n, 2), (n,), and the part that each belongs to, (n,)."""

    features: np.ndarray
    centres: np.ndarray
    areas: np.ndarray
    part: np.ndarray

    def likeness(self, chosen: np.ndarray, marked: np.ndarray) -> float:
        """How much of some superpixels was marked, times how much of what was marked is in them; at most 1."""
        cosines = self.features[chosen] @ marked.T
        of_them = np.average(cosines.max(1), weights=self.areas[chosen])
        return float(of_them * cosines.max(0).mean())

    def around(self, chosen: np.ndarray, least: float, margin: float) -> np.ndarray:
        """(n,) bool: which superpixels are of a part that reaches into the chosen ones' box, enlarged.

        By a share of its longer side, or of `least`.
        """
        low, high = self.centres[chosen].min(0), self.centres[chosen].max(0)
        more = margin / 2 * max(least, (high - low).max())
        inside = ((self.centres >= low - more) & (self.centres <= high + more)).all(1)
        return np.isin(self.part, self.part[inside])


def _look_for(
    probabilities: np.ndarray, k: int, attention: np.ndarray, cosines: np.ndarray, temperature: float
) -> np.ndarray:
    """Ask where a lost object may be, in place: its looks, wherever they were, against the nearest of all else.

    Returns (N,): how likely that would be if the background of late were not known, which the object may have joined.
    """
    own = np.maximum(attention[:, 2], cosines.max(1, initial=0))
    here = _odds(own, np.maximum(attention[:, 1], attention[:, 3]), temperature)
    probabilities *= ((1 - here) / np.maximum(1 - probabilities[:, k], 1e-6))[:, None]
    probabilities[:, k] = here
    return _odds(own, attention[:, 3], temperature)


def _odds(one: np.ndarray, other: np.ndarray, temperature: float) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp((other - one) / temperature)))


@njit(cache=True, nogil=True)
def _root(parents: np.ndarray, n: int) -> int:
    while parents[n] != n:
        parents[n] = parents[parents[n]]
        n = parents[n]
    return n


@njit(cache=True, nogil=True)
def _parts(labels: np.ndarray, last: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connected parts of the objects.

    Returns (N,) int64, a number that the superpixels of a part share, below N; and for each number the cells of the
    grid that the last mask has in common with its part, and all cells of the part.
    """
    N = len(owner)
    h, w = last.shape
    parents = np.arange(N)
    overlap, cells = np.zeros(N, np.int64), np.zeros(N, np.int64)
    above = np.zeros(w, np.int64)
    for y in range(h):
        row = int((y + 0.5) * labels.shape[0] / h)
        before = -1
        for x in range(w):
            n = labels[row, int((x + 0.5) * labels.shape[1] / w)]
            k = owner[n]
            if k > 0:
                cells[n] += 1
                overlap[n] += last[y, x] == k
                if before >= 0 and before != n and owner[before] == k:
                    parents[_root(parents, before)] = _root(parents, n)
                if y > 0 and above[x] != n and owner[above[x]] == k:
                    parents[_root(parents, above[x])] = _root(parents, n)
            before = above[x] = n
    part = np.empty(N, np.int64)
    for n in range(N):
        part[n] = _root(parents, n)
        if part[n] != n:
            cells[part[n]] += cells[n]
            overlap[part[n]] += overlap[n]
    return part, overlap, cells
