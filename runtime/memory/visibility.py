"""Decide which superpixels belong to each object and whether the object is visible.

The memory must choose between the objects and the background for every superpixel. When an object has left, the least
dissimilar region would be drawn as the object. Two cues prevent this: place and similarity.

- A region that overlaps the object's previous mask, warped to this frame by optical flow, is the object (the published
  outlier filter), and so are regions near it. The published filter takes the convex hull instead of a margin; the hull
  loses limbs that are cut off by the width of a superpixel.
- If no region overlaps, the object is occluded, has left, or moved faster than the flow. The object is then searched in
  the whole frame, and the best region must reach a ratio of the similarity that the object had right after the marking.
- After a cut, a place alone proves nothing. The region in place must reach that ratio, too.
- Other regions are neither drawn nor stored. If the memory stored them as background, an object that comes back bit by
  bit would not be found again.

The similarity of a visible object to its reference says little: a person who turns is as dissimilar as many a
background. But turning is slow. If the similarity falls by more than half within a few frames, the object counts as
occluded, and so does a small remnant with a low similarity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numba import njit

from ..geometry import on_grid
from ..models.settings import VisibilitySettings
from ..types import MIN_PROBABILITY, Readout, Superpixels

BLOCK = 32
"""Superpixels whose similarities are computed at a time: a product of 32 x 64 x 128 numbers runs on one thread."""


class Judgement(NamedTuple):
    """Result of `ObjectVisibility.judge`.

    Parameters
    ----------
    readout : Readout
        The memory's, with the probability of rejected regions given to the other classes.
    warped : (h, w) uint8
        The warped previous mask without the objects that are not visible.
    doubt : (N,) float32
        0 to 1, how uncertain a superpixel of the background is; the memory stores it with weight 1 - doubt.
    """

    readout: Readout
    warped: np.ndarray
    doubt: np.ndarray


@dataclass
class _Reference:
    """Appearance of an object as it was marked, and its similarity to it since then.

    Superfeatures (n, D) float32, area and longer side in pixels; `usual` is the similarity right after the marking,
    `recent` its running mean; both are 0 until the object was seen.
    """

    features: np.ndarray
    area: float
    side: float
    usual: float = 0.0
    recent: float = 0.0

    def continues(self, similarity: float, large: bool, settings: VisibilitySettings) -> bool:
        """Return whether a region in place is similar enough, and update the running mean."""
        if not self.usual:
            self.usual = self.recent = similarity
        enough = settings.drop_similarity * self.recent if large else settings.remnant_similarity * self.usual
        similar = similarity >= enough
        self.recent += settings.mean_rate * similar * (similarity - self.recent)
        return similar

    def returns(self, similarity: float, settings: VisibilitySettings) -> bool:
        """Return whether a region that no place supports is similar enough."""
        return similarity >= settings.return_similarity * (self.usual or settings.default_similarity)


class ObjectVisibility:
    """Reference appearance of all objects, at most 32 kB each, and the decision whether they are visible.

    Parameters
    ----------
    settings : VisibilitySettings

    Examples
    --------
    >>> visibility = ObjectVisibility()
    >>> features = np.eye(2, 4, dtype=np.float32)
    >>> labels = np.repeat(np.int32([[0, 1]]), 4, axis=1).repeat(8, axis=0)
    >>> superpixels = Superpixels(labels, np.float32([[1.5, 3.5], [5.5, 3.5]]), np.int32([32, 32]))
    >>> owners = np.float32([[0, 1], [1, 0]])
    >>> visibility.mark(features, superpixels, owners, np.array([7]))
    >>> readout = Readout(np.float32([[0.1, 0.9], [0.9, 0.1]]), np.zeros((2, 1, 4), np.float32))
    >>> previous = (labels == 0).astype(np.uint8)
    >>> int(visibility.judge(readout, features, superpixels, previous, np.array([0, 7])).warped.sum())
    32
    """

    def __init__(self, settings: VisibilitySettings = VisibilitySettings()) -> None:
        self._settings = settings
        self._references: dict[int, _Reference] = {}

    def mark(self, features: np.ndarray, superpixels: Superpixels, shares: np.ndarray, ids: np.ndarray) -> None:
        """Keep the appearance of objects that were marked in a frame.

        Parameters
        ----------
        features : (N, D) float32
            Superfeatures, unit length.
        superpixels : Superpixels
        shares : (N, K + 1) float32
            Owner of each superpixel; column 0 is the background.
        ids : (K,) int
            Object ids.
        """
        for k, object_id in enumerate(ids.tolist(), 1):
            own = np.flatnonzero(shares[:, k] > 0)
            kept = features[own[:: -(-len(own) // self._settings.entries) or 1]]
            side = float(np.ptp(superpixels.centres[own], axis=0).max()) if len(own) else 0.0
            self._references[object_id] = _Reference(kept, float(superpixels.areas[own].sum()), side)

    def forget(self, object_id: int) -> None:
        """Drop the appearance of an object."""
        self._references.pop(object_id, None)

    def judge(
        self,
        readout: Readout,
        features: np.ndarray,
        superpixels: Superpixels,
        warped: np.ndarray,
        ids: np.ndarray,
        cut: bool = False,
    ) -> Judgement:
        """Reject regions that do not belong to an object.

        Parameters
        ----------
        readout : Readout
            Of the memory.
        features : (N, D) float32
            Superfeatures, unit length.
        superpixels : Superpixels
        warped : (h, w) uint8
            Previous mask warped to this frame, as columns of the readout, on a grid of any size.
        ids : (K + 1,) int
            Object ids of the columns; the first is 0.
        cut : bool
            Whether this frame may show another scene than the previous one.

        Returns
        -------
        Judgement
        """
        probabilities, warped = readout.probabilities.copy(), warped.copy()
        if cut:
            self._reject_places(probabilities, features, superpixels, warped, ids)
        previous = _counts(warped, len(ids))
        possible = np.zeros(len(probabilities), np.float32)
        for k in (np.flatnonzero(previous[1:] == 0) + 1).tolist():
            cosines = _cosines(features, self._references[int(ids[k])].features)
            found = _search(probabilities, k, readout.attention[:, k - 1], cosines, self._settings.temperature)
            np.maximum(possible, found, out=possible)
        regions = _Regions.of(probabilities, superpixels, warped, self._settings.overlap)
        for k in range(1, len(ids)):
            own = np.flatnonzero(regions.owner == k)
            candidates = regions.candidates(own, features, superpixels)
            kept = self._kept(int(ids[k]), candidates, regions.in_place[own])
            if kept.any() or (previous[k] and not own.size):  # thinner than superpixels: left to the refiner
                probabilities[own[~kept], k] = 0
            else:
                probabilities[:, k], warped[warped == k] = 0, 0
        taken = 1 - probabilities.sum(1)
        probabilities[:, 0] = np.maximum(probabilities[:, 0], MIN_PROBABILITY)
        probabilities /= probabilities.sum(1, keepdims=True)
        doubt = np.where(probabilities.argmax(1) == 0, np.maximum(taken, possible), 0)
        return Judgement(readout._replace(probabilities=probabilities), warped, doubt)

    def _reject_places(
        self,
        probabilities: np.ndarray,
        features: np.ndarray,
        superpixels: Superpixels,
        warped: np.ndarray,
        ids: np.ndarray,
    ) -> None:
        """After a cut, clear the previous mask of every object whose region in place is not similar, in place."""
        regions = _Regions.of(probabilities, superpixels, warped, self._settings.overlap)
        for k in range(1, len(ids)):
            own = np.flatnonzero(regions.owner == k)
            candidates, reference = regions.candidates(own, features, superpixels), self._references[int(ids[k])]
            in_place = regions.in_place[own]
            found = candidates.near(in_place, reference.side, self._settings.margin) if in_place.any() else in_place
            if not found.any() or not reference.returns(
                candidates.similarity(found, reference.features), self._settings
            ):
                warped[warped == k] = 0

    def _kept(self, object_id: int, candidates: _Candidates, in_place: np.ndarray) -> np.ndarray:
        """Select the superpixels of an object among its candidates, (n,) bool."""
        reference, settings = self._references[object_id], self._settings
        if in_place.any():
            found = candidates.near(in_place, reference.side, settings.margin)
            large = bool(candidates.areas[in_place].sum() >= settings.remnant_area * reference.area)
            if reference.continues(candidates.similarity(found, reference.features), large, settings):
                return found
        regions = [candidates.region == one for one in np.unique(candidates.region)]
        if regions:
            best = max(regions, key=lambda region: candidates.similarity(region, reference.features))
            found = candidates.near(best, reference.side, settings.margin)
            if reference.returns(candidates.similarity(found, reference.features), settings):
                return found
        return np.zeros_like(in_place)


class _Candidates(NamedTuple):
    """Superpixels that the memory gives to one object: (n, D), (n, 2), (n,), and the region of each, (n,)."""

    features: np.ndarray
    centres: np.ndarray
    areas: np.ndarray
    region: np.ndarray

    def similarity(self, chosen: np.ndarray, reference: np.ndarray) -> float:
        """Mean similarity of the chosen to the reference, times that of the reference to the chosen; at most 1."""
        cosines = _cosines(self.features[chosen], reference)
        precision = np.average(cosines.max(1), weights=self.areas[chosen])
        return float(precision * cosines.max(0).mean())

    def near(self, chosen: np.ndarray, side: float, margin: float) -> np.ndarray:
        """Select the regions that reach into the enlarged box of the chosen superpixels, (n,) bool.

        The margin is a ratio of the longer side of the box, or of `side` if that is longer.
        """
        low, high = self.centres[chosen].min(0), self.centres[chosen].max(0)
        more = margin / 2 * max(side, (high - low).max())
        inside = ((self.centres >= low - more) & (self.centres <= high + more)).all(1)
        return np.isin(self.region, self.region[inside])


class _Regions(NamedTuple):
    """Connected regions of superpixels with one owner.

    owner : (N,) uint8, most probable column; part : (N,) int64, a number that superpixels of a region share;
    in_place : (N,) bool, whether the superpixel's region overlaps its owner's previous mask
    """

    owner: np.ndarray
    part: np.ndarray
    in_place: np.ndarray

    @staticmethod
    def of(probabilities: np.ndarray, superpixels: Superpixels, warped: np.ndarray, overlap: float) -> _Regions:
        owner = probabilities.argmax(1).astype(np.uint8)
        part, common, cells = _parts(on_grid(superpixels.labels, warped.shape), warped, owner)
        previous = _counts(warped, probabilities.shape[1])
        in_place = (common > overlap * previous[owner]) | (2 * common > cells)
        return _Regions(owner, part, in_place[part])

    def candidates(self, own: np.ndarray, features: np.ndarray, superpixels: Superpixels) -> _Candidates:
        return _Candidates(features[own], superpixels.centres[own], superpixels.areas[own], self.part[own])


def _search(
    probabilities: np.ndarray, k: int, attention: np.ndarray, cosines: np.ndarray, temperature: float
) -> np.ndarray:
    """Search a lost object in the whole frame: replace its probabilities, in place.

    Returns its probabilities if the recent background were unknown, which the object may have joined, (N,).
    """
    own = np.maximum(attention[:, 2], cosines.max(1, initial=0))
    here = _odds(own, np.maximum(attention[:, 1], attention[:, 3]), temperature)
    probabilities *= ((1 - here) / np.maximum(1 - probabilities[:, k], 1e-6))[:, None]
    probabilities[:, k] = here
    return _odds(own, attention[:, 3], temperature)


def _odds(one: np.ndarray, other: np.ndarray, temperature: float) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp((other - one) / temperature)))


def _cosines(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Dot products of (n, D) and (m, D), in blocks so small that BLAS does not wake its threads, (n, m)."""
    found = np.empty((len(one), len(two)), np.float32)
    for at in range(0, len(one), BLOCK):
        np.matmul(one[at : at + BLOCK], two.T, out=found[at : at + BLOCK])
    return found


