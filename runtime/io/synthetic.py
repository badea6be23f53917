"""Drawn frames for measurements without a video."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from ..types import Frame
from .recorded import RecordedSource

SIZE = (480, 854)


class SyntheticSource(RecordedSource):
    """Patterned disc that circles over a drifting background.

    Parameters
    ----------
    count : int
        Number of frames.
    size : tuple of int
        Height and width, pixels; by default those of DAVIS.

    Examples
    --------
    >>> next(SyntheticSource(1, size=(48, 64))).image.shape
    (48, 64, 3)
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
    """Return random pixels, (H, W, 3) uint8, of a size (H, W): an image for the warm-up.

    Examples
    --------
    >>> noise((4, 6)).shape
    (4, 6, 3)
    """
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


def centre_mask(image: np.ndarray) -> np.ndarray:
    """Return a mask, (H, W) uint8, with one object: an ellipse in the middle of the image.

    Examples
    --------
    >>> int(centre_mask(np.zeros((48, 64, 3), np.uint8))[24, 32])
    1
    """
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 2, height // 2), (max(1, width // 6), max(1, height // 5)), 0, 0, 360, 1, -1)
    return mask


def _texture(height: int, width: int, seed: int) -> np.ndarray:
    """Return soft blobs with some noise, (height, width, 3) uint8, in which superpixels find borders."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 40 + 2, width // 40 + 2, 3), np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.add(image, random.integers(0, 12, image.shape, np.uint8))
