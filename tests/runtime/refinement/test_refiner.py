"""Sizes of crops: small objects get small crops, and crops of several sizes are merged as one."""

from __future__ import annotations

import numpy as np
import pytest

from shls.runtime.models.contract import RefinerContract
from shls.runtime.models.settings import CropSettings
from shls.runtime.refinement.crops import CHANNELS, PRIOR_SCALE, CropChannel, Scene, cut_boxes, merge, put_back
from shls.runtime.refinement.refiner import crop_sizes, refine_objects
from shls.runtime.types import Crops, Superpixels

h, w = 120, 200
H, W = 2 * h, 2 * w


class Agreeing:
    """A refiner that returns the prior of its crops, and keeps their sizes."""

    contract = RefinerContract("shls-edge-refiner", 64, CHANNELS, 4, "", "")
    backend = "none"
    sizes: tuple[int, ...] = (32, 48, 64)

    def __init__(self) -> None:
        self.seen: list[int] = []

    def run(self, crops: Crops) -> np.ndarray:
        self.seen.append(crops.images.shape[2])
        assert crops.features.shape[2:] == (crops.images.shape[2] // 4,) * 2
        return crops.images[:, CropChannel.PRIOR] * PRIOR_SCALE


def scene_of(*boxes: tuple[int, int, int, int]) -> Scene:
    """A scene with an object in each box: left, top, right, bottom in cells."""
    planes = np.zeros((h, w, len(boxes) + 1), np.float32)
    for k, (left, top, right, bottom) in enumerate(boxes, 1):
        planes[top:bottom, left:right, k] = 0.95
    planes[..., 0] = 1 - planes.sum(2)
    labels = (np.arange(H)[:, None] // 40 * 10 + np.arange(W) // 40).astype(np.int32)
    count = int(labels.max()) + 1
    superpixels = Superpixels(labels, np.zeros((count, 2), np.float32), np.full(count, 1600, np.int32))
    return Scene(
        np.zeros((H, W, 3), np.uint8),
        superpixels,
        np.zeros((4, H // 4, W // 4), np.float32),
        np.full((count, len(boxes) + 1), 1 / (len(boxes) + 1), np.float32),
        np.zeros((count, len(boxes), 4), np.float32),
        planes,
        planes.argmax(2).astype(np.uint8),
    )


SMALL, LARGE = (10, 10, 34, 34), (60, 10, 160, 100)


def test_each_object_gets_the_smallest_crop_that_keeps_its_detail() -> None:
    scene, refiner = scene_of(SMALL, LARGE), Agreeing()
    before = scene.planes.copy()
    refined = refine_objects(scene, np.arange(3), refiner, None, CropSettings(detail=0.9))
    assert refiner.seen == [32, 64]
    np.testing.assert_array_equal(scene.planes, before)
    assert (refined.argmax(2) != before.argmax(2)).mean() < 1e-3, "but for corners, between cells"
    np.testing.assert_allclose(refined.sum(2), 1, atol=1e-5)


def test_a_refiner_of_one_size_gets_only_that() -> None:
    refiner = Agreeing()
    refiner.sizes = (64,)
    refine_objects(scene_of(SMALL, LARGE), np.arange(3), refiner, None)
    assert refiner.seen == [64]


def test_nothing_visible_runs_nothing() -> None:
    scene, refiner = scene_of((0, 0, 1, 1)), Agreeing()
    np.testing.assert_array_equal(refine_objects(scene, np.arange(2), refiner, None), scene.planes)
    assert refiner.seen == []


@pytest.mark.parametrize(("side", "detail", "size"), [(35, 0.9, 32), (36, 0.9, 48), (500, 0.9, 64), (30, 9.0, 64)])
def test_the_bound_between_two_sizes(side: int, detail: float, size: int) -> None:
    for box in ((0, 0, side, 5), (7, 2, 12, 2 + side)):
        assert crop_sizes(np.array([box]), (32, 48, 64), detail).tolist() == [size]


def test_two_sizes_are_merged_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    scene = scene_of(SMALL, LARGE)
    boxes = np.array([[8, 8, 40, 40], [30, 6, 170, 110]])
    parts = []
    for k, size in ((0, 32), (1, 64)):
        crops = cut_boxes(scene, np.array([k + 1]), boxes[k : k + 1], size)
        parts.append((crops, rng.normal(0, 4, (1, size, size)).astype(np.float32)))
    planes = scene.planes.copy()
    merge(planes, parts)
    alone = [put_back(*part) for part in parts]
    only_first, only_second = np.zeros((h, w), bool), np.zeros((h, w), bool)
    only_first[8:40, 8:30], only_second[50:110, 30:170] = True, True
    np.testing.assert_allclose(planes[only_first], alone[0][only_first], atol=1e-6)
    np.testing.assert_allclose(planes[only_second], alone[1][only_second], atol=1e-6)
    np.testing.assert_allclose(planes.sum(2), 1, atol=1e-5)
