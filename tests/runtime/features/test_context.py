"""Context against a slow twin, and what it must leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from shls.runtime.features import context
from shls.runtime.features.context import with_context
from shls.runtime.models.settings import ContextSettings
from shls.runtime.types import Superpixels


def partition(labels: np.ndarray) -> Superpixels:
    areas = np.bincount(labels.ravel()).astype(np.int32)
    return Superpixels(labels.astype(np.int32), np.zeros((len(areas), 2), np.float32), areas)


def blocks(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Blocks of some pixels, each a superpixel of its own, in random order."""
    names = rng.permutation(rows * columns).reshape(rows, columns)
    return names.repeat(rng.integers(2, 6), 0).repeat(rng.integers(2, 6), 1)


def slow_context(features: np.ndarray, labels: np.ndarray, settings: ContextSettings) -> np.ndarray:
    grid, pairs = labels[::2, ::2], set()
    below, right = np.stack([grid[1:], grid[:-1]]), np.stack([grid[:, 1:], grid[:, :-1]])
    for one, other in np.hstack([below.reshape(2, -1), right.reshape(2, -1)]).T.tolist():
        pairs |= {(one, other), (other, one)} if one != other else set()
    mixed = features.astype(np.float64)
    for n in range(len(features)):
        near = [other for one, other in pairs if one == n]
        for m in near:
            cosine = features[n] @ features[m]
            share = settings.weight / len(near) * np.exp((cosine - 1) / settings.temperature)
            mixed[n] += share * features[m]
    length = np.linalg.norm(mixed, axis=1, keepdims=True)
    return mixed / np.where(length > 0, length, 1)


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_slow_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = blocks(rng, int(rng.integers(1, 6)), int(rng.integers(1, 6)))
    features = rng.normal(size=(labels.max() + 1, 6)).astype(np.float32) + 1
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    features[0] = 0
    settings = ContextSettings(weight=2.0, temperature=0.3)
    found = with_context(features, partition(labels), settings)
    np.testing.assert_allclose(found, slow_context(features, labels, settings), atol=1e-5)


def test_another_kind_beside_it_changes_little() -> None:
    labels = np.repeat([[0, 1, 2]], 4, axis=1).repeat(4, axis=0)
    features = np.float32([[1, 0], [1, 0], [0, 1]])
    np.testing.assert_allclose(with_context(features, partition(labels)), features, atol=0.01)


def test_without_weight_nothing_changes() -> None:
    labels = np.repeat([[0, 1]], 4, axis=1).repeat(4, axis=0)
    features = np.float32([[0.6, 0.8], [0.8, 0.6]])
    assert with_context(features, partition(labels), ContextSettings(weight=0.0)) is features


def test_more_neighbours_than_are_listed() -> None:
    teeth = 3 * context.MOST_NEIGHBOURS
    labels = np.zeros((8, 2 * teeth), np.int64)
    labels[4:] = 1 + np.arange(2 * teeth) // 2  # all lie below superpixel 0
    features = np.ones((teeth + 1, 2), np.float32) / np.sqrt(np.float32(2))
    np.testing.assert_allclose(with_context(features, partition(labels)), features, atol=1e-6)
