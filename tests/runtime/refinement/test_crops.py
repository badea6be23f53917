"""Objects cut out at one size and put back: boxes, channels against an obvious twin, soft aggregation by hand."""

from __future__ import annotations

import numpy as np
import pytest

from shls.runtime.models.contract import PIXEL_MEAN, PIXEL_STD
from shls.runtime.models.settings import CropSettings, SuperpixelSettings
from shls.runtime.refinement.boxes import find_boxes
from shls.runtime.refinement.crops import CHANNELS, CropChannel, Scene, average, cut_out, put_back
from shls.runtime.superpixels.slic import SuperpixelTracker
from shls.runtime.types import Crops

H, W = 96, 160
h, w = H // 2, W // 2


def planes_of(*boxes: tuple[int, int, int, int], sure: float = 0.9) -> np.ndarray:
    """(h, w, K + 1) with an object of that probability in each box: left, top, right, bottom."""
    planes = np.zeros((h, w, len(boxes) + 1), np.float32)
    for k, (left, top, right, bottom) in enumerate(boxes, 1):
        planes[top:bottom, left:right, k] = sure
    planes[..., 0] = 1 - planes[..., 1:].sum(2)
    return planes


def scene_of(planes: np.ndarray, seed: int = 0) -> Scene:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (H, W, 3), np.uint8)
    superpixels = SuperpixelTracker(SuperpixelSettings(count=60)).step(image)
    N, K = len(superpixels.areas), planes.shape[2] - 1
    return Scene(
        image,
        superpixels,
        rng.standard_normal((8, 24, 40), np.float32),
        rng.random((N, K + 1), np.float32),
        rng.random((N, K, 4), np.float32),
        planes,
        rng.integers(0, K + 1, (h, w)).astype(np.uint8),
    )


def nothing() -> np.ndarray:
    return np.zeros((h, w), np.uint8)


def test_a_box_is_enlarged_about_its_middle() -> None:
    objects, boxes = find_boxes(planes_of((20, 10, 60, 40)), nothing())
    np.testing.assert_array_equal(objects, [1])
    np.testing.assert_allclose(boxes[0], [20 - 6, 10 - 4.5, 60 + 6, 40 + 4.5], atol=1)


def test_boxes_stay_on_the_grid_and_have_a_least_side() -> None:
    _, boxes = find_boxes(planes_of((0, 0, 17, 17), (60, 30, 80, 48)), nothing())
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2] <= w).all()
    assert (boxes[:, 3] <= h).all()
    left, top, right, bottom = find_boxes(planes_of((40, 20, 57, 37)), nothing())[1][0]
    assert right - left >= CropSettings().min_side
    assert bottom - top >= CropSettings().min_side


def test_stray_pixels_do_not_make_a_box_large() -> None:
    planes = planes_of((20, 10, 60, 40))
    planes[47, 79] = [0.5, 0.5]
    np.testing.assert_array_equal(
        find_boxes(planes, nothing())[1], find_boxes(planes_of((20, 10, 60, 40)), nothing())[1]
    )


def test_the_last_mask_counts_too() -> None:
    last = nothing()
    last[10:40, 20:60] = 1
    np.testing.assert_array_equal(
        find_boxes(planes_of((20, 10, 60, 40), sure=0.0), last)[1],
        find_boxes(planes_of((20, 10, 60, 40), sure=1.0), nothing())[1],
    )


def test_what_is_not_seen_or_too_small_is_not_cut_out() -> None:
    planes = planes_of((5, 5, 25, 25), (0, 0, 0, 0), (30, 30, 52, 45), (60, 10, 63, 13), sure=1.0)
    objects, boxes = find_boxes(planes, nothing())
    np.testing.assert_array_equal(objects, [1, 3])
    assert boxes.shape == (2, 4)
    crops = cut_out(scene_of(planes_of((0, 0, 0, 0)))._replace(last=nothing()), 32)
    assert crops.images.shape == (0, CHANNELS, 32, 32)


def bilinear(plane: np.ndarray, y: float, x: float) -> float:
    """The obvious twin: value of a (rows, columns) array at a place, pixel centres at halves."""
    y, x = (float(np.clip(at - 0.5, 0, n - 1)) for at, n in zip((y, x), plane.shape, strict=True))
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, plane.shape[0] - 1), min(x0 + 1, plane.shape[1] - 1)
    upper = plane[y0, x0] * (1 - (x - x0)) + plane[y0, x1] * (x - x0)
    lower = plane[y1, x0] * (1 - (x - x0)) + plane[y1, x1] * (x - x0)
    return float(upper * (1 - (y - y0)) + lower * (y - y0))


