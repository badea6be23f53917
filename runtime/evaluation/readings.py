"""Readings of a sequence: the same frames in another order, at another rate, mirrored, smaller or compressed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ..errors import BadInput
from ..io.image_files import read_image
from ..io.sources import ImageSource
from ..types import Frame
from .davis import SequenceFiles, read_truth
from .metrics import VOID

FORWARD = "forward"
"""Name of the reading that changes nothing."""

JPEG_QUALITY = 40
"""Quality of the frames of the reading `jpeg40`, 0 to 100."""

Picture = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Reading:
    """A way to read a sequence.

    Attributes
    ----------
    name : str
        Name in options, tables and folders.
    backwards : bool
        Read the frames from a late frame to the first annotated one.
    step : int
        Read every `step`-th frame.
    image, labels : callable
        Change of each frame, (H, W, 3) uint8 RGB, and of each annotation, (H, W) uint8.

    Examples
    --------
    >>> READINGS["every2"].step
    2
    """

    name: str
    backwards: bool = False
    step: int = 1
    image: Picture = lambda image: image
    labels: Picture = lambda labels: labels


@dataclass(frozen=True)
class Clip:
    """A sequence in one reading, from the frame in which its objects are marked.

    Attributes
    ----------
    name : str
        Name of the sequence.
    files : list of Path
        Image files in the order of the reading.
    truths : dict of int to Path
        Position in `files` -> annotation. Position 0 has one with an object.
    size : tuple of int
        Height and width of the image files.
    reading : Reading
    notes : tuple of str
        Messages about files that are left out.

    Examples
    --------
    >>> Clip("bear", [], {}, (480, 854), READINGS["half"]).reading.labels(np.zeros((480, 854), np.uint8)).shape
    (240, 427)
    """

    name: str
    files: list[Path]
    truths: dict[int, Path]
    size: tuple[int, int]
    reading: Reading
    notes: tuple[str, ...] = ()

    def frames(self) -> Iterator[Frame]:
        """Yield the frames; their index is the position in `files`.

        Raises
        ------
        BadInput
            If an image cannot be read or has another size than the others.
        """
        with ImageSource(self.name, self.files) as source:
            for frame in source:
                yield frame._replace(image=self.reading.image(frame.image))

    def truth(self, position: int) -> np.ndarray:
        """Return the annotation at a position, (H, W) uint8 object ids; it may have no object."""
        return self.reading.labels(read_truth(self.truths[position], self.size))


def read_as(sequence: SequenceFiles, name: str) -> Clip:
    """Arrange the files of a sequence for a reading.

    The reading begins, or backwards ends, at the first annotation that has an object.

    Parameters
    ----------
    sequence : SequenceFiles
    name : str
        One of `READINGS`. `reversed` begins at the last annotated frame in which each object has at least half its
        median area; if there is none, at the last frame in which most objects have.

    Raises
    ------
    BadInput
        If no reading has this name, an annotation or the first image cannot be read, or no annotation has an object.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS
    >>> mask = ASSETS / "bunny_mask.png"
    >>> sequence = SequenceFiles("bunny", ASSETS, dict.fromkeys(range(6), mask), [mask] * 6)
    >>> read_as(sequence, "every2").truths.keys()
    dict_keys([0, 1, 2])
    """
    if name not in READINGS:
        raise BadInput(f"reading: unknown name (got {name}, expected one of {', '.join(READINGS)}). Correct the name")
    reading = READINGS[name]
    size = read_image(sequence.files[0]).shape[:2]
    whole = Clip(sequence.name, sequence.files, sequence.truths, (size[0], size[1]), reading, sequence.notes)
    first = next((at for at in whole.truths if whole.truth(at).any()), None)
    if first is None:
        raise BadInput(
            f"sequence {sequence.name}: no annotation has an object in the reading {name}. "
            "Remove the sequence from the set"
        )
    skipped = list(whole.truths).index(first)
    note = (f"{skipped} annotations before the first object are skipped",) if skipped else ()
    if reading.backwards:
        order = list(range(_last_good(whole), first - 1, -1))
    else:
        order = list(range(first, len(sequence.files), reading.step))
    truths = {at: sequence.truths[index] for at, index in enumerate(order) if index in sequence.truths}
    files = [sequence.files[index] for index in order]
    return replace(whole, files=files, truths=truths, notes=(*sequence.notes, *note))


def _last_good(clip: Clip) -> int:
    """Return the last annotated position in which most objects have half their median area."""
    areas = np.array([np.bincount(clip.truth(at).ravel(), minlength=256)[1:VOID] for at in clip.truths])
    halves = [0.5 * float(np.median(column[column > 0])) if column.any() else np.inf for column in areas.T]
    good = (areas >= halves).sum(1)
    return [at for at, count in zip(clip.truths, good, strict=True) if count == good.max()][-1]


def _mirror(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture[:, ::-1])


def _halve(picture: np.ndarray) -> np.ndarray:
    """Scale to half the height and width; labels, which have no third axis, are not mixed."""
    height, width = picture.shape[:2]
    how = cv2.INTER_AREA if picture.ndim == 3 else cv2.INTER_NEAREST_EXACT
    return cv2.resize(picture, (max(width // 2, 1), max(height // 2, 1)), interpolation=how)


def _compress(image: np.ndarray) -> np.ndarray:
    """Encode and decode an image as JPEG."""
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if done else None
    if decoded is None:
        raise BadInput(
            f"image: cannot be compressed as JPEG (got {image.shape[1]}x{image.shape[0]}, expected at most 65500 "
            "pixels a side). Leave out the reading jpeg40"
        )
    return np.ascontiguousarray(decoded[..., ::-1])


READINGS = {
    reading.name: reading
    for reading in (
        Reading(FORWARD),
        Reading("reversed", backwards=True),
        Reading("every2", step=2),
        Reading("every3", step=3),
        Reading("mirrored", image=_mirror, labels=_mirror),
        Reading("half", image=_halve, labels=_halve),
        Reading("jpeg40", image=_compress),
    )
}
"""Name -> reading."""
