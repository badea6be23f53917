"""Changes of cutout masks: thin limbs and gaps, which real objects have and pseudo-masks lack."""

from __future__ import annotations

import cv2
import numpy as np

from .views import Rng


def largest_part(mask: np.ndarray) -> np.ndarray:
    """Keep the largest connected part of a mask.

    Parameters
    ----------
    mask : (H, W) uint8
        Soft mask; values above 127 are object.

    Returns
    -------
    (H, W) uint8 array
        The largest part with its soft edge; zeros for an empty mask.

    Examples
    --------
    >>> mask = np.array([[255, 255, 0, 0, 255]], np.uint8)
    >>> largest_part(mask).tolist()
    [[255, 255, 0, 0, 0]]
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 127).astype(np.uint8))
    if len(stats) < 2:
        return np.zeros_like(mask)
    part = (labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])).astype(np.uint8)
    return mask * cv2.dilate(part, np.ones((3, 3), np.uint8))


def with_limbs(mask: np.ndarray, rng: Rng) -> np.ndarray:
    """Add one to four thin bent limbs to a mask.

    Parameters
    ----------
    mask : (H, W) uint8
        Mask of an object; values above 127 are object.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    (H, W) uint8 array
        Copy of the mask with limbs. The still's own pixels appear inside the limbs.

    Examples
    --------
    >>> mask = np.zeros((40, 40), np.uint8)
    >>> mask[15:25, 15:25] = 255
    >>> bool(with_limbs(mask, np.random.default_rng(0)).sum() > mask.sum())
    True
    """
    limbed = mask.copy()
    rows, columns = np.nonzero(mask > 127)
    if not len(rows):
        return limbed
    middle, side = np.array([columns.mean(), rows.mean()]), np.sqrt(len(rows))
    for _ in range(rng.integers(1, 5)):
        at = rng.integers(len(rows))
        joint = np.array([columns[at], rows[at]], float)
        angle = np.arctan2(*(joint - middle)[::-1]) + rng.normal(0, 0.4)
        joints = [joint]
        for _ in range(2):
            joints.append(joints[-1] + rng.uniform(0.2, 0.5) * side * np.array([np.cos(angle), np.sin(angle)]))
            angle += rng.normal(0, 0.6)
        width = max(1, round(side * rng.uniform(0.02, 0.12)))
        cv2.polylines(limbed, [np.rint(joints).astype(np.int32)], False, 255, width)
    return limbed


def with_gaps(mask: np.ndarray, rng: Rng) -> np.ndarray:
    """Cut one to three wedges into a mask from its outline, like the gaps between legs.

    Parameters
    ----------
    mask : (H, W) uint8
        Mask of an object; values above 127 are object.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    (H, W) uint8 array
        Copy of the mask with gaps.

    Examples
    --------
    >>> mask = np.zeros((40, 40), np.uint8)
    >>> mask[5:35, 5:35] = 255
    >>> bool(with_gaps(mask, np.random.default_rng(0)).sum() < mask.sum())
    True
    """
    gapped = mask.copy()
    outlines = cv2.findContours((mask > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    if not outlines:
        return gapped
    outline = np.concatenate(outlines)[:, 0].astype(float)
    middle, side = outline.mean(0), np.sqrt((mask > 127).sum())
    for _ in range(rng.integers(1, 4)):
        mouth = outline[rng.integers(len(outline))]
        angle = np.arctan2(*(middle - mouth)[::-1]) + rng.normal(0, 0.5)
        inward = np.array([np.cos(angle), np.sin(angle)])
        half_width = inward[::-1] * [-1, 1] * side * rng.uniform(0.02, 0.12)
        start, tip = mouth - 0.1 * side * inward, mouth + side * rng.uniform(0.15, 0.5) * inward
        wedge = [start - half_width, start + half_width, tip]
        cv2.fillPoly(gapped, [np.rint(wedge).astype(np.int32)], 0)
    return gapped
