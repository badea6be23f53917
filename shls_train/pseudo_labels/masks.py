"""Pseudo-masks on disk: one greyscale PNG per still, and ``index.csv`` with the confidence of each mask."""

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
INDEX_EVERY = 5.0  # seconds between writes of the index; an interruption loses at most this work
FAST_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]


class Tally(NamedTuple):
    """Progress of writing pseudo-masks.

    Attributes
    ----------
    done : int
        Stills that are finished.
    unreadable : list of str
        Messages about unreadable stills and shards.

    Examples
    --------
    >>> Tally(3, []).done
    3
    """

    done: int
    unreadable: list[str]


class PseudoMasks:
    """Pseudo-masks in a folder of `shls pseudo`, indexed by the still's name or position.

    Parameters
    ----------
    folder : Path
        Folder of the masks.

    Attributes
    ----------
    folder : Path
        Folder of the masks.
    names : list of str
        Names of the stills, in order.

    Raises
    ------
    BadInput
        If the folder has no index, or the index cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = Path(folder.name, "index.csv").write_text("name,confidence\\na,0.9\\nb,0.2\\n")
    >>> masks = PseudoMasks(Path(folder.name))
    >>> masks.names, masks.confident(0.5)
    (['a', 'b'], [0])
    >>> folder.cleanup()
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._confidences = _read_index(folder)
        if not self._confidences:
            raise BadInput(f"{folder}: no {INDEX} with masks found. Give a folder that `shls pseudo` wrote.")
        self.names = list(self._confidences)

    def __len__(self) -> int:
        return len(self.names)

    def of(self, names: list[str]) -> PseudoMasks:
        """Select the masks of some stills; raises BadInput if a still has no entry in the index."""
        selection = copy.copy(self)
        selection.names = names
        selection._confidences = {name: self._confidences[self._known(name)] for name in names}
        return selection

    def __getitem__(self, still: str | int) -> tuple[np.ndarray, float]:
        """Read a mask and its confidence.

        Parameters
        ----------
        still : str or int
            Name or position of the still.

        Returns
        -------
        mask : (H, W) uint8 array
            0 (background) to 255 (object); values above 127 are object.
        confidence : float
            Confidence, 0 to 1.

        Raises
        ------
        BadInput
            If the still has no mask, or the mask cannot be read.
        """
        name = self._known(still)
        path = _png(self.folder, name)
        mask = cv2.imdecode(np.frombuffer(_bytes_of(path), np.uint8), cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise BadInput(f"{path}: not a readable PNG. Delete the file and run `shls pseudo` again.")
        return mask, self._confidences[name]

    def confidence(self, still: str | int) -> float:
        """Confidence of a mask, 0 to 1, without reading the mask; 0 for an unreadable still."""
        return self._confidences[self._known(still)]

    def confident(self, least: float) -> list[int]:
        """Positions of the masks with at least the confidence `least`; masks of confidence 0 are excluded."""
        return [i for i, name in enumerate(self.names) if self._confidences[name] >= max(least, 1e-9)]

    def _known(self, still: str | int) -> str:
        """Name of a still; raises BadInput if the index does not contain the still."""
        name = still if isinstance(still, str) else self.names[still]
        if name not in self._confidences:
            raise BadInput(f"{self.folder}: no mask of {name}. Run `shls pseudo` on the same stills.")
        return name


def write_masks(
    stills: Stills,
    folder: Path,
    find: Callable[[np.ndarray], Saliency],
    report: Callable[[Tally], None],
) -> Tally:
    """Write the missing pseudo-masks of a collection. An unreadable still gets confidence 0 and no mask.

    Parameters
    ----------
    stills : Stills
        Collection of images.
    folder : Path
        Folder of the masks. Existing masks are kept.
    find : callable
        Function from a still, (H, W, 3) uint8 RGB, to its `Saliency`.
    report : callable
        Function that receives a `Tally` after each still.

    Returns
    -------
    Tally
        Number of stills and the messages of unreadable stills.

    Raises
    ------
    BadInput
        If the folder cannot be written. Complete masks remain and a second call resumes.

    Examples
    --------
    >>> tally = write_masks(Stills(Path("stills")), Path("masks"), find_object, print)  # doctest: +SKIP
    """
    confidences = _read_index(folder)
    saved = time.monotonic()
    for i, name in enumerate(stills.names):
        if name not in confidences or not _png(folder, name).exists():
            confidences[name] = _write_one(stills, i, folder, find)
        if time.monotonic() - saved > INDEX_EVERY:
            _write_index(folder, confidences)
            saved = time.monotonic()
        report(Tally(i + 1, stills.left_out.messages))
    _write_index(folder, {name: confidences[name] for name in stills.names})
    return Tally(len(stills), stills.left_out.messages)


def _write_one(stills: Stills, i: int, folder: Path, find: Callable[[np.ndarray], Saliency]) -> float:
    """Write one mask and return its confidence; 0 if the still cannot be read."""
    image = stills.read(i)
    if image is None:
        return 0.0
    saliency = find(image)
    _, png = cv2.imencode(".png", saliency.mask, FAST_PNG)
    write_whole(_png(folder, stills.names[i]), png.tobytes())
    return saliency.confidence


def _png(folder: Path, name: str) -> Path:
    """Path of a still's mask."""
    return folder / f"{name}.png"


def _write_index(folder: Path, confidences: dict[str, float]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "confidence"])
    writer.writerows((name, f"{confidence:.4f}") for name, confidence in confidences.items())
    write_whole(folder / INDEX, text.getvalue().encode())


def _read_index(folder: Path) -> dict[str, float]:
    """Read the confidences by name, in the order of the index; empty without an index."""
    path = folder / INDEX
    if not path.exists():
        return {}
    try:
        with path.open(newline="") as file:
            return {row["name"]: float(row["confidence"]) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path}: not an index of masks ({error!r}, expected columns name and confidence). Run `shls pseudo` again."
        ) from error


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: mask cannot be read ({error.strerror}). Run `shls pseudo` again.") from error
