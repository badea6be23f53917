"""J and F of drawn sequences against two other implementations: scikit-image by the definition, and vos-benchmark."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.draw import ellipse
from skimage.morphology import dilation, disk
from vos_benchmark.evaluator import Evaluator

from shls.runtime.evaluation.metrics import Score
from shls.runtime.evaluation.scoring import SequenceScorer

SIZE = (90, 130)
FRAMES = 12
FIRST = {1: 0, 2: 4, 3: 9}
"""Object id -> frame of its first annotation."""


def draw(rng: np.random.Generator, wobble: float) -> list[np.ndarray]:
    """Draw ellipses that move; object 1 is hidden in frames 6 and 7, object 2 in frame 8 and from frame 10 on."""
    hidden = {1: {6, 7}, 2: {8, 10, 11}, 3: set()}
    masks = []
    for time in range(FRAMES):
        labels = np.zeros(SIZE, np.uint8)
        for k, first in FIRST.items():
            y, x = 12 + 24 * k + rng.normal(0, wobble), 20 + 6 * time + rng.normal(0, wobble)
            height, width = (radius * math.exp(rng.normal(0, wobble / 12)) for radius in (14, 20))
            if time >= first and time not in hidden[k]:
                labels[ellipse(y, x, height, width, shape=SIZE)] = k
        masks.append(labels)
    return masks


def predictions(rng: np.random.Generator) -> list[np.ndarray]:
    """Draw a prediction with jitter, a lost object, a wrong id, an empty frame and objects that are drawn too long."""
    masks = draw(rng, 1.5)
    masks[3][masks[3] == 1] = 0
    masks[5][masks[5] == 2] = 1
    masks[7][40:60, 70:90] = 1  # object 1 is hidden
    masks[8][10:20, 10:20] = 2  # object 2, too
    masks[9][:] = 0
    masks[11] = masks[9]
    return masks


def by_definition(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """J and F of one frame. Boundary pixels differ from a neighbour to the right or below; the tolerance is a disk."""
    union = (found | truth).sum()
    j = (found & truth).sum() / union if union else 1.0
    boundaries = []
    for mask in (found, truth):
        padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
        boundaries.append((mask != padded[:-1, 1:]) | (mask != padded[1:, :-1]) | (mask != padded[1:, 1:]))
    reach = disk(math.ceil(0.008 * math.sqrt(mask.shape[0] ** 2 + mask.shape[1] ** 2)))
    a, b = boundaries
    if not a.any() or not b.any():
        return j, float(a.any() == b.any())
    precision = (a & dilation(b, reach)).sum() / a.sum()
    recall = (b & dilation(a, reach)).sum() / b.sum()
    return j, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize("seed", range(4))
def test_three_implementations_agree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truths, found = draw(rng, 0), predictions(rng)
    scorer = SequenceScorer()
    for prediction, truth in zip(found, truths, strict=True):
        scorer.add(prediction, truth)
    scores = scorer.scores()
    assert list(scores) == [1, 2, 3]
    for k, first in FIRST.items():
        inner = range(first + 1, FRAMES - 1)
        ours = scores[k]
        simple = np.mean([by_definition(found[t] == k, truths[t] == k) for t in inner], axis=0)
        package = Evaluator()
        for t in (first, *inner):  # the package learns of the object in its first frame
            package.feed_frame(np.where(t == first, truths[t] == k, found[t] == k), truths[t] == k)
        theirs = Score(np.mean(package.object_iou[1][1:]), np.mean(package.boundary_f[1][1:]))
        assert ours == pytest.approx(tuple(simple), abs=5e-4)
        assert ours == pytest.approx(theirs, abs=5e-4)
        assert 0.1 < ours.j < 0.95  # the prediction is neither right nor useless
        assert len(package.object_iou[1]) == len(inner) + 1
