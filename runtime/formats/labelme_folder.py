"""A folder of images for labelme: the objects of the first image's JSON file, written for each further image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._support.files import write_whole
from ..errors import BadInput
from ..io.base import Sink
from ..io.masks import read_objects
from ..io.objects import NamedMask
from ..types import Frame, Mask
from .labelme import labelme_of
from .results import UNNAMED, FrameResult, TrackedObject

UNCERTAIN = "uncertain"
"""Flag of a shape, and of an image with such a shape: the confidence is below the threshold."""
LOST = "lost"
"""Flag of an image: an object of the first image is not visible."""


class LabelmeSink(Sink):
    """Sink that writes `IMAGE.json` for each image after the first one.

    The description of a shape has the confidence. labelme shows flags as check boxes and keeps no numbers in flags.

    Parameters
    ----------
    files : images in the order of the frames
    objects : objects by label
    uncertain : confidence below which the flag `uncertain` is set, 0 to 1

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = [Path(folder, "a.jpg"), Path(folder, "b.jpg")]
    ...     with LabelmeSink(files, {1: TrackedObject(1, 1, "dog")}, 0.8) as sink:
    ...         mask = Mask(np.ones((2, 3), np.uint8), {1: 0.7})
    ...         sink.write(Frame(np.zeros((2, 3, 3), np.uint8), 1, 0.04, "b"), mask)
    ...     json.loads(Path(folder, "b.json").read_text())["flags"]
    {'uncertain': True, 'lost': False}
    """

    def __init__(self, files: Sequence[Path], objects: dict[int, TrackedObject], uncertain: float) -> None:
        self._files, self._objects, self._uncertain = list(files), objects, uncertain

    def write(self, frame: Frame, mask: Mask) -> None:
        """Write the file of an image whole; the first image's file stays as it is."""
        if frame.index == 0:
            return
        image = self._files[frame.index]
        content = labelme_of(FrameResult(frame.index, frame.name, *mask), self._objects, image.name)
        scores = {one.id: mask.scores.get(label, 0.0) for label, one in self._objects.items()}
        for shape in content["shapes"]:
            shape["flags"] = {UNCERTAIN: scores[shape["group_id"]] < self._uncertain}
        content["flags"] = {
            UNCERTAIN: any(shape["flags"][UNCERTAIN] for shape in content["shapes"]),
            LOST: len(content["shapes"]) < len(self._objects),
        }
        write_whole(json_of(image), (json.dumps(content, indent=2) + "\n").encode())


def json_of(image: Path) -> Path:
    """Return the labelme file of an image.

    Examples
    --------
    >>> json_of(Path("frames/00000.jpg")).as_posix()
    'frames/00000.json'
    """
    return image.with_suffix(".json")


def read_first(image: Path, size: tuple[int, int]) -> tuple[NamedMask, dict[int, TrackedObject]]:
    """Read the objects that were marked in an image with labelme.

    Parameters
    ----------
    image : the image; its JSON file has the same name
    size : (H, W) of the image

    Returns
    -------
    mask, objects by label
        The id of an object is its group id, if each object has a group id of its own; else the label.

    Raises
    ------
    BadInput
        If the file is missing, is no labelme file, or does not fit the image.

    Examples
    --------
    >>> read_first(Path("absent.jpg"), (2, 3))
    Traceback (most recent call last):
    ...
    shls.runtime.errors.BadInput: absent.json: no such file (expected the objects of absent.jpg). Mark them in labelme
    """
    path = json_of(image)
    if not path.is_file():
        raise BadInput(f"{path}: no such file (expected the objects of {image.name}). Mark them in labelme")
    mask = read_objects(path, size)
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(content, dict) or "shapes" not in content:
        raise BadInput(f"{path}: not of labelme (got no shapes, expected labelme JSON). Save the file in labelme")
    labels = sorted(set(mask.labels[mask.labels > 0].tolist()))
    groups = [_group(content["shapes"], mask.names.get(label)) for label in labels]
    known = [group for group in groups if group is not None]
    ids = known if len(set(known)) == len(labels) else labels
    return mask, {
        label: TrackedObject(one, label, mask.names.get(label, UNNAMED)) for label, one in zip(labels, ids, strict=True)
    }


def check_free(files: Sequence[Path]) -> None:
    """Raise BadInput if an image after the first one has a JSON file already.

    Examples
    --------
    >>> check_free([Path("a.jpg"), Path("absent.jpg")])
    """
    taken = [path for path in map(json_of, files[1:]) if path.exists()]
    if taken:
        raise BadInput(
            f"{taken[0]}: exists already (got {len(taken)} such files, expected one for the first image only). "
            "Move them away, or replace them with --overwrite"
        )


def _group(shapes: list[dict[str, Any]], name: str | None) -> int | None:
    """Return the group id of the shapes with a name, if it is one whole number."""
    groups = {shape.get("group_id") for shape in shapes if shape.get("label") == name}
    only = groups.pop() if len(groups) == 1 else None
    return only if isinstance(only, int) else None
