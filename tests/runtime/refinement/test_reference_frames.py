"""What is read of an object's past: its mark cut out once, the last frame's features, boxes that do not shrink."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shls.runtime.errors import ContractMismatch
from shls.runtime.models.contract import Contract, RefinerContract
from shls.runtime.models.settings import Settings, SuperpixelSettings
from shls.runtime.refinement.boxes import find_boxes
from shls.runtime.refinement.crops import CHANNELS, Scene, cut_boxes, cut_map, cut_out
from shls.runtime.refinement.reference_frames import ReferenceFrames, channels
from shls.runtime.segmenter import VideoSegmenter
from shls.runtime.superpixels.slic import SuperpixelTracker
from shls.runtime.types import Crops

H, W, DIM, SIZE = 96, 160, 6, 32
GRID = (H // 2, W // 2)
CONTRACT = RefinerContract("shls-r18-refiner", SIZE, CHANNELS + 1, DIM, "", "", stride=2, past=True)
IDS = np.array([0, 7, 9], np.uint8)


def labels_of(**boxes: tuple[int, int, int, int]) -> np.ndarray:
    """(H, W) uint8 with an object, named by its id, in each box: left, top, right, bottom in pixels."""
    labels = np.zeros((H, W), np.uint8)
    for name, (left, top, right, bottom) in boxes.items():
        labels[top:bottom, left:right] = int(name[1:])
    return labels


def scene_of(labels: np.ndarray, seed: int = 0) -> Scene:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (H, W, 3), np.uint8)
    superpixels = SuperpixelTracker(SuperpixelSettings(count=60)).step(image)
    N = len(superpixels.areas)
    planes = np.stack([labels[::2, ::2] == i for i in IDS], axis=2).astype(np.float32)
    return Scene(
        image,
        superpixels,
        rng.standard_normal((DIM, H // 2, W // 2), np.float32),
        rng.random((N, 3), np.float32),
        rng.random((N, 2, 4), np.float32),
        planes,
        planes.argmax(2).astype(np.uint8),
    )


FIRST = labels_of(_7=(20, 10, 80, 70), _9=(100, 20, 150, 60))


def cut(history: ReferenceFrames, scene: Scene, ids: np.ndarray) -> Crops:
    """Crops with their past, as `refine_objects` cuts them."""
    objects, boxes = find_boxes(scene.planes, scene.last, history.least_sides(ids))
    return history.extend(cut_boxes(scene, objects, boxes, SIZE, stride=2), ids)


@pytest.fixture
def history() -> ReferenceFrames:
    history = ReferenceFrames(CONTRACT)
    history.mark(scene_of(FIRST, seed=1).features, FIRST, IDS[1:], GRID)
    return history


def test_a_crop_ends_with_the_marked_mask_and_has_three_maps(history: ReferenceFrames) -> None:
    marked, last, now = (scene_of(FIRST, seed) for seed in (1, 2, 3))
    history.pass_on(last.features)
    crops = cut(history, now, IDS)
    assert {"crops": crops.images.shape[1:], "features": crops.features.shape[1:]} == CONTRACT.inputs
    # Nothing moved, so all boxes are those of the mark.
    plain = cut_out(now, SIZE, stride=2)
    np.testing.assert_array_equal(crops.boxes, plain.boxes)
    np.testing.assert_array_equal(crops.images[:, :CHANNELS], plain.images)
    for of, scene in enumerate((now, last, marked)):
        expected = cut_map(scene.features, crops.boxes, GRID, SIZE // 2)
        np.testing.assert_allclose(crops.features[:, of * DIM : (of + 1) * DIM], expected, atol=1e-6)
    for v, (left, top, right, bottom) in enumerate(crops.boxes):
        rows, columns = (
            (begin + (np.arange(SIZE) + 0.5) * (end - begin) / SIZE).astype(int)
            for begin, end in ((top, bottom), (left, right))
        )
        nearest = (FIRST[::2, ::2] == IDS[1 + v])[np.ix_(rows, columns)]
        differs = (crops.images[v, -1] > 0.5) != nearest
        assert nearest.any()
        assert differs.mean() < 0.08, "but for its outline, between cells"


def test_the_first_frame_is_the_last_one_of_the_second(history: ReferenceFrames) -> None:
    crops = cut(history, scene_of(FIRST, seed=3), IDS)
    np.testing.assert_allclose(crops.features[:, DIM : 2 * DIM], crops.features[:, 2 * DIM :], atol=1e-6)


def test_a_box_is_as_large_as_the_first_one_at_least(history: ReferenceFrames) -> None:
    first = cut(history, scene_of(FIRST), IDS).boxes
    smaller = cut(history, scene_of(labels_of(_7=(40, 30, 56, 46), _9=(100, 20, 150, 60))), IDS).boxes
    for axis in (0, 1):
        sides = [boxes[0, 2 + axis] - boxes[0, axis] for boxes in (first, smaller)]
        assert abs(sides[0] - sides[1]) <= 1
    assert (smaller[0, :2] + smaller[0, 2:] - (48, 38)).max() <= 2, "about its own middle"
    larger = cut(history, scene_of(labels_of(_7=(4, 2, 96, 94), _9=(100, 20, 150, 60))), IDS).boxes
    assert larger[0, 3] - larger[0, 1] > first[0, 3] - first[0, 1]


def test_what_was_marked_later_comes_from_its_own_frame(history: ReferenceFrames) -> None:
    later = scene_of(FIRST, seed=5)
    ids = np.array([0, 7, 9, 12], np.uint8)
    labels = labels_of(_12=(60, 50, 90, 90))
    history.mark(later.features, labels, ids[3:], GRID)
    now = scene_of(FIRST, seed=6)
    new = (labels[::2, ::2] > 0)[..., None].astype(np.float32)
    planes = np.dstack([now.planes * (1 - new), new])
    attention = np.concatenate([now.attention, now.attention[:, :1]], axis=1)
    probabilities = np.concatenate([now.probabilities, now.probabilities[:, :1]], axis=1)
    scene = now._replace(planes=planes, attention=attention, probabilities=probabilities)
    crops = cut(history, scene, ids)
    np.testing.assert_array_equal(crops.objects, [1, 2, 3])
    expected = cut_map(later.features, crops.boxes[2:], GRID, SIZE // 2)[0]
    np.testing.assert_allclose(crops.features[2, 2 * DIM :], expected, atol=1e-6)
    history.forget(12)
    with pytest.raises(KeyError):
        cut(history, scene, ids)


def test_a_mark_thinner_than_a_cell_is_kept() -> None:
    history = ReferenceFrames(CONTRACT)
    labels = labels_of(_7=(33, 21, 34, 22))
    history.mark(scene_of(labels).features, labels, IDS[1:2], GRID)
    crops = cut(history, scene_of(FIRST)._replace(last=np.zeros(GRID, np.uint8)), np.array([0, 7, 7], np.uint8))
    assert crops.images[0, -1].max() > 0


class Watching:
    """A refiner that agrees with what it is given, and keeps it; see `shls.runtime.refinement.refiner.Refiner`."""

    contract = replace(CONTRACT, dim=4, size=16)
    backend = "none"
    sizes: tuple[int, ...] = (16,)

    def __init__(self) -> None:
        self.seen: list[Crops] = []

    def run(self, crops: Crops) -> np.ndarray:
        self.seen.append(crops)
        return crops.images[:, 3] * 5


class Counting:
    """A session whose maps hold the colours and, small, the number of the frame."""

    def __init__(self) -> None:
        self.contract = Contract("x", H, W, 4, "", settings=Settings(superpixels=SuperpixelSettings(count=80)))
        self.backend, self.on_gpu, self._number = "none", False, 0

    def run(self, tensor: np.ndarray) -> np.ndarray:
        self._number += 1
        number = np.full((1, H // 4, W // 4), self._number / 100, np.float32)
        return np.concatenate([tensor[0, :, ::4, ::4], number])


def test_the_segmenter_keeps_the_past_of_what_it_follows() -> None:
    image = np.full((H, W, 3), 60, np.uint8)
    image[10:70, 20:80], image[20:60, 100:150] = (220, 40, 40), (40, 40, 220)
    refiner = Watching()
    segmenter = VideoSegmenter(Counting(), refiner)
    segmenter.start(image, np.where(FIRST == 7, FIRST, np.uint8(0)))
    segmenter.step(image)
    segmenter.step(image)
    segmenter.add(np.where(FIRST == 9, FIRST, np.uint8(0)))
    segmenter.step(image)
    segmenter.remove(7)
    segmenter.step(image)
    frames = [[np.rint(100 * crops.features[:, at, 3, 3]).tolist() for at in (3, 7, 11)] for crops in refiner.seen]
    assert frames[0] == [[2], [1], [1]], "now, last, marked"
    assert frames[1] == [[3], [2], [1]]
    assert frames[2] == [[4, 4], [3, 3], [1, 3]]
    assert frames[3] == [[5], [4], [3]]


def test_crops_of_another_version_are_refused() -> None:
    refiner = Watching()
    refiner.contract = replace(refiner.contract, channels=channels(past=False))
    with pytest.raises(ContractMismatch, match="got 11, expected 12"):
        VideoSegmenter(Counting(), refiner)
