"""Refinement: outlines move to the image's edges, agreement is left alone, sizes are the frame's."""

from __future__ import annotations

import numpy as np
import pytest

from shls.runtime.refinement.pixel_filter import decide, spread
from shls.runtime.types import Superpixels


def grid(height: int, width: int, side: int) -> Superpixels:
    y, x = np.mgrid[:height, :width]
    labels = (y // side * -(-width // side) + x // side).astype(np.int32)
    areas = np.bincount(labels.ravel()).astype(np.int32)
    centres = np.stack([np.bincount(labels.ravel(), v.ravel()) / areas for v in (x, y)], axis=1)
    return Superpixels(labels, centres.astype(np.float32), areas)


def shares(superpixels: Superpixels, inside: np.ndarray) -> np.ndarray:
    share = np.bincount(superpixels.labels.ravel(), inside.ravel()) / superpixels.areas
    return np.stack([1 - share, share], axis=1).astype(np.float32)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_outlines_move_to_the_edges_of_the_image() -> None:
    y, x = np.mgrid[:120, :160]
    disk = (x - 83) ** 2 + (y - 57) ** 2 < 35**2
    image = np.where(disk[..., None], (200, 60, 40), (40, 90, 160)).astype(np.uint8)
    superpixels = grid(120, 160, 12)
    probabilities = shares(superpixels, disk)
    painted = (probabilities[:, 1] > 0.5)[superpixels.labels]
    mask = decide(spread(probabilities, superpixels, image), (120, 160))
    assert iou(mask.labels == 1, disk) > 0.97 > iou(painted, disk)


def test_where_all_agree_nothing_changes() -> None:
    superpixels = grid(40, 60, 10)
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    probabilities = np.tile(np.array([[0.1, 0.2, 0.7]], np.float32), (24, 1))
    mask = decide(spread(probabilities, superpixels, image), (40, 60))
    assert (mask.labels == 2).all()
    assert mask.scores[2] == pytest.approx(0.7, abs=1e-5)
    assert mask.scores[1] == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (37, 1), (41, 61), (200, 300)])
def test_masks_have_the_frames_size(size: tuple[int, int]) -> None:
    small = (min(size[0], 40), min(size[1], 60))
    superpixels = grid(*small, 10)
    inside = np.zeros(small, bool)
    inside[:, : (small[1] + 1) // 2] = True
    image = np.where(inside[..., None], 250, 5).astype(np.uint8).repeat(3, axis=2)
    mask = decide(spread(shares(superpixels, inside), superpixels, image), size)
    assert mask.labels.shape == size
    assert mask.labels[0, 0] == 1


def test_three_objects_keep_their_places() -> None:
    superpixels = grid(40, 60, 10)
    owner = np.arange(24) % 4
    colours = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)
    image = colours[owner][superpixels.labels]
    mask = decide(spread(np.eye(4, dtype=np.float32)[owner], superpixels, image), (40, 60))
    assert (mask.labels == owner[superpixels.labels]).mean() > 0.9
