"""The refiner's loss by hand, and its aggregation against the runtime's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shls.runtime.refinement.crops import put_back
from shls.runtime.types import Crops
from shls_train.losses.refinement import aggregate, frame_loss, total_loss
from shls_train.validation.rollout import Sample


@pytest.mark.parametrize("count", [1, 2, 3])
def test_training_aggregates_as_the_runtime_does(count: int) -> None:
    rng = np.random.default_rng(1)
    planes = rng.dirichlet(np.ones(count + 1), (40, 60)).astype(np.float32)
    boxes = np.array([(3, 5, 30, 37), (20, 0, 60, 25), (40, 10, 55, 30)][:count], np.int64)
    none = np.zeros((count, 0, 0, 0), np.float32)
    crops = Crops(planes, np.arange(1, count + 1), boxes, none, none)
    logits = rng.normal(0, 4, (count, 32, 32)).astype(np.float32)
    twin = aggregate(crops, torch.from_numpy(logits)).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(twin, put_back(crops, logits), atol=1e-4)


def test_the_loss_by_hand() -> None:
    planes = np.zeros((40, 60, 2), np.float32)
    planes[..., 0] = 1
    none = np.zeros((1, 0, 0, 0), np.float32)
    crops = Crops(planes, np.array([1]), np.array([(0, 0, 10, 10)]), none, none)
    truth = np.zeros((40, 60), np.int64)
    truth[:10, :5] = 1
    # Undecided everywhere in the box: entropy ln 2; 100 cells of 1/2 against 50 right ones.
    loss = frame_loss(Sample(crops, truth), torch.zeros(1, 32, 32))
    both, either = 25 + 1, 50 + 50 - 25 + 1
    assert loss.item() == pytest.approx(np.log(2) + 0.5 * (1 - both / either), rel=1e-3)


def test_the_loss_falls_as_the_answer_gets_better() -> None:
    planes = np.full((40, 60, 2), 0.5, np.float32)
    none = np.zeros((1, 0, 0, 0), np.float32)
    crops = Crops(planes, np.array([1]), np.array([(0, 0, 60, 40)]), none, none)
    truth = np.zeros((40, 60), np.int64)
    truth[:, :30] = 1
    right = torch.linspace(1, -1, 32).expand(1, 32, 32)
    losses = [frame_loss(Sample(crops, truth), right * scale).item() for scale in (-5, 0, 5, 20)]
    assert losses == sorted(losses, reverse=True)


def test_the_total_is_the_sum_over_frames() -> None:
    none = np.zeros((1, 0, 0, 0), np.float32)
    rng = np.random.default_rng(0)
    planes = rng.dirichlet(np.ones(2), (2, 40, 60)).astype(np.float32)
    crops = [Crops(p, np.array([1]), np.array([(0, 0, 60, 40)]), none, none) for p in planes]
    samples = [Sample(c, rng.integers(0, 2, (40, 60))) for c in crops]
    logits = torch.from_numpy(rng.normal(0, 1, (2, 32, 32)).astype(np.float32))
    apart = sum(frame_loss(sample, logits[i : i + 1]) for i, sample in enumerate(samples))
    torch.testing.assert_close(total_loss(samples, logits), apart)
    assert total_loss([], logits[:0]).item() == 0
