"""The past, clustered and bounded.

Three layers: the frame in which the user marked the objects, kept for ever; the most recent frames, kept whole in a
ring; everything older, kept as a few centroids per object (spherical k-means, one step per frame). A superpixel reads
its neighbours in feature space among those entries that it could have come from: within a radius of where it was
in a recent frame, within a wider one in the first, anywhere among the centroids.

Differs from the published SHLS, whose bank grows with the video and is read without regard to place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from shls.runtime.contract import MemorySettings
from shls.runtime.errors import ShapeMismatch

BUCKET = 32
"""Side of a bucket of the spatial index, pixels. Entries lie sorted by bucket, so a row of buckets is one run."""

FIRST_REACH = 3.0
"""Reach of the first frame's entries, as a multiple of a recent frame's."""

CENTROID_HANDICAP = 0.03
"""Subtracted from a centroid's cosine similarity: what is known without a place convinces less."""

CONFIDENT = 0.9
"""Least probability of an entry that moves a centroid."""

INERTIA = 512.0
"""Entries after which a centroid stops getting heavier."""

UNIT = 127
"""Length 1 in the stored features: 8 bits are enough for unit vectors, and a quarter of the bytes."""

LANES = 64
"""Numbers of a stored feature, the most that a superfeature may have: one SIMD step compares two."""


