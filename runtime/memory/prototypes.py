"""Prototypes: a few unit vectors per class that summarise its superfeatures, by spherical k-means."""

from __future__ import annotations

import numpy as np
from numba import njit

from ..models.settings import MemorySettings
from . import _int8_dot as dot_products
from . import _packing as packing
from . import _search as nearest


class Prototypes:
    """Prototypes of all objects and of the background.

    Parameters
    ----------
    classes : int
        K + 1, objects and background.
    settings : MemorySettings
    dim : int
        D, length of a superfeature.

    Attributes
    ----------
    features : (K + 1, clusters, D) float32
        Unit length.
    weights : (K + 1, clusters) float32
        Number of entries that each prototype stands for; 0 where there is none.

    Examples
    --------
    >>> prototypes = Prototypes(classes=2, settings=MemorySettings(clusters=2), dim=4)
    >>> features, owners = np.eye(2, 4, dtype=np.float32), np.eye(2, dtype=np.float32)
    >>> prototypes.seed(features, owners)
    >>> prototypes.learn(features, owners)
    >>> prototypes.cosines(features).round(2)
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """

    def __init__(self, classes: int, settings: MemorySettings, dim: int) -> None:
        self._settings, clusters = settings, settings.clusters
        self.features = np.zeros((classes, clusters, dim), np.float32)
        self.weights = np.zeros((classes, clusters), np.float32)
        self._packed = np.zeros((classes, 0, packing.GROUP * packing.LANES), np.uint8)

    @property
    def nbytes(self) -> int:
        """Bytes of the prototypes, in float32 and packed."""
        return self.features.nbytes + self._packed.nbytes

    def seed(self, features: np.ndarray, probabilities: np.ndarray) -> None:
        """Choose new prototypes among entries that are dissimilar to each other; `learn` then updates them."""
        self.weights[:] = 0
        _seed(features, probabilities, self._settings.prototype_confidence, self.features, self.weights)

    def learn(self, features: np.ndarray, probabilities: np.ndarray) -> None:
        """Update the prototypes with the entries of a frame, (N, D) and (N, K + 1) float32."""
        settings = self._settings
        confident, inertia = settings.prototype_confidence, float(settings.prototype_inertia)
        _cluster(features, probabilities, confident, inertia, self.features, self.weights)
        self._packed = np.stack([packing.pack(centroids, dot_products.offset()) for centroids in self.features])

    def cosines(self, features: np.ndarray) -> np.ndarray:
        """Compare features, (N, D), with the nearest prototype of each class: cosines, (N, K + 1); -2 for none."""
        known = np.zeros((len(self.weights), self._packed.shape[1] * packing.GROUP), bool)
        known[:, : self.weights.shape[1]] = self.weights > 0
        return nearest.class_cosines(features, self._packed, known)


@njit(cache=True, nogil=True, fastmath=True)
def _cosine(one: np.ndarray, two: np.ndarray) -> np.float32:
    """Dot product of two (D,) float32; numba's own function needs SciPy."""
    cosine = np.float32(0)
    for d in range(len(one)):
        cosine += one[d] * two[d]
    return cosine


@njit(cache=True, nogil=True)
def _nearest(feature: np.ndarray, centroids: np.ndarray, weights: np.ndarray) -> int:
    """Return the index of the nearest prototype of a class; -1 if there is none."""
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
    """Choose farthest points: each prototype starts at the confident entry least similar to the chosen ones."""
    N = len(features)
    classes, clusters = weights.shape
    likeness = np.empty(N, np.float32)
    for c in range(classes):
        for n in range(N):
            likeness[n] = -2
        for i in range(clusters):
            chosen = -1
            for n in range(N):
                if probabilities[n, c] > confident and (chosen < 0 or likeness[n] < likeness[chosen]):
                    chosen = n
            if chosen < 0 or likeness[chosen] > 0.999:
                break
            for d in range(features.shape[1]):
                centroids[c, i, d] = features[chosen, d]
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
    """Do one step of spherical k-means per class: each confident entry moves its nearest prototype."""
    N, D = features.shape
    classes, clusters = weights.shape
    sums = np.empty((clusters, D), np.float32)
    for c in range(classes):
        for i in range(clusters):
            for d in range(D):
                sums[i, d] = centroids[c, i, d] * weights[c, i]
        for n in range(N):
            if probabilities[n, c] <= confident:
                continue
            nearest = _nearest(features[n], centroids[c], weights[c])
            if nearest >= 0:
                for d in range(D):
                    sums[nearest, d] += features[n, d]
                weights[c, nearest] = min(weights[c, nearest] + 1, inertia)
        for i in range(clusters):
            square = np.float32(0)
            for d in range(D):
                square += sums[i, d] * sums[i, d]
            if weights[c, i] > 0 and square > 0:
                length = np.sqrt(square)
                for d in range(D):
                    centroids[c, i, d] = sums[i, d] / length
