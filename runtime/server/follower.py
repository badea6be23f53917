"""Segmenter of a session with the marks of all frames, so that any frame can be followed anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..segmenter import VideoSegmenter
from ..types import Frame, Mask
from .drafts import MarkRequest
from .objects import ObjectRegistry
from .runs import decode_runs, encode_runs


@dataclass(frozen=True)
class Mark:
    """Mask of one object in one frame, that a person gave.

    Attributes
    ----------
    object_id : int
        Object that is marked or corrected.
    size : tuple of int
        Height and width of the frame.
    code : bytes
        Mask as runs; empty if the object is followed no longer from this frame on.
    request : MarkRequest or None
        Prompt that gave the mask; None for masks of files.
    fresh : bool
        Whether the prompt alone gave the mask, without an earlier mask of the object.

    Examples
    --------
    >>> Mark(1, (2, 3), b"").ends
    True
    """

    object_id: int
    size: tuple[int, int]
    code: bytes
    request: MarkRequest | None = None
    fresh: bool = True

    @property
    def ends(self) -> bool:
        """True if the object is followed no longer from this frame on."""
        return not self.code

    @property
    def mask(self) -> np.ndarray:
        """Mask of the object, (H, W) bool."""
        if self.ends:
            return np.zeros(self.size, bool)
        return decode_runs(self.code, self.size) > 0


class Follower:
    """Follow the marked objects of a session.

    Parameters
    ----------
    segmenter : VideoSegmenter
        Its objects are replaced.
    objects : ObjectRegistry
        Objects of the session.
    live : bool
        Whether earlier frames are gone, so that the past cannot be followed anew.

    Attributes
    ----------
    marks : dict of int to list of Mark
        Marks by frame number.
    at : int or None
        Number of the frame that the segmenter saw last.
    ids : set of int
        Objects that the segmenter follows.

    Examples
    --------
    >>> follower = Follower(segmenter, registry, live=False)  # doctest: +SKIP
    >>> follower.mark(frame, mark_of(1, inside), mask)  # doctest: +SKIP
    """

    def __init__(self, segmenter: VideoSegmenter, objects: ObjectRegistry, live: bool) -> None:
        self.segmenter, self._objects, self._live = segmenter, objects, live
        self.marks: dict[int, list[Mark]] = {}
        self.at: int | None = None
        self.ids: set[int] = set()
        self._started: int | None = None  # the frame of `segmenter.start`, until another frame is followed

    @property
    def first(self) -> int | None:
        """Number of the first marked frame; None if nothing is marked."""
        return min(self.marks, default=None)

    def step(self, frame: Frame) -> Mask:
        """Follow the objects into the next frame, and apply the marks of this frame."""
        mask = self._step(frame)
        return self._apply(frame, mask) if self.marks.get(frame.index) else mask

    def mark(self, frame: Frame, mark: Mark, mask: Mask) -> Mask:
        """Mark or correct an object in the last frame, whose mask so far is given."""
        known = [one for one in self.marks.get(frame.index, []) if one.object_id != mark.object_id]
        self.marks[frame.index] = [*known, mark]
        if mark.ends or self._started == frame.index or not self.ids:
            return self._apply(frame, mask)
        self.ids.add(mark.object_id)
        return self.segmenter.add(mark.mask.astype(np.uint8) * np.uint8(mark.object_id))

    def remove(self, object_id: int) -> None:
        """Remove an object from all frames."""
        for index in list(self.marks):
            self.marks[index] = [mark for mark in self.marks[index] if mark.object_id != object_id]
            if not self.marks[index]:
                del self.marks[index]
        if object_id in self.ids:
            self._drop(object_id)

    def resume(self, frame: Frame, labels: np.ndarray | None, read: Callable[[int], Frame | None]) -> Mask:
        """Put the segmenter at a frame of the past, or at a later frame, as if it had followed up to there.

        The segmenter sees every marked frame up to this one, and then this frame with its known mask.

        Parameters
        ----------
        frame : frame to go on from
        labels : (H, W) uint8 mask that the frame has, or None if it was not followed yet
        read : returns a frame by number
        """
        mask = _empty(frame)
        if not self._live:
            self.ids, self._started = set(), None
            for index in sorted(self.marks):
                if index > frame.index:
                    break
                marked = frame if index == frame.index else read(index)
                if marked is not None:
                    mask = self.step(marked)
        if self.at != frame.index:
            mask = self._step(frame)
            if labels is not None and self.ids:
                known = np.where(np.isin(labels, sorted(self.ids)), labels, np.uint8(0))
                if known.any():
                    mask = self.segmenter.add(known)
        self.at = frame.index
        return mask if self.ids else _empty(frame)

    def _step(self, frame: Frame) -> Mask:
        self.at, self._started = frame.index, None
        return self.segmenter.step(frame.image) if self.ids else _empty(frame)

    def _apply(self, frame: Frame, mask: Mask) -> Mask:
        """Apply the marks of a frame that the segmenter has seen, or start with them."""
        marks = [mark for mark in self.marks[frame.index] if mark.object_id in self._objects]
        labels = np.zeros(frame.image.shape[:2], np.uint8)
        for mark in marks:
            labels[mark.mask] = mark.object_id
        self.at = frame.index
        for mark in marks:
            if mark.ends and mark.object_id in self.ids:
                mask = self._drop(mark.object_id) or _empty(frame)
        visible = {int(one) for one in np.unique(labels) if one}
        if not visible:
            return mask
        if self.ids and self._started != frame.index:
            self.ids |= visible
            return self.segmenter.add(labels)
        self.segmenter.start(frame.image, labels)
        self.ids, self._started = visible, frame.index
        return Mask(labels, dict.fromkeys(sorted(visible), 1.0))

    def _drop(self, object_id: int) -> Mask | None:
        """Follow an object no longer; return the mask without it, None if no object is left."""
        self.ids.discard(object_id)
        if not self.ids:
            self._started = None
            return None
        return self.segmenter.remove(object_id)


def mark_of(object_id: int, mask: np.ndarray, request: MarkRequest | None = None, fresh: bool = True) -> Mark:
    """Return the mark of an object.

    Parameters
    ----------
    object_id : object that is marked
    mask : (H, W) bool
    request, fresh : as in `Mark`

    Examples
    --------
    >>> int(mark_of(3, np.ones((2, 2), bool)).mask.sum())
    4
    """
    size: Any = mask.shape
    return Mark(object_id, size, encode_runs(mask.astype(np.uint8)), request, fresh)


def end_of(object_id: int, frame: Frame) -> Mark:
    """Return the mark that ends an object in a frame.

    Examples
    --------
    >>> end_of(1, Frame(np.zeros((2, 3, 3), np.uint8), 0, 0.0, "")).ends
    True
    """
    return Mark(object_id, (frame.image.shape[0], frame.image.shape[1]), b"")


def _empty(frame: Frame) -> Mask:
    return Mask(np.zeros(frame.image.shape[:2], np.uint8), {})
