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

    labels : (H, W) int64, 0 background, objects 1 to K from left to right
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
    """Return True if (H, W) values lie in 2x2 blocks of one value, as ids do and values of soft edges do not.

    Nearly all values must have a block. So must most pixels, without zeros and the most frequent value besides.
    """
    found, counts = np.unique(values[values > 0], return_counts=True)
    if found.size < 2:
        return True
    blocks = _in_blocks(values[..., None])
    solid = np.unique(values[blocks & (values > 0)])
    if found.size - solid.size > max(2, 0.1 * solid.size):
        return False
    rest = (values > 0) & (values != found[counts.argmax()])
    return bool((blocks & rest).sum() * 2 >= rest.sum())


def flat_labels(image: np.ndarray, lossy: bool) -> FlatLabels | None:
    """Segment (H, W, 3) uint8 into flat colours; None if there are none besides the background, or too many."""
    flat = _flat_pixels(image, lossy)
    colors = _find_colors(image, flat, lossy)
    if not 2 <= len(colors) <= MOST:
        return None
    nearest, close = _nearest(image, colors, flat)
    background = _background(colors, nearest)
    order = [at for at in _left_to_right(nearest, len(colors)) if at != background]
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
    return _add_small(image, _merge(image[flat], candidates[: 64 * MOST]))


def _all_flat(image: np.ndarray, flat: np.ndarray) -> bool:
    """Return True if there are no soft edges: nearly all pixels outside the background are flat."""
    colored = image.max(2) > DARK
    return bool((colored & ~flat).sum() <= 0.02 * colored.sum())


def _merge(pixels: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Keep candidates that differ from all kept before, each moved to the mean of the pixels around it."""
    pixels = pixels.astype(np.int64)
    kept: list[np.ndarray] = []
    for candidate in candidates.astype(np.int64):
        if len(kept) > MOST:
            break
        if all(((candidate - color) ** 2).sum() >= MERGE**2 for color in kept):
            near = ((pixels - candidate) ** 2).sum(1) < CLOSE**2
            kept.append(np.rint(pixels[near].mean(0)).astype(np.int64) if near.any() else candidate)
    return np.array(kept, np.int64).reshape(-1, 3).clip(0, 255).astype(np.uint8)


def _add_small(image: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Add the colours of small parts whose noise hides that they are flat: (K, 3) uint8."""
    if not 1 <= len(colors) <= MOST:
        return colors
    distance = _color_distances(image, colors)[0]
    strange = cv2.morphologyEx((distance > MERGE**2).astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, parts = cv2.connectedComponents(strange)
    found = [np.median(image[parts == at], axis=0) for at in range(1, min(count, MOST))]
    pure = [color for color in found if not _is_mixed(color, colors)]
    return _merge(image[:0].reshape(0, 3), np.array([*colors, *pure]).round().astype(np.uint8))


def _is_mixed(color: np.ndarray, colors: np.ndarray) -> bool:
    """Return True if a colour lies between two of (K, 3) colours, as in a soft edge."""
    starts, ends = (part.reshape(-1, 3).astype(float) for part in np.broadcast_arrays(colors[:, None], colors[None]))
    along = ends - starts
    position = ((color - starts) * along).sum(1) / np.maximum((along**2).sum(1), 1)
    distances = np.linalg.norm(starts + position.clip(0, 1)[:, None] * along - color, axis=1)
    return bool(distances.min() < MERGE)


def _color_distances(image: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the squared distance to the nearest colour, and which it is: (H, W) int64 each."""
    codes = image @ np.array([1 << 16, 1 << 8, 1])
    found, places = np.unique(codes, return_inverse=True)
    values = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1)
    best, nearest = np.full(len(found), FAR), np.zeros(len(found), np.int64)
    for at, color in enumerate(colors.astype(np.int64)):
        distance = ((values - color) ** 2).sum(1)
        better = distance < best
        best[better], nearest[better] = distance[better], at
    return best[places].reshape(codes.shape), nearest[places].reshape(codes.shape)


def _nearest(image: np.ndarray, colors: np.ndarray, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give each pixel the nearest colour, by preference one with solid parts around; mark pixels that are close."""
    distance, known = _color_distances(image, colors)
    nearest = known.copy()
    settled = (flat & (distance < CLOSE**2)) | (distance == 0)
    ys, xs = np.nonzero(~settled)
    pixels, best = image[ys, xs].astype(np.int64), np.full(len(ys), 2 * FAR)
    thick, wide = np.ones((5, 5), np.uint8), np.ones((9, 9), np.uint8)
    for at, color in enumerate(colors.astype(np.int64)):
        solid = cv2.morphologyEx((known == at).astype(np.uint8), cv2.MORPH_OPEN, thick)  # soft edges are thinner
        around = cv2.dilate(solid | (settled & (known == at)), wide)[ys, xs]
        cost = ((pixels - color) ** 2).sum(1) + np.where(around > 0, 0, FAR)
        better = cost < best
        best[better] = cost[better]
        nearest[ys[better], xs[better]] = at
    distance[ys, xs] = best % FAR
    return nearest, distance < CLOSE**2


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


def _left_to_right(nearest: np.ndarray, count: int) -> list[int]:
    """Return the colours that occur, by the mean column of their pixels."""
    areas = np.bincount(nearest.ravel(), minlength=count)
    columns = np.broadcast_to(np.arange(nearest.shape[1]), nearest.shape)
    sums = np.bincount(nearest.ravel(), columns.ravel(), minlength=count)
    return [int(at) for at in np.argsort(sums / np.maximum(areas, 1), kind="stable") if areas[at]]
