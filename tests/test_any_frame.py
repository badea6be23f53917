"""From any frame to a painted mask: odd shapes, few colours, more superpixels than pixels, arrays of any layout."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shls.runtime.contract import MemorySettings, SuperpixelSettings
from shls.runtime.errors import ShapeMismatch
from shls.runtime.isec import isec
from shls.runtime.masks import overlay
from shls.runtime.memory import Memory
from shls.runtime.pooling import pool
from shls.runtime.refine import decide, spread
from shls.runtime.superpixels import SuperpixelTracker, slic
from shls.runtime.types import Superpixels

DIM = 32
MEMORY = MemorySettings(recent=2, clusters=2, neighbours=3)

frames = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(
    lambda size: hnp.arrays(np.uint8, (*size, 3), elements=st.sampled_from([0, 60, 255]))
)


def warm(image: np.ndarray, settings: SuperpixelSettings) -> Superpixels:
    tracker = SuperpixelTracker(settings)
    tracker.step(image)
    result = tracker.step(image)
    assert tracker.warm
    return result


def same_in_other_arrays(image: np.ndarray) -> list[np.ndarray]:
    """The same frame, read-only; column by column; with gaps between its rows; as a view from below."""
    frozen = image.copy()
    frozen.flags.writeable = False
    gaps = np.pad(image, ((0, 0), (0, 3), (0, 0)))[:, : image.shape[1]]
    return [frozen, np.asfortranarray(image), gaps, image[::-1].copy()[::-1]]


def follow(image: np.ndarray, superpixels: Superpixels, seed: int) -> np.ndarray:
    """Pool a random map, mark the upper left, remember it, read it again, paint; everything is checked on the way."""
    rng = np.random.default_rng(seed)
    height, width = image.shape[:2]
    features = pool(rng.normal(size=(DIM, -(-height // 4), -(-width // 4))).astype(np.float32), superpixels)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    memory = Memory(MEMORY, (height, width), DIM, 1)
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
@given(image=frames, count=st.sampled_from([1, 5, 60, 2000]), seed=st.integers(0, 9))
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
    with pytest.raises(ShapeMismatch, match=r"superpixels need \(height, width, 3\)"):
        partition(np.zeros(shape, np.uint8), SuperpixelSettings())
