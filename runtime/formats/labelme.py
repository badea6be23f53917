"""labelme JSON: a file per frame with one mask per object.

Source: https://github.com/wkentaro/labelme, shapes of the type `mask`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ._parts import file_name, write_json
from ._shapes import box_of
from .results import FrameResult, Results, TrackedObject

VERSION = "5.5.0"
"""Version of labelme whose files these are; later versions read them, too."""


def write_labelme(results: Sequence[Results], out: Path) -> None:
    """Write `VIDEO/FRAME.json` per frame. labelme expects the image `FRAME.jpg` in the same folder.

    The group id of a shape is the object's id, and its description has the confidence.

    Parameters
    ----------
    results : videos
    out : folder to write to

    Examples
    --------
    >>> write_labelme([], Path("out"))  # doctest: +SKIP
    """
    for video in results:
        for frame in video:
            write_json(
                out / file_name(video) / f"{frame.name}.json", labelme_of(frame, video.objects, f"{frame.name}.jpg")
            )


def labelme_of(frame: FrameResult, objects: dict[int, TrackedObject], image: str) -> dict[str, Any]:
    """Return the content of a labelme file.

    Parameters
    ----------
    frame : masks of the frame
    objects : objects by label
    image : file of the image, relative to the JSON file

    Examples
    --------
    >>> frame = FrameResult(0, "00000", np.array([[0, 1, 1]], np.uint8), {1: 0.9})
    >>> shape = labelme_of(frame, {1: TrackedObject(1, 1, "dog")}, "00000.jpg")["shapes"][0]
    >>> shape["label"], shape["points"], shape["description"]
    ('dog', [[1, 0], [2, 0]], 'confidence 0.9000')
    """
    shapes = []
    for label, score in frame.scores.items():
        inside = frame.labels == label
        if inside.any():
            shapes.append(_shape(inside, objects[label], score))
    return {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": image,
        "imageData": None,
        "imageHeight": frame.labels.shape[0],
        "imageWidth": frame.labels.shape[1],
    }


def _shape(inside: np.ndarray, one: TrackedObject, score: float) -> dict[str, Any]:
    x, y, width, height = box_of(inside)
    content = io.BytesIO()
    Image.fromarray(inside[y : y + height, x : x + width].astype(np.uint8)).save(content, "PNG")
    return {
        "label": one.name,
        "points": [[x, y], [x + width - 1, y + height - 1]],
        "group_id": one.id,
        "description": f"confidence {score:.4f}",
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(content.getvalue()).decode("ascii"),
    }
