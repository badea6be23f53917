"""Prompts: what a person says about one object in one frame, and the text of the command line for it."""

from __future__ import annotations

import logging
import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import BadInput
from ..io.masks import read_mask

Box = tuple[float, float, float, float]
"""Left, top, width and height, frame pixels."""
Point = tuple[float, float]
"""x and y, frame pixels; pixel 0 covers 0 to 1."""

log = logging.getLogger("shls")


@dataclass(frozen=True, eq=False)
class Prompt:
    """Prompt of one object.

    Any function that turns an image and a prompt into a mask can take the place of `mask_from_prompt`.

    Attributes
    ----------
    name : name of the object in the outputs
    boxes : boxes around the object, or around its parts
    points : points on the object
    negative_points : points that are not on the object
    mask : file whose objects are all this object, or (H, W) array, non-zero inside; boxes and points correct it

    Examples
    --------
    >>> Prompt("dog", boxes=((46, 62, 68, 68),), negative_points=((50, 70),)).label
    'dog'
    """

    name: str | None = None
    boxes: tuple[Box, ...] = ()
    points: tuple[Point, ...] = ()
    negative_points: tuple[Point, ...] = ()
    mask: Path | np.ndarray | None = None

    @property
    def label(self) -> str:
        """Name of the prompt in messages."""
        if self.name or not (self.boxes or self.points):
            return self.name or "object"
        return ("box " if self.boxes else "point ") + ",".join(f"{value:g}" for value in [*self.boxes, *self.points][0])

    def onto(self, mask: np.ndarray) -> Prompt:
        """Return the prompt as a correction of an object's mask, (H, W) bool.

        Points correct the mask. A prompt with a box or a mask of its own marks the object anew, so it is returned
        unchanged. So is a prompt of an object that is not visible.

        Examples
        --------
        >>> mask = np.ones((4, 6), bool)
        >>> Prompt(negative_points=((2, 3),)).onto(mask).mask is mask
        True
        """
        anew = self.boxes or self.mask is not None or not mask.any()
        return self if anew else replace(self, mask=mask)

    def check(self, size: tuple[int, int], corrects: bool = False) -> None:
        """Raise BadInput if the prompt has no positive part, or if a box or point is outside a frame of (H, W).

        With `corrects`, negative points alone are enough, because the object is followed already.
        """
        if not corrects and not self.boxes and not self.points and self.mask is None:
            count = len(self.negative_points)
            raise BadInput(
                f"{self.label}: nothing says where the object is (got {count} negative points only, expected a box, "
                "a point on the object, or a mask). Add one of them"
            )
        for box in self.boxes:
            clip_box(box, size)
        on = {pixel_of(point, size) for point in self.points}
        both = on & {pixel_of(point, size) for point in self.negative_points}
        if both:
            x, y = min(both)
            raise BadInput(
                f"point {x},{y}: on the object and not on it (got both, expected one of them). Leave one out"
            )

    def warn_if_outside(self, size: tuple[int, int]) -> None:
        """Log a warning for each box of which more than half is outside a frame of (H, W)."""
        for box in self.boxes:
            _, _, width, height = clip_box(box, size)
            if 2 * width * height < box[2] * box[3]:
                text = ",".join(f"{value:g}" for value in box)
                log.warning("box %s: more than half of the box is outside the frame of %dx%d.", text, size[1], size[0])

    def drawn(self, size: tuple[int, int]) -> np.ndarray | None:
        """Return the mask as (H, W) bool for a frame of (H, W), None if there is none; raise BadInput if it is bad."""
        if self.mask is None:
            return None
        if not isinstance(self.mask, np.ndarray):
            return read_mask(self.mask, size) > 0
        if self.mask.shape != size or not self.mask.any():
            raise BadInput(
                f"{self.label}: the mask does not fit (got shape {self.mask.shape} with {np.count_nonzero(self.mask)} "
                f"pixels inside, expected shape {size} with at least one). Give a mask of the frame"
            )
        return self.mask > 0


Solver = Callable[[np.ndarray, Prompt], np.ndarray]
"""Function of an image (H, W, 3) and a prompt to a mask (H, W) bool, as `mask_from_prompt`."""


