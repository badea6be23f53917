"""The published loss against values computed by hand, and its triplets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shls_train.losses.nt_xent import draw_triplets, nt_xent


def test_two_positives_and_two_negatives_by_hand() -> None:
    # cosines to the anchor: 1, 0.6, 0, -1
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]])
    loss, accuracy = nt_xent(features, torch.tensor([[0, 1, 2, 3, 4]]), 0.5)
    rest = math.exp(0 / 0.5) + math.exp(-1 / 0.5)
    by_hand = [-math.log(math.exp(c / 0.5) / (math.exp(c / 0.5) + rest)) for c in (1.0, 0.6)]
    assert loss.item() == pytest.approx(sum(by_hand) / 2, rel=1e-6)
    assert accuracy.item() == 1.0


def test_a_negative_that_is_nearer_counts_as_missed() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    loss, accuracy = nt_xent(features, torch.tensor([[0, 1, 2, 3, 3]]), 1.0)
    rest = 2 * math.exp(0.8)
    by_hand = math.log(1 + rest / math.exp(1.0)) + math.log(1 + rest / math.exp(0.0))
    assert loss.item() == pytest.approx(by_hand / 2, rel=1e-6)
    assert accuracy.item() == 0.5


def test_cold_temperatures_stay_finite() -> None:
    features = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    loss, _ = nt_xent(features, torch.tensor([[0, 1, 2]]), 0.001)
    assert loss.item() == pytest.approx(2000, rel=1e-5)


def test_without_anchors_there_is_nothing_to_learn() -> None:
    features = torch.ones(3, 2, requires_grad=True)
    loss, _ = nt_xent(features, torch.zeros(0, 9, dtype=torch.int64), 0.07)
    loss.backward()
    assert loss.item() == 0.0
    assert features.grad is not None
    assert not features.grad.any()


@settings(max_examples=60, deadline=None)
@given(owners=st.lists(st.integers(-1, 3), max_size=30), seed=st.integers(0, 99))
def test_triplets_are_of_the_right_objects(owners: list[int], seed: int) -> None:
    owner = np.array(owners, np.int64)
    drawn = draw_triplets(owner, 5, np.random.default_rng(seed))
    anchors, positives, negatives = drawn[:, 0], drawn[:, 1:6], drawn[:, 6:]
    sizes = {k: owners.count(k) for k in owners if k >= 0}
    expected = [i for i, k in enumerate(owners) if k >= 0 and sizes[k] > 1 and len(sizes) > 1]
    assert sorted(anchors.tolist()) == expected
    assert (owner[positives] == owner[anchors][:, None]).all()
    assert (positives != anchors[:, None]).all()
    assert (owner[negatives] != owner[anchors][:, None]).all()
    assert (owner[negatives] >= 0).all()


def test_every_partner_is_drawn() -> None:
    drawn = draw_triplets(np.array([1, 0, 1, 1, 2]), 200, np.random.default_rng(0))
    anchors, positives, negatives = drawn[:, 0], drawn[:, 1:201], drawn[:, 201:]
    assert anchors.tolist() == [0, 2, 3]
    assert [set(row) for row in positives.tolist()] == [{2, 3}, {0, 3}, {0, 2}]
    assert all(set(row) == {1, 4} for row in negatives.tolist())
