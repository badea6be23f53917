"""ISEC: its kernels against twins, exact regions on drawings, any image at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label as components

from shls.runtime.errors import BadInput, ShapeMismatch
from shls.runtime.models.settings import SuperpixelSettings
from shls.runtime.superpixels import _run_lengths as runs
from shls.runtime.superpixels import isec as module
from shls.runtime.superpixels.isec import isec
from shls.runtime.types import Superpixels


def assert_partition(result: Superpixels, shape: tuple[int, int]) -> None:
    labels, centres, areas = result
    n = len(areas)
    assert labels.shape == shape
    assert labels.dtype == np.int32
    assert np.array_equal(np.bincount(labels.ravel(), minlength=n), areas)
    assert areas.min() > 0
    assert components(labels + 1, connectivity=1).max() == n
    x = np.broadcast_to(np.arange(shape[1]), shape)
    np.testing.assert_allclose(centres[:, 0], np.bincount(labels.ravel(), x.ravel()) / areas, rtol=1e-5, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(
        lambda size: hnp.arrays(np.uint8, (*size, 3), elements=st.sampled_from([0, 60, 255]))
    ),
    st.integers(1, 500),
)
def test_any_image_is_partitioned(image: np.ndarray, count: int) -> None:
    assert_partition(isec(image, SuperpixelSettings(count)), image.shape[:2])


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (90, 1), (64, 64)])
def test_constant_colour_is_one_region(shape: tuple[int, int]) -> None:
    result = isec(np.full((*shape, 3), 77, np.uint8), SuperpixelSettings())
    assert result.areas.tolist() == [shape[0] * shape[1]]


def test_drawn_shapes_are_found() -> None:
    y, x = np.mgrid[:120, :200]
    drawn = np.where((x - 60) ** 2 + (y - 60) ** 2 < 900, 1, 0)
    drawn[30:90, 120:180] = 2
    image = np.array([(200, 60, 60), (60, 200, 60), (60, 60, 200)], np.uint8)[drawn]
    result = isec(image, SuperpixelSettings(100))
    assert len(result.areas) == 3
    for k in range(3):
        same = result.labels == np.bincount(result.labels[drawn == k]).argmax()
        assert (same & (drawn == k)).sum() / (same | (drawn == k)).sum() > 0.95


def test_a_gap_in_an_edge_does_not_leak() -> None:
    edges = np.zeros((40, 60), bool)
    edges[:, 30] = True
    edges[20:22, 30] = False
    outside = module._cores(edges, runs.allocate(40, 60), 1)
    cores, count = components(outside == 0, connectivity=1, return_num=True)
    assert count == 2
    assert cores[20, 5] != cores[20, 55]


def test_small_regions_join_and_cores_are_added_like_their_twin() -> None:
    rng = np.random.default_rng(0)
    inside = (rng.random((30, 40)) > 0.4).astype(np.uint16)
    parts = components(inside, connectivity=1)
    cores = ((rng.random(parts.shape) > 0.97) & (parts > 0)).astype(np.uint8)
    expected = cores.copy()
    for part in range(1, parts.max() + 1):
        if not cores[parts == part].any():
            expected[parts == part] = 1
    space = runs.allocate(30, 40)
    runs.find(inside, space, 40, 2, 1)
    module._add_cores(inside, space, runs.components(inside, space, 2, 1), cores)
    assert np.array_equal(cores, expected)
    image = rng.integers(0, 256, (60, 80, 3), np.uint8)
    assert isec(image, SuperpixelSettings(20)).areas.min() >= module.LEAST[-1] * 60 * 80 / 20


def test_mean_colours_match_their_twin() -> None:
    rng = np.random.default_rng(1)
    planes, labels = (
        rng.integers(0, 128, (3, 20, 32)).astype(np.uint8),
        rng.integers(0, 9, (20, 32)).astype(np.uint16),
    )
    found = module._colours(planes, labels, 10, 30)
    for k in range(9):
        assert np.array_equal(found[k], planes[:, :, :30][:, labels[:, :30] == k].sum(1) // (labels[:, :30] == k).sum())
    assert (found[9] == 0).all()


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(ShapeMismatch, match=r"expected \(height, width, 3\) RGB"):
        isec(np.zeros((9, 9), np.uint8), SuperpixelSettings())
    with pytest.raises(BadInput, match="expected uint8"):
        isec(np.zeros((9, 9, 3)), SuperpixelSettings())
