"""Views whose correspondence is what it claims to be."""

from __future__ import annotations

import numpy as np
import pytest

from shls_train.data.views import make_pair


def ramp(height: int, width: int) -> np.ndarray:
    """A still whose red and green tell the place."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / width, y * 255 / height, 0 * x], axis=2).astype(np.uint8)


def test_the_same_seed_gives_the_same_pair() -> None:
    still, other = ramp(150, 200), ramp(90, 80)[..., ::-1].copy()
    one, two = (make_pair(still, other, np.random.default_rng(7), 96, 20) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("seed", range(8))
def test_corresponding_points_show_the_same_place(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shls_train.data.views._photograph", lambda view, _: view)
    still = ramp(200, 260)
    other = ramp(180, 180)
    other[..., 2] = 255  # blue tells which of the two stills a pixel is of
    pair = make_pair(still, other, np.random.default_rng(seed), 128, 200)
    a = pair.first[tuple(np.rint(pair.points_first).astype(int).T[::-1])].astype(int)
    b = pair.second[tuple(np.rint(pair.points_second).astype(int).T[::-1])].astype(int)
    difference = np.abs(a - b).max(axis=1)
    assert np.median(difference) <= 3
    assert (difference < 12).mean() > 0.9, "all but pixels on the outline of what is pasted"


def test_stills_smaller_than_the_view_are_enlarged() -> None:
    pair = make_pair(ramp(20, 12), ramp(9, 30), np.random.default_rng(0), 64, 10)
    assert pair.first.shape == pair.second.shape == (64, 64, 3)
    assert pair.points_first.shape == pair.points_second.shape == (10, 2)
