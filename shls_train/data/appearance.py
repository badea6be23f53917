"""Changes of an object's appearance over a synthetic clip: moving light, and sides that appear or disappear.

A still shows an object in one appearance only. Features must stay similar when the appearance changes.
"""

from __future__ import annotations

import cv2
import numpy as np

from .views import Rng

CHANGING_LIGHT = 0.6
"""Probability that light moves over an object."""

TURNING = 0.4
"""Probability of each of two simulated rotations, which hide or reveal a side of the object."""

SOFT = 3.0
"""Width of the soft edge of a hidden side, in pixels of the still."""


class Appearance:
    """Still and mask of an object for each frame of a clip.

    Parameters
    ----------
    still : (H, W, 3) uint8
        RGB image that shows the object.
    mask : (H, W) uint8
        Mask of the object, 0 to 255.
    rng : numpy.random.Generator
        Source of random numbers.
    frames : int
        T, number of frames.

    Examples
    --------
    >>> still, mask = np.full((8, 8, 3), 90, np.uint8), np.full((8, 8), 255, np.uint8)
    >>> appearance = Appearance(still, mask, np.random.default_rng(0), frames=3)
    >>> appearance.still(2).shape, appearance.mask(2).shape
    ((8, 8, 3), (8, 8))
    """

    def __init__(self, still: np.ndarray, mask: np.ndarray, rng: Rng, frames: int) -> None:
        self._still, self._mask = still, mask
        self._lights = _lights(rng, frames) if rng.random() < CHANGING_LIGHT else None
        self._ends = [_ends(mask, rng, frames) for _ in range(2) if rng.random() < TURNING]

    def still(self, frame: int) -> np.ndarray:
        """Return the lit image of a frame, (H, W, 3) uint8 RGB."""
        if self._lights is None:
            return self._still
        height, width = self._still.shape[:2]
        light = cv2.resize(self._lights[frame], (width, height), interpolation=cv2.INTER_CUBIC)
        return np.clip(self._still * light, 0, 255).astype(np.uint8)

    def mask(self, frame: int) -> np.ndarray:
        """Return the mask of a frame, (H, W) uint8; 255 where the object is visible."""
        mask = self._mask.astype(np.float32)
        for beyond, ends in self._ends:
            mask *= np.clip((ends[frame] - beyond) / SOFT, 0, 1)
        return mask.astype(np.uint8)


def _lights(rng: Rng, frames: int) -> np.ndarray:
    """Draw gains that oscillate between two smooth fields, (T, 4, 4, 3) float32."""
    grey, tinted = rng.normal(0, rng.uniform(0.05, 0.35), (2, 4, 4, 1)), rng.normal(0, 0.04, (2, 4, 4, 3))
    first, second = grey + tinted
    phases = rng.uniform(0, 2 * np.pi) + np.arange(frames) * rng.uniform(0.05, 0.4)
    return np.exp([np.cos(p) * first + np.sin(p) * second for p in phases]).astype(np.float32)


def _ends(mask: np.ndarray, rng: Rng, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw how one side of an object appears or disappears.

    Returns
    -------
    beyond : (H, W) float32
        Position of each pixel along a random direction, in pixels.
    ends : (T,) float64
        Position up to which the object is visible, per frame.
    """
    height, width = mask.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    across = np.cos(angle) * y - np.sin(angle) * x
    wave = np.float32(rng.uniform(0, 0.05) * width) * np.sin(across * (2 * np.pi / width) + rng.uniform(0, 6.3))
    beyond = (np.cos(angle) * x + np.sin(angle) * y + wave).astype(np.float32)
    inside = beyond[mask > 127] if (mask > 127).any() else beyond
    first, last = inside.min(), inside.max() + SOFT
    ends = last - (last - first) * np.linspace(rng.uniform(0.15, 0.6), 0, frames)
    return beyond, ends if rng.random() < 0.7 else ends[::-1]
