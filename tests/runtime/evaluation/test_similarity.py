"""Cosines by hand."""

from __future__ import annotations

import numpy as np

from shls.runtime.evaluation.similarity import cell_cosines


def test_of_cells() -> None:
    a, b = np.zeros((2, 1, 2, 1, 3), np.float32)
    a[0, :, 0, 0], b[0, :, 0, 0] = (1, 0), (2, 0)
    a[0, :, 0, 1], b[0, :, 0, 1] = (1, 0), (3, 4)
    np.testing.assert_allclose(cell_cosines(a, b), [[[1, 0.6, 0]]], rtol=1e-6)


def test_of_logits() -> None:
    a = np.array([[[1, 2], [2, 0]], [[0, 0], [0, 1]]], np.float32)
    b = np.array([[[2, 1], [2, 0]], [[0, 0], [0, -5]]], np.float32)
    np.testing.assert_allclose(cell_cosines(a, b), [8 / 9, -1], rtol=1e-6)
