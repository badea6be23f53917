"""Cues on drawings whose answer is known; kernels against slow twins."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shls.runtime.backends.base import open_session
from shls.runtime.features.pooling import pool
from shls.runtime.features.preprocess import to_input
from shls.runtime.types import Superpixels
from shls_train.pseudo_labels.barrier import _barrier, barrier_distance, unlike_border
from shls_train.pseudo_labels.cues import CUES, spreading, to_unit
from shls_train.pseudo_labels.fusion import LONGEST, Saliency, confidence, describer, diffuse, distances, find_object
from shls_train.pseudo_labels.graph import Graph, _shorten, build_graph, geodesics, to_lab


def disc(x: int = 80, y: int = 60, radius: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """A red disc on plain green, (120, 160, 3), and where it is."""
    image = np.full((120, 160, 3), (60, 120, 70), np.uint8)
    cv2.circle(image, (x, y), radius, (200, 50, 40), -1)
    return image, image[..., 0] == 200


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def row_of(colours: list[float], border: list[int]) -> Graph:
    """Superpixels in a row whose L is given, those of `border` at the left border."""
    count = len(colours)
    sides = np.zeros((4, count), bool)
    sides[2, border] = True
    lab = np.zeros((count, 3), np.float32)
    lab[:, 0] = colours
    centres = np.stack([np.arange(count), np.zeros(count)], axis=1).astype(np.float32) / count
    adjacent = np.abs(np.subtract.outer(np.arange(count), np.arange(count))) == 1
    return Graph(np.arange(count)[None], lab, centres, np.full(count, 1 / count, np.float32), sides, adjacent)


@pytest.mark.parametrize("name", CUES)
def test_each_cue_finds_the_disc(name: str) -> None:
    image, truth = disc()
    lab = to_lab(image)
    graph = build_graph(image, lab)
    found = graph.paint(CUES[name](graph, lab))
    assert found.min() >= 0
    assert found.max() <= 1
    assert iou(found > 0.5, truth) > 0.9


@pytest.mark.parametrize("name", CUES)
def test_nothing_stands_out_of_a_plain_image(name: str) -> None:
    image = np.full((60, 80, 3), 90, np.uint8)
    lab = to_lab(image)
    graph = build_graph(image, lab)
    assert np.ptp(graph.paint(CUES[name](graph, lab))) < 1e-3 or name == "ranking"
    assert find_object(image).confidence == 0


def test_the_disc_is_found_and_trusted() -> None:
    image, truth = disc()
    found = find_object(image)
    assert found.mask.shape == truth.shape
    assert found.mask.dtype == np.uint8
    assert iou(found.mask > 127, truth) > 0.95
    assert found.confidence > 0.8


def test_a_disc_cut_by_the_border_is_trusted_less() -> None:
    whole, cut = disc(), disc(x=5)
    assert find_object(cut[0]).confidence < 0.9 * find_object(whole[0]).confidence


def test_the_same_image_gives_the_same_mask() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    one, other = find_object(image), find_object(image.copy())
    np.testing.assert_array_equal(one.mask, other.mask)
    assert one.confidence == other.confidence


def test_a_large_image_keeps_its_size() -> None:
    image, truth = disc()
    large = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    assert max(large.shape) > LONGEST
    expected = np.repeat(np.repeat(truth, 4, 0), 4, 1)
    assert iou(find_object(large).mask > 127, expected) > 0.95


def test_what_was_learned_joins_the_cues() -> None:
    image, truth = disc(x=50, radius=20)
    other = np.zeros(truth.shape, np.uint8)
    cv2.circle(image, (120, 60), 20, (60, 60, 160), -1)
    cv2.circle(other, (120, 60), 20, 1, -1)
    alike, against = (
        find_object(image, lambda _, said=said: said.astype(np.float32)) for said in (truth | other, other)
    )
    assert iou(alike.mask > 127, truth | (other > 0)) > 0.9
    assert alike.confidence > against.confidence
    inside = other > 0
    assert against.mask[inside].mean() > against.mask[truth].mean() + 30
    small = cv2.resize(other.astype(np.float32), (40, 30), interpolation=cv2.INTER_AREA)
    assert iou(find_object(image, lambda _: small).mask > 127, against.mask > 127) > 0.9, "maps of any size"


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 24), st.integers(1, 24), st.integers(0, 1000))
def test_any_image_has_a_mask(height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    found = find_object(image)
    assert isinstance(found, Saliency)
    assert found.mask.shape == (height, width)
    assert 0 <= found.confidence <= 1


def test_confidence_by_hand() -> None:
    graph = row_of([0, 0, 50, 0], [0])
    decided = np.array([0.0, 0, 1, 0])
    agreed = np.stack([decided] * 4)
    assert confidence(graph, agreed, decided) == pytest.approx(1, abs=1e-4)
    assert confidence(graph, agreed, np.full(4, 0.75)) == 0, "all of the image"
    assert confidence(graph, agreed, np.zeros(4)) == 0, "nothing of it"
    half = np.array([0.25, 0.25, 0.75, 0.25])
    assert confidence(graph, agreed, half) == pytest.approx(0.5, abs=1e-4), "half decided"
    assert confidence(graph, agreed, np.array([1.0, 0, 1, 0])) == 0, "all of the border is object"
    against = np.stack([decided, 1 - decided, decided, 1 - decided])
    assert confidence(graph, against, decided) == 0, "cues contradict each other"


def test_geodesics_by_hand() -> None:
    graph = row_of([0, 10, 50, 50, 90], [0, 4])
    # Differences along the row are 10, 40, 0, 40; the ring joins first and last, 90 apart. The nearest neighbours
    # differ by 10, 10, 0, 0, 40 (the ring's 90 is more): 12 in the mean are texture.
    expected = [[0, 0, 28, 28, 56], [0, 0, 28, 28, 56], [28, 28, 0, 0, 28], [28, 28, 0, 0, 28], [56, 56, 28, 28, 0]]
    np.testing.assert_allclose(geodesics(graph), expected, atol=1e-4)


def test_shortest_paths_against_a_slow_twin() -> None:
    rng = np.random.default_rng(3)
    steps = rng.uniform(0, 1, (12, 12)).astype(np.float32)
    steps = np.where(rng.random((12, 12)) < 0.3, steps, np.float32(1e9))
    np.fill_diagonal(steps, 0)
    expected = steps.astype(np.float64)
    for _ in range(12):  # one more step each time
        expected = (expected[:, :, None] + expected[None]).min(1)
    _shorten(steps)
    reached = expected < 1e8
    np.testing.assert_allclose(steps[reached], expected[reached], rtol=1e-5)
    assert (steps[~reached] > 1e8).all()


def test_background_is_what_the_border_reaches() -> None:
    image, truth = disc()
    graph = build_graph(image, to_lab(image))
    probable = graph.paint(graph.background)
    assert probable[~truth].min() > 0.9
    assert probable[truth].mean() < 0.1


def test_barrier_by_hand() -> None:
    image = np.zeros((7, 7, 1), np.float32)
    image[1:6, 1:6] = 10  # a wall
    image[2:5, 2:5] = 4
    image[3, 3] = 6
    inside = barrier_distance(image)
    assert inside[0].tolist() == [0] * 7
    assert inside[1, 1] == 10
    assert inside[2, 2] == 10, "over the wall"
    assert inside[3, 3] == 10
    image[1, 3] = 5  # a gate in the wall
    assert barrier_distance(image)[3, 3] == 6, "0, 5, 4, 6"


def twin(image: np.ndarray, sweeps: int) -> np.ndarray:
    """Sweeps that keep each pixel's path as a list of values."""
    height, width = image.shape
    paths = {(y, x): [image[y, x]] for y in range(height) for x in range(width) if y in (0, height - 1)}
    paths |= {(y, x): [image[y, x]] for y in range(height) for x in (0, width - 1)}
    inner = [(y, x) for y in range(1, height - 1) for x in range(1, width - 1)]
    for sweep in range(sweeps):
        step = -1 if sweep % 2 else 1
        for y, x in inner[::step]:
            for neighbour in ((y - step, x), (y, x - step)):
                if neighbour in paths:
                    path = [*paths[neighbour], image[y, x]]
                    if (y, x) not in paths or np.ptp(path) < np.ptp(paths[y, x]):
                        paths[y, x] = path
    return np.array([[np.ptp(paths[y, x]) for x in range(width)] for y in range(height)])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 1000))
