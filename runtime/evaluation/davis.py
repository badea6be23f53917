"""A folder in the layout of DAVIS: which sequences it has, and their annotations."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..errors import BadInput
from ..io.image_files import source_files
from ..io.masks import read_mask


class SequenceFiles(NamedTuple):
    """Files of a sequence.

    Attributes
    ----------
    name : str
        Name of the sequence.
    images : Path
        Folder of the images.
    truths : dict of int to Path
        Position among the images -> annotation, in the order of the images.
    files : list of Path
        Images in natural order.
    """

    name: str
    images: Path
    truths: dict[int, Path]
    files: list[Path]


def find_sequences(root: Path, set_file: Path) -> list[SequenceFiles]:
    """Find the files of a set's sequences; raises BadInput where one is missing."""
    try:
        lines = set_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{set_file}: cannot be read as a list of sequences ({error})") from error
    stripped = (line.partition("#")[0].strip() for line in lines)
    names = list(dict.fromkeys(name for name in stripped if name))
    if not names:
        raise BadInput(f"{set_file}: is empty; expected a sequence's name on each line")
    images = _resolution(root / "JPEGImages")
    annotations = root / "Annotations" / images.name
    return [_find_sequence(name, images / name, annotations / name) for name in names]


def read_truth(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read an annotation, which may be empty, as no prompt may: all black is no object."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is not None and picture.shape[:2] == size and not picture.any():
        return np.zeros(size, np.uint8)
    return read_mask(path, size)


def _resolution(folder: Path) -> Path:
    if (folder / "480p").is_dir():
        return folder / "480p"
    folders = sorted(entry for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    if len(folders) != 1:
        found = ", ".join(entry.name for entry in folders) or "none"
        raise BadInput(f"{folder}: expected a folder 480p, or one other, that holds the sequences; found {found}")
    return folders[0]


def _find_sequence(name: str, images: Path, annotations: Path) -> SequenceFiles:
    for folder in (images, annotations):
        if not folder.is_dir():
            raise BadInput(f"sequence {name}: there is no folder {folder}")
    files = source_files(str(images))
    expected = {index: annotations / f"{file.stem}.png" for index, file in enumerate(files)}
    truths = {index: path for index, path in expected.items() if path.is_file()}
    if len(truths) < 3:
        raise BadInput(
            f"sequence {name}: {len(truths)} of {len(files)} images have an annotation in {annotations}; "
            "expected at least 3 PNGs of the images' names, because the first and the last do not count"
        )
    return SequenceFiles(name, images, truths, files)
