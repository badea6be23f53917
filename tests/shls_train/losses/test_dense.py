"""Losses against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from shls_train.losses.dense import dense_correspondence

FAR = torch.tensor([[[0.0, 0.0], [100.0, 0.0]]])


def test_two_orthogonal_points_by_hand() -> None:
    features = torch.eye(2)[None]  # (1, 2, 2)
    loss, accuracy = dense_correspondence(features, features, FAR, temperature=0.5)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-6)
    assert accuracy.item() == 1.0


def test_swapped_points_by_hand() -> None:
    features = torch.eye(2)[None]
    loss, accuracy = dense_correspondence(features, features.flip(1), FAR, temperature=0.5)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(2)), rel=1e-6)
    assert accuracy.item() == 0.0


def test_near_neighbours_are_no_candidates() -> None:
    features = torch.ones(1, 2, 1)
    near = torch.tensor([[[0.0, 0.0], [9.0, 0.0]]])
    loss, _ = dense_correspondence(features, features, near, temperature=1.0, margin=10.0)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    loss, _ = dense_correspondence(features, features, near, temperature=1.0, margin=5.0)
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)


def test_neighbours_in_other_stills_are_candidates() -> None:
    features = torch.ones(2, 1, 1)  # two stills, one point each, at the same place
    loss, _ = dense_correspondence(features, features, torch.zeros(2, 1, 2), temperature=1.0)
    assert loss.item() == pytest.approx(math.log(2), rel=1e-6)
