"""Objects of a video's first frame, and prompts for later frames, from the row of a manifest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..errors import BadInput
from ..io.masks import read_objects
from ..io.objects import NamedMask
from ..prompts.first_frame import first_mask
from ..prompts.timeline import Entry, read_prompts
from ..types import MAX_OBJECTS
from .tasks import Row


def is_prompt_file(path: Path) -> bool:
    """Return whether a JSON file has prompts by frame, and not annotations or results.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.json"
    ...     _ = path.write_text('[{"frame": 0, "box": [1, 2, 3, 4]}]')
    ...     is_prompt_file(path)
    True
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return False
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(one, dict) and "frame" in one and "objects" not in one for one in content)
    )


class Marks:
    """Objects to follow in a video: `start` is the first frame, `later` has the prompts of further frames.

    Parameters
    ----------
    row : row of the manifest

    Raises
    ------
    BadInput
        If the prompt file is bad, or nothing is marked.

    Examples
    --------
    >>> from ..prompts.prompt import Prompt
    >>> marks = Marks(Row("", "a.mp4", "a", prompts=(Prompt(boxes=((1, 1, 4, 4),)),)))
    >>> marks.start, int(marks.first(np.zeros((8, 8, 3), np.uint8)).labels.sum() > 0)
    (0, 1)
    """

    def __init__(self, row: Row) -> None:
        self._row = row
        self._first: list[Entry] = []
        self.later: list[Entry] = []
        self.start = row.start
        if row.prompt_file is not None:
            self._read_file(row.prompt_file)
        if row.mask is None and not row.prompts and not self._first:
            raise BadInput(
                f"{row.where}: no objects marked (got neither a mask nor prompts for {row.video}). Add a column mask, "
                "prompts, box, point or object, or put a file beside the video, such as clip.png or clip.json"
            )

    @property
    def files(self) -> list[Path]:
        """Files that the marks are read from."""
        named = [self._row.mask, self._row.prompt_file, *(prompt.mask for prompt in self._row.prompts)]
        named += [entry.prompt.mask for entry in [*self._first, *self.later] if entry.prompt is not None]
        return [path for path in named if isinstance(path, Path)]

    def check(self, size: tuple[int, int]) -> None:
        """Raise BadInput if the marks do not fit frames of (H, W)."""
        for prompt in self._row.prompts:
            prompt.check(size)
            prompt.drawn(size)
        if self._row.prompt_file is not None:
            read_prompts(self._row.prompt_file, -1, size)
        if self._row.mask is not None:
            read_objects(self._row.mask, size, self.start)

    def first(self, image: np.ndarray) -> NamedMask:
        """Return the objects of the first frame, (H, W, 3) uint8."""
        if self._row.mask is not None or self._row.prompts:
            return first_mask(image, self._row.mask, self._row.prompts, frame=self.start)
        whole = [entry for entry in self._first if _is_whole(entry)]
        if whole and len(self._first) > 1:
            raise BadInput(
                f"{self._row.prompt_file}: a mask of all objects together with other prompts in frame {self.start} "
                "(got both, expected one of them). Leave one out"
            )
        if whole and whole[0].prompt is not None and isinstance(whole[0].prompt.mask, Path):
            return first_mask(image, whole[0].prompt.mask, frame=self.start)
        prompts = [entry.prompt for entry in self._first if entry.prompt is not None]
        found = first_mask(image, prompts=prompts, frame=self.start)
        return self._renumbered(found)

    def _read_file(self, path: Path) -> None:
        marked = self._row.mask is not None or bool(self._row.prompts)
        entries = read_prompts(path, self._row.start if marked else -1)
        if marked:
            self.later = entries
            return
        if not entries:
            raise BadInput(f"{path}: no prompts (got an empty list). Add an entry for the first frame")
        self.start = max(self._row.start, entries[0].frame)
        self._first = [entry for entry in entries if entry.frame == entries[0].frame]
        self.later = entries[len(self._first) :]
        if any(entry.prompt is None for entry in self._first):
            raise BadInput(f"{path}: frame {self.start} removes an object before any is marked. Correct the entry")

    def _renumbered(self, found: NamedMask) -> NamedMask:
        """Give the objects of prompts with an `id` this id, and the lowest free ids to the others."""
        wanted = [entry.key if isinstance(entry.key, int) else None for entry in self._first]
        used = [one for one in wanted if one is not None]
        if len(set(used)) < len(used) or any(one > MAX_OBJECTS for one in used):
            raise BadInput(
                f"{self._row.prompt_file}: wrong ids in frame {self.start} (got {used}, expected different ids from 1 "
                f"to {MAX_OBJECTS}). Correct the entries"
            )
        free = iter(sorted(set(range(1, MAX_OBJECTS + 1)) - set(used)))
        ids = np.zeros(256, np.uint8)
        for at, one in enumerate(wanted, 1):
            ids[at] = next(free) if one is None else one
        return NamedMask(ids[found.labels], {int(ids[at]): name for at, name in found.names.items()})


def _is_whole(entry: Entry) -> bool:
    prompt = entry.prompt
    return entry.key is None and prompt is not None and not (prompt.boxes or prompt.points or prompt.negative_points)
