"""What the memory knows without a place: a few centroids of each object's superfeatures, by spherical k-means."""

from __future__ import annotations

import numpy as np
from numba import njit

from ..models.settings import MemorySettings
from . import _int8_dot as dot_products
from . import _packing as packing
from . import _search as nearest


class Prototypes:
    """A few unit vectors per class, of objects and of the background.

    Attributes
    ----------
    features : (K + 1, clusters, D) float32, unit length
    weights : (K + 1, clusters) float32, entries that each stands for; 0 where there is none
    """

    def __init__(self, classes: int, settings: MemorySettings, dim: int) -> None:
        self._settings, clusters = settings, settings.clusters
        self.features = np.zeros((classes, clusters, dim), np.float32)
        self.weights = np.zeros((classes, clusters), np.float32)
        self._packed = np.zeros((classes, 0, packing.GROUP * packing.LANES), np.uint8)

    @property
    def nbytes(self) -> int:
        """Bytes of the centroids, as they are and packed for comparison."""
        return self.features.nbytes + self._packed.nbytes

    def seed(self, features: np.ndarray, probabilities: np.ndarray) -> None:
        """Begin anew with entries that are unlike each other; `learn` takes them in."""
        self.weights[:] = 0
        _seed(features, probabilities, self._settings.prototype_confidence, self.features, self.weights)

    def learn(self, features: np.ndarray, probabilities: np.ndarray) -> None:
        """Move towards a frame's entries: (N, D) float32, unit length, and (N, K + 1) float32."""
        settings = self._settings
        confident, inertia = settings.prototype_confidence, float(settings.prototype_inertia)
        _cluster(features, probabilities, confident, inertia, self.features, self.weights)
        self._packed = np.stack([packing.pack(centroids, dot_products.offset()) for centroids in self.features])

    def cosines(self, features: np.ndarray) -> np.ndarray:
        """Cosine of each feature, (N, D) float32, with the nearest of each class: (N, K + 1); -2 where it has none."""
        known = np.zeros((len(self.weights), self._packed.shape[1] * packing.GROUP), bool)
        known[:, : self.weights.shape[1]] = self.weights > 0
        return nearest.class_cosines(features, self._packed, known)


@njit(cache=True, nogil=True, fastmath=True)
def _cosine(one: np.ndarray, two: np.ndarray) -> np.float32:
    """Dot product of two (D,) float32; numba's own needs SciPy."""
    cosine = np.float32(0)
    for d in range(len(one)):
        cosine += one[d] * two[d]
    return cosine


@njit(cache=True, nogil=True)
def _nearest(feature: np.ndarray, centroids: np.ndarray, weights: np.ndarray) -> int:
    """Index of the nearest of an object's centroids; -1 if it has none."""
    nearest, best = -1, np.float32(-2)
    for i in range(len(weights)):
        if weights[i] > 0:
            cosine = _cosine(feature, centroids[i])
            if cosine > best:
                nearest, best = i, cosine
    return nearest


@njit(cache=True, nogil=True)
def _seed(
    features: np.ndarray,
    probabilities: np.ndarray,
    confident: float,
    centroids: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Farthest-point seeds: each centroid starts at the confident entry least like those chosen before it."""
    N = len(features)
    classes, clusters = weights.shape
    for c in range(classes):
        likeness = np.full(N, -2, np.float32)
        for i in range(clusters):
            chosen = -1
            for n in range(N):
                if probabilities[n, c] > confident and (chosen < 0 or likeness[n] < likeness[chosen]):
                    chosen = n
            if chosen < 0 or likeness[chosen] > 0.999:
                break
            centroids[c, i] = features[chosen]
            weights[c, i] = 1
            for n in range(N):
                likeness[n] = max(likeness[n], _cosine(features[n], features[chosen]))


@njit(cache=True, nogil=True)
def _cluster(
    features: np.ndarray,
    probabilities: np.ndarray,
    confident: float,
    inertia: float,
    centroids: np.ndarray,
    weights: np.ndarray,
) -> None:
    """One step of spherical k-means per object: each confident entry pulls its nearest centroid."""
    N = len(features)
    classes, clusters = weights.shape
    for c in range(classes):
        sums = centroids[c] * weights[c].reshape(-1, 1)
        for n in range(N):
            if probabilities[n, c] <= confident:
                continue
            nearest = _nearest(features[n], centroids[c], weights[c])
            if nearest >= 0:
                sums[nearest] += features[n]
                weights[c, nearest] = min(weights[c, nearest] + 1, inertia)
        for i in range(clusters):
            length = np.sqrt(np.sum(sums[i] ** 2))
            if weights[c, i] > 0 and length > 0:
                centroids[c, i] = sums[i] / length
