"""The network's input against the formula."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from shls.runtime.backends.base import open_session
from shls.runtime.backends.pretrained import ASSETS, EXACT
from shls.runtime.features.preprocess import to_input


@pytest.mark.parametrize("size", [(864, 480), (320, 240), (1280, 720)])
@pytest.mark.parametrize("kind", ["plain", "read-only", "mirrored"])
def test_pixels_are_scaled_and_normalised(size: tuple[int, int], kind: str) -> None:
    contract = open_session(ASSETS / EXACT, threads=1).contract
    image = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    if kind == "mirrored":
        image = image[:, ::-1]
    image.flags.writeable = kind != "read-only"
    how = cv2.INTER_AREA if size[1] > contract.height else cv2.INTER_LINEAR
    scaled = cv2.resize(np.ascontiguousarray(image), (contract.width, contract.height), interpolation=how)
    expected = (scaled - np.array(contract.mean)) / np.array(contract.std)
    tensor = to_input(image, contract)
    assert tensor.dtype == np.float32
    assert tensor.shape == (1, 3, contract.height, contract.width)
    np.testing.assert_allclose(tensor[0], expected.transpose(2, 0, 1), atol=1e-5)
