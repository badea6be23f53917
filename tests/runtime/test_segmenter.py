"""The segmenter, with the shipped network, on clips that the tests draw: the truth is known."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput, ShapeMismatch
from shls.runtime.evaluation.metrics import jaccard
from shls.runtime.memory.update import stored_probabilities
from shls.runtime.models.settings import MemorySettings
from shls.runtime.prompts.prompt import Prompt
from shls.runtime.segmenter import VideoSegmenter, open_segmenter

HEIGHT, WIDTH = 240, 432


@pytest.fixture(scope="module")
def segmenter() -> VideoSegmenter:
    return open_segmenter(threads=2)


def texture(seed: int, colour: tuple[int, int, int]) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 25, (12, 20, 3)) + colour
    large = cv2.resize(noise.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.clip(large, 0, 255).astype(np.uint8)


def clip(frames: int, height: int = HEIGHT, width: int = WIDTH) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A disk and a box with textures of their own that cross a textured background: image and (H, W) truth."""
    background, looks = texture(0, (90, 130, 90)), (texture(1, (180, 80, 70)), texture(2, (70, 90, 190)))
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for t in range(frames):
        image, truth = background.copy(), np.zeros((HEIGHT, WIDTH), np.uint8)
        for object_id, (across, down), inside in (
            (1, (3 * t, t), (x - 80 - 3 * t) ** 2 + (y - 80 - t) ** 2 < 45**2),
            (2, (-3 * t, 0), (abs(x - 330 + 3 * t) < 40) & (abs(y - 170) < 30)),
        ):
            shift = np.array([[1, 0, across], [0, 1, down]], np.float32)
            moved = cv2.warpAffine(looks[object_id - 1], shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
            image[inside] = moved[inside]
            truth[inside] = object_id
        size = (width, height)
        yield cv2.resize(image, size), cv2.resize(truth, size, interpolation=cv2.INTER_NEAREST)


def test_objects_are_followed(segmenter: VideoSegmenter) -> None:
    frames = list(clip(20))
    segmenter.start(*frames[0])
    for image, truth in frames[1:]:
        mask = segmenter.step(image)
        assert jaccard(mask.labels == 1, truth == 1) > 0.9
        assert jaccard(mask.labels == 2, truth == 2) > 0.9
        assert min(mask.scores.values()) > 0.7


def test_object_ids_are_the_users(segmenter: VideoSegmenter) -> None:
    names = np.array([0, 7, 200], np.uint8)
    frames = list(clip(3))
    segmenter.start(frames[0][0], names[frames[0][1]])
    mask = segmenter.step(frames[1][0])
    assert set(np.unique(mask.labels)) == {0, 7, 200}
    assert mask.scores.keys() == {7, 200}


def test_overlap_changes_nothing() -> None:
    results = []
    for overlap in (True, False):
        segmenter = open_segmenter(threads=2, overlap=overlap)
        frames = list(clip(5))
        segmenter.start(*frames[0])
        results.append([segmenter.step(image).labels for image, _ in frames[1:]])
    for with_overlap, without in zip(*results, strict=True):
        np.testing.assert_array_equal(with_overlap, without)


def test_large_frames_get_masks_of_their_own_size(segmenter: VideoSegmenter) -> None:
    frames = list(clip(3, 1080, 1920))
    segmenter.start(*frames[0])
    mask = segmenter.step(frames[1][0])
    assert mask.labels.shape == (1080, 1920)
    assert jaccard(mask.labels == 1, frames[1][1] == 1) > 0.9


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (7, 5)])
def test_tiny_frames(segmenter: VideoSegmenter, size: tuple[int, int]) -> None:
    image, mask = np.full((*size, 3), 90, np.uint8), np.ones(size, np.uint8)
    segmenter.start(image, mask)
    assert (segmenter.step(image).labels == 1).all()


def test_254_objects(segmenter: VideoSegmenter) -> None:
    image, mask = np.full((480, 854, 3), 128, np.uint8), np.zeros((480, 854), np.uint8)
    colours = np.random.default_rng(0).choice([20, 90, 165, 235], (255, 3))
    for k in range(254):
        row, column = divmod(k, 20)
        place = slice(6 + row * 36, 30 + row * 36), slice(6 + column * 42, 36 + column * 42)
        mask[place], image[place] = k + 1, colours[k]
    segmenter.start(image, mask)
    found = segmenter.step(image)
    assert len(found.scores) == 254
    assert jaccard(found.labels > 0, mask > 0) > 0.8
    assert (found.labels == mask)[mask > 0].mean() > 0.75


