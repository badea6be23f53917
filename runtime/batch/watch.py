"""Figures and thumbnails of a video, gathered while its masks are written."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import cv2
import numpy as np

from ..io.base import Sink
from ..io.masks import overlay
from ..types import Frame, Mask

THUMBNAIL_WIDTH = 240
"""Width of thumbnails, pixels."""
MOST_KEPT = 16
"""Largest number of thumbnails that are kept while the video's length is unknown."""
QUALITY = 80
"""JPEG quality of thumbnails, percent."""


class Thumbnail(NamedTuple):
    """Small picture of a frame with its objects coloured.

    index : number of the frame
    jpeg : content of the file

    Examples
    --------
    >>> Thumbnail(7, b"").index
    7
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    jpeg: bytes


class Watcher(Sink):
    """Gather the digest of all masks, the confidences, and thumbnails of the first, middle and worst frame.

    Attributes
    ----------
    frames : number of frames so far
    objects : ids of all objects so far
    lost_frames : number of frames in which at least one object is not visible
    worst : frame number and mean confidence of the worst frame; None before the second frame
    last_time : time of the last frame, seconds

    Examples
    --------
    >>> watcher = Watcher()
    >>> frame = Frame(np.zeros((4, 6, 3), np.uint8), 3, 0.1, "00003")
    >>> watcher.write(frame, Mask(np.ones((4, 6), np.uint8), {1: 1.0}))
    >>> watcher.frames, sorted(watcher.thumbnails())
    (1, ['first', 'middle', 'worst'])
    """

    def __init__(self) -> None:
        self.frames, self.lost_frames, self.last_time = 0, 0, 0.0
        self.objects: set[int] = set()
        self.worst: tuple[int, float] | None = None
        self._digest = hashlib.sha256()
        self._stride = 1
        self._kept: list[Thumbnail] = []
        self._worst_picture: Thumbnail | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of all masks and confidences so far."""
        return self._digest.hexdigest()

    def write(self, frame: Frame, mask: Mask) -> None:
        scores = {int(key): round(float(value), 4) for key, value in sorted(mask.scores.items())}
        self._digest.update(f"{frame.index} {mask.labels.shape} {scores}\n".encode())
        self._digest.update(np.ascontiguousarray(mask.labels).tobytes())
        self.objects |= scores.keys()
        visible = set(np.flatnonzero(np.bincount(mask.labels.ravel(), minlength=256)).tolist())
        self.lost_frames += bool(scores.keys() - visible)
        if self.frames % self._stride == 0:
            self._keep(frame, mask)
        if self.frames and scores:
            mean = sum(scores.values()) / len(scores)
            if self.worst is None or mean < self.worst[1]:
                self.worst = frame.index, mean
                self._worst_picture = _thumbnail(frame, mask)
        self.frames, self.last_time = self.frames + 1, frame.time

    def thumbnails(self) -> dict[str, Thumbnail]:
        """Return the thumbnails by name: first, middle and worst; empty if no frame came."""
        if not self._kept:
            return {}
        first, middle = self._kept[0], (self.frames - 1) / 2
        at = min(range(len(self._kept)), key=lambda at: abs(at * self._stride - middle))
        return {"first": first, "middle": self._kept[at], "worst": self._worst_picture or first}

    def _keep(self, frame: Frame, mask: Mask) -> None:
        """Keep a thumbnail of every n-th frame; n doubles when there are too many."""
        self._kept.append(_thumbnail(frame, mask))
        if len(self._kept) > MOST_KEPT:
            del self._kept[1::2]
            self._stride *= 2


def _thumbnail(frame: Frame, mask: Mask) -> Thumbnail:
    height, width = mask.labels.shape
    picture = overlay(frame.image, mask.labels)[..., ::-1]
    size = THUMBNAIL_WIDTH, max(1, round(THUMBNAIL_WIDTH * height / width))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return Thumbnail(frame.index, cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
