"""J and F: values worked out by hand, and agreement with a slow transcription of the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shls.runtime.errors import ShapeMismatch
from shls.runtime.evaluation.metrics import boundary_f, jaccard


def square(top: int, left: int, size: int = 20, frame: tuple[int, int] = (100, 100)) -> np.ndarray:
    mask = np.zeros(frame, np.uint8)
    mask[top : top + size, left : left + size] = 1
    return mask


EMPTY = np.zeros((100, 100), np.uint8)
FULL = np.ones((100, 100), np.uint8)


def test_jaccard_by_hand() -> None:
    # 20 x 20 against the same moved by 5: 15 * 20 common, 2 * 400 - 300 in the union
    assert jaccard(square(20, 20), square(20, 25)) == pytest.approx(300 / 500)
    assert jaccard(square(20, 20), square(60, 60)) == 0
    assert jaccard(square(20, 20), square(20, 20)) == 1


def test_jaccard_of_empty_masks() -> None:
    assert jaccard(EMPTY, EMPTY) == 1
    assert jaccard(EMPTY, square(20, 20)) == 0
    assert jaccard(square(20, 20), EMPTY) == 0


def test_boundary_within_tolerance_is_perfect() -> None:
    # diagonal 141.4, tolerance ceil(0.008 * 141.4) = 2 pixels
    assert boundary_f(square(20, 20), square(20, 22)) == 1


def test_boundary_beyond_tolerance_by_hand() -> None:
    # Each boundary is the ring of 21 x 21, 80 pixels. Moved by 3 with a reach of 2: of the rows 20 + 20
    # pixels lie in reach, of the near column the 2 + 2 beside the rows, of the far column none.
    assert boundary_f(square(20, 20), square(20, 23)) == pytest.approx(44 / 80)


def test_boundary_precision_and_recall_are_combined() -> None:
    # A prediction of two equal squares, one of them right: precision 1/2, recall 1.
    assert boundary_f(square(20, 20) | square(70, 70), square(20, 20)) == pytest.approx(2 / 3)


@pytest.mark.parametrize("blank", [EMPTY, FULL], ids=["empty", "full"])
def test_boundary_of_masks_without_one(blank: np.ndarray) -> None:
    assert boundary_f(blank, EMPTY) == 1
    assert boundary_f(blank, square(20, 20)) == 0
    assert boundary_f(square(20, 20), blank) == 0


def test_tolerance_grows_with_the_frame_not_the_object() -> None:
    small, large = (100, 100), (1000, 1000)
    assert boundary_f(square(20, 20, frame=small), square(20, 30, frame=small)) < 0.5
    assert boundary_f(square(20, 20, frame=large), square(20, 30, frame=large)) == 1


def slow_boundary(mask: np.ndarray) -> list[tuple[int, int]]:
    """A pixel is on the boundary if it differs from its right, lower or lower right neighbour."""
    height, width = mask.shape
    found = []
    for y in range(height):
        for x in range(width):
            neighbours = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            if any(mask[y, x] != mask[v, u] for v, u in neighbours if v < height and u < width):
                found.append((y, x))
    return found


def slow_boundary_f(prediction: np.ndarray, truth: np.ndarray, bound: float) -> float:
    reach = math.ceil(bound * math.hypot(*truth.shape))
    a, b = slow_boundary(prediction), slow_boundary(truth)
    if not a or not b:
        return float(not a and not b)
    precision = np.mean([any(math.dist(p, q) <= reach for q in b) for p in a])
    recall = np.mean([any(math.dist(p, q) <= reach for q in a) for p in b])
    return 2 * float(precision * recall) / float(precision + recall) if precision + recall else 0.0


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 14),
    width=st.integers(1, 14),
    density=st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0]),
    bound=st.sampled_from([0.008, 0.1, 0.2]),
)
def test_boundary_equals_slow_twin(seed: int, height: int, width: int, density: float, bound: float) -> None:
    prediction, truth = np.random.default_rng(seed).random((2, height, width)) < density
    assert boundary_f(prediction, truth, bound) == pytest.approx(slow_boundary_f(prediction, truth, bound))
    truth[height // 2 :] = False  # the two boxes differ
    assert boundary_f(prediction, truth, bound) == pytest.approx(slow_boundary_f(prediction, truth, bound))


def test_masks_of_different_size() -> None:
    with pytest.raises(ShapeMismatch, match=r"\(100, 100\).*\(50, 50\)"):
        jaccard(EMPTY, np.zeros((50, 50), np.uint8))
    with pytest.raises(ShapeMismatch, match=r"\(100, 100\).*\(50, 50\)"):
        boundary_f(EMPTY, np.zeros((50, 50), np.uint8))