def clip_box(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Round a box to pixels and clip it to the frame.

    Parameters
    ----------
    box : left, top, width and height
    size : (H, W) of the frame

    Returns
    -------
    tuple of int
        Left, top, width and height.

    Raises
    ------
    BadInput
        If the box is empty, or wholly outside the frame.

    Examples
    --------
    >>> clip_box((-10, 62.2, 124.5, 68), (240, 320))
    (0, 62, 115, 68)
    """
    x, y, width, height = box
    edges = [math.floor(value + 0.5) for value in (x, y, x + width, y + height)]
    left, top, right, bottom = max(0, edges[0]), max(0, edges[1]), min(size[1], edges[2]), min(size[0], edges[3])
    text = ",".join(f"{value:g}" for value in box)
    if right <= left or bottom <= top:
        raise BadInput(
            f"box {text}: the box is empty or outside the frame (got x {edges[0]} to {edges[2]} and y {edges[1]} to "
            f"{edges[3]}, expected x within 0 to {size[1]} and y within 0 to {size[0]}). "
            "Give x,y,width,height in pixels of the frame"
        )
    return left, top, right - left, bottom - top


def pixel_of(point: Point, size: tuple[int, int]) -> tuple[int, int]:
    """Return the pixel x, y that holds a point; raise BadInput if the point is outside a frame of (H, W).

    Examples
    --------
    >>> pixel_of((46.5, 62.0), (240, 320))
    (46, 62)
    """
    x, y = math.floor(point[0]), math.floor(point[1])
    if not (0 <= x < size[1] and 0 <= y < size[0]):
        raise BadInput(
            f"point {point[0]:g},{point[1]:g}: the point is outside the frame (expected x from 0 to {size[1] - 1} and "
            f"y from 0 to {size[0] - 1}). Give x,y in pixels of the frame"
        )
    return x, y


def parse_box(text: str) -> Box:
    """Read a box from `x,y,width,height` or `xyxy:left,top,right,bottom`, pixels.

    Raises
    ------
    BadInput
        If the text is anything else.

    Examples
    --------
    >>> parse_box("46,62,68,68")
    (46.0, 62.0, 68.0, 68.0)
    >>> parse_box("xyxy:46,62,114,130")
    (46.0, 62.0, 68.0, 68.0)
    """
    kind, colon, rest = text.rpartition(":")
    if colon and kind.strip() == "xyxy":
        left, top, right, bottom = _numbers(rest, text, "box", "xyxy:left,top,right,bottom")
        return left, top, right - left, bottom - top
    if colon and kind.strip() == "xywh":
        text = rest
    x, y, width, height = _numbers(text, text, "box", "x,y,width,height")
    return x, y, width, height


def parse_point(text: str) -> Point:
    """Read a point from `x,y`, pixels; raise BadInput if the text is anything else.

    Examples
    --------
    >>> parse_point("80,96")
    (80.0, 96.0)
    """
    x, y = _numbers(text, text, "point", "x,y")
    return x, y


def parse_object(text: str) -> Prompt:
    """Read the prompt of one object from words such as `name=dog box=46,62,68,68 point=80,96 not=50,70`.

    `box`, `point` and `not` may be repeated; `mask=FILE` starts from a mask. Quotes keep blanks in names and files.

    Raises
    ------
    BadInput
        If a word is unknown, if `name` or `mask` is repeated, or if nothing says where the object is.

    Examples
    --------
    >>> prompt = parse_object("name='big dog' box=46,62,68,68 not=50,70")
    >>> prompt.name, prompt.boxes, prompt.negative_points
    ('big dog', ((46.0, 62.0, 68.0, 68.0),), ((50.0, 70.0),))
    """
    known: dict[str, list[str]] = {"name": [], "box": [], "point": [], "not": [], "mask": []}
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadInput(f"object {text!r}: cannot be read ({error}). Close the quotes") from error
    for word in words:
        key, sign, value = word.partition("=")
        if key not in known or not sign or not value:
            raise BadInput(
                f"object {text!r}: unknown word (got '{word}', expected name=, box=, point=, not= or mask= with a "
                "value and no blanks). Separate the words by blanks and the numbers by commas"
            )
        known[key].append(value)
    for key in ("name", "mask"):
        if len(known[key]) > 1:
            raise BadInput(f"object {text!r}: {key} is repeated (got {len(known[key])}, expected one). Leave one out")
    if not known["box"] + known["point"] + known["mask"]:
        raise BadInput(
            f"object {text!r}: nothing says where the object is (expected box=, point= or mask=). Add one of them"
        )
    return Prompt(
        known["name"][0] if known["name"] else None,
        tuple(map(parse_box, known["box"])),
        tuple(map(parse_point, known["point"])),
        tuple(map(parse_point, known["not"])),
        Path(known["mask"][0]) if known["mask"] else None,
    )


def _numbers(numbers: str, text: str, what: str, form: str) -> list[float]:
    try:
        found = [float(part) for part in numbers.split(",")]
    except ValueError:
        found = []
    wanted = form.count(",") + 1
    if len(found) != wanted or not all(map(math.isfinite, found)):
        raise BadInput(
            f"{what} {text!r}: cannot be read (expected {form}: {wanted} numbers of pixels, with commas and without "
            f"blanks between them). Write --{what} {_example(form)}"
        )
    return found


def _example(form: str) -> str:
    return {"x,y": "80,96", "x,y,width,height": "46,62,68,68"}.get(form, "xyxy:46,62,114,130")
