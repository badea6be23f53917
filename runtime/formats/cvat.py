"""CVAT for video 1.1: an XML file per video with a track of masks per object.

Source: https://docs.cvat.ai/docs/manual/advanced/xml_format/.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np

from ._parts import file_name
from ._shapes import box_of, runs_of
from .results import Results, TrackedObject


def write_cvat(results: Sequence[Results], out: Path) -> None:
    """Write `VIDEO.xml`. Every frame is a key frame; an object that is not visible is outside.

    Parameters
    ----------
    results : videos
    out : folder to write to

    Examples
    --------
    >>> write_cvat([], Path("out"))  # doctest: +SKIP
    """
    out.mkdir(parents=True, exist_ok=True)
    for video in results:
        root = Xml.Element("annotations")
        _text(root, "version", "1.1")
        _describe(root, video)
        tracks = {
            label: Xml.SubElement(root, "track", id=str(at), label=one.name, source="auto", group_id=str(one.id))
            for at, (label, one) in enumerate(video.objects.items())
        }
        last: dict[int, dict[str, str]] = {}
        for place, frame in enumerate(video):
            for label, track in tracks.items():
                inside = frame.labels == label
                if inside.any():
                    last[label] = mask_attributes(inside)
                    _mask(track, place, last[label], outside=False)
                elif label in last:
                    _mask(track, place, last[label], outside=True)
        Xml.indent(root)
        Xml.ElementTree(root).write(out / f"{file_name(video)}.xml", encoding="utf-8", xml_declaration=True)


def mask_attributes(inside: np.ndarray) -> dict[str, str]:
    """Return a mask (H, W) bool as CVAT's attributes: run lengths along the rows within the box, zeros first.

    Examples
    --------
    >>> mask_attributes(np.array([[0, 0, 0], [0, 1, 1]], bool))
    {'rle': '0, 2', 'left': '1', 'top': '1', 'width': '2', 'height': '1'}
    """
    x, y, width, height = box_of(inside)
    runs = ", ".join(map(str, runs_of(inside[y : y + height, x : x + width].ravel())))
    return {"rle": runs, "left": str(x), "top": str(y), "width": str(width), "height": str(height)}


def _mask(track: Xml.Element, frame: int, attributes: dict[str, str], outside: bool) -> None:
    state = {"frame": str(frame), "keyframe": "1", "outside": str(int(outside)), "occluded": "0"}
    Xml.SubElement(track, "mask", state | attributes | {"z_order": "0"})


def _describe(root: Xml.Element, video: Results) -> None:
    """Add what CVAT says of a task: its frames, its labels and its size."""
    task = Xml.SubElement(Xml.SubElement(root, "meta"), "task")
    values = {"name": video.name, "size": len(video.indices), "mode": "interpolation", "overlap": 0}
    for key, value in (values | {"start_frame": 0, "stop_frame": len(video.indices) - 1}).items():
        _text(task, key, str(value))
    labels = Xml.SubElement(task, "labels")
    for name in dict.fromkeys(one.name for one in _objects(video)):
        label = Xml.SubElement(labels, "label")
        _text(label, "name", name)
        _text(label, "type", "mask")
        Xml.SubElement(label, "attributes")
    size = Xml.SubElement(task, "original_size")
    _text(size, "width", str(video.size[1]))
    _text(size, "height", str(video.size[0]))


def _objects(video: Results) -> list[TrackedObject]:
    return list(video.objects.values())


def _text(parent: Xml.Element, name: str, text: str) -> None:
    Xml.SubElement(parent, name).text = text
