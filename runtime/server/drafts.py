"""Requests to mark an object: reading them from JSON, and the mask that they give."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from ..errors import BadInput
from ..io.rle import decode_rle
from ..prompts.first_frame import Solver
from ..prompts.prompt import Box, Point, Prompt

MOST_SHAPES = 100
"""Largest number of boxes, points and negative points of one prompt, each."""
MOST_STROKES, MOST_STROKE_POINTS = 500, 2_000
"""Largest number of strokes of one prompt, and of points of one stroke."""
WIDEST_STROKE = 500.0
"""Largest radius of a stroke, pixels."""


@dataclass(frozen=True)
class Stroke:
    """Stroke of a brush.

    Attributes
    ----------
    points : tuple of (float, float)
        x and y, frame pixels.
    radius : float
        Half the width of the stroke, pixels.
    erase : bool
        Whether the stroke takes pixels away from the object.

    Examples
    --------
    >>> Stroke(((3.0, 4.0),), 2.0).erase
    False
    """

    points: tuple[Point, ...]
    radius: float
    erase: bool = False


@dataclass(frozen=True)
class MarkRequest:
    """Request to mark a new object, or to correct an object, in one frame.

    Attributes
    ----------
    object_id : int or None
        Object to correct; None for a new object.
    name : str or None
        Name of the object; None leaves the name as it is.
    frame : int or None
        Number of the frame that the person saw; None for the frame that is shown.
    boxes, points, negative_points
        As in `Prompt`.
    strokes : tuple of Stroke
        Painted in order over the mask.
    mask : dict or None
        Run lengths of a mask as in COCO: `{"size": [H, W], "counts": text}`.

    Examples
    --------
    >>> MarkRequest.from_json({"points": [[80, 96]], "name": "dog"}).prompt(None).points
    ((80.0, 96.0),)
    """

    object_id: int | None = None
    name: str | None = None
    frame: int | None = None
    boxes: tuple[Box, ...] = ()
    points: tuple[Point, ...] = ()
    negative_points: tuple[Point, ...] = ()
    strokes: tuple[Stroke, ...] = ()
    mask: dict[str, Any] | None = field(default=None, compare=False)

    @classmethod
    def from_json(cls, content: Any) -> MarkRequest:
        """Read a request; raise BadInput if a field is unknown or has the wrong kind.

        Parameters
        ----------
        content : dict with any of `object`, `name`, `frame`, `boxes` ([x, y, width, height] each), `points` and `not`
            ([x, y] each), `strokes` ({`points`, `radius`, `erase`} each) and `mask` (RLE)
        """
        fields = checked_fields(
            content, {"object", "name", "frame", "boxes", "points", "not", "strokes", "mask"}, "prompt"
        )
        return cls(
            whole_number(fields, "object", 1, 254),
            text(fields, "name"),
            whole_number(fields, "frame", 0, 2**53),
            _tuples(fields, "boxes", 4),
            _tuples(fields, "points", 2),
            _tuples(fields, "not", 2),
            tuple(_stroke(one) for one in _list(fields, "strokes", MOST_STROKES)),
            _rle(fields.get("mask")),
        )

    def prompt(self, base: np.ndarray | None) -> Prompt | None:
        """Return the prompt to solve; None if the strokes alone make the mask.

        Parameters
        ----------
        base : (H, W) bool mask to correct, or None
        """
        mask = base if base is not None and base.any() else None
        shapes = self.boxes or self.points or self.negative_points
        if not shapes and mask is None:
            if self.strokes:
                return None
            raise BadInput("prompt: nothing says where the object is (expected boxes, points, strokes or a mask)")
        return Prompt(self.name or None, self.boxes, self.points, self.negative_points, mask)

    def solve(self, image: np.ndarray, current: np.ndarray | None, solver: Solver) -> np.ndarray:
        """Return the mask of the object, (H, W) bool.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB
        current : (H, W) bool mask that the object has now; None for a new object
        solver : finds the object of a prompt

        Raises
        ------
        BadInput
            If the prompt does not fit the frame, or if the mask has no pixel.

        Examples
        --------
        >>> from shls.runtime.prompts.grab_cut import mask_from_prompt
        >>> request = MarkRequest(strokes=(Stroke(((10.0, 10.0),), 3.0),))
        >>> bool(request.solve(np.zeros((40, 60, 3), np.uint8), None, mask_from_prompt)[10, 10])
        True
        """
        size = image.shape[0], image.shape[1]
        base = current if self.mask is None else _from_rle(self.mask, size)
        if self.boxes and self.mask is None:
            base = None  # a new box is a new beginning
        prompt = self.prompt(base)
        found = np.zeros(size, bool) if prompt is None else np.asarray(solver(image, prompt), bool).copy()
        for stroke in self.strokes:
            _paint(found, stroke)
        if not found.any():
            raise BadInput("prompt: nothing was found (got no pixel). Mark the object differently")
        return found

    @property
    def is_plain(self) -> bool:
        """True if boxes and points alone describe the object."""
        return not self.strokes and self.mask is None and bool(self.boxes or self.points)


def checked_fields(content: Any, known: set[str], what: str) -> dict[str, Any]:
    """Return a JSON object; raise BadInput if it is none or has unknown fields.

    Examples
    --------
    >>> checked_fields({"name": "dog"}, {"name"}, "object")
    {'name': 'dog'}
    """
    if not isinstance(content, dict):
        raise BadInput(f"{what}: not a JSON object (got {type(content).__name__}, expected fields in braces)")
    unknown = content.keys() - known
    if unknown:
        raise BadInput(
            f"{what}: unknown field (got {min(unknown)[:40]!r}, expected some of {', '.join(sorted(known))})"
        )
    return content


def whole_number(fields: dict[str, Any], key: str, lowest: int, highest: int) -> int | None:
    """Return a whole number of a field; None if the field is missing or null.

    Examples
    --------
    >>> whole_number({"frame": 3}, "frame", 0, 10)
    3
    """
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise BadInput(f"{key}: wrong value (got {_short(value)}, expected a whole number, {lowest} to {highest})")
    return value


def text(fields: dict[str, Any], key: str) -> str | None:
    """Return the text of a field; None if the field is missing or null.

    Examples
    --------
    >>> text({"name": "dog"}, "name")
    'dog'
    """
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise BadInput(f"{key}: wrong value (got {_short(value)}, expected a text)")
    return value


def flag(fields: dict[str, Any], key: str) -> bool | None:
    """Return the truth value of a field; None if the field is missing or null.

    Examples
    --------
    >>> flag({"hidden": True}, "hidden")
    True
    """
    value = fields.get(key)
    if value is not None and not isinstance(value, bool):
        raise BadInput(f"{key}: wrong value (got {_short(value)}, expected true or false)")
    return value


def _list(fields: dict[str, Any], key: str, most: int) -> list[Any]:
    values = fields.get(key)
    if values is None:
        return []
    if not isinstance(values, list) or len(values) > most:
        raise BadInput(f"{key}: wrong value (got {_short(values)}, expected a list of at most {most})")
    return values


def _tuples(fields: dict[str, Any], key: str, count: int) -> tuple[Any, ...]:
    return tuple(_numbers(one, count, key) for one in _list(fields, key, MOST_SHAPES))


def _numbers(value: Any, count: int, what: str) -> tuple[float, ...]:
    numbers = value if isinstance(value, list) and len(value) == count else []
    good = [one for one in numbers if isinstance(one, (int, float)) and not isinstance(one, bool)]
    if len(good) != count or not all(math.isfinite(one) and abs(one) < 1e6 for one in good):
        raise BadInput(f"{what}: wrong value (got {_short(value)}, expected {count} numbers of pixels in brackets)")
    return tuple(map(float, good))


def _stroke(value: Any) -> Stroke:
    fields = checked_fields(value, {"points", "radius", "erase"}, "stroke")
    points = tuple(_numbers(one, 2, "stroke") for one in _list(fields, "points", MOST_STROKE_POINTS))
    (radius,) = _numbers([fields.get("radius")], 1, "radius")
    if not points or not 0.5 <= radius <= WIDEST_STROKE:
        raise BadInput(
            f"stroke: wrong value (got {len(points)} points and the radius {radius:g}, expected at least one point "
            f"and a radius of 0.5 to {WIDEST_STROKE:g} pixels)"
        )
    return Stroke(points, radius, flag(fields, "erase") or False)  # type: ignore[arg-type]


def _rle(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    fields = checked_fields(value, {"size", "counts"}, "mask")
    size = fields.get("size")
    good = isinstance(size, list) and len(size) == 2 and all(type(side) is int and 0 < side < 1 << 16 for side in size)
    if not good or not isinstance(fields.get("counts"), str) or not fields["counts"].isascii():
        raise BadInput('mask: wrong value (expected {"size": [H, W], "counts": "text of pycocotools"})')
    return fields


def _from_rle(mask: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    if tuple(mask["size"]) != size:
        raise BadInput(f"mask: wrong size (got {mask['size']}, expected [{size[0]}, {size[1]}])")
    found: np.ndarray = decode_rle({"size": mask["size"], "counts": mask["counts"]}) > 0
    return found


def _paint(mask: np.ndarray, stroke: Stroke) -> None:
    """Paint a stroke into a bool mask; positions are rounded to a sixteenth of a pixel."""
    canvas = np.zeros(mask.shape, np.uint8)
    points = np.round((np.array(stroke.points) - 0.5) * 16).astype(np.int32)
    width = max(1, round(2 * stroke.radius))
    if len(points) > 1:
        cv2.polylines(canvas, [points.reshape(-1, 1, 2)], False, 255, width, cv2.LINE_8, 4)
    for x, y in (points[0], points[-1]):
        cv2.circle(canvas, (int(x), int(y)), round(stroke.radius * 16), 255, -1, cv2.LINE_8, 4)
    mask[canvas > 0] = not stroke.erase


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
