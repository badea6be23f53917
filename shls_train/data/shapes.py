"""Shapes that are pasted: thin parts and gaps, which pseudo-masks lack and real things have."""

from __future__ import annotations

import cv2
import numpy as np

from .views import Rng


def largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of what is above 127, (H, W) uint8, its edge as soft as before; else black."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 127).astype(np.uint8))
    if len(stats) < 2:
        return np.zeros_like(mask)
    part = (labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])).astype(np.uint8)
    return mask * cv2.dilate(part, np.ones((3, 3), np.uint8))


def with_limbs(mask: np.ndarray, rng: Rng) -> np.ndarray:
    """The same thing with one to four thin bent limbs, which show what is on the still there, (H, W) uint8."""
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
    """The same thing with one to three wedges cut into it from its outline, as between legs, (H, W) uint8."""
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
