"""Simulated clicks: in the middle of the largest error, on the right side."""

from __future__ import annotations

import numpy as np
import pytest

from shls.runtime.evaluation.clicks import next_click


@pytest.fixture
def truth() -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[10:31, 10:31] = True
    return mask


def test_first_the_middle_of_the_object(truth: np.ndarray) -> None:
    assert next_click(truth, np.zeros_like(truth)) == ((20, 20), True)


def test_then_the_largest_error(truth: np.ndarray) -> None:
    found = truth.copy()
    found[28:31] = False  # missed: three rows
    found[5:20, 40:55] = True  # wrong: a box
    assert next_click(truth, found) == ((47, 12), False)
    found[5:20, 40:55] = False
    click = next_click(truth, found)
    assert click is not None
    (x, y), positive = click
    assert positive
    assert (truth & ~found)[y, x]


def test_no_error_no_click(truth: np.ndarray) -> None:
    assert next_click(truth, truth) is None


def test_an_object_that_fills_the_frame() -> None:
    whole = np.ones((21, 31), bool)
    click = next_click(whole, ~whole)
    assert click is not None
    assert click[0][1] == 10, "the frame's edge counts as an outline"


def test_random_clicks_stay_in_the_error(truth: np.ndarray) -> None:
    places = set()
    for seed in range(20):
        click = next_click(truth, np.zeros_like(truth), np.random.default_rng(seed))
        assert click is not None
        (x, y), positive = click
        assert positive
        assert truth[y - 3 : y + 4, x - 3 : x + 4].all(), "not at its edge"
        places.add((x, y))
    assert len(places) > 10
