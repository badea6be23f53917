"""What the prompter reads: window, maps of the prompt, features and similarities."""

from __future__ import annotations

import numpy as np
import pytest

from shls.runtime.models.contract import PrompterContract
from shls.runtime.prompts.crop import OUTSIDE, REACH, Marks, PromptChannel, cut, probability, put_back, window_of

CONTRACT = PrompterContract("example", 64, len(PromptChannel), 4, "", "")
SIZE = (80, 120)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


@pytest.fixture
def features() -> np.ndarray:
    """Unit vectors: one direction left of column 60, another right of it."""
    grid = np.zeros((4, 20, 30), np.float32)
    grid[0, :, :15], grid[1, :, 15:] = 1, 1
    return grid


def test_points_alone_have_a_window_of_a_typical_object() -> None:
    side = round(REACH * (80 * 120) ** 0.5)
    for point in ((9, 9), (60, 40), (119, 79)):
        left, top, right, bottom = window_of(SIZE, Marks([], [point], [(100, 70)]), None)
        assert 0 <= left <= point[0] < right <= 120
        assert 0 <= top <= point[1] < bottom <= 80
        assert right - left == pytest.approx(side, abs=1)
        assert bottom - top == pytest.approx(side, abs=1)
    empty = np.zeros(SIZE, np.float32)
    assert window_of(SIZE, Marks([], [(9, 9)], []), empty) == window_of(SIZE, Marks([], [(9, 9)], []), None)
    assert window_of(SIZE, Marks([], [], [(9, 9)]), empty) == (0, 0, 120, 80)
    assert window_of(SIZE, Marks([], [(0, 0), (119, 79)], []), None) == (0, 0, 120, 80), "far points"


@pytest.mark.parametrize(
    "box", [(30, 20, 70, 60), (0, 0, 10, 80), (110, 70, 120, 80), (0, 0, 120, 80), (50, 40, 51, 41)]
)
def test_a_window_surrounds_the_box_inside_the_frame(box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = window_of(SIZE, Marks([box], [], []), None)
    assert 0 <= left <= box[0] < box[2] <= right <= 120
    assert 0 <= top <= box[1] < box[3] <= bottom <= 80


def test_a_window_contains_the_mask_and_the_points() -> None:
    last = np.zeros(SIZE, np.float32)
    last[40:60, 20:40] = 0.9
    left, top, right, bottom = window_of(SIZE, Marks([], [(100, 5)], [(3, 3)]), last)
    assert left < 20
    assert right > 100
    assert top <= 5
    assert bottom > 60


def test_maps_of_the_prompt(image: np.ndarray, features: np.ndarray) -> None:
    last = np.zeros(SIZE, np.float32)
    last[:, :60] = 1
    crop, _ = cut(image, features, (0, 0, 120, 80), Marks([(30, 20, 90, 60)], [(60, 40)], [(20, 70)]), last, CONTRACT)
    box, point, negative = crop[PromptChannel.BOX], crop[PromptChannel.POINT], crop[PromptChannel.NEGATIVE]
    assert box[32, 32] == 1
    assert box[2, 2] == -1
    assert (box > 0).mean() == pytest.approx(0.25, abs=0.02)
    assert np.unravel_index(point.argmax(), point.shape) == (32, 32)
    assert np.unravel_index(negative.argmax(), negative.shape) == (56, 10)
    np.testing.assert_allclose(crop[PromptChannel.LAST, 30], [1.0] * 32 + [-1.0] * 32, atol=1e-5)
    nothing, _ = cut(image, features, (0, 0, 120, 80), Marks([], [(60, 40)], []), None, CONTRACT)
    assert not nothing[[PromptChannel.BOX, PromptChannel.NEGATIVE, PromptChannel.LAST]].any()


def test_colours_are_those_of_the_window(features: np.ndarray) -> None:
    image = np.zeros((*SIZE, 3), np.uint8)
    image[:, 60:] = 255
    crop, _ = cut(image, features, (60, 0, 120, 80), Marks([], [(60, 40)], []), None, CONTRACT)
    np.testing.assert_allclose(crop[: PromptChannel.BOX], (255 - 127.5) / 64)


def test_similarities_tell_the_sides_apart(image: np.ndarray, features: np.ndarray) -> None:
    window = (0, 0, 120, 80)
    _, cells = cut(image, features, window, Marks([], [(20, 40)], [(100, 40)]), None, CONTRACT)
    assert cells.shape == (7, 16, 16)
    on, off, linear = cells[4:]
    for known, left in ((on, 1), (off, 0)):
        np.testing.assert_allclose(known[:, :6], left, atol=1e-5)
        np.testing.assert_allclose(known[:, 10:], 1 - left, atol=1e-5)
    assert linear[:, :6].min() > 0.5
    assert linear[:, 10:].max() < -0.5


def test_what_surrounds_a_box_is_not_the_object(image: np.ndarray, features: np.ndarray) -> None:
    box = (0.0, 0.0, 80.0, 80.0)  # the left side, and a piece of the right side
    _, cells = cut(image, features, (0, 0, 120, 80), Marks([box], [], []), None, CONTRACT)
    assert not cells[4].any(), "without a point nothing is like one"
    np.testing.assert_allclose(cells[5][:, 10:], 1, atol=1e-5)
    assert cells[6][:, :6].min() > 0.5
    assert cells[6][:, 10:].max() < -0.5


def test_logits_return_to_their_place() -> None:
    logits = np.full((8, 8), 3, np.float32)
    whole = put_back(logits, (20, 10, 60, 50), SIZE)
    assert (whole[10:50, 20:60] == 3).all()
    whole[10:50, 20:60] = OUTSIDE
    assert (whole == OUTSIDE).all()
    assert probability(np.float32([-80, 80])).tolist() == pytest.approx([0, 1])
