"""YOLO segmentation labels: a text file per frame, a line per object with its class and one polygon.

Source: https://docs.ultralytics.com/datasets/segment/.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ._parts import categories_of, file_name
from ._shapes import one_polygon
from .results import Results

WITHIN = 0.25
"""Place of a vertex within its pixel: readers that round and readers that truncate then find the same pixel."""
DECIMALS = 6
"""Decimals of the coordinates: enough for frames of 100,000 pixels."""


def write_yolo(results: Sequence[Results], out: Path) -> None:
    """Write `labels/train/VIDEO_FRAME.txt` per frame and `data.yaml`; frames without objects have an empty file.

    An object of several parts, or with holes, is one polygon whose contours are connected by lines. Readers draw these
    lines one pixel wide, so such a mask gains a few pixels. Other masks are kept exactly.

    Parameters
    ----------
    results : videos
    out : folder to write to

    Examples
    --------
    >>> write_yolo([], Path("out"))  # doctest: +SKIP
    """
    categories = categories_of(results)
    folder = out / "labels" / "train"
    folder.mkdir(parents=True, exist_ok=True)
    (out / "images" / "train").mkdir(parents=True, exist_ok=True)
    for video in results:
        for frame in video:
            lines = []
            for label in frame.scores:
                inside = frame.labels == label
                if inside.any():
                    lines.append(f"{categories[video.objects[label].name] - 1} {_coordinates(inside)}")
            text = "".join(line + "\n" for line in lines)
            (folder / f"{file_name(video)}_{frame.name}.txt").write_text(text)
    names = "".join(f"  {number - 1}: {json.dumps(name)}\n" for name, number in categories.items())
    (out / "data.yaml").write_text(f"path: .\ntrain: images/train\nval: images/train\nnames:\n{names}")


def _coordinates(inside: np.ndarray) -> str:
    """Return x and y of the vertices as fractions of the frame."""
    vertices = one_polygon(inside)
    if len(vertices) < 3:  # a point or a line; readers expect three vertices
        vertices = np.resize(vertices, (3, 2)) if len(vertices) == 1 else vertices[[0, 1, 1]]
    fractions = (vertices + WITHIN) / (inside.shape[1], inside.shape[0])
    return " ".join(f"{value:.{DECIMALS}f}" for value in fractions.ravel())
