"""Pooling against a slow twin, and against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from shls.runtime.errors import ShapeMismatch
from shls.runtime.features import pooling
from shls.runtime.features.pooling import pool
from shls.runtime.types import Superpixels
from shls_train.models.pooling import pool as pool_in_training


def partition(labels: np.ndarray) -> Superpixels:
    areas = np.bincount(labels.ravel()).astype(np.int32)
    return Superpixels(labels.astype(np.int32), np.zeros((len(areas), 2), np.float32), areas)


def slow_pool(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    D, h, w = features.shape
    H, W = labels.shape
    sums = np.zeros((labels.max() + 1, D))
    for y in range(H):
        for x in range(W):
            sums[labels[y, x]] += features[:, int((y + 0.5) * h / H), int((x + 0.5) * w / W)]
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return sums / np.where(length > 0, length, 1)


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    cells=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    dim=st.integers(1, 5),
    count=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_equals_the_slow_twin(size: tuple[int, int], cells: tuple[int, int], dim: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.unique(rng.integers(0, count, size), return_inverse=True)[1].reshape(size)
    features = rng.normal(size=(dim, *cells)).astype(np.float32)
    features /= np.linalg.norm(features, axis=0)  # as the network gives them
    np.testing.assert_allclose(pool(features, partition(labels)), slow_pool(features, labels), atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    cells=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    count=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_equals_the_one_of_training(size: tuple[int, int], cells: tuple[int, int], count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, count, (2, *size))
    features = rng.normal(size=(2, 5, *cells)).astype(np.float32)
    trained = pool_in_training(torch.from_numpy(features), torch.from_numpy(labels), count)
    for frame in range(2):
        whole = Superpixels(labels[frame].astype(np.int32), np.zeros((count, 2), np.float32), np.ones(count, np.int32))
        expected = F.normalize(trained[frame], dim=1)
        np.testing.assert_allclose(pool(features[frame], whole), expected.numpy(), atol=1e-5)


def test_training_gets_means_and_gradients() -> None:
    labels = torch.tensor([[[0, 0, 0, 1]]])
    features = torch.tensor([[[[1.0, 5.0]]]], requires_grad=True)  # two cells of two pixels
    means = pool_in_training(features, labels, 3)
    assert means[0, :, 0].tolist() == pytest.approx([(1 + 1 + 5) / 3, 5, 0])
    means[0, 0, 0].backward()
    assert features.grad is not None
    assert features.grad.flatten().tolist() == pytest.approx([2 / 3, 1 / 3])


def test_a_superpixel_of_zeros_stays_zero() -> None:
    labels = np.array([[0, 0, 1, 1]])
    features = np.array([[[0.0, 3.0]], [[0.0, 4.0]]], np.float32)
    np.testing.assert_allclose(pool(features, partition(labels)), [[0, 0], [0.6, 0.8]], atol=1e-6)


def test_a_map_of_another_shape_is_refused() -> None:
    with pytest.raises(ShapeMismatch, match=r"expected \(D, h, w\)"):
        pool(np.zeros((4, 4), np.float32), partition(np.zeros((8, 8), np.int64)))


def test_layout_and_ownership_of_the_arrays_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    labels, features = rng.integers(0, 9, (20, 31)), rng.normal(size=(17, 5, 9)).astype(np.float32)
    expected = pool(features, partition(labels))
    superpixels = partition(labels)
    frozen, strided = features.copy(), np.asfortranarray(features)
    frozen.flags.writeable = superpixels.labels.flags.writeable = False
    for same in (frozen, strided, features.astype(np.float64)):
        np.testing.assert_array_equal(pool(same, superpixels), expected)
    columns = superpixels._replace(labels=np.asfortranarray(superpixels.labels))
    np.testing.assert_array_equal(pool(features, columns), expected)


def test_how_many_threads_there_are_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    labels, features = partition(rng.integers(0, 30, (60, 80))), rng.normal(size=(20, 15, 20)).astype(np.float32)
    alone = pool(features, labels)
    monkeypatch.setattr(pooling, "FORK", 1)
    np.testing.assert_array_equal(pool(features, labels), alone)


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (90, 1), (37, 50)])
def test_one_superpixel_and_one_for_each_pixel(shape: tuple[int, int]) -> None:
    features = np.random.default_rng(6).normal(size=(3, *(-(-side // 4) for side in shape))).astype(np.float32)
    for labels in (np.zeros(shape, np.int64), np.arange(shape[0] * shape[1]).reshape(shape)):
        np.testing.assert_allclose(pool(features, partition(labels)), slow_pool(features, labels), atol=1e-5)
