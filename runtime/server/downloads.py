"""Files for download: masks, annotations for other tools, the overlay video, and prompts that repeat a run."""

from __future__ import annotations

import json
import shlex
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadInput
from ..formats.convert import FORMATS, convert
from ..formats.results import UNNAMED, FrameResult, Results, TrackedObject
from ..io.masks import write_mask
from ..io.video_sink import VideoSink
from ..types import Mask
from .follower import Mark
from .history import Result
from .objects import SessionObject
from .painting import paint
from .readers import Reader


class SessionResults(Results):
    """Results of a session, as the writers of `shls.runtime.formats` read them.

    Parameters
    ----------
    name : name of the source
    results : results by frame number
    objects : objects by id
    fps : frames per second

    Examples
    --------
    >>> result = Result(7, 0.28, "00007", (2, 3), b"", {1: 0.9}, {1: 6}, {1: 1})
    >>> SessionResults("clip", [result], {1: SessionObject(1, "dog", "#18b6ff")}, 25.0).objects[1].name
    'dog'
    """

    def __init__(self, name: str, results: list[Result], objects: Mapping[int, SessionObject], fps: float) -> None:
        super().__init__(name, Path(name))
        self.size, self.fps = results[0].size, fps
        self.indices = [one.index for one in results]
        self.names = [one.name for one in results]
        self._results, self._known = results, objects
        self.objects = {at: TrackedObject(at, at, one.name or UNNAMED) for at, one in objects.items()}

    def __iter__(self) -> Iterator[FrameResult]:
        for one in self._results:
            scores = {at: score for at, score in one.scores.items() if at in self._known}
            yield FrameResult(one.index, one.name, one.labels(self._known), scores)


class Material:
    """Copy of a session's state, of which downloads are made.

    Parameters
    ----------
    name : name of the source
    reader : source, which is opened again for the overlay video
    results : results by frame number
    objects : objects of the session
    marks : marks by frame number

    Examples
    --------
    >>> session.material().result().as_results().indices  # doctest: +SKIP
    [0, 1, 2]
    """

    def __init__(
        self,
        name: str,
        reader: Reader,
        results: list[Result],
        objects: tuple[SessionObject, ...],
        marks: Mapping[int, list[Mark]],
    ) -> None:
        if not results:
            raise BadInput("download: nothing was followed yet. Mark an object first")
        self.name, self.reader, self.results, self.marks = name, reader, results, marks
        self.objects = {one.object_id: one for one in objects}

    def as_results(self) -> SessionResults:
        """Return the results for the writers of other tools' formats."""
        return SessionResults(Path(self.name).stem or "video", self.results, self.objects, self.reader.fps)


def write_download(name: str, material: Material, folder: Path) -> Path:
    """Write a file for download.

    Parameters
    ----------
    name : `masks.zip`, `coco.json`, `overlay.mp4`, `prompts.zip`, or `FORMAT.zip` of a format of `shls convert`
    material : copy of the session's state
    folder : empty folder to write to

    Returns
    -------
    Path
        The file.

    Raises
    ------
    BadInput
        If there is no such download, or if it cannot be made.

    Examples
    --------
    >>> write_download("passwords.txt", None, Path("."))
    Traceback (most recent call last):
        ...
    shls.runtime.errors.BadInput: download: unknown (got 'passwords.txt', expected one of masks.zip, coco.json, ...
    """
    stem, _, kind = name.rpartition(".")
    if name in WRITERS:
        path = folder / name
        WRITERS[name](material, path)
        return path
    if kind == "zip" and stem in FORMATS:
        convert([material.as_results()], stem, folder / stem)
        return _zipped(folder / stem, folder / name)
    known = [*WRITERS, *(f"{one}.zip" for one in FORMATS)]
    raise BadInput(f"download: unknown (got {name[:40]!r}, expected one of {', '.join(known)})")


def _write_masks(material: Material, path: Path) -> None:
    """Write one palette PNG per frame, and the names of the objects."""
    names = {at: one.name for at, one in material.objects.items() if one.name}
    part = path.with_name("mask.png")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for result in material.results:
            write_mask(part, result.labels(material.objects), names)
            archive.write(part, f"{result.name}.png")
        archive.writestr("objects.json", _text([one.as_json() for one in material.objects.values()]))


def _write_coco(material: Material, path: Path) -> None:
    convert([material.as_results()], "coco", path.with_name("coco"))
    (path.with_name("coco") / "annotations.json").rename(path)


def _write_overlay(material: Material, path: Path) -> None:
    """Write the frames up to the last followed one with their objects."""
    results = {one.index: one for one in material.results}
    last, objects = max(results), tuple(material.objects.values())
    with VideoSink(path, material.reader.info) as sink:
        for frame in material.reader.again():
            if frame.index > last:
                break
            result = results.get(frame.index)
            picture = frame.image if result is None else paint(frame.image, result.labels(material.objects), objects)
            sink.write(frame._replace(image=picture), Mask(np.zeros(frame.image.shape[:2], np.uint8), {}))


def _write_prompts(material: Material, path: Path) -> None:
    """Write what `shls run` needs to repeat the session: first mask, prompts of later frames, and the command."""
    frames = sorted(material.marks)
    if not frames:
        raise BadInput("download: nothing is marked. Mark an object first")
    names = {at: one.name for at, one in material.objects.items() if one.name}
    part = path.with_name("mask.png")
    words = ["shls", "run", material.name, "--start", str(frames[0]), "--mask", "first.png"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        first = material.marks[frames[0]]
        labels = np.zeros(first[0].size, np.uint8)
        for mark in first:
            labels[mark.mask] = mark.object_id
        write_mask(part, labels, names)
        archive.write(part, "first.png")
        entries = []
        for frame in frames[1:]:
            for mark in material.marks[frame]:
                entry = describe_mark(frame, mark, names)
                if "mask" in entry:
                    write_mask(part, mark.mask.astype(np.uint8))
                    archive.write(part, str(entry["mask"]))
                entries.append(entry)
        if entries:
            archive.writestr("prompts.json", _text(entries))
            words += ["--prompts", "prompts.json"]
        archive.writestr("command.txt", shlex.join([*words, "--out", "overlay.mp4"]) + "\n")


def describe_mark(frame: int, mark: Mark, names: Mapping[int, str]) -> dict[str, Any]:
    """Return a mark as an entry of a prompt file: clicks if they alone gave the mask, otherwise the mask's file.

    Examples
    --------
    >>> describe_mark(40, Mark(2, (480, 854), b""), {})
    {'frame': 40, 'remove': 2}
    """
    if mark.ends:
        return {"frame": frame, "remove": mark.object_id}
    entry: dict[str, Any] = {"frame": frame, "id": mark.object_id}
    if mark.object_id in names:
        entry["name"] = names[mark.object_id]
    request = mark.request
    if request is None or not (mark.fresh and request.is_plain):
        return entry | {"mask": f"masks/{frame:05d}_{mark.object_id}.png"}
    for key, values in (("box", request.boxes), ("point", request.points), ("not", request.negative_points)):
        if values:
            entry[key] = [list(value) for value in values]
    return entry


WRITERS: dict[str, Callable[[Material, Path], None]] = {
    "masks.zip": _write_masks,
    "coco.json": _write_coco,
    "overlay.mp4": _write_overlay,
    "prompts.zip": _write_prompts,
}
"""Downloads by name, beside the formats of `shls convert`."""


def _zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())
    return path


def _text(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