@pytest.mark.parametrize("seed", range(3))
def test_channels_are_what_they_are_said_to_be(seed: int) -> None:
    planes = planes_of((10, 8, 40, 36), (30, 20, 70, 44), sure=0.45)
    scene, size = scene_of(planes, seed), 32
    crops = cut_out(scene, size)
    np.testing.assert_array_equal(crops.objects, [1, 2])
    rng = np.random.default_rng(seed)
    for _ in range(200):
        v, i, j = rng.integers(2), rng.integers(size), rng.integers(size)
        k, (left, top, right, bottom) = crops.objects[v], crops.boxes[v]
        y, x = top + (i + 0.5) * (bottom - top) / size, left + (j + 0.5) * (right - left) / size
        own = np.clip(bilinear(planes[..., k], y, x), 1e-4, 1 - 1e-4)
        n = scene.superpixels.labels[int(2 * y), int(2 * x)]
        expected = [
            np.clip(np.log(own / (1 - own)) / 5, -1, 1),
            bilinear(planes[..., 3 - k], y, x),
            scene.probabilities[n, k],
            float(scene.last[int(y), int(x)] == k),
            *scene.attention[n, k - 1],
        ]
        np.testing.assert_allclose(crops.images[v, CropChannel.PRIOR :, i, j], expected, atol=1e-3)


def test_features_are_read_between_the_maps_cells() -> None:
    scene, size = scene_of(planes_of((10, 8, 40, 36))), 32
    crops = cut_out(scene, size)
    left, top, right, bottom = crops.boxes[0]
    for i, j in ((0, 0), (3, 5), (7, 7)):
        y, x = top + (i + 0.5) * (bottom - top) / 8, left + (j + 0.5) * (right - left) / 8
        expected = [bilinear(plane, y * 24 / h, x * 40 / w) for plane in scene.features]
        np.testing.assert_allclose(crops.features[0, :, i, j], expected, atol=1e-4)


def test_colours_are_normalised_as_for_the_embedding() -> None:
    image = np.full((H, W, 3), (10, 100, 200), np.uint8)
    crops = cut_out(scene_of(planes_of((10, 8, 40, 36)))._replace(image=image), 32)
    expected = (np.array([10, 100, 200]) - PIXEL_MEAN) / PIXEL_STD
    np.testing.assert_allclose(
        crops.images[0, : CropChannel.PRIOR], np.broadcast_to(expected[:, None, None], (3, 32, 32)), rtol=1e-5
    )


def crops_of(planes: np.ndarray, boxes: list[tuple[int, int, int, int]]) -> Crops:
    objects = np.arange(1, len(boxes) + 1)
    none = np.zeros((len(boxes), 0, 0, 0), np.float32)
    return Crops(planes, objects, np.array(boxes, np.int64), none, none)


def test_one_object_is_put_back_by_hand() -> None:
    planes = planes_of((10, 8, 40, 36))
    refined = put_back(crops_of(planes, [(8, 8, 24, 24)]), np.full((1, 16, 16), np.log(0.8 / 0.2), np.float32))
    odds = np.array([0.2 / 0.8, 0.8 / 0.2])
    np.testing.assert_allclose(refined[8:24, 8:24], np.broadcast_to(odds / odds.sum(), (16, 16, 2)), rtol=1e-4)
    outside = np.ones((h, w), bool)
    outside[8:24, 8:24] = False
    np.testing.assert_array_equal(refined[outside], planes[outside])
    assert planes[10, 12, 1] == np.float32(0.9), "what was given is not changed"


def test_two_objects_share_a_pixel_by_their_odds() -> None:
    boxes = [(0, 0, 16, 16), (0, 0, 16, 16)]
    logits = np.stack([np.full((16, 16), np.log(0.6 / 0.4)), np.full((16, 16), np.log(0.3 / 0.7))]).astype(np.float32)
    refined = put_back(crops_of(planes_of((0, 0, 1, 1), (5, 5, 9, 9)), boxes), logits)
    nobody = 0.4 * 0.7
    odds = np.array([nobody / (1 - nobody), 0.6 / 0.4, 0.3 / 0.7])
    np.testing.assert_allclose(refined[3, 3], odds / odds.sum(), rtol=1e-4)


def test_rows_sum_to_one_everywhere() -> None:
    rng = np.random.default_rng(0)
    planes = planes_of((10, 8, 40, 36), (30, 20, 70, 44), sure=0.45)
    crops = cut_out(scene_of(planes), 32)
    refined = put_back(crops, rng.normal(0, 9, (2, 32, 32)).astype(np.float32))
    np.testing.assert_allclose(refined.sum(2), 1, atol=1e-5)


def test_averages_over_superpixels() -> None:
    scene = scene_of(planes_of((10, 8, 40, 36)))
    probabilities = average(scene.planes, scene.superpixels, scene.probabilities)
    labels = scene.superpixels.labels[1::2, 1::2]
    for n in range(len(scene.superpixels.areas)):
        cells = scene.planes[labels == n]
        expected = cells.mean(0) if len(cells) else scene.probabilities[n]
        np.testing.assert_allclose(probabilities[n], expected, atol=1e-5)
