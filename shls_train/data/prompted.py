"""Frames with an object and a simulated prompt, for the prompter: pasted scenes, and stills with pseudo-masks."""

from __future__ import annotations

import cv2
import numpy as np

from shls.runtime.evaluation.clicks import next_click
from shls.runtime.prompts.crop import Marks, Window

from .clips import Clip, ClipSize, Cutout, make_clip
from .views import Rng

LEAST_AREA = 0.0008
"""Least share of the frame that an object covers."""

SIDE_MULTIPLE = 16
"""Sides of a frame are multiples of this number."""

BOXED = 0.5
"""Probability that the first prompt is a box; otherwise it is a click."""

EXACT = 0.3
"""Probability that a box is exact; otherwise its edges are moved."""

LOOSE = 0.06
"""Standard deviation of a moved edge, share of the box's side."""


def pose_still(piece: Cutout, rng: Rng, pixels: int) -> Clip:
    """Photograph a still with a random camera.

    Parameters
    ----------
    piece : Cutout
        Still and pseudo-mask.
    rng : numpy.random.Generator
        Source of random numbers.
    pixels : int
        Approximate number of pixels of the frame. The frame's aspect ratio is near the still's.

    Returns
    -------
    Clip
        One frame; label 1 is the object.

    Examples
    --------
    >>> piece = Cutout(np.zeros((48, 64, 3), np.uint8), np.full((48, 64), 255, np.uint8))
    >>> pose_still(piece, np.random.default_rng(0), 48 * 64).labels.mean()
    np.float64(1.0)
    """
    ratio = piece.still.shape[1] / piece.still.shape[0] * np.exp(rng.uniform(-0.2, 0.2))
    ratio = float(np.clip(ratio, 0.6, 1.8))
    height, width = (_rounded(side) for side in ((pixels / ratio) ** 0.5, (pixels * ratio) ** 0.5))
    clip = make_clip(piece.still, [], rng, ClipSize(1, height, width))
    places = clip.layers[0].to_still(0, (height, width))
    mask = cv2.remap(piece.mask, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return clip._replace(labels=(mask > 127).astype(np.uint8)[None])


def objects_of(labels: np.ndarray) -> list[int]:
    """List the objects of (H, W) labels that are large enough to be marked.

    Examples
    --------
    >>> objects_of(np.repeat(np.uint8([[0, 0, 0, 2]]), 4, axis=0))
    [2]
    """
    counts = np.bincount(labels.ravel(), minlength=2)[1:]
    return [int(k) + 1 for k in np.flatnonzero(counts >= LEAST_AREA * labels.size)]


def first_prompt(truth: np.ndarray, rng: Rng) -> Marks:
    """Draw a first prompt of an object: a box, a click, or sometimes both.

    Parameters
    ----------
    truth : (H, W) bool
        The object.
    rng : numpy.random.Generator
        Source of random numbers.

    Examples
    --------
    >>> truth = np.zeros((20, 20), bool)
    >>> truth[5:15, 5:15] = True
    >>> marks = first_prompt(truth, np.random.default_rng(0))
    >>> len(marks.boxes) + len(marks.points)
    1
    """
    boxed = rng.random() < BOXED
    marks = Marks([_box(truth, rng)] if boxed else [], [], [])
    if not boxed or rng.random() < 0.1:
        marks = add_click(marks, truth, np.zeros_like(truth), rng)
    return marks


def add_click(marks: Marks, truth: np.ndarray, found: np.ndarray, rng: Rng | None = None) -> Marks:
    """Add the next click to a prompt: in the middle of the error, or with `rng` often elsewhere; see `next_click`.

    Examples
    --------
    >>> truth = np.zeros((9, 9), bool)
    >>> truth[2:7, 2:7] = True
    >>> add_click(Marks([], [], []), truth, np.zeros_like(truth)).points
    [(4, 4)]
    """
    click = next_click(truth, found, None if rng is None or rng.random() < 0.5 else rng)
    if click is None:
        return marks
    point, positive = click
    if positive:
        return marks._replace(points=[*marks.points, point])
    return marks._replace(negatives=[*marks.negatives, point])


def _box(truth: np.ndarray, rng: Rng) -> Window:
    x, y, w, h = cv2.boundingRect(truth.astype(np.uint8))
    edges = np.array([x, y, x + w, y + h], float)
    if rng.random() >= EXACT:
        edges += np.clip(rng.normal(0, LOOSE, 4), -0.15, 0.15) * [w, h, w, h]
    height, width = truth.shape
    edges = np.clip(np.rint(edges), 0, [width - 1, height - 1, width, height])
    left, top, right, bottom = edges.astype(int).tolist()
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _rounded(side: float) -> int:
    return max(1, round(side / SIDE_MULTIPLE)) * SIDE_MULTIPLE


def random_reach(truth: np.ndarray, rng: Rng) -> float:
    """Draw the size of the window around a first click, from an object that fills the window to a small object.

    Parameters
    ----------
    truth : (H, W) bool
        The object.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    float
        See `shls.runtime.prompts.crop.REACH`.

    Examples
    --------
    >>> 0.1 < random_reach(np.eye(20, dtype=bool), np.random.default_rng(0)) <= 4
    True
    """
    _, _, width, height = cv2.boundingRect(truth.astype(np.uint8))
    return float(max(width, height) / truth.size**0.5 * np.exp(rng.uniform(0, np.log(4))))
