"""Pairs of views of a still with known correspondence.

A view is a crop with random rotation, scale and shear. The second view is also deformed smoothly, like a non-rigid
object. In most pairs a piece of another still covers part of both views and moves independently of the background.
Features must therefore not depend on the background.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

Rng = np.random.Generator


class Pair(NamedTuple):
    """Two views and their corresponding points.

    Attributes
    ----------
    first, second : (S, S, 3) uint8 array
        RGB views.
    points_first, points_second : (P, 2) float32 array
        Positions of the same points in both views, x and y in pixels.

    Examples
    --------
    >>> view, points = np.zeros((8, 8, 3), np.uint8), np.zeros((2, 2), np.float32)
    >>> Pair(view, view, points, points).first.shape
    (8, 8, 3)
    """

    first: np.ndarray
    second: np.ndarray
    points_first: np.ndarray
    points_second: np.ndarray


@dataclass(frozen=True)
class _Layer:
    """One still in both views: images, masks, and the correspondence from the second view to the first.

    `partner`, (S, S, 2) float32, maps pixels of the second view to pixels of the first view. `seen`, (S, S) bool, is
    true where this correspondence is valid.
    """

    first: np.ndarray
    second: np.ndarray
    first_mask: np.ndarray
    second_mask: np.ndarray
    partner: np.ndarray
    seen: np.ndarray


def make_pair(still: np.ndarray, other: np.ndarray, rng: Rng, size: int, points: int) -> Pair:
    """Draw two views of a still; in most pairs a piece of another still covers part of both views.

    Parameters
    ----------
    still, other : (H, W, 3) uint8
        RGB images of any size.
    rng : numpy.random.Generator
        Source of random numbers. Equal states give equal pairs.
    size : int
        S, side of a view in pixels.
    points : int
        P, number of corresponding points.

    Returns
    -------
    Pair
        Views and corresponding points.

    Examples
    --------
    >>> stills = np.random.default_rng(0).integers(0, 255, (2, 60, 80, 3), np.uint8)
    >>> pair = make_pair(*stills, np.random.default_rng(1), size=32, points=5)
    >>> pair.first.shape, pair.points_second.shape
    ((32, 32, 3), (5, 2))
    """
    back = _layer(still, np.full(still.shape[:2], 255, np.uint8), rng, size)
    first, second, partner, seen = back.first, back.second, back.partner, back.seen
    if rng.random() < 0.75:
        front = _layer(other, blob(other.shape[:2], rng), rng, size)
        first, second = (
            _paste(front.first, front.first_mask, first),
            _paste(front.second, front.second_mask, second),
        )
        covers = front.second_mask > 127
        partner = np.where(covers[..., None], front.partner, partner)
        first_covered = _sample(front.first_mask, partner) > 127
        seen = np.where(covers, front.seen & first_covered, seen & ~first_covered)
    rows, columns = _draw_points(seen, points, rng)
    return Pair(
        _photograph(first, rng),
        _photograph(second, rng),
        partner[rows, columns],
        np.stack([columns, rows], axis=1).astype(np.float32),
    )


def _layer(still: np.ndarray, mask: np.ndarray, rng: Rng, size: int) -> _Layer:
    """Draw both views of one still and its mask."""
    height, width = still.shape[:2]
    side = min(height, width) * rng.uniform(0.45, 1.0)
    centre = np.array([rng.uniform(0.3, 0.7) * width, rng.uniform(0.3, 0.7) * height])
    to_still = _affine(centre, side / size, size, rng)
    moved = _affine(
        centre + rng.uniform(-0.25, 0.25, 2) * side, side / size * np.exp(rng.uniform(-0.35, 0.35)), size, rng
    )
    first_map = _apply(to_still, _grid(size))
    second_map = _apply(moved, _grid(size) + _bend(size, rng))
    partner = _apply(_inverse(to_still), second_map)
    seen = _inside(second_map, width, height) & _inside(partner, size, size)
    return _Layer(
        _warp(still, first_map),
        _warp(still, second_map),
        _warp(mask, first_map),
        _warp(mask, second_map),
        partner,
        seen,
    )


def _affine(centre: np.ndarray, scale: float, size: int, rng: Rng) -> np.ndarray:
    """Draw the (2, 3) matrix from view pixels to still pixels that maps the view's centre to `centre`."""
    angle, shear = np.deg2rad(rng.uniform(-20, 20)), rng.uniform(-0.15, 0.15)
    stretch = np.exp(rng.uniform(-0.12, 0.12))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = scale * rotation @ np.array([[stretch, shear], [0, 1 / stretch]])
    middle = np.full(2, (size - 1) / 2)
    return np.concatenate([linear, (centre - linear @ middle)[:, None]], axis=1)


