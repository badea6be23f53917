"""SLIC, the connection of regions and the warm start against slow twins and exact answers."""

from __future__ import annotations

import itertools

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label as components

from shls.runtime.errors import BadInput, ShapeMismatch
from shls.runtime.models.settings import SuperpixelSettings
from shls.runtime.superpixels import _assignment as assignment
from shls.runtime.superpixels import _color_planes as planes
from shls.runtime.superpixels import _connectivity as regions
from shls.runtime.superpixels import _run_lengths as runs
from shls.runtime.superpixels import _thin_runs as closing
from shls.runtime.superpixels import _warm_start as following
from shls.runtime.superpixels.slic import SuperpixelTracker, cut_along, slic
from shls.runtime.types import Superpixels


def assert_partition(result: Superpixels, shape: tuple[int, int], count: int) -> None:
    labels, centres, areas = result
    n = len(areas)
    assert labels.shape == shape
    assert labels.dtype == np.int32
    assert 1 <= n <= count
    assert np.array_equal(np.unique(labels), np.arange(n))
    assert components(labels + 1, connectivity=1).max() == n
    y, x = np.mgrid[: shape[0], : shape[1]]
    assert np.array_equal(np.bincount(labels.ravel()), areas)
    expected = [np.bincount(labels.ravel(), v.ravel()) / areas for v in (x, y)]
    np.testing.assert_allclose(centres, np.transpose(expected), rtol=1e-5, atol=1e-4)


