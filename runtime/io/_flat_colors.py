"""Segmentation of a picture into its flat colours, with noise of JPEG and soft edges tolerated."""

from __future__ import annotations

import logging
from typing import NamedTuple

import cv2
import numpy as np

MERGE = 48
"""Colours nearer than this count as one colour in pictures with noise or soft edges, Euclidean levels."""
CLOSE = 20
"""Distance of a pixel to its flat colour that is noise, Euclidean levels."""
NOISE = 12
"""Difference within a flat area of a lossy picture, levels per channel."""
DARK = 48
"""Largest channel of a colour that counts as a black background, levels."""
MOST = 256
"""More flat colours than this are a photograph."""
FAR = 1 << 20
"""Cost of a colour that does not occur near a pixel; more than any squared distance of colours."""

log = logging.getLogger("shls")


class FlatLabels(NamedTuple):
    """Picture as flat areas.

    labels : (H, W) int64, 0 background, objects 1 to K in reading order
    colors : (K, 3) uint8, colour of each object
    closeness : ratio of pixels whose colour is near that of their area, 0 to 1
    solidity : the same ratio of pixels that are not nearly black
    """

    labels: np.ndarray
    colors: np.ndarray
    closeness: float
    solidity: float

    @property
    def names(self) -> dict[int, str]:
        """Return the colours as names, such as #ff0000."""
        return {at: "#" + bytes(color.tolist()).hex() for at, color in enumerate(self.colors, 1)}


def is_flat(values: np.ndarray) -> bool:
    """Return True if most pixels of (H, W) values lie in 2x2 blocks of one value: ids do, soft edges do not.

    Zeros and the most frequent value besides do not count.
    """
    found, counts = np.unique(values[values > 0], return_counts=True)
    if found.size < 2:
        return True
    rest = (values > 0) & (values != found[counts.argmax()])
    return bool((_in_blocks(values[..., None]) & rest).sum() * 2 >= rest.sum())


def flat_labels(image: np.ndarray, lossy: bool) -> FlatLabels | None:
    """Segment (H, W, 3) uint8 into flat colours; None if there are none besides the background, or too many."""
    flat = _flat_pixels(image, lossy)
    colors = _find_colors(image, flat, lossy)
    if not 2 <= len(colors) <= MOST:
        return None
    nearest, close = _nearest(image, colors, flat)
    background = _background(colors, nearest)
    order = [at for at in _reading_order(nearest) if at != background]
    labels = np.zeros(len(colors), np.int64)
    labels[order] = np.arange(1, len(order) + 1)
    if not order:
        return None
    solid = close[image.max(2) > DARK]
    return FlatLabels(labels[nearest], colors[order], float(close.mean()), float(solid.mean()) if solid.size else 1.0)


def _in_blocks(values: np.ndarray) -> np.ndarray:
    """Mark the pixels of (H, W, C) that belong to a 2x2 block of one value: (H, W) bool."""
    rows = (values[1:] == values[:-1]).all(2)
    columns = (values[:, 1:] == values[:, :-1]).all(2)
    blocks = rows[:, 1:] & rows[:, :-1] & columns[1:] & columns[:-1]
    found = np.zeros(values.shape[:2], bool)
    for part in (found[1:, 1:], found[1:, :-1], found[:-1, 1:], found[:-1, :-1]):
        part |= blocks
    return found


def _flat_pixels(image: np.ndarray, lossy: bool) -> np.ndarray:
    if not lossy:
        return _in_blocks(image)
    kernel = np.ones((5, 5), np.uint8)
    flat: np.ndarray = (cv2.dilate(image, kernel) - cv2.erode(image, kernel)).max(2) <= NOISE
    return flat


def _find_colors(image: np.ndarray, flat: np.ndarray, lossy: bool) -> np.ndarray:
    """Find the colours of the flat pixels, most frequent first: (K, 3) uint8."""
    bins = image[flat] >> 3 if lossy else image[flat]
    codes = bins @ np.array([1 << 16, 1 << 8, 1])
    found, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    found = found[order]
    candidates = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.uint8)
    if lossy:
        candidates = candidates * 8 + 4
    elif len(found) <= MOST and _all_flat(image, flat):
        return candidates
    return _merge(image[flat], candidates[: 64 * MOST])


def _all_flat(image: np.ndarray, flat: np.ndarray) -> bool:
    """Return True if there are no soft edges: nearly all pixels outside the background are flat."""
    colored = image.max(2) > DARK
    return bool((colored & ~flat).sum() <= 0.02 * colored.sum())


def _merge(pixels: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Keep candidates that differ from all kept before, each moved to the mean of the pixels around it."""
    kept: list[np.ndarray] = []
    for candidate in candidates.astype(np.int64):
        if len(kept) > MOST:
            break
        if all(((candidate - color) ** 2).sum() >= MERGE**2 for color in kept):
            near = ((pixels.astype(np.int64) - candidate) ** 2).sum(1) < CLOSE**2
            kept.append(np.rint(pixels[near].mean(0)).astype(np.int64) if near.any() else candidate)
    return np.array(kept, np.int64).reshape(-1, 3).clip(0, 255).astype(np.uint8)


def _nearest(image: np.ndarray, colors: np.ndarray, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give each pixel the nearest colour, by preference one with flat pixels around; mark pixels that are close."""
    best = np.full(image.shape[:2], 2 * FAR, np.int64)
    nearest = np.zeros(image.shape[:2], np.int64)
    kernel = np.ones((9, 9), np.uint8)
    for at, color in enumerate(colors):
        distance = ((image.astype(np.int32) - color.astype(np.int32)) ** 2).sum(2)
        around = cv2.dilate((flat & (distance < CLOSE**2)).astype(np.uint8), kernel)
        cost = np.where(around > 0, distance, distance + FAR)
        better = cost < best
        best[better], nearest[better] = cost[better], at
    return nearest, best % FAR < CLOSE**2


def _background(colors: np.ndarray, nearest: np.ndarray) -> int:
    """Choose the background: black, else the colour of most of the rim."""
    darkest = int(colors.max(1).argmin())
    if colors[darkest].max() <= DARK:
        return darkest
    rim = np.concatenate([nearest[0], nearest[-1], nearest[:, 0], nearest[:, -1]])
    chosen = int(np.bincount(rim).argmax())
    name = "#" + bytes(colors[chosen].tolist()).hex()
    log.warning("mask: no part of the picture is black. The colour of the rim, %s, is taken as the background.", name)
    return chosen


def _reading_order(nearest: np.ndarray) -> list[int]:
    """Return the colours that occur, by their first pixel from the top left."""
    found, first = np.unique(nearest, return_index=True)
    return [int(at) for at in found[np.argsort(first)]]
