"""Results as JSON lines, and as JSON values for other sinks."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..types import Frame, Mask
from ._output_files import check_file, is_stdout, unwritten
from .base import Sink
from .objects import ObjectTable
from .rle import encode_rle


class JsonLinesSink(Sink):
    """Write one JSON object per line and frame; each line is in the file before the next frame is written.

    A line is `{"frame": index, "time": seconds, "objects": [{"id", "area": pixels, "box": [x, y, width, height],
    "confidence": 0 to 1, "rle": run lengths as in COCO}]}`. An object without pixels has area 0, box null and
    `"lost": true`. An object with a name has `"name"`. A renumbered object has its original id as `"id"`, and its id
    in the masks as `"mask_id"`.

    Parameters
    ----------
    path : Path
        File to write. `-` and `/dev/stdout` are standard output. An earlier file is replaced at the first frame.
    objects : ObjectTable
        Names and original ids of the objects.

    Raises
    ------
    BadInput
        If the file cannot be written.

    Examples
    --------
    >>> frame = Frame(np.zeros((2, 3, 3), np.uint8), 7, 0.28, "00007")
    >>> with JsonLinesSink(Path("-")) as sink:
    ...     sink.write(frame, Mask(np.zeros((2, 3), np.uint8), {}))
    {"frame":7,"time":0.28,"objects":[]}
    """

    def __init__(self, path: Path, objects: ObjectTable | None = None) -> None:
        self._to_stdout = is_stdout(path)
        if not self._to_stdout:
            check_file(path)
        self._path, self._objects = path, objects
        self._file: BinaryIO | None = None  # opened with the first frame

    def write(self, frame: Frame, mask: Mask) -> None:
        data = json.dumps(line_of(frame, mask, self._objects), separators=(",", ":")) + "\n"
        if self._to_stdout:
            self._print(data)
        else:
            self._append(data.encode())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _print(self, data: str) -> None:
        try:
            sys.stdout.write(data)
            sys.stdout.flush()
        except OSError as error:
            with suppress(OSError), open(os.devnull, "wb") as nowhere:  # Python flushes again when it exits
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
            raise unwritten("standard output", error, "The lines before are complete.") from error

    def _append(self, data: bytes) -> None:
        whole = 0
        try:
            if self._file is None:
                self._file = self._path.open("wb", buffering=0)
            if self._file.seekable():
                whole = self._file.tell()
            while data:  # a full disk and a signal both cut a write short; after the former the next write fails
                data = data[self._file.write(data) :]
        except OSError as error:
            if self._file is not None:
                with suppress(OSError):
                    self._file.truncate(whole)  # half a line would make the file unreadable
            raise unwritten(self._path, error, "The lines before are complete.") from error


def line_of(frame: Frame, mask: Mask, objects: ObjectTable | None = None) -> dict[str, Any]:
    """Return one result as JSON values; `JsonLinesSink` describes them.

    Examples
    --------
    >>> line_of(Frame(np.zeros((2, 3, 3), np.uint8), 7, 0.28, "00007"), Mask(np.zeros((2, 3), np.uint8), {}))
    {'frame': 7, 'time': 0.28, 'objects': []}
    """
    return {"frame": frame.index, "time": round(frame.time, 6), "objects": describe(mask, objects)}


def describe(mask: Mask, objects: ObjectTable | None = None) -> list[dict[str, Any]]:
    """List the objects of a mask as JSON values, by id. An object with a score and without pixels is lost.

    Examples
    --------
    >>> visible, lost = describe(Mask(np.array([[0, 1, 1]], np.uint8), {1: 0.9, 2: 0.0}))
    >>> visible["area"], visible["box"], visible["confidence"], visible["rle"]
    (2, [1, 0, 2, 1], 0.9, {'size': [1, 3], 'counts': '12'})
    >>> lost["id"], lost["area"], lost["lost"]
    (2, 0, True)
    """
    areas = np.bincount(mask.labels.ravel(), minlength=256)
    ids = sorted({*mask.scores, *np.flatnonzero(areas[1:] > 0) + 1})
    table = objects or ObjectTable()
    return [table.describe(int(at)) | _describe_object(mask, int(at), int(areas[at])) for at in ids]


def _describe_object(mask: Mask, object_id: int, area: int) -> dict[str, Any]:
    inside = mask.labels == object_id
    values: dict[str, Any] = {
        "area": area,
        "box": None,
        "confidence": round(float(mask.scores.get(object_id, 0.0)), 4),
        "rle": encode_rle(inside),
    }
    if area == 0:
        return values | {"lost": True}
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    x, y = int(columns[0]), int(rows[0])
    return values | {"box": [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]}
