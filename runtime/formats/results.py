"""Results of a run, read back: JSON lines with run-length masks, or a folder of palette PNGs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import BadInput
from ..io.image_files import natural_key
from ..io.rle import Rle, decode_rle
from ..types import MAX_OBJECTS
from ._palette_files import read_ids

FPS = 24.0
"""Frames per second that are reckoned where the results have no times."""
UNNAMED = "object"
"""Category of objects without a name."""


class TrackedObject(NamedTuple):
    """Object of a video.

    id : id that the object has in its mask file
    label : id in the masks, 1 to 254
    name : name; `object` if it has none

    Examples
    --------
    >>> TrackedObject(300, 1, "dog").name
    'dog'
    """

    id: int
    label: int
    name: str


class FrameResult(NamedTuple):
    """Masks of one frame.

    index : number of the frame in its source
    name : name of an image file of the frame, without suffix
    labels : (H, W) uint8, `TrackedObject.label` per pixel, 0 for the background
    scores : confidence by label, 0 to 1; 1 where the results have none

    Examples
    --------
    >>> FrameResult(7, "00007", np.zeros((2, 3), np.uint8), {}).labels.shape
    (2, 3)
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    name: str
    labels: np.ndarray
    scores: dict[int, float]


class Results:
    """Results of one video: iterate for its frames, as often as needed; one frame at a time is in memory.

    Attributes
    ----------
    name : name of the video
    path : file or folder that is read
    size : height and width, pixels
    indices : numbers of the frames, increasing
    names : names of the frames' image files, without suffix
    fps : frames per second
    objects : objects by label

    Examples
    --------
    >>> import tempfile
    >>> from ..io.masks import write_mask
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_mask(Path(folder) / "00000.png", np.array([[0, 2]], np.uint8))
    ...     results = read_results(Path(folder), "clip")
    ...     [frame.labels.tolist() for frame in results], list(results.objects)
    ([[[0, 2]]], [2])
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self.size = 0, 0
        self.indices: list[int] = []
        self.names: list[str] = []
        self.fps = FPS
        self.objects: dict[int, TrackedObject] = {}

    def __iter__(self) -> Iterator[FrameResult]:
        raise NotImplementedError


def read_results(path: str | Path, name: str | None = None) -> Results:
    """Open the results of a run.

    Parameters
    ----------
    path : JSON lines of `shls run --json`, the folder of `shls run --masks`, or a folder of `shls batch` of one video
    name : name of the video; by default that of the file or folder

    Raises
    ------
    BadInput
        If there are no results, or they cannot be read.

    Examples
    --------
    >>> read_results("none.jsonl")
    Traceback (most recent call last):
        ...
    shls.runtime.errors.BadInput: none.jsonl: no such file or folder. Name the JSON lines or the masks of a run
    """
    path = Path(path)
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder. Name the JSON lines or the masks of a run")
    if path.is_dir() and (path / "objects.jsonl").is_file():
        return JsonResults(name or path.name, path / "objects.jsonl")
    if path.is_dir():
        return FolderResults(name or path.resolve().name, path)
    return JsonResults(name or path.stem, path)


class JsonResults(Results):
    """Results in JSON lines; see `shls.runtime.io.json_sink.JsonLinesSink`.

    Examples
    --------
    >>> JsonResults("clip", Path("objects.jsonl"))  # doctest: +SKIP
    <...JsonResults object at ...>
    """

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name, path)
        times: list[float] = []
        for line in self._lines():
            self.indices.append(line.frame)
            self.names.append(line.name)
            times += [] if line.time is None else [line.time]
            for entry in line.entries:
                self._enter(entry)
        if not self.objects:
            raise BadInput(f"{path}: no objects (got {len(self.indices)} frames, expected results of a run)")
        if len(times) == len(self.indices) > 1 and times[-1] > times[0]:
            self.fps = (len(times) - 1) / (times[-1] - times[0])

    def __iter__(self) -> Iterator[FrameResult]:
        for line in self._lines():
            labels, scores = np.zeros(self.size, np.uint8), {}
            for entry in line.entries:
                scores[entry.object.label] = entry.score
                if not entry.lost:
                    labels[decode_rle(entry.rle) > 0] = entry.object.label
            yield FrameResult(line.frame, line.name, labels, scores)

    def _enter(self, entry: _Entry) -> None:
        """Note an object, and the size of its mask."""
        self.objects[entry.object.label] = entry.object
        height, width = entry.rle["size"]
        if self.size not in ((0, 0), (height, width)):
            raise BadInput(
                f"{self.path}: masks of two sizes (got {width}x{height} and {self.size[1]}x{self.size[0]}, expected "
                "one). Give the results of one video"
            )
        self.size = height, width

    def _lines(self) -> Iterator[_Line]:
        number = 0
        try:
            with self.path.open(encoding="utf-8-sig") as file:
                for number, text in enumerate(file, 1):  # noqa: B007
                    if text.strip():
                        yield _parse(json.loads(text))
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{self.path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadInput(
                f"{self.path}, line {number}: no result of a run ({type(error).__name__}: {error}; expected the JSON "
                "lines of `shls run --json`)"
            ) from error


class _Entry(NamedTuple):
    """Object in a line."""

    object: TrackedObject
    score: float
    lost: bool
    rle: Rle


class _Line(NamedTuple):
    """Line of a file of results."""

    frame: int
    name: str
    time: float | None
    entries: list[_Entry]


def _parse(values: dict[str, Any]) -> _Line:
    """Read a line; raises KeyError, TypeError or ValueError if something is missing or wrong."""
    frame, entries = int(values["frame"]), []
    for entry in values["objects"]:
        label = int(entry.get("mask_id", entry["id"]))
        if not 1 <= label <= MAX_OBJECTS:
            raise ValueError(f"object id {label}")
        one = TrackedObject(int(entry["id"]), label, str(entry.get("name") or UNNAMED))
        height, width = entry["rle"]["size"]
        rle = Rle(size=[int(height), int(width)], counts=str(entry["rle"]["counts"]))
        entries.append(_Entry(one, float(entry.get("confidence", 1.0)), bool(entry.get("lost")), rle))
    time = None if values.get("time") is None else float(values["time"])
    return _Line(frame, str(values.get("name") or f"{frame:05d}"), time, entries)


class FolderResults(Results):
    """Results in a folder of palette PNGs, one per frame; the palette indices are object ids, 255 is void.

    Examples
    --------
    >>> FolderResults("clip", Path("masks"))  # doctest: +SKIP
    <...FolderResults object at ...>
    """

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name, path)
        files = [one for one in path.iterdir() if one.suffix.lower() == ".png" and not one.name.startswith(".")]
        self._files = sorted(files, key=lambda file: natural_key(file.name))
        if not self._files:
            raise BadInput(f"{path}: no masks (got no PNG files, expected one per frame). Name the masks of a run")
        self.names = [file.stem for file in self._files]
        numbers = [int(stem) if stem.isdecimal() else -1 for stem in self.names]
        self.indices = numbers if numbers == sorted(set(numbers) - {-1}) else list(range(len(numbers)))
        for file in self._files:
            labels, names = read_ids(file)
            if self.size not in ((0, 0), labels.shape):
                raise BadInput(
                    f"{file}: another size (got {labels.shape[1]}x{labels.shape[0]}, expected {self.size[1]}x"
                    f"{self.size[0]}, that of the first mask). Give the masks of one video"
                )
            self.size = labels.shape[0], labels.shape[1]
            for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[1:]) + 1:
                known = self.objects.get(int(label))
                name = names.get(int(label)) or (known.name if known else UNNAMED)
                self.objects[int(label)] = TrackedObject(int(label), int(label), name)
        if not self.objects:
            raise BadInput(f"{path}: no objects (got {len(self._files)} empty masks). Name the masks of a run")

    def __iter__(self) -> Iterator[FrameResult]:
        for index, name, file in zip(self.indices, self.names, self._files, strict=True):
            labels, _ = read_ids(file)
            ids = (np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[1:]) + 1).tolist()
            yield FrameResult(index, name, labels, dict.fromkeys(ids, 1.0))