def scene(height: int = 120, width: int = 200, seed: int = 0) -> np.ndarray:
    """Smooth colours with soft noise: something a video could show."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = [110 + 60 * np.sin(x / (9 + 4 * c) + seed) + 50 * np.cos(y / (13 - 2 * c)) for c in range(3)]
    return np.clip(np.stack(image, 2) + rng.normal(0, 3, (height, width, 3)), 0, 255).astype(np.uint8)


images = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(
    lambda size: hnp.arrays(np.uint8, (*size, 3), elements=st.sampled_from([0, 60, 61, 255]))
)


@settings(max_examples=40, deadline=None)
@given(images, st.integers(1, 2000), st.floats(0.5, 100), st.integers(1, 3))
def test_any_image_is_partitioned(image: np.ndarray, count: int, compactness: float, rounds: int) -> None:
    tracker = SuperpixelTracker(SuperpixelSettings(count, compactness, rounds))
    for frame in (image, image, 255 - image):
        assert_partition(tracker.step(frame), image.shape[:2], count)


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (90, 1), (2, 300), (300, 17)])
@pytest.mark.parametrize("count", [1, 7, 1000])
def test_odd_shapes_and_constant_colour(shape: tuple[int, int], count: int) -> None:
    result = slic(np.full((*shape, 3), 90, np.uint8), SuperpixelSettings(count))
    assert_partition(result, shape, count)
    if count == 1:
        assert len(result.areas) == 1


def test_layout_and_ownership_of_the_array_do_not_matter() -> None:
    image = scene()
    expected = slic(image, SuperpixelSettings(150)).labels
    frozen = image.copy()
    frozen.flags.writeable = False
    flipped = np.ascontiguousarray(image[::-1, :, ::-1])[::-1, :, ::-1]
    gaps = np.pad(image, ((0, 0), (0, 7), (0, 0)))[:, :200]
    for same in (frozen, flipped, gaps, image[::-1].copy()[::-1], np.asfortranarray(image)):
        assert np.array_equal(slic(same, SuperpixelSettings(150)).labels, expected)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 4), (0, 5, 3), (2, 20, 30, 3)])
def test_grey_alpha_and_empty_images_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeMismatch, match=r"expected \(height, width, 3\) RGB"):
        slic(np.zeros(shape, np.uint8), SuperpixelSettings())


def test_other_errors_say_what_to_do() -> None:
    with pytest.raises(BadInput, match=r"wrong type \(got float32, expected uint8\)"):
        slic(np.zeros((4, 4, 3), np.float32), SuperpixelSettings())
    with pytest.raises(BadInput, match="expected 1 to 60000"):
        SuperpixelTracker(SuperpixelSettings(count=0))
    with pytest.raises(BadInput, match=r"SuperpixelSettings\.compactness: out of range"):
        SuperpixelTracker(SuperpixelSettings(compactness=0))


def test_threads_do_not_change_the_result() -> None:
    frames = [np.roll(scene(130, 171), 2 * t, axis=1) for t in range(4)]
    results = []
    threads = numba.get_num_threads()
    for n in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(n)
        tracker = SuperpixelTracker(SuperpixelSettings(120))
        results.append([tracker.step(f) for f in frames])
    numba.set_num_threads(threads)
    for one, many in zip(*results, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, many, strict=True))


def test_planes_are_what_they_say() -> None:
    image = np.random.default_rng(1).integers(0, 256, (9, 37, 3), np.uint8)
    out = np.zeros((3, 9, 48), np.uint8)
    planes.to_planes(image, out, 2)
    r, g, b = np.moveaxis(image.astype(int), 2, 0)
    expected = np.stack([(r + 2 * g + b) // 8, np.clip(r - b + 64, 0, 127), np.clip(2 * g - r - b + 64, 0, 127)])
    padded = np.pad(expected, ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    assert np.array_equal(out[:, :, :37], (down[:, :, :-2] + 2 * down[:, :, 1:-1] + down[:, :, 2:] + 8) // 16)


def twin_assign(colours: np.ndarray, centres: np.ndarray, table: np.ndarray, window: int, reach: int) -> np.ndarray:
    _, height, width = colours.shape
    labels = np.zeros((height, width), int)
    for y, x in itertools.product(range(height), range(width)):
        best = 65535
        for k, (cx, cy, *colour) in enumerate(centres.astype(int)):
            x0 = min(max(cx - window // 2, 0), width - window)
            if abs(y - cy) <= reach and x0 <= x < x0 + window:
                d = sum((int(colours[c, y, x]) - colour[c]) ** 2 for c in range(3))
                d += int(table[len(table) // 2 + x - cx]) + int(table[len(table) // 2 + y - cy])
                if d < best:
                    best, labels[y, x] = d, k
    return labels


def test_assignment_and_sums_match_their_twins() -> None:
    rng = np.random.default_rng(2)
    height, width, window, reach = 37, 64, 32, 9
    colours = rng.integers(0, 128, (3, height, width)).astype(np.uint8)
    centres = np.column_stack([rng.integers(0, m, 24) for m in (width, height, 128, 128, 128)]).astype(np.int16)
    table = np.minimum((np.arange(-64, 64) * 3) ** 2, 8500).astype(np.uint16)
    labels, nearest = np.zeros((height, width), np.uint16), np.empty((height, width), np.uint16)
    for top in range(0, height, 16):
        bottom = min(height, top + 16)
        assignment._assign(colours, labels, nearest, centres, table, window, reach, width, top, bottom, 1)
    assert np.array_equal(labels, twin_assign(colours, centres, table, window, reach))
    sums = np.zeros((24, 6), np.int64)
    assignment._sum(colours, labels, centres, sums, width, height, 0, height, 2)
    y, x = np.mgrid[1:height:2, :width]
    for column, values in enumerate([np.ones_like(x), x, y, *colours[:, 1::2]]):
        assert np.array_equal(sums[:, column], np.bincount(labels[1::2].ravel(), values.ravel(), 24))


def test_thin_stretches_are_closed() -> None:
    labels = np.full((9, 20), 3, np.uint16)
    labels[4, 5:7] = 1  # two pixels across
    labels[1:8, 12:18] = 2
    once, twice = np.empty_like(labels), np.empty_like(labels)
    closing.across(labels, once, 0, 9, 20, 1)
    closing.down(once, twice, 0, 9)
    expected = np.full((9, 20), 3)
    expected[1:8, 12:18] = 2
    assert np.array_equal(twice, expected)


@pytest.mark.parametrize("every", [2, 4])
def test_one_row_is_closed_where_not_every_one_counts(every: int) -> None:
    counting = np.full((4, 6), 3, np.uint16)
    counting[2, :3], counting[1:3, 3:] = 1, 2  # one row that counts; two
    labels = np.full((4 * every + 1, 6), 77, np.uint16)
    labels[1::every] = counting
    once, twice = np.full_like(labels, 9), np.full_like(labels, 9)
    closing.across(labels, once, 0, len(labels), 6, every)
    closing.between(once, twice, 0, len(labels), every)
    counting[2, :3] = 3
    expected = np.full_like(labels, 9)
    expected[1::every] = counting
    assert np.array_equal(twice, expected)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 30), st.integers(1, 30)).flatmap(
        lambda size: hnp.arrays(np.uint16, size, elements=st.integers(0, 5))
    ),
    st.integers(1, 12),
    st.integers(6, 40),
    st.integers(1, 3),
)
def test_any_labels_are_connected(labels: np.ndarray, least: int, count: int, chunks: int) -> None:
    before = labels.copy()
    height, width = labels.shape
    colours = np.zeros((3, height, width), np.uint8)
    space = runs.allocate(height, width)
    result = regions.connect(labels, colours, np.zeros((6, 3)), space, count, least, min(chunks, height))
    assert_partition(result, (height, width), count)
    assert np.array_equal(labels, result.labels)
    parts = components(before.astype(int) + 1, connectivity=1) - 1
    for part, area in enumerate(np.bincount(parts.ravel())):  # a part is never torn
        assert len(np.unique(result.labels[parts == part])) == 1
        if area < least and len(result.areas) > 1:
            assert result.areas[result.labels[parts == part][0]] > area


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(2, 30), st.integers(1, 40)).flatmap(
        lambda size: hnp.arrays(np.uint16, size, elements=st.integers(0, 5))
    ),
    st.integers(1, 30),
    st.integers(6, 40),
    st.integers(1, 3),
    st.integers(0, 99),
    st.sampled_from([2, 4]),
)
def test_not_every_row_is_needed(
    labels: np.ndarray, least: int, count: int, chunks: int, seed: int, every: int
) -> None:
    height, width = labels.shape
    padded = -(-width // planes.LANES) * planes.LANES
    rng = np.random.default_rng(seed)
    colours, centres = rng.integers(0, 128, (3, height, padded), np.uint8), rng.integers(0, 128, (6, 3))
    labels = np.pad(labels, ((0, 0), (0, padded - width)))
    some = np.ascontiguousarray(labels[1::every]), np.ascontiguousarray(colours[:, 1::every])
    known = regions.connect(*some, centres, runs.allocate(len(some[0]), width), count, least / every, 1)
    result = regions.connect(labels, colours, centres, runs.allocate(height, width), count, least, chunks, every)
    assert_partition(result, (height, width), count)
    assert np.array_equal(result.labels[1::every], known.labels)
    seen, last = colours[:, :, :width].astype(int), range(1, height, every)[-1]
    for y in range(height):
        step = next(step for step in (every, every // 2, 1) if (y - 1) % step == 0)
        up, down = (int(np.clip(other, 1, last)) for other in (y - step, y + step))
        up = max(up, down) if y > last else up
        rise, fall = (abs(seen[:, y] - seen[:, other]).sum(0) for other in (up, down))
        if (y - 1) % every:
            assert np.array_equal(result.labels[y], np.where(rise <= fall, result.labels[up], result.labels[down]))


def test_orphans_join_the_neighbour_of_their_colour() -> None:
    labels = np.zeros((8, 12), np.uint16)
    labels[:, 6:] = 1
    labels[2:4, 5:7] = 2  # small, between both, coloured like the right one
    colours = np.where(labels == 0, 10, 90)[None].repeat(3, 0).astype(np.uint8)
    centres = np.array([[10] * 3, [90] * 3, [90] * 3])
    result = regions.connect(labels, colours, centres, runs.allocate(8, 12), 3, 6, 1)
    assert result.areas.tolist() == [46, 50]
    assert (result.labels[2:4, 5:7] == 1).all()


def test_squares_of_colour_are_found_exactly() -> None:
    rng = np.random.default_rng(3)
    tiles = rng.permutation(np.array(list(itertools.product((20, 120, 220), repeat=3)))[:24]).reshape(4, 6, 3)
    image = tiles.repeat(20, 0).repeat(20, 1).astype(np.uint8)
    labels = slic(image, SuperpixelSettings(24)).labels
    expected = np.arange(24).reshape(4, 6).repeat(20, 0).repeat(20, 1)
    assert (labels == expected).mean() > 0.98  # smoothing costs some of the border


def test_constant_colour_gives_the_grid() -> None:
    result = slic(np.full((80, 160, 3), 128, np.uint8), SuperpixelSettings(50))
    assert len(result.areas) == 50
    assert result.areas.min() > 0.6 * result.areas.mean()


def test_cut_along_keeps_each_part_within_one_object() -> None:
    whole = slic(scene(), SuperpixelSettings(100))
    y, x = np.mgrid[:120, :200]
    mask = ((x - 90) ** 2 + (y - 60) ** 2 < 900).astype(np.uint8) * 7 + (x > 150)
    mask = mask.astype(np.uint8)
    mask.flags.writeable = False
    parts = cut_along(whole, mask)
    n = len(parts.areas)
    pairs = {(a, b) for a, b in zip(whole.labels.ravel(), mask.ravel(), strict=True)}
    assert n == len(pairs)
    assert np.array_equal(np.unique(parts.labels), np.arange(n))
    assert np.array_equal(np.bincount(parts.labels.ravel()), parts.areas)
    np.testing.assert_allclose(parts.centres[:, 0] * parts.areas, np.bincount(parts.labels.ravel(), x.ravel()))
    for k in range(n):
        assert len(np.unique(mask[parts.labels == k])) == 1
        assert len(np.unique(whole.labels[parts.labels == k])) == 1
    with pytest.raises(ShapeMismatch, match="Resize the mask"):
        cut_along(whole, mask[1:])
    with pytest.raises(BadInput, match="expected uint8 object ids"):
        cut_along(whole, mask.astype(np.int64))


def test_still_camera_keeps_its_superpixels() -> None:
    tracker = SuperpixelTracker(SuperpixelSettings(150))
    image = scene()
    for _ in range(10):
        settled = tracker.step(image)
    assert (tracker.step(image).labels == settled.labels).mean() > 0.95


def test_labels_move_with_the_picture() -> None:
    wide = scene(120, 400)
    tracker = SuperpixelTracker(SuperpixelSettings(150))
    cold = SuperpixelTracker(SuperpixelSettings(150))
    agree = {True: [], False: []}
    last: dict[bool, np.ndarray] = {}
    for t in range(20):
        frame = np.ascontiguousarray(wide[:, 3 * t : 3 * t + 200])
        cold.restart()
        for warm, each in ((True, tracker), (False, cold)):
            labels = each.step(frame).labels
            assert each.warm == (warm and t > 0)
            if t:
                agree[warm].append((labels[:, :-3] == last[warm][:, 3:]).mean())
            last[warm] = labels
    assert np.mean(agree[True]) > 0.8
    assert np.mean(agree[True]) > np.mean(agree[False]) + 0.1


def test_a_cut_starts_cold_and_motion_does_not() -> None:
    tracker = SuperpixelTracker(SuperpixelSettings(150))
    first, second = scene(), 255 - scene(seed=5)
    second[:, :, 1] //= 3
    started = []
    for t in range(12):
        image = np.roll(first if t < 6 else second, 2 * t, axis=0)
        tracker.step(image)
        started.append(not tracker.warm)
    assert started == [t in (0, 6) for t in range(12)]


def test_a_new_size_starts_cold() -> None:
    tracker = SuperpixelTracker(SuperpixelSettings(60))
    for shape in ((60, 80), (60, 81), (33, 40)):
        assert_partition(tracker.step(scene(*shape)), shape, 60)
        assert not tracker.warm


def test_no_drift_over_a_thousand_frames() -> None:
    wide = scene(96, 400)
    tracker = SuperpixelTracker(SuperpixelSettings(120))
    path = 100 + 99 * np.sin(np.arange(1000) / 31)
    for t, x in enumerate(path.astype(int)):
        result = tracker.step(np.ascontiguousarray(wide[:, x : x + 160]))
        if t % 100 == 99:
            assert_partition(result, (96, 160), 120)
            assert len(result.areas) > 105
            assert result.areas.max() < 5 * 96 * 160 / 120
            assert result.areas.min() >= 96 * 160 / 120 / 8


@pytest.mark.parametrize("shape", [(16, 24), (19, 30), (1, 3)])
def test_thumbnails_are_means(shape: tuple[int, int]) -> None:
    luma = np.random.default_rng(0).integers(0, 128, shape).astype(np.uint8)
    found = following.thumbnail(luma, luma.shape[1], 8)
    assert found.shape == (-(-shape[0] // 8), -(-shape[1] // 8))
    for j, i in np.ndindex(*found.shape):
        assert found[j, i] == int(luma[8 * j : 8 * j + 8, 8 * i : 8 * i + 8].mean())


@pytest.mark.parametrize("motion", [(0, 0), (24, -16), (-40, 8), (16, 32)])
def test_camera_motion_is_found(motion: tuple[int, int]) -> None:
    wide = np.random.default_rng(4).integers(0, 128, (80, 120)).astype(np.uint8)
    i, j = motion[0] // 8, motion[1] // 8
    before, after = wide[10:70, 10:110].copy(), wide[10 - j : 70 - j, 10 - i : 110 - i].copy()
    assert following.motion(before, after, 6) == pytest.approx(motion, abs=1)


def test_centres_that_leave_come_in_on_the_other_side() -> None:
    colours = np.arange(3 * 10 * 16, dtype=np.uint8).reshape(3, 10, 16)
    centres = np.array([[3, 4, 1, 2, 3], [14, 4, 1, 2, 3], [3, 1, 1, 2, 3]], np.int16)
    following.shift(colours, centres, 4, -2, 15)
    assert centres[0].tolist() == [7, 2, 1, 2, 3]
    assert centres[1].tolist() == [3, 2, *colours[:, 2, 3]]
    assert centres[2].tolist() == [7, 9, *colours[:, 9, 7]]


def test_large_superpixels_are_split_towards_their_far_end() -> None:
    labels = np.zeros((40, 80), np.uint16)
    labels[:, 60:] = 1
    centres = np.array([[20, 20, 5, 6, 7], [70, 20, 9, 9, 9]], np.int16)
    split = following.split(labels, centres, np.array([2400, 800], np.int32), 4, 1.5, 80)
    assert np.array_equal(split[:2], centres)
    assert split[2:].tolist() == [[20 + int(0.6 * 36), 20 + int(0.6 * -19), 5, 6, 7]]
