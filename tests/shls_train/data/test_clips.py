"""Clips whose labels and correspondence are what they claim to be."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from shls_train.data.clips import MOST_BLUR, Clip, ClipSize, Cutout, Trajectory, _Lens, make_clip

SIZE = ClipSize(frames=6, height=96, width=160)


def ramp(height: int, width: int, blue: int = 0) -> np.ndarray:
    """A still whose red and green tell the place."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / width, y * 255 / height, 0 * x + blue], axis=2).astype(np.uint8)


def disc(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    cv2.circle(mask, (width // 2, height // 2), min(height, width) // 3, 255, -1)
    return mask


def draw(seed: int, pieces: int = 2) -> Clip:
    things = [Cutout(ramp(120, 140, 255), disc(120, 140))] * pieces
    return make_clip(ramp(200, 260), things, np.random.default_rng(seed), SIZE)


@pytest.fixture
def clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that takes the scene as it is, in steady light."""
    monkeypatch.setattr("shls_train.data.clips._Lens.shoot", lambda _, image, __: np.rint(image).astype(np.uint8))
    monkeypatch.setattr("shls_train.data.clips._Lens.trace", lambda _, __: None)
    monkeypatch.setattr("shls_train.data.appearance.CHANGING_LIGHT", 0.0)


def test_the_same_seed_gives_the_same_clip() -> None:
    one, two, other = draw(3), draw(3), draw(4)
    np.testing.assert_array_equal(one.frames, two.frames)
    np.testing.assert_array_equal(one.labels, two.labels)
    assert (one.frames != other.frames).any()


def test_shapes_and_labels() -> None:
    clip = draw(0, pieces=3)
    assert clip.frames.shape == (6, 96, 160, 3)
    assert clip.frames.dtype == clip.labels.dtype == np.uint8
    assert clip.labels.shape == (6, 96, 160)
    assert set(np.unique(clip.labels)) <= {0, 1, 2, 3}


@pytest.mark.usefixtures("clear")
@pytest.mark.parametrize("seed", range(12))
def test_labels_tell_what_was_pasted(seed: int) -> None:
    clip = draw(seed, pieces=1)
    blue = clip.frames[..., 2] > 127
    disagree = blue != (clip.labels > 0)
    assert disagree.mean() < 0.01, "all but half-covered pixels"


@pytest.mark.usefixtures("clear")
@pytest.mark.parametrize("seed", range(12))
def test_corresponding_pixels_show_the_same_place(seed: int) -> None:
    clip = draw(seed)
    places, seen = clip.correspondence(1, 4)
    assert seen.mean() > 0.2
    here, there = (cv2.morphologyEx(clip.labels[t], cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) for t in (1, 4))
    seen &= (here == 0) & (cv2.remap(there, places, None, cv2.INTER_NEAREST) == 0)  # outlines are mixed colours
    moved = cv2.remap(clip.frames[4], places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    difference = np.abs(moved.astype(int) - clip.frames[1])[seen].max(axis=1)
    assert np.median(difference) <= 2
    assert (difference < 12).mean() > 0.99


@pytest.mark.parametrize("seed", range(8))
def test_a_frame_corresponds_to_itself(seed: int) -> None:
    """Within a pixel: bends are computed every few pixels, and interpolated between."""
    places, seen = draw(seed).correspondence(2, 2)
    y, x = np.mgrid[:96, :160]
    apart = np.abs(places - np.stack([x, y], axis=2))
    assert apart.max() < 1
    assert (apart < 0.5).mean() > 0.99
    assert seen[2:-2, 2:-2].mean() > 0.999, "at edges and outlines rounding may fall on something else"


def test_what_is_covered_is_not_seen() -> None:
    clip = draw(1)
    clip.labels[4] = 9  # something new stands before everything
    assert not clip.correspondence(1, 4)[1].any()


@pytest.mark.parametrize("seed", range(10))
def test_motion_is_a_path_without_jumps(seed: int) -> None:
    clip = draw(seed, pieces=1)
    middle = np.full((1, 1, 2), 70, np.float32)
    track = np.stack([clip.layers[1].to_frame(t, middle)[0, 0] for t in range(6)])
    steps = np.diff(track, axis=0)
    turns = np.abs(np.diff(steps, axis=0)).max()
    assert turns < 0.15 * SIZE.height, "the pace changes by little from frame to frame"


def test_what_is_fast_is_blurred_along_its_way() -> None:
    lens = _Lens(np.random.default_rng(1), 2)
    lens._shutter = 0.5
    assert lens.trace(np.array([0.5, 0.2])) is None, "too slow to show"
    kernel = lens.trace(np.array([20.0, 0.0]))
    assert kernel is not None
    np.testing.assert_allclose(kernel[kernel.shape[0] // 2], 1 / 11, rtol=1e-5)  # half of 20 pixels, both ends
    assert kernel.sum() == pytest.approx(1)
    fastest = lens.trace(np.array([0.0, 400.0]))
    assert fastest is not None
    assert (fastest > 0).any(axis=1).sum() <= MOST_BLUR + 2


def test_the_pace_is_how_far_a_layer_goes() -> None:
    matrices = np.stack([np.array([[1.0, 0, -3 * t], [0, 1, 2 * t], [0, 0, 1]]) for t in range(3)])
    layer = Trajectory(matrices, np.zeros((3, 9, 9, 2), np.float32), (20, 30))
    np.testing.assert_allclose(layer.pace(2), [3, -2])
    np.testing.assert_array_equal(layer.pace(0), [0, 0])


def test_stills_of_any_size_serve() -> None:
    tiny = Cutout(ramp(7, 5), np.full((7, 5), 255, np.uint8))
    assert make_clip(ramp(3, 4), [tiny], np.random.default_rng(0), SIZE).labels.max() <= 1
