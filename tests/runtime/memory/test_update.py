"""Weights with which the memory stores superpixels."""

from __future__ import annotations

import numpy as np

from shls.runtime.memory.update import vote_weights


def test_certainty_of_none_leaves_the_doubt_alone() -> None:
    probabilities, doubt = np.float32([[0.5, 0.5], [0.9, 0.1]]), np.float32([0.0, 0.25])
    assert vote_weights(probabilities, doubt, 0.0).ravel().tolist() == [1.0, 0.75]


def test_doubt_lowers_the_certainty_too() -> None:
    probabilities = np.float32([[0.9, 0.1], [0.9, 0.1]])
    sure, unsure = vote_weights(probabilities, np.float32([0.0, 0.5]), 0.2).ravel()
    assert sure == 1
    assert unsure == 0, "0.45 is no majority"
