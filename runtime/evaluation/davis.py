"""Files of annotated video data sets in the layouts of DAVIS, YouTube-VOS, MOSE and LVOS."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..errors import BadInput
from ..io.image_files import IMAGE_SUFFIXES, source_files
from ..io.palette import PALETTE
from .metrics import VOID

DIGITS = re.compile(r"\d+")
GREYS = frozenset({"L", "I", "I;16", "I;16B"})
"""Pillow's names of pictures with one channel of grey levels."""


class SequenceFiles(NamedTuple):
    """Files of a sequence.

    Attributes
    ----------
    name : str
        Name of the sequence.
    images : Path
        Folder of the images.
    truths : dict of int to Path
        Position among the images -> annotation, in the order of the images. At least one.
    files : list of Path
        Images in natural order.
    notes : tuple of str
        Messages about files that are left out.

    Examples
    --------
    >>> SequenceFiles("bear", Path("bear"), {0: Path("0.png")}, [Path("0.jpg")]).notes
    ()
    """

    name: str
    images: Path
    truths: dict[int, Path]
    files: list[Path]
    notes: tuple[str, ...] = ()


def find_sequences(root: Path, set_file: Path) -> list[SequenceFiles]:
    """Find the files of a set's sequences.

    Parameters
    ----------
    root : Path
        Folder with JPEGImages and Annotations. Both hold the folders of the sequences, or one folder such as 480p
        that does. Of several such folders 480p is taken.
    set_file : Path
        Text file with one sequence per line: a name, or the paths of an image and its annotation as in the lists of
        DAVIS 2016. Empty lines and text after `#` are ignored. If there is no such file, a list of that name below
        `root`/ImageSets is read.

    Returns
    -------
    list of SequenceFiles
        Each sequence once, in the order of the set file.

    Raises
    ------
    BadInput
        If the set file cannot be read or is empty, or a sequence is missing or has no annotation.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for kind in ("JPEGImages", "Annotations"):
    ...         path = Path(folder, kind, "bear", "00000.png")
    ...         path.parent.mkdir(parents=True)
    ...         Image.new("L", (4, 4)).save(path)
    ...     _ = Path(folder, "set.txt").write_text("bear  # an animal")
    ...     [sequence.name for sequence in find_sequences(Path(folder), Path(folder, "set.txt"))]
    ['bear']
    """
    try:
        lines = _list_file(root, set_file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{set_file}: cannot be read as a list of sequences ({error}). Give a text file with one name per line"
        ) from error
    entries = [entry for entry in (line.partition("#")[0].strip() for line in lines) if entry]
    if not entries:
        raise BadInput(f"{set_file}: is empty (expected one sequence name per line). Add names")
    try:
        found = _find_all(root, entries)
    except OSError as error:  # such as a name that is too long
        raise BadInput(f"{set_file}: a sequence cannot be found ({error.strerror}). Correct the names") from error
    return list({sequence.name: sequence for sequence in found}.values())


def _list_file(root: Path, name: Path) -> Path:
    """Return the file itself, or the only list of that name in the data set."""
    found = [] if name.exists() else sorted((root / "ImageSets").rglob(name.name))
    if len(found) > 1:
        raise BadInput(f"{name}: several lists have this name ({', '.join(map(str, found))}). Give the path of one")
    return found[0] if found else name