class Memory:
    """A bounded memory of superfeatures and of the objects they belong to.

    Its size depends on the settings, the number of superpixels and the number of objects, never on the video's length.

    Parameters
    ----------
    settings : MemorySettings
    size : (H, W)
        Of the frames, pixels.
    dim : int
        D, length of a superfeature.
    objects : int
        K, without the background.
    """

    def __init__(self, settings: MemorySettings, size: tuple[int, int], dim: int, objects: int) -> None:
        self._settings = settings
        self._reach = settings.radius * size[0]
        self._buckets = (-(-size[0] // BUCKET), -(-size[1] // BUCKET))
        self._limits = np.array([size[1] - 1, size[0] - 1], np.float32)
        slots = settings.recent + 1
        self._counts = np.zeros(slots, np.int64)
        self._starts = np.zeros((slots, self._buckets[0] * self._buckets[1] + 1), np.int32)
        self._features = np.zeros((slots, 0, LANES), np.int8)
        self._centres = np.zeros((slots, 0, 2), np.int16)
        self._probabilities = np.zeros((slots, 0, objects + 1), np.float32)
        self._centroids = np.zeros((objects + 1, settings.clusters, dim), np.float32)
        self._weights = np.zeros((objects + 1, settings.clusters), np.float32)
        self._written = 0

    @property
    def nbytes(self) -> int:
        """Bytes of state."""
        arrays = (self._features, self._centres, self._probabilities, self._centroids, self._starts)
        return sum(array.nbytes for array in arrays)

    def write(self, features: np.ndarray, centres: np.ndarray, probabilities: np.ndarray) -> None:
        """Remember a frame. The first one written is never forgotten; the oldest recent one becomes centroids.

        Parameters
        ----------
        features : (N, D) float32, unit length
        centres : (N, 2) float32, x and y in pixels
        probabilities : (N, K + 1) float32
        """
        expected = (len(features), self._centroids.shape[2]), (len(features), len(self._centroids))
        if (features.shape, probabilities.shape) != expected:
            raise ShapeMismatch(
                f"features {features.shape} and probabilities {probabilities.shape}; expected {expected}"
            )
        slot = 0 if self._written == 0 else 1 + (self._written - 1) % self._settings.recent
        if self._written == 0 or self._counts[slot]:
            self._learn(slot, features, probabilities)
        self._store(slot, features, centres, probabilities)
        self._written += 1

    def read(self, features: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Let the nearest entries vote for each superpixel.

        Parameters
        ----------
        features : (N, D) float32, unit length
        expected : (A, N, 2) float32
            Where each superpixel was 0, 1, 2, ... frames ago, x and y in pixels; ages beyond A are taken as A - 1.
            The first frame is looked up at the present place.

        Returns
        -------
        (N, K + 1) float32, probabilities; rows sum to 1, column 0 is the background.
        """
        slots = self._slot_positions(expected)
        neighbours = self._settings.neighbours
        similarity = np.full((len(features), neighbours), -1, np.float32)
        entry = np.full((len(features), neighbours), -1, np.int32)
        reach = np.full(len(self._counts), self._reach, np.float32)
        reach[0] *= FIRST_REACH
        _search(
            _to_bytes(features), slots, reach, self._features, self._centres, self._counts, self._starts,
            self._buckets[1], BUCKET, UNIT, similarity, entry,
        )  # fmt: skip
        probabilities = np.zeros((len(features), len(self._centroids)), np.float32)
        flat = self._probabilities.reshape(-1, len(self._centroids))
        _vote(
            features, similarity, entry, flat, self._centroids, self._weights, self._settings.temperature,
            CENTROID_HANDICAP, probabilities,
        )  # fmt: skip
        return probabilities

    def _slot_positions(self, expected: np.ndarray) -> np.ndarray:
        """(S, N, 2): where to look in each slot."""
        newest = self._written - 1
        ages = [0]
        for slot in range(1, len(self._counts)):
            ages.append((newest - slot) % self._settings.recent + 1)
        return np.ascontiguousarray(expected[np.minimum(ages, len(expected) - 1)])

    def _store(self, slot: int, features: np.ndarray, centres: np.ndarray, probabilities: np.ndarray) -> None:
        self._grow(len(features))
        bucket = (np.clip(centres, 0, self._limits) // BUCKET).astype(np.int64)
        bucket = bucket[:, 1] * self._buckets[1] + bucket[:, 0]
        order = np.argsort(bucket, kind="stable")
        count = len(order)
        self._features[slot, :count] = _to_bytes(features[order])
        self._centres[slot, :count] = np.rint(centres[order])
        self._probabilities[slot, :count] = probabilities[order]
        self._starts[slot] = np.searchsorted(bucket[order], np.arange(self._starts.shape[1]))
        self._counts[slot] = count

    def _grow(self, count: int) -> None:
        capacity = self._features.shape[1]
        if count <= capacity:
            return
        room = ((0, 0), (0, count + count // 16 - capacity), (0, 0))
        self._features = np.pad(self._features, room)
        self._centres = np.pad(self._centres, room)
        self._probabilities = np.pad(self._probabilities, room)

    def _learn(self, slot: int, features: np.ndarray, probabilities: np.ndarray) -> None:
        """Move the centroids: seeded by the first frame, afterwards by the frame that leaves the ring."""
        if self._written == 0:
            _seed(features, probabilities, CONFIDENT, self._centroids, self._weights)
        else:
            count = self._counts[slot]
            features = self._features[slot, :count, : self._centroids.shape[2]] / np.float32(UNIT)
            probabilities = self._probabilities[slot, :count]
        _cluster(features, probabilities, CONFIDENT, INERTIA, self._centroids, self._weights)


def _to_bytes(features: np.ndarray) -> np.ndarray:
    """(N, D) float32 -> (N, 64) int8, filled up with zeros."""
    quantised = np.zeros((len(features), LANES), np.int8)
    quantised[:, : features.shape[1]] = np.rint(features * UNIT)
    return quantised


@intrinsic
def _dot(_: Any, one: Any, two: Any) -> Any:
    """Dot product of 64 signed bytes at two addresses; numba makes a slower loop of the same."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        narrow, wide = ir.VectorType(ir.IntType(8), LANES), ir.VectorType(ir.IntType(32), LANES)
        a, b = (builder.sext(builder.load(builder.inttoptr(at, narrow.as_pointer()), align=1), wide) for at in args)
        add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.IntType(32), [wide]), f"llvm.vector.reduce.add.v{LANES}i32"
        )
        return builder.call(add, [builder.mul(a, b)])

    return types.int32(one, two), generate


@njit(cache=True, nogil=True, parallel=True)
def _search(
    features: np.ndarray,
    expected: np.ndarray,
    reach: np.ndarray,
    stored: np.ndarray,
    centres: np.ndarray,
    counts: np.ndarray,
    starts: np.ndarray,
    columns: int,
    bucket: int,
    unit: int,
    similarity: np.ndarray,
    entry: np.ndarray,
) -> None:
    """Nearest entries of each superpixel, best first, into `similarity` and `entry` (slot * capacity + index)."""
    N = len(features)
    slots, capacity = stored.shape[:2]
    rows = (starts.shape[1] - 1) // columns
    last = similarity.shape[1] - 1
    for n in prange(N):
        feature = features.ctypes.data + n * LANES
        best = np.full(last + 1, -(1 << 30), np.int32)
        worst = best[last]
        for s in range(slots):
            if counts[s] == 0:
                continue
            slot = stored.ctypes.data + s * capacity * LANES
            x, y, r = expected[s, n, 0], expected[s, n, 1], reach[s]
            left, right = max(0, int((x - r) // bucket)), min(columns - 1, int((x + r) // bucket))
            top, bottom = max(0, int((y - r) // bucket)), min(rows - 1, int((y + r) // bucket))
            if left > right:
                continue
            for row in range(top, bottom + 1):
                for m in range(starts[s, row * columns + left], starts[s, row * columns + right + 1]):
                    dot = _dot(feature, slot + m * LANES)
                    if dot <= worst:  # nearly always, which the processor learns; the distance is not so regular
                        continue
                    dx, dy = centres[s, m, 0] - x, centres[s, m, 1] - y
                    if dx * dx + dy * dy > r * r:
                        continue
                    j = last
                    while j > 0 and best[j - 1] < dot:
                        best[j] = best[j - 1]
                        entry[n, j] = entry[n, j - 1]
                        j -= 1
                    best[j] = dot
                    entry[n, j] = s * capacity + m
                    worst = best[last]
        for j in range(last + 1):
            if entry[n, j] >= 0:
                similarity[n, j] = best[j] / np.float32(unit * unit)


@njit(cache=True, nogil=True, fastmath=True)
def _cosine(one: np.ndarray, two: np.ndarray) -> np.float32:
    """Dot product of two (D,) float32; numba's own needs SciPy."""
    cosine = np.float32(0)
    for d in range(len(one)):
        cosine += one[d] * two[d]
    return cosine


@njit(cache=True, nogil=True)
def _nearest(feature: np.ndarray, centroids: np.ndarray, weights: np.ndarray) -> tuple[int, np.float32]:
    """Index and cosine of the nearest of an object's centroids; -1 and -2 if it has none."""
    nearest, best = -1, np.float32(-2)
    for i in range(len(weights)):
        if weights[i] > 0:
            cosine = _cosine(feature, centroids[i])
            if cosine > best:
                nearest, best = i, cosine
    return nearest, best


@njit(cache=True, nogil=True, parallel=True, fastmath=True)
def _vote(
    features: np.ndarray,
    similarity: np.ndarray,
    entry: np.ndarray,
    remembered: np.ndarray,
    centroids: np.ndarray,
    weights: np.ndarray,
    temperature: float,
    handicap: float,
    probabilities: np.ndarray,
) -> None:
    """Softmax-weighted vote of the neighbours and of each object's nearest centroid, into `probabilities`."""
    N, classes = probabilities.shape
    for n in prange(N):
        nearest = np.empty(classes, np.float32)
        for c in range(classes):
            nearest[c] = _nearest(features[n], centroids[c], weights[c])[1] - np.float32(handicap)
        best = max(similarity[n, 0], nearest.max())
        total = np.float32(0)
        for c in range(classes):
            probabilities[n, c] = np.exp((nearest[c] - best) / temperature)
            total += probabilities[n, c]
        for j in range(entry.shape[1]):
            if entry[n, j] < 0:
                break
            vote = np.exp((similarity[n, j] - best) / temperature)
            total += vote
            for c in range(classes):
                probabilities[n, c] += vote * remembered[entry[n, j], c]
        for c in range(classes):
            probabilities[n, c] /= total


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
            nearest = _nearest(features[n], centroids[c], weights[c])[0]
            if nearest >= 0:
                sums[nearest] += features[n]
                weights[c, nearest] = min(weights[c, nearest] + 1, inertia)
        for i in range(clusters):
            length = np.sqrt(np.sum(sums[i] ** 2))
            if weights[c, i] > 0 and length > 0:
                centroids[c, i] = sums[i] / length
