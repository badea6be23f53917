"""Clips that show what they should: something to follow, stills kept apart."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from shls.runtime.io.image_collection import Stills
from shls_train.data.clips import ClipSize
from shls_train.data.scenes import HELD_OUT, LEAST_AREA, Scenes

SIZE = ClipSize(frames=2, height=48, width=64)


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Stills:
    """The still that is held out is all red, the others are all green."""
    folder = tmp_path_factory.mktemp("stills")
    for index in range(HELD_OUT):
        still = np.zeros((30, 40, 3), np.uint8)
        still[..., 2 if index == 0 else 1] = 200
        cv2.imwrite(str(folder / f"{index:03d}.png"), still)
    return Stills(folder)


def test_a_clip_has_something_to_follow(stills: Stills) -> None:
    scenes = Scenes(stills, None, SIZE)
    for seed in range(10):
        labels = scenes.draw(np.random.default_rng(seed)).labels
        assert (labels[0] > 0).mean() >= LEAST_AREA


@pytest.mark.parametrize("held_out", [False, True])
def test_held_out_stills_are_kept_apart(stills: Stills, held_out: bool) -> None:
    scenes = Scenes(stills, None, SIZE)
    for seed in range(5):
        red, green = scenes.draw(np.random.default_rng(seed), held_out).frames[..., :2].mean((0, 1, 2))
        assert (red > green) == held_out


def test_the_same_seed_gives_the_same_clip(stills: Stills) -> None:
    one, two = (Scenes(stills, None, SIZE).draw(np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.frames, two.frames)
    np.testing.assert_array_equal(one.labels, two.labels)
