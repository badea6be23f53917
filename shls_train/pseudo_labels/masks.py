"""Masks made without labels, on disk: one grey PNG per still, and ``index.csv`` with what each is worth."""

from __future__ import annotations

import copy
import csv
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from shls.runtime._support.files import write_whole
from shls.runtime.errors import BadInput
from shls.runtime.io.image_collection import Stills

from .fusion import Saliency

INDEX = "index.csv"
INDEX_EVERY = 5.0  # seconds: what a kill may cost
FAST_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]


class Tally(NamedTuple):
    """How far a run is: stills done, and the messages of those that cannot be read."""

    done: int
    unreadable: list[str]


class PseudoMasks:
    """The masks of a folder that `shls pseudo` wrote, by name or by position in the stills.

    Attributes
    ----------
    folder : where they lie
    names : of the stills, in their order

    Raises
    ------
    BadInput
        If the folder has no index, or one that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._confidences = _read_index(folder)
        if not self._confidences:
            raise BadInput(f"{folder / INDEX}: no masks; expected a folder that `shls pseudo STILLS --out` wrote")
        self.names = list(self._confidences)

    def __len__(self) -> int:
        return len(self.names)

    def of(self, names: list[str]) -> PseudoMasks:
        """Those of some stills, in their order; raises BadInput if one is of another collection."""
        part = copy.copy(self)
        part.names = names
        part._confidences = {name: self._confidences[self._known(name)] for name in names}
        return part

    def __getitem__(self, still: str | int) -> tuple[np.ndarray, float]:
        """The mask, (H, W) uint8, 0 background .. 255 object, above 127 is the object; and the confidence, 0..1.

        Raises
        ------
        BadInput
            If that still has no mask: it could not be read, or is not of this collection.
        """
        name = self._known(still)
        path = _png(self.folder, name)
        mask = cv2.imdecode(np.frombuffer(_bytes_of(path), np.uint8), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise BadInput(f"{path}: not a readable PNG; delete it and run `shls pseudo` again")
        return mask, self._confidences[name]

    def confidence(self, still: str | int) -> float:
        """The confidence alone, without reading the mask; 0 for a still that could not be read."""
        return self._confidences[self._known(still)]

    def confident(self, least: float) -> list[int]:
        """Positions of the masks of at least that confidence, 0 never among them."""
        return [i for i, name in enumerate(self.names) if self._confidences[name] >= max(least, 1e-9)]

    def _known(self, still: str | int) -> str:
        name = still if isinstance(still, str) else self.names[still]
        if name not in self._confidences:
            raise BadInput(f"{self.folder}: no mask of {name}; run `shls pseudo` on the same stills")
        return name


def write_masks(
    stills: Stills,
    folder: Path,
    find: Callable[[np.ndarray], Saliency],
    report: Callable[[Tally], None],
) -> Tally:
    """Write the mask of each still that has none yet; a still that cannot be read gets confidence 0 and no mask.

    Parameters
    ----------
    find : from a still, (H, W, 3) uint8 RGB, to its mask
    report : called after each still

    Raises
    ------
    BadInput
        If the folder cannot be written to. What was written is whole, and a second run goes on from there.
    """
    found = _read_index(folder)
    unreadable: list[str] = []
    saved = time.monotonic()
    for i, name in enumerate(stills.names):
        if name not in found or not _png(folder, name).exists():
            found[name] = _write_one(stills, i, folder, find, unreadable)
        if time.monotonic() - saved > INDEX_EVERY:
            _write_index(folder, found)
            saved = time.monotonic()
        report(Tally(i + 1, unreadable))
    _write_index(folder, {name: found[name] for name in stills.names})
    return Tally(len(stills), unreadable)


def _write_one(
    stills: Stills, i: int, folder: Path, find: Callable[[np.ndarray], Saliency], unreadable: list[str]
) -> float:
    """Write one mask and return its confidence."""
    try:
        image = stills[i]
    except BadInput as error:
        unreadable.append(str(error))
        return 0.0
    saliency = find(image)
    _, png = cv2.imencode(".png", saliency.mask, FAST_PNG)
    write_whole(_png(folder, stills.names[i]), png.tobytes())
    return saliency.confidence


def _png(folder: Path, name: str) -> Path:
    return folder / f"{name}.png"


def _write_index(folder: Path, confidences: dict[str, float]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "confidence"])
    writer.writerows((name, f"{confidence:.4f}") for name, confidence in confidences.items())
    write_whole(folder / INDEX, text.getvalue().encode())


def _read_index(folder: Path) -> dict[str, float]:
    """Name -> confidence, in the index's order; empty where there is no index."""
    path = folder / INDEX
    if not path.exists():
        return {}
    try:
        with path.open(newline="") as file:
            return {row["name"]: float(row["confidence"]) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: not an index of masks ({error!r}); expected columns name and confidence") from error


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); run `shls pseudo` again") from error
