"""Several memories as one: the odds by hand, and that one alone changes nothing."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from shls.runtime.memory.bank import MemoryBank
from shls.runtime.memory.manager import MemoryManager
from shls.runtime.types import Readout


class Says:
    """A memory that always says the same, and keeps what it was told."""

    def __init__(self, *rows: list[float]) -> None:
        self.rows = np.array(rows, np.float32)
        self.told = self.corrected = np.zeros(0)

    def read(self, features: np.ndarray, expected: np.ndarray) -> Readout:  # noqa: ARG002
        objects = self.rows.shape[1] - 1
        return Readout(self.rows, np.repeat(self.rows[:, 1:, None], 4, axis=2).reshape(-1, objects, 4))

    def write(self, features: np.ndarray, centres: np.ndarray, probabilities: np.ndarray) -> None:  # noqa: ARG002
        self.told = probabilities

    def correct(self, features: np.ndarray, centres: np.ndarray, probabilities: np.ndarray) -> None:  # noqa: ARG002
        self.corrected = probabilities


FEATURES = np.zeros((2, 4), np.float32)


def memories(*groups: tuple[Says, list[int]]) -> MemoryManager:
    found = MemoryManager()
    for says, ids in groups:
        found.add(cast(MemoryBank, says), np.array(ids, np.uint8))
    return found


def read(found: MemoryManager) -> np.ndarray:
    return found.read(FEATURES, FEATURES).probabilities


def test_one_alone_is_passed_on_as_it_is() -> None:
    says = Says([0.3, 0.7], [0.9, 0.1])
    found = memories((says, [7]))
    assert read(found) is says.rows
    found.write(FEATURES, FEATURES, says.rows)
    assert says.told is says.rows
    assert found.ids.tolist() == [0, 7]


def test_odds_of_two_by_hand() -> None:
    found = memories((Says([0.5, 0.5], [1.0, 0.0]), [1]), (Says([0.2, 0.8], [0.5, 0.5]), [2]))
    # odds 1 and 4, so 1/6, 1/6, 4/6; odds 0 and 1
    assert read(found) == pytest.approx(np.array([[1 / 6, 1 / 6, 4 / 6], [0.5, 0, 0.5]]), abs=1e-6)
    assert found.ids.tolist() == [0, 1, 2]


def test_two_that_are_certain_share() -> None:
    rows = read(memories((Says([0.0, 1.0], [1.0, 0.0]), [1]), (Says([0.0, 1.0], [1.0, 0.0]), [2])))
    assert rows == pytest.approx(np.array([[0, 0.5, 0.5], [1, 0, 0]]), abs=1e-3)


def test_each_is_told_its_own_objects_and_the_rest_as_background() -> None:
    first, second = Says([0.5, 0.2, 0.3], [1, 0, 0]), Says([0.5, 0.5], [1, 0])
    found = memories((first, [1, 5]), (second, [2]))
    found.write(FEATURES, FEATURES, np.array([[0.1, 0.2, 0.3, 0.4], [1, 0, 0, 0]], np.float32))
    assert first.told == pytest.approx(np.array([[0.5, 0.2, 0.3], [1, 0, 0]]))
    assert second.told == pytest.approx(np.array([[0.6, 0.4], [1, 0]]))


def test_what_is_removed_becomes_background() -> None:
    first = Says([0.5, 0.2, 0.3], [0.0, 1.0, 0.0])
    found = memories((first, [1, 5]))
    found.remove(1)
    assert found.ids.tolist() == [0, 5]
    assert read(found) == pytest.approx(np.array([[0.7, 0.3], [1, 0]]))
    found.write(FEATURES, FEATURES, read(found))
    assert first.told == pytest.approx(np.array([[0.7, 0, 0.3], [1, 0, 0]]))
    found.remove(5)
    assert read(found).tolist() == [[1.0], [1.0]]


def test_a_correction_is_told_to_those_that_know_the_object() -> None:
    first, second = Says([0.5, 0.2, 0.3], [1, 0, 0]), Says([0.5, 0.5], [1, 0])
    found = memories((first, [7, 5]), (second, [2]))
    shares = np.array([[0, 1, 0, 0], [0, 0, 0, 1]], np.float32)  # columns 0, 7, 5, 2
    found.correct(FEATURES, FEATURES, shares, np.array([7], np.uint8))
    assert first.corrected.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert second.corrected.size == 0