@pytest.mark.parametrize(
    ("image", "mask", "error", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), BadInput, r"objects \(got 0, expected 1 to 254\)"),
        (np.zeros((4, 4, 3), np.uint8), np.ones((5, 4), np.uint8), ShapeMismatch, r"got \(5, 4\), expected \(4, 4\)"),
        (np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8), ShapeMismatch, r"expected \(H, W, 3\) RGB"),
        (np.zeros((4, 4, 4), np.uint8), np.ones((4, 4), np.uint8), ShapeMismatch, r"expected \(H, W, 3\) RGB"),
        (np.zeros((4, 4, 3), np.float32), np.ones((4, 4), np.uint8), BadInput, "expected uint8 RGB"),
        (np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.int64), BadInput, "wrong type .got int64"),
    ],
)  # fmt: skip
def test_what_cannot_be_started(
    segmenter: VideoSegmenter, image: np.ndarray, mask: np.ndarray, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        segmenter.start(image, mask)


def test_255_objects_are_too_many(segmenter: VideoSegmenter) -> None:
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    with pytest.raises(BadInput, match="got 255, expected 1 to 254"):
        segmenter.start(np.zeros((16, 16, 3), np.uint8), mask)


def test_frames_that_change_their_size(segmenter: VideoSegmenter) -> None:
    segmenter.start(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.uint8))
    with pytest.raises(ShapeMismatch, match="got 9x8, expected 8x8"):
        segmenter.step(np.zeros((8, 9, 3), np.uint8))


def test_step_before_start() -> None:
    with pytest.raises(BadInput, match="no objects are marked yet"):
        open_segmenter(threads=1).step(np.zeros((8, 8, 3), np.uint8))


def test_an_object_is_added_midway_and_the_other_goes_on(segmenter: VideoSegmenter) -> None:
    frames = list(clip(14))
    segmenter.start(frames[0][0], np.where(frames[0][1] == 1, frames[0][1], 0))
    for image, _ in frames[1:5]:
        assert segmenter.step(image).scores.keys() == {1}
    image, truth = frames[5]
    segmenter.step(image)
    marked = segmenter.add(np.where(truth == 2, np.uint8(9), np.uint8(0)))
    assert jaccard(marked.labels == 9, truth == 2) == 1
    assert marked.scores.keys() == {1, 9}
    for image, truth in frames[6:]:
        mask = segmenter.step(image)
        assert jaccard(mask.labels == 1, truth == 1) > 0.85
        assert jaccard(mask.labels == 9, truth == 2) > 0.85


def test_an_object_is_removed_and_all_are(segmenter: VideoSegmenter) -> None:
    frames = list(clip(5))
    segmenter.start(*frames[0])
    segmenter.step(frames[1][0])
    assert set(np.unique(segmenter.remove(1).labels)) == {0, 2}
    mask = segmenter.step(frames[2][0])
    assert mask.scores.keys() == {2}
    assert jaccard(mask.labels == 2, frames[2][1] == 2) > 0.85
    segmenter.remove(2)
    empty = segmenter.step(frames[3][0])
    assert (empty.labels.max(), empty.scores) == (0, {})
    segmenter.add(frames[3][1])
    assert segmenter.step(frames[4][0]).scores.keys() == {1, 2}


def test_an_id_is_given_to_another_thing(segmenter: VideoSegmenter) -> None:
    frames = list(clip(6))
    segmenter.start(frames[0][0], np.where(frames[0][1] == 1, frames[0][1], 0))  # 1 is the disk
    segmenter.step(frames[1][0])
    segmenter.remove(1)
    segmenter.add((frames[1][1] == 2).astype(np.uint8))  # and is the box from now on
    for image, truth in frames[2:]:
        mask = segmenter.step(image)
        assert jaccard(mask.labels == 1, truth == 2) > 0.85


