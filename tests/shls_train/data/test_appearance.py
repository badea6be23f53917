"""Things in changing light that turn: what is seen of them, and how bright it is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from shls_train.data.appearance import Appearance

FRAMES = 6


def looks(seed: int) -> tuple[Appearance, np.ndarray, np.ndarray]:
    still = np.full((40, 60, 3), 100, np.uint8)
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 15:45] = 255
    return Appearance(still, mask, np.random.default_rng(seed), FRAMES), still, mask


@pytest.fixture
def turning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shls_train.data.appearance.TURNING", 1.0)


@pytest.mark.usefixtures("turning")
@pytest.mark.parametrize("seed", range(10))
def test_a_turning_thing_shows_a_part_of_itself(seed: int) -> None:
    thing, _, mask = looks(seed)
    shown = [thing.mask(t) > 127 for t in range(FRAMES)]
    assert all(not (part & (mask == 0)).any() for part in shown)
    sizes = [int(part.sum()) for part in shown]
    assert max(sizes) > min(sizes), "it turns"
    assert min(sizes) > 0.03 * (mask > 0).sum(), "something stays in sight"


@pytest.mark.usefixtures("turning")
def test_what_comes_into_sight_stays() -> None:
    thing, _, _ = looks(0)
    thing._ends = thing._ends[:1]
    shown = [thing.mask(t) > 127 for t in range(FRAMES)]
    if shown[0].sum() > shown[-1].sum():
        shown = shown[::-1]
    for before, after in itertools.pairwise(shown):
        assert (after | ~before).all()


def test_what_does_not_change_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shls_train.data.appearance.TURNING", 0.0)
    monkeypatch.setattr("shls_train.data.appearance.CHANGING_LIGHT", 0.0)
    thing, still, mask = looks(0)
    np.testing.assert_array_equal(thing.still(3), still)
    np.testing.assert_array_equal(thing.mask(3), mask)


def test_light_wanders_without_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shls_train.data.appearance.CHANGING_LIGHT", 1.0)
    thing, _, _ = looks(2)
    stills = np.stack([thing.still(t) for t in range(FRAMES)]).astype(int)
    steps = np.abs(np.diff(stills, axis=0)).max(axis=(1, 2, 3))
    assert (steps > 0).all()
    assert (steps < 60).all()


def test_an_empty_mask_stays_empty() -> None:
    thing = Appearance(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8), np.random.default_rng(0), FRAMES)
    assert not thing.mask(0).any()
