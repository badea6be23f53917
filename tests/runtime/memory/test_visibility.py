"""What is lost is said to be lost: on clips spliced from the shipped one, and by hand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import cv2
import numpy as np
import pytest

from shls.runtime.backends.pretrained import ASSETS
from shls.runtime.evaluation.metrics import jaccard
from shls.runtime.io.json_sink import describe
from shls.runtime.io.masks import read_mask
from shls.runtime.io.sources import open_source
from shls.runtime.memory.visibility import ObjectVisibility, _parts
from shls.runtime.segmenter import VideoSegmenter, open_segmenter
from shls.runtime.types import Readout, Superpixels

WIDTH, HEIGHT = 428, 240
SOON = 3  # frames until what is back is found
Shot = tuple[np.ndarray, np.ndarray]  # image, and the mask of what is followed


@pytest.fixture(scope="module")
def segmenter() -> VideoSegmenter:
    return open_segmenter(threads=2)


@pytest.fixture(scope="module")
def rabbit(segmenter: VideoSegmenter) -> list[Shot]:
    """The shipped clip's beginning at half its size; the rabbit is on the left, its masks are the segmenter's."""
    size = (WIDTH, HEIGHT)
    with open_source(str(ASSETS / "bunny.mp4")) as source:
        images = [cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA) for frame in islice(source, 30)]
        first = read_mask(ASSETS / "bunny_mask.png", source.size)
    mask = cv2.resize((first > 0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    segmenter.start(images[0], mask)
    return [(images[0], mask), *((image, segmenter.step(image).labels) for image in images[1:])]


def painted(colour: tuple[int, int, int], seed: int, width: int = WIDTH) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 25, (12, 20, 3)) + colour
    large = cv2.resize(noise.astype(np.float32), (width, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.clip(large, 0, 255).astype(np.uint8)


def cut_away(shots: list[Shot]) -> list[Shot]:
    """The half without the rabbit fills the picture for a while; then the rabbit is on the right."""
    away = [cv2.resize(image[:, WIDTH // 2 :], (WIDTH, HEIGHT)) for image, _ in shots[8:18]]
    nothing = np.zeros((HEIGHT, WIDTH), np.uint8)
    back = [(np.roll(image, 200, axis=1), np.roll(mask, 200, axis=1)) for image, mask in shots[8:22]]
    return [*shots[:8], *((image, nothing) for image in away), *back]


def behind_a_wall(shots: list[Shot]) -> list[Shot]:
    """A wall, painted with the meadow, slides over the picture, stays, and slides on."""
    wall = cv2.resize(shots[0][0][:, WIDTH // 2 :], (WIDTH, HEIGHT))
    clip = []
    covered = [*range(60, WIDTH, 60), *[WIDTH] * 8]
    for t, shot in enumerate(shots):
        image, mask = shot[0].copy(), shot[1].copy()
        right = covered[min(t - 4, len(covered) - 1)] if t >= 4 else 0
        left = max(0, 60 * (t - 4 - len(covered)))
        image[:, left:right], mask[:, left:right] = wall[:, left:right], 0
        clip.append((image, mask))
    return clip


def out_and_in(_: list[Shot]) -> list[Shot]:
    """A disk leaves on the left and comes in on the right."""
    field, disk, clip = painted((90, 130, 90), 0), painted((180, 80, 70), 1), []
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    places = [*range(150, -46, -14), *[-99] * 8, *range(WIDTH + 40, WIDTH - 70, -14), *[WIDTH - 70] * 8]
    for t, place in enumerate(places):
        down = 0 if t < 18 else 60
        inside = (x - place) ** 2 + (y - 90 - down) ** 2 < 40**2
        moved = np.roll(disk, (down, place - 150), axis=(0, 1))
        clip.append((np.where(inside[..., None], moved, field), inside.astype(np.uint8)))
    return clip


@pytest.mark.parametrize("splice", [cut_away, behind_a_wall, out_and_in])
def test_what_leaves_is_lost_and_what_comes_back_is_found(
    segmenter: VideoSegmenter, rabbit: list[Shot], splice: Callable[[list[Shot]], list[Shot]]
) -> None:
    clip = splice(rabbit)
    visible = np.array([mask.sum() / clip[0][1].sum() for _, mask in clip])
    away = np.flatnonzero(visible == 0)
    assert len(away) >= 8
    segmenter.start(*clip[0])
    back = 0
    for t, (image, truth) in enumerate(clip[1:], 1):
        mask = segmenter.step(image)
        (said,) = describe(mask)
        back = back + 1 if t > away[-1] and visible[t] > 0.5 else 0
        if visible[t] == 0:
            assert said.get("lost"), f"frame {t}: {said['area']} pixels of what is not there"
            assert said["confidence"] == 0
        elif (t < away[0] and visible[t] > 0.5) or back > SOON:
            assert jaccard(mask.labels > 0, truth > 0) > 0.6, t
    assert back > 2 * SOON


def test_a_lamp_is_no_cut(segmenter: VideoSegmenter, rabbit: list[Shot]) -> None:
    """Superpixels must start afresh, but where the object was is still known."""
    clip = [*rabbit[:3], *((255 - (255 - image) // 2, mask) for image, mask in rabbit[3:6])]
    segmenter.start(*clip[0])
    for t, (image, truth) in enumerate(clip[1:], 1):
        labels = segmenter.step(image).labels
        assert segmenter._encoder._superpixels.warm == (t != 3)
        assert jaccard(labels > 0, truth > 0) > 0.85, t  # an ear drowns in the light


def tiles(columns: int, side: int = 4) -> Superpixels:
    """A frame of columns x 3 square superpixels, numbered by rows."""
    labels = np.kron(np.arange(3 * columns, dtype=np.int32).reshape(3, columns), np.ones((side, side), np.int32))
    x, y = np.arange(columns) * side + 1.5, np.arange(3) * side + 1.5
    centres = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    return Superpixels(labels, centres, np.full(3 * columns, side * side, np.int32))


COLUMNS = 20
RED, DARK, GREEN = np.eye(3, dtype=np.float32)  # features of the object, of a part of it, and of the background


def judged(
    presence: ObjectVisibility, looks: dict[int, np.ndarray], taken: set[int], last: set[int], cut: bool = False
) -> tuple[set[int], np.ndarray, np.ndarray]:
    """Superpixels that are left to the object; where it was; the doubts.

    Parameters
    ----------
    looks : superpixel -> feature, GREEN elsewhere
    taken : superpixels that the memory takes for the object
    last : those that the last mask covers
    """
    superpixels = tiles(COLUMNS)
    features = np.tile(GREEN, (3 * COLUMNS, 1))
    for n, feature in looks.items():
        features[n] = feature
    probabilities = np.tile(np.array([0.9, 0.1], np.float32), (3 * COLUMNS, 1))
    probabilities[list(taken)] = 0.2, 0.8
    attention = np.zeros((3 * COLUMNS, 1, 4), np.float32)
    attention[:, 0, 2:] = features @ np.stack([RED, GREEN]).T  # its centroid, and the background's
    was = np.isin(superpixels.labels, list(last)).astype(np.uint8)
    readout, left, doubt = presence.judge(
        Readout(probabilities, attention), features, superpixels, was, np.array([0, 7], np.uint8), cut
    )
    assert readout.probabilities.sum(1) == pytest.approx(1)
    return set(np.flatnonzero(readout.probabilities[:, 1] > 0.5).tolist()), left, doubt


@pytest.fixture
def presence() -> ObjectVisibility:
    """Object 7, five superpixels in a row, two of them dark; it was seen once since."""
    presence = ObjectVisibility()
    shares = np.zeros((3 * COLUMNS, 2), np.float32)
    shares[:, 0] = 1
    shares[[1, 2, 3, 4, 5]] = 0, 1
    features = np.tile(GREEN, (3 * COLUMNS, 1))
    features[[1, 2, 3]], features[[4, 5]] = RED, DARK
    presence.mark(features, tiles(COLUMNS), shares, np.array([7]))
    object_seen(presence)
    return presence


def object_seen(presence: ObjectVisibility) -> None:
    looks = {1: RED, 2: RED, 3: RED, 4: DARK, 5: DARK}
    assert judged(presence, looks, {1, 2, 3, 4, 5}, {1, 2, 3, 4, 5})[0] == {1, 2, 3, 4, 5}


def test_a_part_far_away_is_not_of_it_and_one_beside_it_is(presence: ObjectVisibility) -> None:
    whole = {1, 2, 3, 4, 5}
    looks = dict.fromkeys([*whole, 7, 18, 19], RED)
    found, _, doubt = judged(presence, looks, whole | {7, 18, 19}, whole)
    assert found == whole | {7}
    assert doubt[[18, 19]] == pytest.approx(0.8), "the memory may not learn that it is background"
    assert doubt[[1, 30]] == pytest.approx(0)


def test_what_was_not_there_must_look_like_the_mark(presence: ObjectVisibility) -> None:
    there = {30: RED, 31: RED, 32: DARK}
    assert judged(presence, there, {30, 31, 32}, set())[0] == {30, 31, 32}
    found, left, doubt = judged(presence, {31: DARK}, {30, 31, 32}, {1, 2, 3, 4, 5})
    assert found == set(), "half of its looks in a third of these"
    assert not left.any()
    assert doubt[31] == pytest.approx(0.8)


def test_a_lost_object_is_looked_for_where_the_memory_does_not_expect_it(presence: ObjectVisibility) -> None:
    assert judged(presence, {50: RED, 51: RED, 52: RED}, set(), set())[0] == {50, 51, 52}


def test_the_whole_may_change_but_not_at_once(presence: ObjectVisibility) -> None:
    whole = {1, 2, 3, 4, 5}
    for share in (0.8, 0.7, 0.6):
        turned = (share * RED + (1 - share) * GREEN) / np.hypot(share, 1 - share)
        for _ in range(10):
            assert judged(presence, dict.fromkeys(whole, turned), whole, whole)[0] == whole
    assert judged(presence, {}, whole, whole)[0] == set(), "something else that is in its place"
    assert judged(presence, dict.fromkeys(whole, RED), whole, set())[0] == whole


def test_a_remnant_must_look_like_the_mark(presence: ObjectVisibility) -> None:
    superpixels = tiles(COLUMNS)
    shares = np.zeros((3 * COLUMNS, 2), np.float32)
    shares[:30] = 0, 1  # half of the frame is marked
    presence.mark(np.tile(RED, (60, 1)), superpixels, shares, np.array([7]))
    looks = dict.fromkeys(range(30), RED)
    assert judged(presence, looks, set(range(30)), set(range(30)))[0] == set(range(30))
    assert judged(presence, {}, {0, 1}, {0, 1})[0] == set()
    assert judged(presence, {0: RED, 1: RED}, {0, 1}, {0, 1})[0] == {0, 1}


def test_after_a_cut_a_similar_region_in_place_stays_and_another_does_not(presence: ObjectVisibility) -> None:
    whole = {1, 2, 3, 4, 5}
    looks = dict.fromkeys(whole, RED) | {4: DARK, 5: DARK}
    found, left, _ = judged(presence, looks, whole, whole, cut=True)
    assert found == whole
    assert left.any()
    found, left, _ = judged(presence, {}, whole, whole, cut=True)
    assert found == set()
    assert not left.any()


def test_what_is_thinner_than_superpixels_is_left_to_the_pixels(presence: ObjectVisibility) -> None:
    found, left, doubt = judged(presence, {}, set(), {1, 2})
    assert found == set()
    assert left.sum() == 2 * 16, "where it was is still told to the refiner"
    assert not doubt.any()


def test_parts_are_those_of_opencv() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.repeat(np.arange(24 * 32, dtype=np.int32).reshape(24, 32), 2, axis=0), 2, axis=1)
    owner = rng.integers(0, 3, 24 * 32).astype(np.uint8)
    last = rng.integers(0, 3, labels.shape).astype(np.uint8)
    part, overlap, cells = _parts(labels, last, owner)
    for k in (1, 2):
        count, expected = cv2.connectedComponents((owner[labels] == k).astype(np.uint8), connectivity=4)
        pairs = np.unique(np.stack([part[labels][expected > 0], expected[expected > 0]]), axis=1)
        assert pairs.shape[1] == count - 1, "one to one"
        for number, component in pairs.T:
            assert cells[number] == (expected == component).sum()
            assert overlap[number] == (last[expected == component] == k).sum()