def _inverse(matrix: np.ndarray) -> np.ndarray:
    return cv2.invertAffineTransform(matrix)


def _apply(matrix: np.ndarray, xy: np.ndarray) -> np.ndarray:
    return cv2.transform(xy, matrix)


def _grid(size: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float32)


def _bend(size: int, rng: Rng) -> np.ndarray:
    """Draw a smooth displacement field, (size, size, 2) in pixels, up to about 5 % of the view."""
    coarse = rng.normal(0, 0.02 * size, (5, 5, 2)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def _inside(xy: np.ndarray, width: int, height: int) -> np.ndarray:
    x, y = xy[..., 0], xy[..., 1]
    return (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)


def _warp(image: np.ndarray, xy: np.ndarray) -> np.ndarray:
    return cv2.remap(image, xy, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _sample(mask: np.ndarray, xy: np.ndarray) -> np.ndarray:
    return cv2.remap(mask, xy, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)


def blob(shape: tuple[int, ...], rng: Rng) -> np.ndarray:
    """Draw a mask with a smooth random outline near the centre of a still.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the still.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    (H, W) uint8 array
        255 inside the outline, 0 elsewhere.

    Examples
    --------
    >>> np.unique(blob((40, 60), np.random.default_rng(0))).tolist()
    [0, 255]
    """
    height, width = shape[:2]
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    waves = np.sum(
        [rng.uniform(-0.35, 0.35) / k * np.cos(k * angles + rng.uniform(0, 2 * np.pi)) for k in range(1, 6)], axis=0
    )
    radius = min(height, width) * rng.uniform(0.15, 0.38) * (1 + waves)
    centre = np.array([width, height]) * rng.uniform(0.35, 0.65, 2)
    outline = centre + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [outline.astype(np.int32)], 255)
    return mask


def _paste(front: np.ndarray, mask: np.ndarray, back: np.ndarray) -> np.ndarray:
    share = cv2.GaussianBlur(mask, (3, 3), 0)[..., None].astype(np.float32) / 255
    return (share * front + (1 - share) * back).astype(np.uint8)


def _draw_points(seen: np.ndarray, points: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows and columns of pixels with a valid correspondence."""
    candidates = np.flatnonzero(seen)
    if candidates.size == 0:
        candidates = np.arange(seen.size)
    chosen = rng.choice(candidates, points, replace=candidates.size < points)
    rows, columns = np.unravel_index(chosen, seen.shape)
    return rows, columns


def _photograph(view: np.ndarray, rng: Rng) -> np.ndarray:
    """Apply random exposure, colour, blur and compression to a view, (S, S, 3) uint8."""
    image = view.astype(np.float32)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    image = grey + (image - grey) * rng.uniform(0.6, 1.4)
    image = (image - 127) * rng.uniform(0.75, 1.3) + 127 + rng.uniform(-25, 25)
    image *= rng.uniform(0.9, 1.1, 3).astype(np.float32)
    if rng.random() < 0.35:
        image = _blur(image, rng)
    shot = np.clip(image, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 85))]
        shot = cv2.imdecode(cv2.imencode(".jpg", shot, quality)[1], cv2.IMREAD_COLOR)
    return shot


def _blur(image: np.ndarray, rng: Rng) -> np.ndarray:
    if rng.random() < 0.5:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.8))
    return cv2.filter2D(image, -1, streak(rng))


def streak(rng: Rng) -> np.ndarray:
    """Draw a motion blur kernel: a line of random length and direction with the sum 1.

    Examples
    --------
    >>> kernel = streak(np.random.default_rng(0))
    >>> kernel.dtype, round(float(kernel.sum()), 3)
    (dtype('float32'), 1.0)
    """
    length = int(rng.integers(3, 10))
    kernel = np.zeros((length, length), np.float32)
    middle, reach = (length - 1) / 2, np.array([np.cos(a := rng.uniform(0, np.pi)), np.sin(a)]) * length / 2
    ends = np.round([middle - reach, middle + reach]).astype(int).tolist()
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return kernel / kernel.sum()
