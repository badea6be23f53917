"""Prompts for later frames, from a JSON file: objects to add, to correct or to remove while a video is followed.

The file is a list of entries. Each entry has `frame`, a number that counts as the source does, from 0, and

- `remove`: id or name of an object; or
- any of `box` [x, y, width, height], `point` [x, y], `not` [x, y] and `mask` (a file, relative to this one), for one
  object. `box`, `point` and `not` may be lists of several. `id` or `name` say which object; without them the
  object is new and gets the lowest free id. Points correct the mask of an object that is followed already, and the
  memory learns the corrected mask; a box or a mask marks such an object anew; or
- `mask` alone: all objects of the file, with their ids and names.

    [{"frame": 40, "box": [120, 80, 60, 90], "name": "dog"},
     {"frame": 75, "point": [[300, 200], [320, 240]], "not": [310, 90], "id": 1},
     {"frame": 90, "remove": "dog"}]
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeGuard

import numpy as np

from ..errors import BadInput
from ..io.masks import read_objects, split_choice
from ..io.objects import ObjectTable
from ..types import MAX_OBJECTS, Frame, Mask
from .first_frame import warn_if_nearly_all
from .grab_cut import mask_from_prompt
from .prompt import Prompt, Solver

NUMBERS = {"box": 4, "point": 2, "not": 2}
"""How many numbers one value of a key has."""


class Entry(NamedTuple):
    """Entry of a prompt file.

    frame : number of the frame
    prompt : the object; None in entries that remove one
    key : id or name of the object; None for a new object, or for all objects of a mask file

    Examples
    --------
    >>> Entry(90, None, "dog").key
    'dog'
    """

    frame: int
    prompt: Prompt | None
    key: int | str | None


def read_prompts(path: Path, start: int = 0, size: tuple[int, int] | None = None) -> list[Entry]:
    """Read a prompt file.

    Parameters
    ----------
    path : file to read
    start : frame in which the first objects are marked; all entries have to come later
    size : (H, W) of the frames; with it all boxes, points and masks are checked

    Returns
    -------
    list of Entry
        The entries by frame.

    Raises
    ------
    BadInput
        If the file is missing, if an entry is not as described above, or if it does not fit the frames.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "prompts.json"
    ...     _ = path.write_text('[{"frame": 90, "remove": 2}, {"frame": 40, "point": [3, 4], "name": "dog"}]')
    ...     [(entry.frame, entry.key) for entry in read_prompts(path, size=(40, 60))]
    [(40, 'dog'), (90, 2)]
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}). Give a JSON file of prompts") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON ({error}). Mend the file") from error
    if not isinstance(content, list):
        raise BadInput(f"{path}: not a list (expected [{{...}}, ...] with one entry per prompt). Put it in brackets")
    entries = [_parse(f"{path}, entry {at}", entry, start, path.parent) for at, entry in enumerate(content)]
    for at, entry in enumerate(entries):
        if size is not None:
            _check(f"{path}, entry {at}", entry, size)
    return sorted(entries, key=lambda entry: entry.frame)


class Following(Protocol):
    """Interface of a segmenter that prompts change; see `shls.runtime.segmenter.VideoSegmenter`.

    Examples
    --------
    >>> from ..segmenter import VideoSegmenter
    >>> Followed: type[Following] = VideoSegmenter
    """

    def add(self, mask: np.ndarray) -> Mask:
        """Mark objects in the last frame, or correct their masks."""

    def remove(self, object_id: int) -> Mask:
        """Stop following an object."""


class Prompter:
    """Apply prompts when their frames come; an argument `revise` of `follow`.

    Where a frame is left out, by `--every` or by a camera, its prompts are applied in the next frame.

    Parameters
    ----------
    entries : prompts by frame
    segmenter : follows the objects
    table : names of the objects of the run
    solve : finds the object of a prompt

    Attributes
    ----------
    waiting : entries whose frames have not come yet

    Examples
    --------
    >>> prompter = Prompter([], segmenter=None)
    >>> mask = Mask(np.zeros((4, 5), np.uint8), {})
    >>> prompter(Frame(np.zeros((4, 5, 3), np.uint8), 7, 0.0, ""), mask) is mask
    True
    """

    def __init__(
        self,
        entries: list[Entry],
        segmenter: Following,
        table: ObjectTable | None = None,
        solve: Solver = mask_from_prompt,
    ) -> None:
        self.waiting = list(entries)
        self._segmenter, self._solve = segmenter, solve
        self._table = ObjectTable() if table is None else table
        self._last: int | None = None

    @property
    def files(self) -> list[Path]:
        """Mask files of the prompts, which no output may overwrite."""
        masks = [entry.prompt.mask for entry in self.waiting if entry.prompt is not None]
        return [split_choice(path)[0] for path in masks if isinstance(path, Path)]

    def __call__(self, frame: Frame, mask: Mask) -> Mask:
        self._last = frame.index
        while self.waiting and self.waiting[0].frame <= frame.index:
            mask = self._apply(self.waiting.pop(0), frame, mask)
        return mask

    def unused(self) -> str | None:
        """Return a sentence about the entries whose frames did not come; None if there are none.

        Examples
        --------
        >>> Prompter([Entry(300, None, 1)], segmenter=None).unused()
        'prompts: 1 of frame 300 not applied: no such frame came. Correct the frame numbers.'
        """
        if not self.waiting:
            return None
        frames = list(dict.fromkeys(entry.frame for entry in self.waiting))
        numbers = ", ".join(map(str, frames[:5])) + (", ..." if frames[5:] else "")
        last = "no such frame came" if self._last is None else f"the last frame was {self._last}"
        return f"prompts: {len(self.waiting)} of frame {numbers} not applied: {last}. Correct the frame numbers."

    def _apply(self, entry: Entry, frame: Frame, mask: Mask) -> Mask:
        if entry.prompt is None:
            return self._segmenter.remove(self._id_to_remove(entry, frame))
        taken = frozenset(map(int, mask.scores))
        if _is_whole_file(entry):
            size = (frame.image.shape[0], frame.image.shape[1])
            labels = self._table.add(read_objects(Path(str(entry.prompt.mask)), size, entry.frame), taken)
        else:
            entry.prompt.warn_if_outside((frame.image.shape[0], frame.image.shape[1]))
            object_id = self._id_to_add(entry.key, taken)
            prompt = entry.prompt.onto(mask.labels == object_id)
            labels = self._solve(frame.image, prompt).astype(np.uint8) * np.uint8(object_id)
            if entry.prompt.name:
                self._table.rename(object_id, entry.prompt.name)
        warn_if_nearly_all(labels, f"prompts, frame {entry.frame}")
        return self._segmenter.add(labels)

    def _id_to_remove(self, entry: Entry, frame: Frame) -> int:
        object_id = None if entry.key is None else self._table.find(entry.key)
        if object_id is None:
            raise BadInput(
                f"prompts, frame {frame.index}: no object to remove (got {entry.key!r}, expected the id or name of an "
                "object). Correct the entry"
            )
        return object_id

    def _id_to_add(self, key: int | str | None, taken: frozenset[int]) -> int:
        object_id = None if key is None else self._table.find(key)
        if object_id is None:
            object_id = min(set(range(1, len(taken) + 2)) - taken)
        if object_id > MAX_OBJECTS:
            raise BadInput(f"objects: too many (got more than {MAX_OBJECTS}). Remove some first")
        return object_id


