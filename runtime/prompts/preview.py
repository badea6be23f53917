"""Preview of marked objects: the frame with coloured objects, their names, and the prompts."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..io.masks import overlay
from ..io.objects import NamedMask
from .prompt import Prompt, clip_box, pixel_of

ON, OFF, BOX = (40, 220, 60), (240, 50, 40), (255, 255, 255)
"""Colours of points on the object, of points not on it, and of boxes, RGB."""


def draw_preview(image: np.ndarray, found: NamedMask, prompts: Sequence[Prompt] = ()) -> np.ndarray:
    """Colour the objects of a frame, and draw their ids and names, boxes, and points.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB, not changed
    found : objects of the frame
    prompts : prompts to draw: boxes white, points on the object green, points not on the object red

    Returns
    -------
    (H, W, 3) uint8 RGB

    Examples
    --------
    >>> image, labels = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), np.uint8)
    >>> labels[10:30, 10:40] = 1
    >>> draw_preview(image, NamedMask(labels, {1: "dog"}), [Prompt(points=((20, 20),))])[20, 20].tolist()
    [40, 220, 60]
    """
    picture = overlay(image, found.labels)
    size = found.labels.shape[0], found.labels.shape[1]
    thickness = max(1, round(min(size) / 300))
    for prompt in prompts:
        for box in prompt.boxes:
            x, y, width, height = clip_box(box, size)
            cv2.rectangle(picture, (x, y), (x + width - 1, y + height - 1), BOX, thickness)
        for points, color in ((prompt.points, ON), (prompt.negative_points, OFF)):
            for point in points:
                cv2.circle(picture, pixel_of(point, size), 4 * thickness, (0, 0, 0), -1, cv2.LINE_AA)
                cv2.circle(picture, pixel_of(point, size), 3 * thickness, color, -1, cv2.LINE_AA)
    for object_id in np.unique(found.labels[found.labels > 0]).tolist():
        _write_name(picture, found, object_id, thickness)
    return picture


def _write_name(picture: np.ndarray, found: NamedMask, object_id: int, thickness: int) -> None:
    """Write the id and the name of an object above it, inside the picture."""
    text = f"{found.file_ids.get(object_id, object_id)} {found.names.get(object_id, '')}".strip()
    text = text.encode("ascii", "replace").decode()  # the font has no other letters
    scale = max(0.4, min(picture.shape[:2]) / 800)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    x, y, _, _ = cv2.boundingRect((found.labels == object_id).astype(np.uint8))
    place = max(0, min(x, picture.shape[1] - width)), max(height + 1, y - 4)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 3 * thickness, cv2.LINE_AA)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), thickness, cv2.LINE_AA)
