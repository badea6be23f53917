"""Inputs of the prompter network: a crop around the prompt, the prompt as maps, and the embedding's features."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import cv2
import numpy as np

from ..features.preprocess import normalise
from ..models.contract import PIXEL_MEAN, PIXEL_STD, PrompterContract
from ..refinement.crops import cut_map

MARGIN = 0.2
"""Width of the surroundings on each side of a crop, ratio of the sides of what is marked."""
REACH = 0.5
"""Least side of a window around points alone, ratio of the square root of the frame's area."""
SLIMMEST = 0.5
"""Least ratio of a crop's sides; a slimmer object gets wider surroundings."""
LEAST_SIDE = 24.0
"""Least side of a crop, frame pixels."""
DISK = 4.0
"""Standard deviation of a point's disk, crop pixels."""
RING_STEP = 2
"""Every n-th row and column of the cells outside of all boxes is compared with the crop."""
NEAR_POINT = 0.3
"""Value of a disk above which a cell counts as near its point."""
RIDGE = 0.05
"""Strength of the ridge regression that tells object and background apart."""
CLICK_WEIGHT = 0.1
"""Weight of a click in that regression, where all cells together weigh 1."""
OUTSIDE = -8.0
"""Logit of pixels outside of a crop."""

Window = tuple[int, int, int, int]
"""Left, top, right and bottom, frame pixels, the last two exclusive."""


class PromptChannel(IntEnum):
    """Channels of a crop, in order.

    Examples
    --------
    >>> len(PromptChannel)
    7
    """

    RED = 0
    GREEN = 1
    BLUE = 2
    BOX = 3
    """1 inside a box, -1 outside of all boxes, 0 without a box."""
    POINT = 4
    """Disks around points on the object, 0 to 1."""
    NEGATIVE = 5
    """Disks around points that are not on the object, 0 to 1."""
    LAST = 6
    """Previous mask: -1 background to 1 object; 0 without a mask."""


class Marks(NamedTuple):
    """Prompt of one object in pixels of the frame.

    Attributes
    ----------
    boxes : list of (left, top, right, bottom), the last two exclusive
    points : list of (x, y) on the object
    negatives : list of (x, y) that are not on the object

    Examples
    --------
    >>> Marks([(10, 10, 30, 25)], [], []).boxes
    [(10, 10, 30, 25)]
    """

    boxes: list[Window]
    points: list[tuple[int, int]]
    negatives: list[tuple[int, int]]


def window_of(
    size: tuple[int, int], marks: Marks, last: np.ndarray | None, margin: float = MARGIN, reach: float = REACH
) -> Window:
    """Choose the part of the frame that the network reads.

    The window surrounds boxes, points and the previous mask. Points alone do not say how large the object is; their
    window has the size that suits a typical object.

    Parameters
    ----------
    size : (H, W) of the frame
    marks : prompt
    last : (H, W) float32, probability of the previous mask, 0 to 1; None without one
    margin : see `MARGIN`
    reach : see `REACH`

    Examples
    --------
    >>> window_of((100, 200), Marks([(100, 40, 120, 60)], [], []), None)
    (96, 36, 124, 64)
    >>> window_of((100, 400), Marks([], [(50, 50)], []), None)
    (0, 0, 101, 100)
    """
    height, width = size
    parts = list(marks.boxes)
    if last is not None:
        x, y, w, h = cv2.boundingRect((last > 0.5).astype(np.uint8))
        if w:
            parts.append((x, y, x + w, y + h))
    least = LEAST_SIDE if parts else reach * float(height * width) ** 0.5
    parts += [(x, y, x + 1, y + 1) for x, y in marks.points]
    if not parts:
        return 0, 0, width, height
    edges = np.array(parts, float)
    low, high = edges[:, :2].min(0), edges[:, 2:].max(0)
    sides = (high - low) * (1 + 2 * margin)
    sides = np.maximum(np.maximum(sides, SLIMMEST * sides.max()), least)
    low = (low + high - sides) / 2
    if least > LEAST_SIDE:  # no window of a click is cut at the edge of the frame
        low = np.clip(low, 0, np.maximum([width, height] - sides, 0))
    left, top = np.floor(np.maximum(low, 0)).astype(int).tolist()
    right, bottom = np.ceil(np.minimum(low + sides, [width, height])).astype(int).tolist()
    return left, top, right, bottom