def test_a_corrected_object_keeps_what_it_knew(segmenter: VideoSegmenter) -> None:
    frames = list(clip(6))
    segmenter.start(*frames[0])
    segmenter.step(frames[1][0])
    half = np.where(frames[2][1] == 1, frames[2][1], 0)
    half[:, : np.flatnonzero(half.any(0)).mean().astype(int)] = 0
    segmenter.step(frames[2][0])
    assert jaccard(segmenter.add(half).labels == 1, half == 1) == 1.0, "what is said is shown"
    segmenter.add(np.where(frames[2][1] == 1, frames[2][1], 0))  # the last word counts
    for image, truth in frames[3:]:
        mask = segmenter.step(image)
        assert jaccard(mask.labels == 1, truth == 1) > 0.85
        assert jaccard(mask.labels == 2, truth == 2) > 0.85, "of the same first mark, and not touched"


def test_what_is_not_there_cannot_be_removed(segmenter: VideoSegmenter) -> None:
    image, truth = next(clip(1))
    segmenter.start(image, truth)
    with pytest.raises(BadInput, match=r"object 5: is not followed \(expected one of these ids: 1, 2\)"):
        segmenter.remove(5)
    with pytest.raises(ShapeMismatch, match=r"mask: wrong shape .got \(2, 3\), expected \(240, 432\)"):
        segmenter.add(np.ones((2, 3), np.uint8))


def test_pixels_teach_what_is_background_not_which_object_it_is() -> None:
    read = np.array([[0.5, 0.3, 0.2], [0.2, 0.8, 0.0]], np.float32)
    weight = MemorySettings().refiner_weight
    learned = stored_probabilities(read, np.array([[0.9], [0.2]], np.float32), weight)
    odds = np.array([1.0, 0.25]) * np.array([9.0, 0.25]) ** weight
    np.testing.assert_allclose(learned[:, 0], odds / (1 + odds), rtol=1e-5)
    np.testing.assert_allclose(learned.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(learned[0, 1] / learned[0, 2], 1.5, rtol=1e-5)
    assert learned[1, 2] < 1e-3


def test_a_prompt_is_previewed_then_taken_then_corrected() -> None:
    frames = list(clip(3))
    with open_segmenter(device="cpu") as segmenter:
        disk = Prompt("disk", boxes=((34, 34, 92, 92),))
        preview = segmenter.solve(frames[0][0], disk)
        assert jaccard(preview, frames[0][1] == 1) > 0.8
        with pytest.raises(BadInput, match="no objects are marked yet"):
            segmenter.step(frames[1][0])
        first = segmenter.prompt(frames[0][0], disk)
        assert (first.labels == preview).all(), "the mask is that of the preview"
        both = segmenter.prompt(frames[0][0], Prompt(boxes=((290, 140, 80, 60),)))
        assert both.scores.keys() == {1, 2}
        before = segmenter.step(frames[1][0])
        after = segmenter.prompt(frames[1][0], Prompt(negative_points=((83, 81),)), object_id=1)
        assert before.labels[81, 83] == 1
        assert after.labels[81, 83] == 0
        assert (after.labels == 2).sum() == (before.labels == 2).sum(), "the other object is as it was"
        with pytest.raises(ShapeMismatch, match="the size changed"):
            segmenter.prompt(frames[1][0][:100], disk)
        with pytest.raises(BadInput, match="object 300: wrong id"):
            segmenter.prompt(frames[1][0], disk, 300)
        with pytest.raises(BadInput, match="outside the frame"):
            segmenter.prompt(frames[1][0], Prompt(points=((9999, 3),)))


def test_a_corrected_mask_is_learned() -> None:
    """A click on one of two boxes that were marked as one takes the other box away for good."""
    frames = [image for image, _ in clip(4)]
    _, truth = next(iter(clip(1)))
    cut = np.where(truth == 1, np.uint8(1), np.uint8(0))
    with open_segmenter(device="cpu") as segmenter:
        segmenter._open_solver = lambda: lambda *_: cut > 0  # what the user sees and accepts
        segmenter.start(frames[0], (truth > 0).astype(np.uint8))
        assert (segmenter.step(frames[1]).labels[140:200, 300:350] == 1).mean() > 0.5
        segmenter.prompt(frames[1], Prompt(negative_points=((330, 170),)), object_id=1)
        assert (segmenter.step(frames[2]).labels[140:200, 300:350] == 1).mean() < 0.1
