"""What is cut out of stills: the largest part, thin limbs, gaps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from shls_train.data.shapes import largest_part, with_gaps, with_limbs


@pytest.fixture
def disc() -> np.ndarray:
    mask = np.zeros((100, 120), np.uint8)
    cv2.circle(mask, (60, 50), 30, 255, -1)
    return mask


def test_the_largest_part_is_kept_with_its_soft_edge() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:12, 2:12], mask[12, 2:12], mask[15:17, 20:22] = 255, 60, 255
    part = largest_part(mask)
    np.testing.assert_array_equal(part[:13, :13], mask[:13, :13])
    assert not part[14:].any()
    assert not largest_part(np.zeros((4, 4), np.uint8)).any()


@pytest.mark.parametrize("seed", range(5))
def test_limbs_are_added_to_the_thing(disc: np.ndarray, seed: int) -> None:
    limbed = with_limbs(disc, np.random.default_rng(seed))
    assert (limbed >= disc).all()
    assert (limbed > disc).sum() > 20
    assert cv2.connectedComponents((limbed > 127).astype(np.uint8))[0] == 2, "limbs hang on the thing"


@pytest.mark.parametrize("seed", range(5))
def test_gaps_are_cut_in_from_the_outline(disc: np.ndarray, seed: int) -> None:
    gapped = with_gaps(disc, np.random.default_rng(seed))
    assert (gapped <= disc).all()
    assert 20 < (gapped < disc).sum() < (disc > 0).sum() / 2
    assert cv2.connectedComponents((gapped == 0).astype(np.uint8))[0] == 2, "gaps are open to the background"


@pytest.mark.parametrize("change", [with_limbs, with_gaps])
def test_nothing_stays_nothing(change: object) -> None:
    assert not change(np.zeros((9, 9), np.uint8), np.random.default_rng(0)).any()  # type: ignore[operator]
