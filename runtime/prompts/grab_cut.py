"""Masks from prompts by GrabCut (Rother et al. 2004): colours inside and outside, and a smooth border."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from .prompt import Prompt, clip_box, pixel_of

SIDE = 320
"""Longest side of the window that GrabCut works on, pixels: 0.3 s, and a finer window gives no better mask."""
ROUNDS = 3
SMOOTHING = 0.7
"""Sigma of the blur of that window, pixels: texture harms GrabCut more than blurred edges do."""
BOX_MARGIN = 0.06
"""Width of the ring around a box from which GrabCut learns the background, ratio of the box's sides."""
MASK_MARGIN = 0.25
"""The same width around a mask that is corrected by points."""
POINT_REACH = 0.12
"""Radius of a typical object around a point, ratio of the square root of the frame's area."""
POINT_WINDOW = 2.2
"""Half the side of the window around a point, in such radii."""
POINT_CORE = 0.3
"""Radius around a point that certainly belongs to the object, in such radii."""
BOX_CORE = 0.1
"""The same radius where there is a box, ratio of the square root of the box's area; the smaller radius counts."""
SMALLEST = 0.05
"""Ratio of the boxes' area below which the result of GrabCut counts as failed."""

Hints = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""GrabCut's marks at given x (1, w) and y (h, 1) of the frame."""
Window = tuple[int, int, int, int]
"""Left, top, right and bottom, frame pixels, the last two exclusive."""


def mask_from_prompt(image: np.ndarray, prompt: Prompt) -> np.ndarray:
    """Find the object that a prompt describes.

    A box bounds the object: only points outside of all boxes extend it. A point alone is a guess of the object's size.
    A mask alone is the result; boxes cut a mask, and points correct it.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    prompt : at least a box, a point on the object or a mask

    Returns
    -------
    (H, W) bool, True inside the object

    Raises
    ------
    BadInput
        If nothing says where the object is, if a box or point is outside the frame, or if the mask is bad.

    Examples
    --------
    >>> image = np.full((40, 60, 3), 90, np.uint8)
    >>> int(mask_from_prompt(image, Prompt(boxes=((10, 10, 20, 15),))).sum())  # nothing to see: the box
    300
    """
    size = (image.shape[0], image.shape[1])
    prompt.check(size)
    request = _resolve(prompt, size)
    no_points = not request.points and not request.nots
    if request.drawn is not None and no_points:
        return request.cut_mask()
    parts = [request._replace(boxes=[box]) for box in request.boxes] if no_points else [request]
    found = np.zeros(size, bool)
    for part in parts:
        found |= part.finish(_grab_cut(image, part.window(), part.hints))
    return found


