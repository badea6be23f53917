"""Frames that are drawn, not recorded: for measuring where there is no video."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from ..types import Frame
from .sources import RecordedSource

SIZE = (480, 854)


class SyntheticSource(RecordedSource):
    """A patterned disc that circles over a drifting background, at the size of DAVIS's frames.

    Parameters
    ----------
    count : frames
    size : (H, W), pixels
    """

    def __init__(self, count: int, size: tuple[int, int] = SIZE) -> None:
        self.name, self.fps, self.count = "synthetic", 30.0, count
        self._canvas = size
        super().__init__(0)

    def _read(self, start: int) -> Iterator[Frame]:
        height, width = self._canvas
        ground, pattern = _texture(height, width, 0), _texture(height, width, 1)
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        for at in range(start, self.count or 0):
            angle = 2 * np.pi * at / 90
            x, y = width * (0.5 + 0.15 * np.cos(angle)), height * (0.5 + 0.15 * np.sin(angle))
            disc = (columns - x) ** 2 + (rows - y) ** 2 < (height / 5) ** 2
            image = np.roll(ground, 2 * at, axis=1)
            image[disc] = np.roll(pattern, (round(y), round(x)), axis=(0, 1))[disc]
            yield Frame(image, at, at / self.fps, f"{at:05d}")


def noise(size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 of a size (H, W): an image to warm up on."""
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


def centre_mask(image: np.ndarray) -> np.ndarray:
    """(H, W) uint8: one object, an ellipse in the middle of the image."""
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 2, height // 2), (max(1, width // 6), max(1, height // 5)), 0, 0, 360, 1, -1)
    return mask


def _texture(height: int, width: int, seed: int) -> np.ndarray:
    """(height, width, 3) uint8: soft blobs with some noise, so that superpixels have borders to find."""
    noise = np.random.default_rng(seed)
    coarse = noise.integers(0, 256, (height // 40 + 2, width // 40 + 2, 3), np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.add(image, noise.integers(0, 12, image.shape, np.uint8))
