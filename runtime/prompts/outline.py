"""Outline of a found object: colours decide the pixels of which the network is not sure."""

from __future__ import annotations

import cv2
import numpy as np

from .crop import Window

SIDE = 160
"""Longest side of the window that GrabCut works on, pixels: 20 ms."""
ROUNDS = 2
SMOOTHING = 0.7
"""Sigma of the blur of that window, pixels."""
SURE = 0.9
"""Probability above which a pixel certainly belongs to the object; below 1 - SURE it certainly does not."""
LEAST = 16
"""Least number of pixels on each side, because GrabCut fits five colours to each side."""


def outlined(image: np.ndarray, found: np.ndarray, window: Window) -> np.ndarray:
    """Decide unsure pixels by GrabCut (Rother et al. 2004), with the sure pixels as its seeds.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    found : (H, W) float32, probability of the object, 0 to 1
    window : part of the frame that the network read

    Returns
    -------
    (H, W) bool

    Examples
    --------
    >>> image, found = np.full((40, 60, 3), 90, np.uint8), np.zeros((40, 60), np.float32)
    >>> image[10:30, 20:40], found[10:30, 20:40] = (220, 40, 40), 0.6
    >>> found[15:25, 25:35] = 1
    >>> int(outlined(image, found, (0, 0, 60, 40)).sum())
    400
    """
    left, top, right, bottom = window
    width, height = right - left, bottom - top
    scale = min(1.0, SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    part = cv2.resize(found[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
    seeds = np.where(part > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    seeds[part > SURE], seeds[part < 1 - SURE] = cv2.GC_FGD, cv2.GC_BGD
    objects, unsure = (seeds & 1).astype(bool), seeds >= cv2.GC_PR_BGD  # GC_FGD is 1, GC_PR_FGD is 3
    if not unsure.any() or min(objects.sum(), (~objects).sum()) < LEAST:
        return found > 0.5
    small = cv2.resize(image[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), SMOOTHING)
    cv2.setRNGSeed(0)  # GrabCut clusters from random starts: the same prompt must give the same mask
    cv2.grabCut(small, seeds, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), ROUNDS, cv2.GC_INIT_WITH_MASK)
    mask = found > 0.5
    cut = cv2.resize((seeds & 1).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    mask[top:bottom, left:right] = cut > 0.5
    return mask
