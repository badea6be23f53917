"""Drawn frames: they move, and are the same every time."""

from __future__ import annotations

import numpy as np

from shls.runtime.io.synthetic import SyntheticSource, centre_mask


def test_frames_move_and_repeat() -> None:
    with SyntheticSource(3, (48, 64)) as first, SyntheticSource(3, (48, 64)) as second:
        a, b = list(first), list(second)
    assert [frame.index for frame in a] == [0, 1, 2]
    assert all(frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8 for frame in a)
    assert all(np.array_equal(one.image, other.image) for one, other in zip(a, b, strict=True))
    assert not np.array_equal(a[0].image, a[1].image)


def test_the_mask_is_one_object_in_the_middle() -> None:
    mask = centre_mask(np.zeros((48, 64, 3), np.uint8))
    assert set(np.unique(mask)) == {0, 1}
    assert mask[24, 32] == 1
    assert mask[0].max() == 0
