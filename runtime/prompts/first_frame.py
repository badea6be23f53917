"""From what a person says of the first frame, a mask file, boxes or points, to the mask to follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from ..errors import BadInput
from ..io.masks import MAX_OBJECTS, read_mask

Box = tuple[int, int, int, int]  # x, y, width, height, frame pixels
Point = tuple[int, int]  # x, y

SIDE = 320  # GrabCut works on a window of at most this many pixels: some 0.3 s, and finer does not help
ROUNDS = 3
SMOOTHING = 0.7  # sigma, pixels of that window: texture costs GrabCut more than blurred edges do
BOX_MARGIN = 0.06  # of the box's sides: the ring that shows GrabCut what the background looks like
POINT_REACH = 0.12  # radius of what a point probably means, in square roots of the frame's area
POINT_WINDOW = 2.2  # half a side of the window around a point, in such radii
POINT_CORE = 0.3  # what it means for certain, in such radii
SMALLEST = 0.05  # of a box: when GrabCut keeps less than this it has failed


def first_mask(
    image: np.ndarray, mask: Path | None = None, boxes: Sequence[Box] = (), points: Sequence[Point] = ()
) -> np.ndarray:
    """Make the mask to start from.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB, the frame that is marked
    mask : a mask file or folder as `read_mask` takes; without boxes and points
    boxes, points : one object each, boxes first: ids 1, 2, ...; where they overlap the smaller is on top

    Returns
    -------
    (H, W) uint8 object ids

    Raises
    ------
    BadInput
        If nothing is marked, if a box or point lies outside, or if the mask is bad.
    """
    if mask is not None and (boxes or points):
        raise BadInput("a mask together with boxes or points; expected one or the other")
    if mask is not None:
        return read_mask(mask, (image.shape[0], image.shape[1]))
    count = len(boxes) + len(points)
    if not 0 < count <= MAX_OBJECTS:
        raise BadInput(f"{count} objects marked; expected a mask, or 1 to {MAX_OBJECTS} boxes and points")
    objects = [mask_from_box(image, box, at) for at, box in enumerate(boxes, 1)]
    objects += [mask_from_point(image, point, at) for at, point in enumerate(points, len(boxes) + 1)]
    labels = np.zeros(image.shape[:2], np.uint8)
    for part in sorted(objects, key=np.count_nonzero, reverse=True):
        np.copyto(labels, part, where=part > 0)
    hidden = set(range(1, count + 1)) - set(np.unique(labels).tolist())
    if hidden:
        raise BadInput(f"object {min(hidden)} lies wholly under another; expected each box or point on its own object")
    return labels


def mask_from_box(image: np.ndarray, box: Box, object_id: int = 1) -> np.ndarray:
    """Find the object that fills a box, with GrabCut (Rother et al. 2004), in a window a bit larger.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    box : x, y, width, height in pixels, inside the frame
    object_id : what to write into the mask, 1..254

    Returns
    -------
    (H, W) uint8, `object_id` inside the object, never outside the box; the whole box if none was found
    """
    height, width = image.shape[:2]
    x, y, w, h = box
    if w <= 0 or h <= 0 or x < 0 or y < 0 or x + w > width or y + h > height:
        raise BadInput(
            f"box {x},{y},{w},{h} is empty or not inside the frame, which is {width}x{height}; "
            "expected x,y,width,height in pixels of the frame"
        )
    dx, dy = round(w * BOX_MARGIN) + 2, round(h * BOX_MARGIN) + 2
    window = max(0, x - dx), max(0, y - dy), min(width, x + w + dx), min(height, y + h + dy)

    def hints(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        inside = (x <= xs) & (xs < x + w) & (y <= ys) & (ys < y + h)
        return np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD)

    whole = np.zeros((height, width), bool)
    whole[y : y + h, x : x + w] = True
    found = _grab_cut(image, window, hints) & whole
    if found.sum() < SMALLEST * w * h:
        found = whole
    return found.astype(np.uint8) * np.uint8(object_id)


def mask_from_point(image: np.ndarray, point: Point, object_id: int = 1) -> np.ndarray:
    """Guess the object under a point: GrabCut, started from a disc of the size that objects often have.

    It is a guess: a point does not say whether the rider or the horse is meant. A box says more.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    point : x, y in pixels
    object_id : what to write into the mask, 1..254

    Returns
    -------
    (H, W) uint8, `object_id` inside the object: one connected region with the point in it
    """
    height, width = image.shape[:2]
    x, y = point
    if not (0 <= x < width and 0 <= y < height):
        raise BadInput(f"point {x},{y} is outside the frame, which is {width}x{height}; expected x,y in its pixels")
    reach = POINT_REACH * float(height * width) ** 0.5
    far = round(POINT_WINDOW * reach) + 2
    left, top, right, bottom = (
        max(0, x - far),
        max(0, y - far),
        min(width, x + far + 1),
        min(height, y + far + 1),
    )

    def hints(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        distance = np.hypot(xs - x - 0.5, ys - y - 0.5) / reach
        marks = np.where(distance <= 1, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
        marks[distance <= POINT_CORE] = cv2.GC_FGD
        # The window's sides are background, but where the window ends with the frame the object may go on.
        marks[:2][: 2 * (top > 0)] = cv2.GC_BGD
        marks[-2:][: 2 * (bottom < height)] = cv2.GC_BGD
        marks[:, :2][:, : 2 * (left > 0)] = cv2.GC_BGD
        marks[:, -2:][:, : 2 * (right < width)] = cv2.GC_BGD
        return marks

    found: np.ndarray = _grab_cut(image, (left, top, right, bottom), hints).astype(np.uint8)
    found[y, x] = 1
    _, parts = cv2.connectedComponents(found)
    return np.where(parts == parts[y, x], np.uint8(object_id), np.uint8(0))


def parse_box(text: str) -> Box:
    """Read `x,y,width,height`; raises BadInput if it is anything else."""
    x, y, w, h = _whole_numbers(text, "box", "x,y,width,height")
    return x, y, w, h


def parse_point(text: str) -> Point:
    """Read `x,y`; raises BadInput if it is anything else."""
    x, y = _whole_numbers(text, "point", "x,y")
    return x, y


def _whole_numbers(text: str, what: str, form: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != form.count(",") + 1:
        raise BadInput(f"{what} '{text}' cannot be read; expected {form}, whole numbers of pixels with commas between")
    return numbers


def _grab_cut(
    image: np.ndarray,
    window: tuple[int, int, int, int],
    hints: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Split a window of the frame in object and background.

    Parameters
    ----------
    image : (H, W, 3) uint8
    window : left, top, right, bottom
    hints : GrabCut's marks at given x (1, w) and y (h, 1) of the frame

    Returns
    -------
    (H, W) bool, False outside the window
    """
    left, top, right, bottom = window
    width, height = right - left, bottom - top
    scale = min(1.0, SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), SMOOTHING)
    xs = left + (np.arange(size[0]) + 0.5) * width / size[0]
    ys = top + (np.arange(size[1]) + 0.5) * height / size[1]
    marks = hints(xs[None, :], ys[:, None]).astype(np.uint8)
    certain = (marks == cv2.GC_BGD) | (marks == cv2.GC_PR_BGD)
    if not certain.any():  # a box around the whole frame: its rim is the best there is
        marks[[0, -1]], marks[:, [0, -1]] = cv2.GC_BGD, cv2.GC_BGD
    objects = (marks & 1).astype(bool)  # GC_FGD is 1, GC_PR_FGD is 3
    if min(objects.sum(), (~objects).sum()) >= 16:  # GrabCut fits five colours to each side
        cv2.setRNGSeed(0)  # it clusters from random starts: the same prompt must give the same mask
        cv2.grabCut(small, marks, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), ROUNDS, cv2.GC_INIT_WITH_MASK)
    found = np.zeros(image.shape[:2], bool)
    large = cv2.resize((marks & 1).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    found[top:bottom, left:right] = large > 0.5
    return found