def _counts(columns: np.ndarray, count: int) -> np.ndarray:
    """Number of cells per column, (count,) int64."""
    return cv2.calcHist([columns], [0], None, [256], [0, 256]).ravel()[:count].astype(np.int64)


@njit(cache=True, nogil=True)
def _root(parents: np.ndarray, n: int) -> int:
    while parents[n] != n:
        parents[n] = parents[parents[n]]
        n = parents[n]
    return n


@njit(cache=True, nogil=True)
def _parts(labels: np.ndarray, warped: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connect superpixels of one owner to regions; `labels` are those of the grid's cells.

    Returns a number below N that the superpixels of a region share, (N,) int64. For each number it returns the cells of
    the grid that the previous mask has in common with the region, and all cells of the region.
    """
    N = len(owner)
    h, w = warped.shape
    parents = np.empty(N, np.int64)
    for n in range(N):
        parents[n] = n
    overlap, cells = np.zeros(N, np.int64), np.zeros(N, np.int64)
    above = np.zeros(w, np.int64)
    for y in range(h):
        before: int = np.int64(-1)  # type: ignore[assignment]  # no literal, for which numba would compile again
        for x in range(w):
            n = int(labels[y, x])
            k = owner[n]
            if k > 0:
                cells[n] += 1
                overlap[n] += warped[y, x] == k
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
