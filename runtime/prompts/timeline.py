"""What to mark or to remove in later frames, from a file.

JSON, a list of objects with `frame` (as the source counts, from 0) and one of `mask` (a file, relative to this one),
`box` [x, y, width, height], `point` [x, y] or `remove` (an object's id). `id` names what a box or point marks; without
it the lowest free id is taken. An id that is followed already is marked anew.

    [{"frame": 40, "box": [120, 80, 60, 90]}, {"frame": 75, "point": [300, 200], "id": 1}, {"frame": 90, "remove": 2}]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from ..errors import BadInput
from ..io.masks import MAX_OBJECTS, read_mask
from ..segmenter import VideoSegmenter
from ..types import Frame, Mask
from .first_frame import mask_from_box, mask_from_point

NUMBERS = {"box": 4, "point": 2}


class Prompt(NamedTuple):
    """One entry: `kind` is mask, box, point or remove, and `value` what the file says there."""

    frame: int
    kind: str
    value: Any
    object_id: int | None


def read_prompts(path: Path, start: int = 0) -> list[Prompt]:
    """Read a file of prompts, by frame.

    Parameters
    ----------
    path : of the file
    start : frame in which the first objects are marked; prompts have to come later

    Raises
    ------
    BadInput
        If the file is missing, or an entry is not as described above.
    """
    try:
        entries = json.loads(path.read_text())
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BadInput(f"{path}: not JSON ({error})") from error
    if not isinstance(entries, list):
        raise BadInput(f"{path}: not a list; expected [{{...}}, ...] with one object per prompt")
    prompts = [_parse(path, at, entry, start) for at, entry in enumerate(entries)]
    return sorted(prompts, key=lambda prompt: prompt.frame)


class Prompter:
    """Applies prompts when their frames come; for `follow`'s `revise`.

    Where a frame is left out, by `--every` or by a camera, its prompts are applied in the next one.
    """

    def __init__(self, prompts: list[Prompt], segmenter: VideoSegmenter) -> None:
        self._waiting, self._segmenter = list(prompts), segmenter

    def __call__(self, frame: Frame, mask: Mask) -> Mask:
        while self._waiting and self._waiting[0].frame <= frame.index:
            mask = self._apply(self._waiting.pop(0), frame.image, mask)
        return mask

    def _apply(self, prompt: Prompt, image: np.ndarray, mask: Mask) -> Mask:
        if prompt.kind == "remove":
            return self._segmenter.remove(prompt.value)
        if prompt.kind == "mask":
            return self._segmenter.add(read_mask(prompt.value, (image.shape[0], image.shape[1])))
        used = {int(one) for one in mask.scores}
        object_id = prompt.object_id or min(set(range(1, len(used) + 2)) - used)
        if object_id > MAX_OBJECTS:
            raise BadInput(f"more than {MAX_OBJECTS} objects; remove some first")
        mark = mask_from_box if prompt.kind == "box" else mask_from_point
        return self._segmenter.add(mark(image, prompt.value, object_id))


def _parse(path: Path, at: int, entry: Any, start: int) -> Prompt:
    where = f"{path}, entry {at}"
    if not isinstance(entry, dict):
        raise BadInput(f"{where}: not an object in braces; expected such as {{'frame': 40, 'point': [3, 4]}}")
    kinds = sorted(entry.keys() & {"mask", "box", "point", "remove"})
    if len(kinds) != 1 or entry.keys() - {"frame", "id", kinds[0]}:
        raise BadInput(f"{where}: has {', '.join(entry)}; expected frame and one of mask, box, point, remove")
    kind, frame = kinds[0], entry.get("frame")
    if not _whole(frame) or frame <= start:
        raise BadInput(f"{where}: frame is {frame!r}; expected a whole number above {start}, the first frame")
    object_id, value = entry.get("id"), entry[kind]
    for name, number in (("id", object_id), ("remove", value if kind == "remove" else None)):
        if number is not None and not (_whole(number) and 1 <= number <= MAX_OBJECTS):
            raise BadInput(f"{where}: {name} is {number!r}; expected an object id, 1 to {MAX_OBJECTS}")
    if object_id is not None and kind not in NUMBERS:
        raise BadInput(f"{where}: id goes with box or point only")
    return Prompt(frame, kind, _value(where, kind, value, path.parent), object_id)


def _value(where: str, kind: str, value: Any, folder: Path) -> Any:
    if kind == "mask":
        if not isinstance(value, str) or not (folder / value).exists():
            raise BadInput(f"{where}: mask {value!r} is not there; expected a file's name, relative to {folder}")
        return folder / value
    if kind in NUMBERS:
        if not isinstance(value, list) or len(value) != NUMBERS[kind] or not all(map(_whole, value)):
            raise BadInput(f"{where}: {kind} is {value!r}; expected {NUMBERS[kind]} whole numbers")
        return tuple(value)
    return value


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
