"""Label Studio JSON: a task per frame with brush masks as predictions, and the matching labelling interface.

Source: https://labelstud.io/guide/predictions and the run-length code of `label_studio_sdk.converter.brush`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np

from ._parts import categories_of, file_name, write_json
from .results import FrameResult, Results

SIZE_BITS, VALUE_BITS = 16, 8
"""Bits of a run's length and of its value in the code."""
CHANNELS = 4
"""Channels of the picture that the code holds: red, green, blue, opacity."""


def write_label_studio(results: Sequence[Results], out: Path) -> None:
    """Write `tasks.json` and `interface.xml`. The images are expected at `VIDEO/FRAME.jpg` of the project's storage.

    Parameters
    ----------
    results : videos
    out : folder to write to

    Examples
    --------
    >>> write_label_studio([], Path("out"))  # doctest: +SKIP
    """
    tasks = []
    for video in results:
        for frame in video:
            found = [_result(frame, label, video) for label in frame.scores if (frame.labels == label).any()]
            data = {"image": f"{file_name(video)}/{frame.name}.jpg", "video": video.name, "frame": frame.index}
            score = min((one["score"] for one in found), default=0.0)
            tasks.append({"data": data, "predictions": [{"model_version": "shls", "score": score, "result": found}]})
    write_json(out / "tasks.json", tasks)
    (out / "interface.xml").write_text(_interface(list(categories_of(results))))


def encode_brush(inside: np.ndarray) -> list[int]:
    """Encode a mask (H, W) bool as Label Studio's brush code: runs over the RGBA values of a picture.

    Returns
    -------
    list of int
        Bytes of the code.

    Examples
    --------
    >>> encode_brush(np.array([[0, 1]], bool))[:4]
    [0, 0, 0, 8]
    """
    flat = np.repeat(inside.ravel(), CHANNELS)
    bounds = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]))
    limit = 1 << SIZE_BITS
    bounds = np.unique(np.concatenate([bounds, np.arange(0, flat.size, limit)]))  # no run is longer than the limit
    lengths, values = np.diff(bounds), flat[bounds[:-1]].astype(np.int64) * 255
    head = [(flat.size, 32), (VALUE_BITS - 1, 5), *[(SIZE_BITS - 1, 4)] * 4]
    # One bit for a run, two for the size of its length, the length less one, and the value.
    runs = (1 << 2 + SIZE_BITS + VALUE_BITS) | (lengths - 1 << VALUE_BITS) | values
    bits = [_bits(np.array([value]), count) for value, count in head]
    bits.append(_bits(runs, 3 + SIZE_BITS + VALUE_BITS))
    return [int(byte) for byte in np.packbits(np.concatenate(bits))]


def _bits(values: np.ndarray, count: int) -> np.ndarray:
    """Return the bits of numbers, the highest first, one number after the other."""
    shifts = np.arange(count - 1, -1, -1)
    bits: np.ndarray = (values[:, None] >> shifts & 1).astype(np.uint8).ravel()
    return bits


def _result(frame: FrameResult, label: int, video: Results) -> dict[str, Any]:
    one = video.objects[label]
    return {
        "id": f"{file_name(video)}-{frame.index}-{one.id}",
        "type": "brushlabels",
        "from_name": "tag",
        "to_name": "image",
        "original_width": video.size[1],
        "original_height": video.size[0],
        "image_rotation": 0,
        "score": round(frame.scores[label], 4),
        "meta": {"text": [f"track {one.id}"]},
        "value": {"format": "rle", "rle": encode_brush(frame.labels == label), "brushlabels": [one.name]},
    }


def _interface(names: list[str]) -> str:
    view = Xml.Element("View")
    Xml.SubElement(view, "Image", name="image", value="$image")
    labels = Xml.SubElement(view, "BrushLabels", name="tag", toName="image")
    for name in names:
        Xml.SubElement(labels, "Label", value=name)
    Xml.indent(view)
    return Xml.tostring(view, encoding="unicode") + "\n"
