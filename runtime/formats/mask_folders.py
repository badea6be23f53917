"""Folders of palette PNGs as DAVIS and YouTube-VOS have them, and the text files of MOTS.

Sources: https://davischallenge.org/davis2017/code.html, https://youtube-vos.org/dataset/vos/ and
https://www.vision.rwth-aachen.de/page/mots.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadInput
from ..io.masks import write_mask
from ..io.rle import encode_rle
from ._parts import categories_of, file_name, write_json
from .results import Results

MOTS_PER_CLASS = 1000
"""An id of MOTS is the class times this number, plus the object's id."""
MOTS_IGNORED = 10
"""Class of MOTS for regions that an evaluation leaves out."""


def write_davis(results: Sequence[Results], out: Path) -> None:
    """Write `Annotations/480p/VIDEO/FRAME.png` and the list `ImageSets/2017/val.txt`.

    Parameters
    ----------
    results : videos
    out : folder to write to

    Examples
    --------
    >>> write_davis([], Path("out"))  # doctest: +SKIP
    """
    for video in results:
        _write_masks(video, out / "Annotations" / "480p" / file_name(video))
    lists = out / "ImageSets" / "2017"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "val.txt").write_text("".join(f"{file_name(video)}\n" for video in results))


def write_youtube_vos(results: Sequence[Results], out: Path) -> None:
    """Write `Annotations/VIDEO/FRAME.png` and `meta.json` with the frames in which each object is visible.

    Parameters
    ----------
    results : videos
    out : folder to write to

    Examples
    --------
    >>> write_youtube_vos([], Path("out"))  # doctest: +SKIP
    """
    videos: dict[str, Any] = {}
    for video in results:
        visible = _write_masks(video, out / "Annotations" / file_name(video))
        objects = {
            str(label): {"category": video.objects[label].name, "frames": frames} for label, frames in visible.items()
        }
        videos[file_name(video)] = {"objects": objects}
    write_json(out / "meta.json", {"videos": videos})


def write_mots(results: Sequence[Results], out: Path) -> None:
    """Write `VIDEO.txt`, a line `frame id class height width rle` per object and frame, and two lists.

    `evaluate_mots.seqmap` lists the videos, `classes.txt` the names of the classes. Frames count from 0. Ids are the
    class times 1000, plus the object's id in the masks. Class 10 is left out, because it means ignored regions.

    Parameters
    ----------
    results : videos
    out : folder to write to

    Raises
    ------
    BadInput
        If there are too many classes for the ids.

    Examples
    --------
    >>> write_mots([], Path("out"))  # doctest: +SKIP
    """
    classes = {name: at + (at >= MOTS_IGNORED) for name, at in categories_of(results).items()}
    out.mkdir(parents=True, exist_ok=True)
    for video in results:
        lines = []
        for place, frame in enumerate(video):
            for label in frame.scores:
                inside = frame.labels == label
                if inside.any():
                    number = classes[video.objects[label].name]
                    rle = encode_rle(inside)
                    ids = f"{place} {number * MOTS_PER_CLASS + label} {number}"
                    lines.append(f"{ids} {video.size[0]} {video.size[1]} {rle['counts']}\n")
        (out / f"{file_name(video)}.txt").write_text("".join(lines))
    _write_lists(results, classes, out)


def _write_lists(results: Sequence[Results], classes: dict[str, int], out: Path) -> None:
    if any(number > 99 for number in classes.values()):
        raise BadInput(f"mots: too many classes (got {len(classes)}, expected at most 98). Choose another format")
    (out / "classes.txt").write_text("".join(f"{number} {name}\n" for name, number in classes.items()))
    lines = [f"{file_name(video)} empty 000000 {len(video.indices):06d}\n" for video in results]
    (out / "evaluate_mots.seqmap").write_text("".join(lines))


def _write_masks(video: Results, folder: Path) -> dict[int, list[str]]:
    """Write the masks; return the names of the frames in which each object is visible."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {label: one.name for label, one in video.objects.items()}
    visible: dict[int, list[str]] = {label: [] for label in sorted(names)}
    for frame in video:
        for label in np.flatnonzero(np.bincount(frame.labels.ravel(), minlength=256)[1:]) + 1:
            visible[int(label)].append(frame.name)
        write_mask(folder / f"{frame.name}.png", frame.labels, names)
    return visible