def _parse(where: str, entry: Any, start: int, folder: Path) -> Entry:
    if not isinstance(entry, dict):
        raise BadInput(f"{where}: not an object (got {entry!r}, expected such as {{'frame': 40, 'point': [3, 4]}})")
    frame, given = entry.get("frame"), entry.keys() & {"remove", "mask", *NUMBERS}
    known = entry.keys() & {"id", "name"}
    if (
        entry.keys() - {"frame", "id", "name", "remove", "mask", *NUMBERS}
        or not given
        or (given == {"not"} and not known)
    ):
        raise BadInput(
            f"{where}: wrong keys (got {', '.join(entry) or 'none'}, expected frame with remove, or with some of box, "
            "point, not, mask, id, name). Correct the entry"
        )
    if not _is_whole(frame) or frame <= start:
        raise BadInput(
            f"{where}: wrong frame (got {frame!r}, expected a whole number above {start}, which is the first frame). "
            "Mark the objects of the first frame by --box, --point, --object or --mask"
        )
    if "remove" in given:
        return Entry(frame, None, _parse_removed(where, entry))
    object_id, name = entry.get("id"), entry.get("name")
    if object_id is not None:
        _check_id(where, "id", object_id)
    if name is not None and not isinstance(name, str):
        raise BadInput(f"{where}: wrong name (got {name!r}, expected a text). Put it in quotes")
    values = {key: _parse_values(where, key, entry.get(key, [])) for key in NUMBERS}
    prompt = Prompt(name, values["box"], values["point"], values["not"], _parse_mask(where, entry.get("mask"), folder))
    return Entry(frame, prompt, name if object_id is None else object_id)


def _parse_removed(where: str, entry: dict[str, Any]) -> int | str:
    if entry.keys() != {"frame", "remove"}:
        raise BadInput(f"{where}: remove stands alone (got {', '.join(entry)}, expected frame and remove). Split it")
    removed: int | str = entry["remove"]
    if not isinstance(removed, str):
        _check_id(where, "remove", removed)
    return removed


def _check_id(where: str, key: str, value: Any) -> None:
    if not _is_whole(value) or value < 1:
        raise BadInput(f"{where}: wrong {key} (got {value!r}, expected an object's id, 1 or more). Correct the entry")


def _parse_values(where: str, key: str, value: Any) -> tuple[Any, ...]:
    """Read one value of numbers, or a list of values."""
    count = NUMBERS[key]
    values = value if isinstance(value, list) and all(isinstance(one, list) for one in value) else [value]
    for one in values:
        if not isinstance(one, list) or len(one) != count or not all(map(_is_number, one)):
            raise BadInput(
                f"{where}: wrong {key} (got {one!r}, expected {count} numbers in brackets). Correct the entry"
            )
    return tuple(map(tuple, values))


def _parse_mask(where: str, value: Any, folder: Path) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str) or not (folder / value.partition("#")[0]).exists():
        raise BadInput(f"{where}: the mask is missing (got {value!r}, expected a file in {folder}). Correct the name")
    return folder / value


def _check(where: str, entry: Entry, size: tuple[int, int]) -> None:
    """Raise BadInput if an entry does not fit frames of (H, W)."""
    if entry.prompt is None:
        return
    try:
        entry.prompt.check(size, corrects=entry.key is not None)
        if _is_whole_file(entry):
            read_objects(Path(str(entry.prompt.mask)), size, entry.frame)
        else:
            entry.prompt.drawn(size)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error


def _is_whole_file(entry: Entry) -> bool:
    """Return True if an entry adds all objects of a mask file."""
    prompt = entry.prompt
    return entry.key is None and prompt is not None and not (prompt.boxes or prompt.points or prompt.negative_points)


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))
