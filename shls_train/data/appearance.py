"""How a thing changes while it moves: light wanders over it, it turns a side to the camera and another away.

A still knows one look of a thing only, but what follows things through a video must not depend on that look.
"""

from __future__ import annotations

import cv2
import numpy as np

from .views import Rng

CHANGING_LIGHT = 0.6
"""How often light wanders over a thing."""

TURNING = 0.4
"""How often a thing turns."""

SOFT = 3.0
"""Pixels of the still over which a turning thing ends."""


class Appearance:
    """The still and the mask of a thing, frame by frame.

    Parameters
    ----------
    still : (H, W, 3) uint8 RGB
    mask : (H, W) uint8
    rng : numpy Generator
    frames : T
    """

    def __init__(self, still: np.ndarray, mask: np.ndarray, rng: Rng, frames: int) -> None:
        self._still, self._mask = still, mask
        self._lights = _lights(rng, frames) if rng.random() < CHANGING_LIGHT else None
        self._ends = [_ends(mask, rng, frames) for _ in range(2) if rng.random() < TURNING]

    def still(self, frame: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        if self._lights is None:
            return self._still
        height, width = self._still.shape[:2]
        light = cv2.resize(self._lights[frame], (width, height), interpolation=cv2.INTER_CUBIC)
        return np.clip(self._still * light, 0, 255).astype(np.uint8)

    def mask(self, frame: int) -> np.ndarray:
        """(H, W) uint8, 255 where the thing is and can be seen."""
        mask = self._mask.astype(np.float32)
        for beyond, ends in self._ends:
            mask *= np.clip((ends[frame] - beyond) / SOFT, 0, 1)
        return mask.astype(np.uint8)


def _lights(rng: Rng, frames: int) -> np.ndarray:
    """Gains that swing between two smooth fields, (T, 4, 4, 3) float32."""
    grey, tinted = rng.normal(0, rng.uniform(0.05, 0.35), (2, 4, 4, 1)), rng.normal(0, 0.04, (2, 4, 4, 3))
    one, two = grey + tinted
    phases = rng.uniform(0, 2 * np.pi) + np.arange(frames) * rng.uniform(0.05, 0.4)
    return np.exp([np.cos(p) * one + np.sin(p) * two for p in phases]).astype(np.float32)


def _ends(mask: np.ndarray, rng: Rng, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """One side of a thing comes into sight, or goes out of it.

    Returns
    -------
    beyond : (H, W) float32, pixels along a direction
    ends : (T,) float64, up to where the thing is in sight
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
