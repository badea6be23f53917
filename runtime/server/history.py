"""History of a session: the result of each frame that was segmented, for the time line and for downloads."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from ..types import Frame, Mask
from .objects import SessionObject
from .runs import decode_runs, encode_runs

KEPT_LIVE = 9_000
"""Newest frames of a live source that are kept: ten minutes at 15 frames a second, about 25 MB."""
KEPT = 200_000
"""Frames of a recording that are kept: two hours at 25 frames a second."""
LEVEL = 1
"""Level of zlib's compression, 0 to 9."""


@dataclass(frozen=True)
class Result:
    """Result of one frame.

    Attributes
    ----------
    index : int
        Number of the frame.
    time : float
        Seconds since the first frame of the source.
    name : str
        Name of the frame.
    scores : dict of int to float
        Confidence by object id, 0 to 1.
    areas : dict of int to int
        Pixels by object id.
    serials : dict of int to int
        Serial number by object id: the object that had the id in this frame.
    size : tuple of int
        Height and width of the frame.
    code : bytes
        Compressed runs of the mask.

    Examples
    --------
    >>> code = zlib.compress(encode_runs(np.array([[0, 1]], np.uint8)))
    >>> result = Result(7, 0.28, "00007", (1, 2), code, {1: 0.9}, {1: 1}, {1: 5})
    >>> result.labels({}).tolist(), result.labels({1: SessionObject(1, "", "#18b6ff", serial=5)}).tolist()
    ([[0, 0]], [[0, 1]])
    """

    index: int
    time: float
    name: str
    size: tuple[int, int]
    code: bytes
    scores: dict[int, float]
    areas: dict[int, int]
    serials: dict[int, int]

    def labels(self, objects: Mapping[int, SessionObject]) -> np.ndarray:
        """Return the (H, W) uint8 object ids without objects that were removed since."""
        labels = decode_runs(zlib.decompress(self.code), self.size)
        gone = [at for at in self.areas if at not in objects or objects[at].serial != self.serials.get(at)]
        if gone:
            table = np.arange(256, dtype=np.uint8)
            table[gone] = 0
            labels = table[labels]
        return labels


class History:
    """Results by frame number; may be read from any thread.

    Parameters
    ----------
    live : bool
        Whether the source is live: fewer frames are kept.

    Examples
    --------
    >>> history = History(live=False)
    >>> frame = Frame(np.zeros((2, 3, 3), np.uint8), 7, 0.28, "00007")
    >>> _ = history.put(frame, Mask(np.ones((2, 3), np.uint8), {1: 0.9}), {1: 5})
    >>> history.get(7).areas, history.get(8)
    ({1: 6}, None)
    """

    def __init__(self, live: bool) -> None:
        self._kept = KEPT_LIVE if live else KEPT
        self._results: dict[int, Result] = {}
        self._lock = Lock()
        self.version = 0

    def put(self, frame: Frame, mask: Mask, serials: dict[int, int]) -> Result:
        """Keep the result of a frame; an earlier result of the frame is replaced."""
        counts = np.bincount(mask.labels.ravel(), minlength=256)
        ids = sorted({*map(int, mask.scores), *(np.flatnonzero(counts[1:]) + 1).tolist()})
        result = Result(
            frame.index,
            frame.time,
            frame.name,
            (mask.labels.shape[0], mask.labels.shape[1]),
            zlib.compress(encode_runs(mask.labels), LEVEL),
            {at: round(float(mask.scores.get(at, 0.0)), 4) for at in ids},
            {at: int(counts[at]) for at in ids},
            serials,
        )
        with self._lock:
            self._results.pop(frame.index, None)  # the newest is last
            self._results[frame.index] = result
            if len(self._results) > self._kept:
                del self._results[next(iter(self._results))]
            self.version += 1
        return result

    def get(self, index: int) -> Result | None:
        """Return the result of a frame; None if there is none."""
        return self._results.get(index)

    def all(self) -> list[Result]:
        """Return all results by frame number."""
        with self._lock:
            results = list(self._results.values())
        return sorted(results, key=lambda result: result.index)

    def touch(self) -> None:
        """Note that the time line has changed otherwise, as by a removed object."""
        self.version += 1


def timeline(
    results: list[Result], objects: Mapping[int, SessionObject], span: tuple[int, int], columns: int
) -> dict[str, Any]:
    """Summarise results for a picture of the time line.

    Parameters
    ----------
    results : results of the frames
    objects : objects by id
    span : first frame, and one more than the last frame
    columns : number of parts that the span is divided in

    Returns
    -------
    dict
        `first`, `last` (one more than the last frame), `columns`, and `objects`: for each object `id`, `confidence`
        (lowest of each part, None where the object has no result), `area` (mean, pixels) and `lost`: the ranges of
        frames [first, last] in which the object was not visible.

    Examples
    --------
    >>> timeline([], {}, (0, 10), 5)
    {'first': 0, 'last': 10, 'columns': 5, 'objects': []}
    """
    first, last = span
    columns = max(1, min(columns, last - first))
    rows = []
    for object_id, entry in objects.items():
        mine = [one for one in results if one.serials.get(object_id) == entry.serial and object_id in one.areas]
        mine = [one for one in mine if first <= one.index < last]
        at = np.array([one.index for one in mine], np.int64)
        scores = np.array([one.scores[object_id] for one in mine], np.float64)
        areas = np.array([one.areas[object_id] for one in mine], np.float64)
        part = (at - first) * columns // max(1, last - first)
        lowest = np.full(columns, np.inf)
        np.minimum.at(lowest, part, scores)
        counts = np.bincount(part, minlength=columns)
        sums = np.bincount(part, areas, minlength=columns)
        there = counts > 0
        rows.append(
            {
                "id": object_id,
                "confidence": [round(float(value), 3) if ok else None for value, ok in zip(lowest, there, strict=True)],
                "area": [
                    round(float(total / count)) if count else None for total, count in zip(sums, counts, strict=True)
                ],
                "lost": _ranges(at[areas == 0]),
            }
        )
    return {"first": first, "last": last, "columns": columns, "objects": rows}


def _ranges(frames: np.ndarray) -> list[list[int]]:
    """Return the first and the last of each stretch of consecutive frame numbers."""
    if not frames.size:
        return []
    cuts = np.flatnonzero(np.diff(frames) > 1)
    starts = np.concatenate(([0], cuts + 1))
    ends = np.concatenate((cuts, [frames.size - 1]))
    return [[int(frames[a]), int(frames[b])] for a, b in zip(starts, ends, strict=True)]
