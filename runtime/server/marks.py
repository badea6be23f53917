"""Marks that the command line gives: objects of the first frame, and prompts of later frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import BadInput
from ..io.masks import read_objects
from ..io.objects import NamedMask
from ..prompts.first_frame import Solver, first_mask
from ..prompts.prompt import Prompt
from ..prompts.timeline import Entry
from ..types import Frame
from .drafts import MarkRequest
from .follower import Mark, end_of, mark_of
from .objects import ObjectRegistry


class FirstMarks:
    """Marks of the command line, each given once.

    Parameters
    ----------
    mask : objects of the first frame, or None
    prompts : objects of the first frame, one per prompt
    entries : prompts of later frames, by frame
    solve : finds the object of a prompt

    Examples
    --------
    >>> frame = Frame(np.zeros((2, 3, 3), np.uint8), 0, 0.0, "00000")
    >>> FirstMarks(NamedMask(np.ones((2, 3), np.uint8)), [], [], None).first(frame, ObjectRegistry())[0].object_id
    1
    """

    def __init__(
        self, mask: NamedMask | None, prompts: Sequence[Prompt], entries: Sequence[Entry], solve: Solver
    ) -> None:
        self._mask, self._prompts, self._entries, self._solve = mask, prompts, list(entries), solve

    def first(self, frame: Frame, objects: ObjectRegistry) -> list[Mark]:
        """Return the marks of the first frame, and enter their objects."""
        if self._mask is None and not self._prompts:
            return []
        found = first_mask(frame.image, self._mask, self._prompts, solve=self._solve)
        labels = objects.add_all(found)
        marks = []
        for object_id in (int(one) for one in np.unique(labels) if one):
            request = _request(self._prompts[object_id - 1]) if self._prompts else None
            marks.append(mark_of(object_id, labels == object_id, request))
        return marks

    def later(self, frame: Frame, objects: ObjectRegistry, followed: set[int], labels: np.ndarray) -> list[Mark]:
        """Return the marks whose frame has come, and enter or remove their objects.

        `labels`, (H, W) uint8, is the frame's mask so far: points of a followed object correct it.
        """
        marks: list[Mark] = []
        while self._entries and self._entries[0].frame <= frame.index:
            marks += self._apply(self._entries.pop(0), frame, objects, followed, labels)
        return marks

    def _apply(
        self, entry: Entry, frame: Frame, objects: ObjectRegistry, followed: set[int], labels: np.ndarray
    ) -> list[Mark]:
        where = f"prompts, frame {entry.frame}"
        if entry.prompt is None:
            object_id = None if entry.key is None else objects.find(entry.key)
            if object_id is None or object_id not in followed:
                raise BadInput(f"{where}: no object to remove (got {entry.key!r}, expected an id or a name)")
            return [end_of(object_id, frame)]
        prompt = entry.prompt
        shapes = prompt.boxes or prompt.points or prompt.negative_points
        if entry.key is None and not shapes and isinstance(prompt.mask, Path):
            return self._whole_file(prompt.mask, frame, entry.frame, objects)
        object_id = None if entry.key is None else objects.find(entry.key)
        if object_id is None:
            wanted = entry.key if isinstance(entry.key, int) else None
            object_id = objects.add(prompt.name or "", wanted).object_id
        elif prompt.name:
            objects.change(object_id, prompt.name)
        prompt.warn_if_outside((frame.image.shape[0], frame.image.shape[1]))
        found = self._solve(frame.image, prompt.onto(labels == object_id))
        return [mark_of(object_id, found, _request(prompt))]

    def _whole_file(self, path: Path, frame: Frame, index: int, objects: ObjectRegistry) -> list[Mark]:
        """Return the marks of all objects of a mask file; an object with a known name is corrected."""
        labels = objects.add_all(read_objects(path, (frame.image.shape[0], frame.image.shape[1]), index))
        return [mark_of(int(one), labels == one) for one in np.unique(labels) if one]


def _request(prompt: Prompt) -> MarkRequest | None:
    """Return the request that a prompt without a mask corresponds to."""
    if prompt.mask is not None:
        return None
    return MarkRequest(
        name=prompt.name, boxes=prompt.boxes, points=prompt.points, negative_points=prompt.negative_points
    )
