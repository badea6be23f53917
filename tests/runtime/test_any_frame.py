"""From any frame to a painted mask: odd shapes, few colours, more superpixels than pixels, arrays of any layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from typer.testing import CliRunner

from shls.runtime.cli.main import app
from shls.runtime.errors import ShapeMismatch
from shls.runtime.features.pooling import pool
from shls.runtime.io.masks import overlay
from shls.runtime.memory.bank import MemoryBank
from shls.runtime.models.settings import MemorySettings, Settings, SuperpixelSettings
from shls.runtime.refinement.pixel_filter import decide, spread
from shls.runtime.segmenter import VideoSegmenter, open_segmenter
from shls.runtime.superpixels.isec import isec
from shls.runtime.superpixels.slic import SuperpixelTracker, slic
from shls.runtime.types import Superpixels

DIM = 32
MEMORY = MemorySettings(recent=2, clusters=2, neighbours=3)

sizes = st.one_of(
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.tuples(st.just(1), st.integers(1, 300)),
    st.tuples(st.integers(1, 300), st.just(1)),
)
frames = sizes.flatmap(
    lambda size: st.one_of(
        hnp.arrays(np.uint8, (*size, 3), elements=st.sampled_from([0, 60, 255])),
        st.integers(0, 255).map(lambda grey: np.full((*size, 3), grey, np.uint8)),
    )
)
counts = st.sampled_from([1, 5, 60, 2000])


def warm(image: np.ndarray, settings: SuperpixelSettings) -> Superpixels:
    tracker = SuperpixelTracker(settings)
    tracker.step(image)
    result = tracker.step(image)
    assert tracker.warm
    return result


def same_in_other_arrays(image: np.ndarray) -> list[np.ndarray]:
    """The same frame or mask, read-only; column by column; with gaps between its rows; as a view from below."""
    frozen = image.copy()
    frozen.flags.writeable = False
    gaps = np.pad(image, [(0, 0), (0, 3), (0, 0)][: image.ndim])[:, : image.shape[1]]
    return [frozen, np.asfortranarray(image), gaps, image[::-1].copy()[::-1]]


def follow(image: np.ndarray, superpixels: Superpixels, seed: int) -> np.ndarray:
    """Pool a random map, mark the upper left, remember it, read it again, paint; everything is checked on the way."""
    rng = np.random.default_rng(seed)
    height, width = image.shape[:2]
    features = pool(rng.normal(size=(DIM, -(-height // 4), -(-width // 4))).astype(np.float32), superpixels)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    memory = MemoryBank(MEMORY, (height, width), DIM, 1)
    marked = np.eye(2, dtype=np.float32)[(superpixels.centres.sum(1) <= (height + width) / 2).astype(int)]
    for _ in range(4):  # the first frame, a full ring, one that becomes centroids
        memory.write(features, superpixels.centres, marked)
    readout = memory.read(features, superpixels.centres[None])
    assert np.isfinite(readout.attention).all()
    np.testing.assert_allclose(readout.probabilities.sum(1), 1, atol=1e-5)
    mask = decide(spread(readout.probabilities, superpixels, image), (height, width))
    assert mask.labels.shape == (height, width)
    assert mask.labels.max() <= 1
    assert 0 <= mask.scores[1] <= 1
    painted = overlay(image, mask.labels)
    assert painted.shape == image.shape
    return painted


@pytest.mark.parametrize("partition", [slic, warm, isec])
@settings(max_examples=10, deadline=None)
@given(image=frames, count=counts, seed=st.integers(0, 9))
def test_any_frame_is_followed(
    partition: Callable[[np.ndarray, SuperpixelSettings], Superpixels], image: np.ndarray, count: int, seed: int
) -> None:
    before = image.copy()
    wanted = SuperpixelSettings(count)
    superpixels = partition(image, wanted)
    painted = follow(image, superpixels, seed)
    assert np.array_equal(image, before)
    for other in same_in_other_arrays(image):
        again = partition(other, wanted)
        assert np.array_equal(again.labels, superpixels.labels)
        assert np.array_equal(follow(other, again, seed), painted)


@pytest.mark.parametrize("partition", [slic, isec])
@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 1), (9, 9, 4), (0, 9, 3)])
def test_grey_alpha_and_empty_frames_are_refused(
    partition: Callable[[np.ndarray, SuperpixelSettings], Superpixels], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ShapeMismatch, match=r"expected \(height, width, 3\) RGB"):
        partition(np.zeros(shape, np.uint8), SuperpixelSettings())


def corner(size: tuple[int, ...]) -> np.ndarray:
    """A mask of object 7 in the upper left quarter, at least a pixel."""
    mask = np.zeros(size[:2], np.uint8)
    mask[: -(-size[0] // 2), : -(-size[1] // 2)] = 7
    return mask


@pytest.fixture(scope="module")
def segmenter(small_model: Path, small_refiner: Path) -> VideoSegmenter:
    return open_segmenter(small_model, threads=1, refiner=small_refiner)


def with_count(segmenter: VideoSegmenter, count: int) -> VideoSegmenter:
    """The segmenter, from its next start on with so many superpixels."""
    contract = segmenter.session.contract
    segmenter.session.contract = replace(contract, settings=Settings(superpixels=SuperpixelSettings(count)))
    return segmenter


@settings(max_examples=15, deadline=None)
@given(image=frames, count=counts)
def test_the_whole_segmenter_takes_any_frame(segmenter: VideoSegmenter, image: np.ndarray, count: int) -> None:
    with_count(segmenter, count)

    def masks(image: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
        segmenter.start(image, mask)
        found = [segmenter.step(image), segmenter.add(mask), segmenter.step(image)]
        assert all(0 <= one.scores[7] <= 1 for one in found)
        return [one.labels for one in found]

    mask = corner(image.shape)
    found = masks(image, mask)
    assert all((one.shape, one.dtype) == (mask.shape, np.uint8) for one in found)
    assert set(np.unique(found)) <= {0, 7}
    assert np.array_equal(found[1], mask), "what is marked is shown"
    for other in zip(same_in_other_arrays(image), same_in_other_arrays(mask), strict=True):
        assert np.array_equal(masks(*other), found)


@pytest.mark.parametrize("count", [1, 60, 9000])
def test_an_object_that_is_the_whole_frame_stays_it(segmenter: VideoSegmenter, count: int) -> None:
    by_colour = VideoSegmenter(with_count(segmenter, count).session)  # the refiner's weights are drawn by lot
    image, mask = np.full((40, 60, 3), 200, np.uint8), np.full((40, 60), 7, np.uint8)
    by_colour.start(image, mask)
    assert np.array_equal(by_colour.step(image).labels, mask)


@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 1), (9, 9, 4), (0, 9, 3)])
def test_the_segmenter_refuses_grey_alpha_and_empty_frames(segmenter: VideoSegmenter, shape: tuple[int, ...]) -> None:
    segmenter.start(np.zeros((9, 9, 3), np.uint8), corner((9, 9)))
    for take in (lambda image: segmenter.start(image, corner(shape)), segmenter.step):
        with pytest.raises(ShapeMismatch, match=r"expected \(H, W, 3\) RGB"):
            take(np.zeros(shape, np.uint8))


def scene(at: int) -> np.ndarray:
    """A grey frame with a bright box that moves to the right."""
    image = np.full((48, 72), 60, np.uint8)
    image[10:30, 10 + 3 * at : 40 + 3 * at] = 200
    return image


def grey(at: int) -> np.ndarray:
    return scene(at)


def deep_grey(at: int) -> np.ndarray:
    return scene(at).astype(np.uint16) * 257


def colours(at: int) -> np.ndarray:
    return np.dstack([scene(at)] * 3)


def with_alpha(at: int) -> np.ndarray:
    return np.dstack([scene(at)] * 3 + [np.random.default_rng(at).integers(0, 256, (48, 72), np.uint8)])


def each_otherwise(at: int) -> np.ndarray:
    return (grey, with_alpha, colours)[at % 3](at)


def run(folder: Path, images: list[np.ndarray], small_model: Path, small_refiner: Path) -> list[np.ndarray]:
    """`shls run` on a folder of PNGs; the masks that it writes."""
    frames, masks, size = folder / "frames", folder / "masks", images[0].shape[:2]
    frames.mkdir(parents=True)
    for at, image in enumerate(images):
        cv2.imwrite(str(frames / f"{at}.png"), image)
    cv2.imwrite(str(folder / "first.png"), corner(size))
    outputs = ["--masks", masks, "--out", folder / "overlay.mp4", "--json", folder / "objects.jsonl"]
    models = ["--model", small_model, "--refiner", small_refiner]
    words = ["run", frames, "--mask", folder / "first.png", *outputs, *models, "--threads", 1]
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.exception
    assert (folder / "overlay.mp4").stat().st_size > 0
    assert len((folder / "objects.jsonl").read_text().splitlines()) == len(images)
    return [cv2.imread(str(masks / f"{at}.png"), cv2.IMREAD_COLOR).any(2) for at in range(len(images))]


@pytest.mark.parametrize("drawn", [grey, deep_grey, with_alpha, each_otherwise])
def test_the_command_takes_grey_images_and_those_with_alpha(
    drawn: Callable[[int], np.ndarray], small_model: Path, small_refiner: Path, tmp_path: Path
) -> None:
    expected = run(tmp_path / "colours", [colours(at) for at in range(3)], small_model, small_refiner)
    found = run(tmp_path / "other", [drawn(at) for at in range(3)], small_model, small_refiner)
    assert expected[0].any()
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (37, 51)])
def test_the_command_takes_odd_sizes_of_one_colour(
    size: tuple[int, int], small_model: Path, small_refiner: Path, tmp_path: Path
) -> None:
    found = run(tmp_path, [np.full((*size, 3), 90, np.uint8)] * 3, small_model, small_refiner)
    assert [mask.shape for mask in found] == [size] * 3
    assert np.array_equal(found[0], corner(size) > 0)