def cut(
    image: np.ndarray,
    features: np.ndarray,
    window: Window,
    marks: Marks,
    last: np.ndarray | None,
    contract: PrompterContract,
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the inputs of one run of the network.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    features : (D, h, w) float32, map of the embedding for the whole frame
    window : part of the frame
    marks : prompt
    last : (H, W) float32, probability of the previous mask, or None
    contract : sizes

    Returns
    -------
    crop : (C, S, S) float32, see `PromptChannel`
    features : (D + 3, s, s) float32
        The map inside the window; then the cosine to the most similar point on the object; the cosine to the most
        similar place that is not on the object, a negative point or a cell outside of all boxes; and a linear function
        of the features that separates the inside of the previous mask, of the boxes or of the points' surroundings
        from the rest.

    Examples
    --------
    >>> contract = PrompterContract("example", 32, 7, 4, "", "")
    >>> crop, features = cut(
    ...     np.zeros((40, 60, 3), np.uint8), np.ones((4, 10, 15), np.float32), (0, 0, 60, 40), Marks([], [(9, 9)], []),
    ...     None, contract,
    ... )
    >>> crop.shape, features.shape
    ((7, 32, 32), (7, 8, 8))
    """
    size, side = contract.size, contract.size // contract.stride
    left, top, right, bottom = window
    crop = np.zeros((len(PromptChannel), size, size), np.float32)
    part = image[top:bottom, left:right]
    shrinks = part.shape[0] * part.shape[1] > size * size
    colours = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    normalise(colours, PIXEL_MEAN, PIXEL_STD, crop[: PromptChannel.BOX])
    scale = np.array([size / (right - left), size / (bottom - top)])
    inside = _inside_boxes(marks, window, size)
    if inside is not None:
        crop[PromptChannel.BOX] = np.where(inside, 1, -1)
    _disks(marks.points, window, scale, crop[PromptChannel.POINT])
    _disks(marks.negatives, window, scale, crop[PromptChannel.NEGATIVE])
    if last is not None:
        known = cv2.resize(last[top:bottom, left:right], (size, size), interpolation=cv2.INTER_AREA)
        crop[PromptChannel.LAST] = 2 * known - 1
    cells = np.empty((contract.dim + contract.similarities, side, side), np.float32)
    cells[: contract.dim] = cut_map(features, np.array([window]), image.shape[:2], side)[0]
    _similarities(cells[: contract.dim], features, image.shape[:2], marks, window, last, cells[contract.dim :])
    return crop, cells


def put_back(logits: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """Return the logits of a whole frame, (H, W) float32, from those of a crop, (s, s); `OUTSIDE` elsewhere.

    Examples
    --------
    >>> put_back(np.ones((2, 2), np.float32), (1, 1, 3, 3), (3, 4)).tolist()
    [[-8.0, -8.0, -8.0, -8.0], [-8.0, 1.0, 1.0, -8.0], [-8.0, 1.0, 1.0, -8.0]]
    """
    left, top, right, bottom = window
    whole = np.full(size, OUTSIDE, np.float32)
    whole[top:bottom, left:right] = cv2.resize(logits, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    return whole


def probability(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of float32 logits, of the same shape.

    Examples
    --------
    >>> probability(np.zeros(1, np.float32)).tolist()
    [0.5]
    """
    return 1 / (1 + np.exp(-logits))


def _inside_boxes(marks: Marks, window: Window, size: int) -> np.ndarray | None:
    """Tell which pixels of a crop are in a box, (S, S) bool; None without boxes."""
    if not marks.boxes:
        return None
    left, top, right, bottom = window
    xs = left + (np.arange(size) + 0.5) * (right - left) / size
    ys = (top + (np.arange(size) + 0.5) * (bottom - top) / size)[:, None]
    inside = np.zeros((size, size), bool)
    for x0, y0, x1, y1 in marks.boxes:
        inside |= (x0 <= xs) & (xs < x1) & (y0 <= ys) & (ys < y1)
    return inside


def _disks(points: list[tuple[int, int]], window: Window, scale: np.ndarray, out: np.ndarray) -> None:
    """Draw soft disks around points into a channel, (S, S)."""
    places = np.arange(len(out)) + 0.5
    for x, y in points:
        u, v = (np.array([x + 0.5, y + 0.5]) - window[:2]) * scale
        row, column = (np.exp(-((places - at) ** 2) / (2 * DISK**2)).astype(np.float32) for at in (v, u))
        np.maximum(out, row[:, None] * column, out=out)


def _similarities(
    cells: np.ndarray,
    features: np.ndarray,
    size: tuple[int, ...],
    marks: Marks,
    window: Window,
    last: np.ndarray | None,
    out: np.ndarray,
) -> None:
    """Fill the channels of similarities, (3, s, s), from the cells of the map, (D, s, s)."""
    side = cells.shape[1]
    flat = cells.reshape(len(cells), -1)
    on, off = (_at(features, size, points) for points in (marks.points, marks.negatives))
    inside = _inside_boxes(marks, window, side)
    clicked = np.concatenate([on, off]), np.repeat([1.0, 0.0], [len(on), len(off)]).astype(np.float32)
    if last is not None:
        left, top, right, bottom = window
        guess = cv2.resize(last[top:bottom, left:right], (side, side), interpolation=cv2.INTER_AREA) > 0.5
    elif inside is not None:
        guess = inside
    else:
        guess = _near(marks.points, window, side)
    score = _separate(flat.T, guess.ravel(), *clicked)
    better = (score > 0) & inside.ravel() if inside is not None else score > 0
    out[2] = _separate(flat.T, better, *clicked).reshape(side, side)
    if inside is not None:
        coarse = np.zeros((side, side), bool)
        coarse[RING_STEP // 2 :: RING_STEP, RING_STEP // 2 :: RING_STEP] = True
        off = np.concatenate([off, flat[:, (coarse & ~inside).ravel()].T])
    for known, channel in zip((on, off), out, strict=False):
        channel[:] = (known @ flat).max(0).reshape(side, side) if len(known) else 0


def _near(points: list[tuple[int, int]], window: Window, side: int) -> np.ndarray:
    """Tell which cells are near a point, (s, s) bool."""
    near = np.zeros((side, side), np.float32)
    scale = np.array([side / (window[2] - window[0]), side / (window[3] - window[1])])
    _disks(points, window, scale, near)
    return near > NEAR_POINT


def _separate(cells: np.ndarray, guess: np.ndarray, clicked: np.ndarray, is_object: np.ndarray) -> np.ndarray:
    """Tell object and background apart by a linear function of the features, -1 to 1.

    The function is the ridge regression of a rough guess, in which both sides have equal weight; clicks weigh more.

    cells : (n, D) features; guess : (n,) bool; clicked : (m, D); is_object : (m,) 0 or 1. Returns (n,) float32.
    """
    inside = float(guess.mean())
    weights = np.where(guess, 0.5 / max(inside, 1e-3), 0.5 / max(1 - inside, 1e-3)) / len(guess)
    rows, targets = np.concatenate([cells, clicked]), np.concatenate([guess.astype(np.float32), is_object])
    weights = np.concatenate([weights, np.full(len(clicked), CLICK_WEIGHT)]).astype(np.float32)
    rows = np.concatenate([rows, np.ones((len(rows), 1), np.float32)], axis=1)
    weighted = rows * weights[:, None]
    ridge = RIDGE * np.eye(rows.shape[1], dtype=np.float32)
    found: np.ndarray = rows[: len(cells)] @ np.linalg.solve(weighted.T @ rows + ridge, weighted.T @ targets)
    return np.clip(2 * found - 1, -1, 1).astype(np.float32)


def _at(features: np.ndarray, size: tuple[int, ...], points: list[tuple[int, int]]) -> np.ndarray:
    """Return the features of the cells that hold some points, (n, D)."""
    h, w = features.shape[1:]
    columns = [min(w - 1, int((x + 0.5) * w / size[1])) for x, _ in points]
    rows = [min(h - 1, int((y + 0.5) * h / size[0])) for _, y in points]
    return features[:, rows, columns].T