class _Request(NamedTuple):
    """Prompt in pixels of the frame.

    size : (H, W)
    boxes : left, top, width and height each
    points, nots : x and y each, on the object and not on it
    drawn : (H, W) bool or None
    reach : radius of a typical object around a point, pixels
    core : radius around a point that is certain, in reaches
    """

    size: tuple[int, int]
    boxes: list[tuple[int, int, int, int]]
    points: list[tuple[int, int]]
    nots: list[tuple[int, int]]
    drawn: np.ndarray | None
    reach: float
    core: float

    def cut_mask(self) -> np.ndarray:
        """Return the part of the mask that is in the boxes, all of it if there are no boxes."""
        assert self.drawn is not None
        ys, xs = np.ogrid[: self.size[0], : self.size[1]]
        return self.drawn & self._in_boxes(xs, ys) if self.boxes else self.drawn

    def window(self) -> Window:
        """Return the part of the frame that decides."""
        parts = []
        for x, y, width, height in self.boxes:
            dx, dy = round(width * BOX_MARGIN) + 2, round(height * BOX_MARGIN) + 2
            parts.append((x - dx, y - dy, x + width + dx, y + height + dy))
        if self.drawn is not None and not self.boxes:
            x, y, width, height = cv2.boundingRect(self.drawn.astype(np.uint8))
            dx, dy = round(width * MASK_MARGIN) + 2, round(height * MASK_MARGIN) + 2
            parts.append((x - dx, y - dy, x + width + dx, y + height + dy))
        far = round(POINT_WINDOW * self.reach) + 2
        parts += [(x - far, y - far, x + far + 1, y + far + 1) for x, y in self._outside_points()]
        left, top, right, bottom = np.array(parts).T
        return max(0, int(left.min())), max(0, int(top.min())), *self._clip(int(right.max()), int(bottom.max()))

    def hints(self, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        """Return GrabCut's marks at x (1, w) and y (h, 1): (h, w) uint8."""
        to_point, to_not = self._distance(self.points, xs, ys), self._distance(self.nots, xs, ys)
        inside = self._in_boxes(xs, ys)
        if self.drawn is not None:  # the mask, less and plus what is near the points
            start = self.drawn[ys.astype(int), xs.astype(int)] & ~((to_not <= 1) & (to_not < to_point))
            start |= (to_point <= 1) & (to_point <= to_not)
        else:
            start = inside if self.boxes else to_point <= 1
        marks = np.where(start, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        if self.boxes:
            marks[~(inside | (self._distance(self._outside_points(), xs, ys) <= 1))] = cv2.GC_BGD
        marks[(to_point <= self.core) & (to_point <= to_not)] = cv2.GC_FGD
        marks[(to_not <= self.core) & (to_not < to_point)] = cv2.GC_BGD
        if not self.boxes:
            self._mark_rim(marks)
        return marks

    def finish(self, found: np.ndarray) -> np.ndarray:
        """Hold the (H, W) result of GrabCut to the prompt."""
        ys, xs = np.ogrid[: self.size[0], : self.size[1]]
        centres = xs + 0.5, ys + 0.5
        if self.boxes:
            inside = self._in_boxes(*centres)
            found = found & (inside | (self._distance(self._outside_points(), *centres) <= 1))
            if found.sum() < SMALLEST * inside.sum():
                found = inside & (self._distance(self.nots, *centres) > self.core)
        for x, y in self.nots:
            found[y, x] = False
        for x, y in self.points:
            found[y, x] = True
        if self.boxes or self.drawn is not None:
            return found
        _, parts = cv2.connectedComponents(found.astype(np.uint8))
        return np.isin(parts, [parts[y, x] for x, y in self.points])

    def _clip(self, right: int, bottom: int) -> tuple[int, int]:
        return min(self.size[1], right), min(self.size[0], bottom)

    def _in_boxes(self, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        inside = np.zeros(np.broadcast_shapes(xs.shape, ys.shape), bool)
        for x, y, width, height in self.boxes:
            inside |= (x <= xs) & (xs < x + width) & (y <= ys) & (ys < y + height)
        return inside

    def _outside_points(self) -> list[tuple[int, int]]:
        """List the points on the object that are in no box."""
        boxes = self.boxes
        return [
            (x, y)
            for x, y in self.points
            if not any(left <= x < left + width and top <= y < top + height for left, top, width, height in boxes)
        ]

    def _distance(self, points: Sequence[tuple[int, int]], xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        """Return the distance to the nearest point, in reaches; infinite where there are no points."""
        distance = np.full(np.broadcast_shapes(xs.shape, ys.shape), np.inf)
        for x, y in points:
            np.minimum(distance, np.hypot(xs - x - 0.5, ys - y - 0.5) / self.reach, out=distance)
        return distance

    def _mark_rim(self, marks: np.ndarray) -> None:
        """Mark the rim of the window as background, except where the frame ends: there the object may go on."""
        left, top, right, bottom = self.window()
        marks[:2][: 2 * (top > 0)] = cv2.GC_BGD
        marks[-2:][: 2 * (bottom < self.size[0])] = cv2.GC_BGD
        marks[:, :2][:, : 2 * (left > 0)] = cv2.GC_BGD
        marks[:, -2:][:, : 2 * (right < self.size[1])] = cv2.GC_BGD


def _resolve(prompt: Prompt, size: tuple[int, int]) -> _Request:
    """Round and clip a prompt to the pixels of the frame."""
    boxes = [clip_box(box, size) for box in prompt.boxes]
    reach = POINT_REACH * float(size[0] * size[1]) ** 0.5
    cores = [BOX_CORE * float(width * height) ** 0.5 / reach for _, _, width, height in boxes]
    return _Request(
        size,
        boxes,
        [pixel_of(point, size) for point in prompt.points],
        [pixel_of(point, size) for point in prompt.negative_points],
        prompt.drawn(size),
        reach,
        min([POINT_CORE, *cores]),
    )


def _grab_cut(image: np.ndarray, window: Window, hints: Hints) -> np.ndarray:
    """Split a window of the frame in object and background.

    image : (H, W, 3) uint8. Returns (H, W) bool, False outside the window.
    """
    left, top, right, bottom = window
    width, height = right - left, bottom - top
    scale = min(1.0, SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), SMOOTHING)
    xs = left + (np.arange(size[0]) + 0.5) * width / size[0]
    ys = top + (np.arange(size[1]) + 0.5) * height / size[1]
    marks = hints(xs[None, :], ys[:, None])
    certain = (marks == cv2.GC_BGD) | (marks == cv2.GC_PR_BGD)
    if not certain.any():  # a box around the whole frame: the frame's rim is the best background there is
        marks[[0, -1]], marks[:, [0, -1]] = cv2.GC_BGD, cv2.GC_BGD
    objects = (marks & 1).astype(bool)  # GC_FGD is 1, GC_PR_FGD is 3
    if min(objects.sum(), (~objects).sum()) >= 16:  # GrabCut fits five colours to each side
        cv2.setRNGSeed(0)  # GrabCut clusters from random starts: the same prompt must give the same mask
        cv2.grabCut(small, marks, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), ROUNDS, cv2.GC_INIT_WITH_MASK)
    found = np.zeros(image.shape[:2], bool)
    large = cv2.resize((marks & 1).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    found[top:bottom, left:right] = large > 0.5
    return found