def test_barrier_against_a_slow_twin(height: int, width: int, sweeps: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 50, (height, width)).astype(np.float32)
    np.testing.assert_array_equal(_barrier(image, sweeps), twin(image, sweeps))


def test_an_object_may_touch_one_side() -> None:
    image, truth = disc(x=0)
    unlike = unlike_border(to_lab(image))
    assert unlike[truth].min() > 2 * unlike[~truth].max()


def test_to_unit() -> None:
    assert to_unit(np.array([2.0, 4, 3])).tolist() == [0, 1, 0.5]
    assert to_unit(np.full(3, 7.0)).tolist() == [0, 0, 0]


def two_coloured() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A disc whose right half is nearly as green as the plain behind it; where it is; what belongs together."""
    image, truth = disc()
    image[:, 80:][truth[:, 80:]] = (70, 130, 80)
    return image, truth, np.where(truth[..., None], [0.6, 0.8], [1.0, 0.0]).astype(np.float32)


def test_what_an_embedding_finds_alike_belongs_together() -> None:
    image, truth, features = two_coloured()

    def describe(_: np.ndarray, superpixels: Superpixels) -> np.ndarray:
        return pool(features.transpose(2, 0, 1), superpixels)

    plain, embedded = find_object(image), find_object(image, describe=describe)
    assert iou(plain.mask > 127, truth) < 0.7
    assert iou(embedded.mask > 127, truth) > 0.85


def test_spreading_by_hand() -> None:
    """Of three in a row all are linked, the ends over the middle: the last two are alike, the first is not."""
    graph = row_of([0, 0, 0], [])
    unlike = np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]], np.float32)
    weights = np.where(np.eye(3, dtype=bool), 0, np.exp(-unlike / 0.1))
    expected = np.linalg.inv(np.diag(weights.sum(1) + 1e-6) - 0.99 * weights)
    np.fill_diagonal(expected, 0)
    spread = spreading(graph, unlike)
    np.testing.assert_allclose(spread, expected, rtol=1e-3)
    assert spread[1, 2] > spread[0, 1] == pytest.approx(spread[0, 2])


def test_saliency_spreads_to_similar_superpixels() -> None:
    spread = np.array([[0, 0, 0], [0, 0, 2], [0, 2, 0]], float)
    np.testing.assert_allclose(diffuse(spread, np.array([0, 1, 0])), [0, 1, 1], atol=1e-6)
    np.testing.assert_allclose(diffuse(spread, np.array([0, 0.8, 0.4])), [0, 1, 1], atol=1e-6)


def test_distances_between_unit_vectors() -> None:
    vectors = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    half = np.sqrt(2)
    np.testing.assert_allclose(distances(vectors), [[0, half, 2], [half, 0, half], [2, half, 0]], atol=1e-6)


def test_superpixels_are_described_as_at_run_time(small_model: Path) -> None:
    session, (image, _) = open_session(small_model, 1, "cpu"), disc()
    graph = build_graph(image, to_lab(image))
    np.testing.assert_allclose(graph.superpixels.areas, np.bincount(graph.labels.ravel()))
    described = describer(session)(image, graph.superpixels)
    expected = pool(session.run(to_input(image, session.contract)), graph.superpixels)
    np.testing.assert_array_equal(described, expected)