def read_truth(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read an annotation.

    Parameters
    ----------
    path : Path
        Picture of object ids as palette indices, grey levels, or colours of DAVIS's palette; or in black and white,
        for one object.
    size : tuple of int
        Height and width of the frame.

    Returns
    -------
    ndarray
        (H, W) uint8 object ids 1 to 254; 0 for the background and for void (255). There may be no object.

    Raises
    ------
    BadInput
        If the file cannot be read, has another size, or holds something else.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS
    >>> np.unique(read_truth(ASSETS / "bunny_mask.png", (480, 854)))
    array([0, 1], dtype=uint8)
    """
    try:
        with Image.open(path) as picture:
            mode, values = (
                picture.mode,
                np.asarray(picture if picture.mode in GREYS | {"P"} else picture.convert("RGB")),
            )
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        problem = getattr(error, "strerror", None) or "not a readable picture"
        raise BadInput(f"{path}: annotation cannot be read ({problem}). Replace the file") from error
    if values.shape[:2] != size:
        raise BadInput(
            f"{path}: annotation has another size than its image (got {values.shape[1]}x{values.shape[0]}, expected "
            f"{size[1]}x{size[0]}). Scale the annotation without smoothing"
        )
    if values.ndim == 3:
        values = values[..., 0] if (values == values[..., :1]).all() else _ids_of(path, values)
    if mode != "P" and set(np.unique(values).tolist()) <= {0, VOID}:  # black and white
        return (values > 0).astype(np.uint8)
    if values.max(initial=0) > VOID:
        raise BadInput(
            f"{path}: object ids are too large (got {values.max()}, expected at most {VOID - 1}). Renumber the objects"
        )
    return np.where(values == VOID, 0, values).astype(np.uint8)


def _find_all(root: Path, entries: list[str]) -> list[SequenceFiles]:
    """Find the sequence of each line; sequences of a repeated name are found once."""
    pairs = {entry: pair for entry in entries if (pair := _pair(entry))}
    names = [entry for entry in entries if entry not in pairs]
    images = _sequences_folder(root / "JPEGImages", names) if names else root
    annotations = root / "Annotations" / images.relative_to(root / "JPEGImages") if names else root
    folders: dict[str, tuple[Path, Path]] = {}
    for entry in entries:
        if entry in pairs:
            first, second = (root / path.parent for path in pairs[entry])
            folders.setdefault(first.name, (first, second))
        else:
            folders.setdefault(entry, (images / entry, annotations / entry))
    return [_find_sequence(name, *both) for name, both in folders.items()]


def _pair(entry: str) -> tuple[Path, Path] | None:
    """Return the two paths of a line in a list of DAVIS 2016, relative to the root; None for a name."""
    paths = [Path(part.lstrip("/")) for part in entry.split()]
    if len(paths) == 2 and all(path.suffix.lower() in IMAGE_SUFFIXES for path in paths):
        return paths[0], paths[1]
    return None


def _sequences_folder(folder: Path, names: list[str]) -> Path:
    """Return the folder that holds the sequences: the given one, or one below such as 480p."""
    if any((folder / name).is_dir() for name in names):
        return folder
    if (folder / "480p").is_dir():
        return folder / "480p"
    below = sorted(entry for entry in folder.iterdir() if _is_folder(entry)) if folder.is_dir() else []
    if len(below) == 1:
        return below[0]
    found = "no such folder" if not folder.is_dir() else f"{len(below)} folders"
    raise BadInput(
        f"{folder}: no sequence of the set found (got {found}, expected a folder {names[0]}, or 480p with that folder "
        "in it). Correct the root or the set file"
    )


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _find_sequence(name: str, images: Path, annotations: Path) -> SequenceFiles:
    for folder in (images, annotations):
        if not folder.is_dir():
            raise BadInput(f"sequence {name}: there is no folder {folder}. Correct the root or the set file")
    files, strays = _without_strays(source_files(str(images)))
    found = {path.stem: path for path in sorted(annotations.glob("*.png")) if not path.name.startswith(".")}
    truths = {index: found.pop(file.stem) for index, file in enumerate(files) if file.stem in found}
    if not truths:
        raise BadInput(
            f"sequence {name}: no annotation for {len(files)} images in {annotations} (expected PNG files with the "
            "names of images). Correct the names"
        )
    notes = []
    if found:
        notes.append(f"{len(found)} annotations match no image and are left out, such as {min(found)}.png")
    if strays:
        notes.append(f"{len(strays)} images with unlike names are left out, such as {strays[0].name}")
    return SequenceFiles(name, images, truths, files, tuple(notes))


def _without_strays(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """Separate the images whose names differ in more than numbers from the names of most others."""
    patterns = [DIGITS.sub("#", file.stem) for file in files]
    usual, count = Counter(patterns).most_common(1)[0]
    if count <= len(files) / 2:
        return files, []
    kept = [file for file, pattern in zip(files, patterns, strict=True) if pattern == usual]
    return kept, [file for file in files if file not in kept]


def _ids_of(path: Path, colours: np.ndarray) -> np.ndarray:
    """Return the (H, W) indices of (H, W, 3) colours in DAVIS's palette."""
    place = np.array([1 << 16, 1 << 8, 1])
    codes, known = colours @ place, PALETTE @ place
    order = np.argsort(known)
    ids: np.ndarray = order[np.searchsorted(known, codes, sorter=order).clip(max=VOID)]
    if (known[ids] != codes).any():
        y, x = np.argwhere(known[ids] != codes)[0]
        raise BadInput(
            f"{path}: a colour is no object id (got {tuple(colours[y, x].tolist())} at {x},{y}, expected colours of "
            "DAVIS's palette). Save the annotation with a palette"
        )
    return ids
