"""Masks of objects: files of many kinds to ids, ids to palette PNG, and ids as colours over a picture."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import numba
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .._support.files import replace_file
from ..errors import BadInput
from ..types import MAX_OBJECTS
from ._mask_json import read_json
from ._mask_pictures import IDS_KEY, NAMES_KEY, from_ids, read_picture, too_many
from .image_files import IMAGE_SUFFIXES, natural_key
from .objects import NamedMask
from .palette import PALETTE

_BRIGHTNESS = PALETTE @ np.array([0.299, 0.587, 0.114])
_BORDERS = np.where(_BRIGHTNESS < 128, 255, 0).astype(np.uint8)  # white around dark colours, black around bright


def read_objects(path: str | Path, size: tuple[int, int], frame: int | None = None) -> NamedMask:
    """Read the objects of one frame from a mask file.

    Parameters
    ----------
    path : mask file of one of these kinds

        - palette picture: the indices are object ids, 255 is void;
        - grey picture of 8 or 16 bits: the values are object ids, or the picture is black and white;
        - grey picture with soft edges, or a grey JPEG: one object, cut at half brightness;
        - colours on black: each flat colour is an object, numbered from left to right; colours of `PALETTE` have
          their ids;
        - picture with transparency: one object, the opaque pixels;
        - folder: one picture per object in natural order, later pictures on top;
        - COCO JSON: polygons and RLE, with the names of categories or tracks;
        - labelme JSON: polygons, rectangles, circles and masks, with their labels;
        - JSON lines of `shls run --json`.

        `FILE#NAME` chooses the image of a COCO file, or the frame of JSON lines.
    size : (H, W) of the frame
    frame : number of the frame, by which JSON lines are chosen

    Returns
    -------
    NamedMask
        Objects with ids 1 to 254. Ids above 254 are renumbered; `file_ids` has the original ones.

    Raises
    ------
    BadInput
        If the file cannot be read, has another size, has no object, or has more than 254 objects.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_mask(Path(folder) / "mask.png", np.array([[0, 2]], np.uint8), {2: "dog"})
    ...     read_objects(Path(folder) / "mask.png", (1, 2))
    NamedMask(labels=array([[0, 2]], dtype=uint8), names={2: 'dog'}, file_ids={})
    """
    path, choice = split_choice(Path(path))
    if path.is_dir():
        return _read_folder(path, size)
    if choice is not None or _is_text(path):
        return read_json(path, size, choice, frame)
    return read_picture(path, size)


def split_choice(path: Path) -> tuple[Path, str | None]:
    """Split FILE#NAME into the file and the choice in it; the choice is None if a file has the whole name.

    Examples
    --------
    >>> split_choice(Path("mask.png"))[1] is None
    True
    """
    name, mark, choice = path.name.rpartition("#")
    if path.exists() or not mark or not path.with_name(name or "#").is_file():
        return path, None
    return path.with_name(name), choice


def read_mask(path: str | Path, size: tuple[int, int]) -> np.ndarray:
    """Read the objects of one frame from a mask file, without their names.

    Parameters
    ----------
    path : mask file, see `read_objects`
    size : (H, W) of the frame

    Returns
    -------
    (H, W) uint8, object ids 1 to 254, 0 background

    Raises
    ------
    BadInput
        If the file cannot be read, has another size, has no object, or has more than 254 objects.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_mask(Path(folder) / "mask.png", np.array([[0, 2]], np.uint8))
    ...     read_mask(Path(folder) / "mask.png", (1, 2))
    array([[0, 2]], dtype=uint8)
    """
    return read_objects(path, size).labels


def write_mask(
    path: str | Path,
    labels: np.ndarray,
    names: Mapping[int, str] | None = None,
    file_ids: Mapping[int, int] | None = None,
) -> None:
    """Write object ids as a palette PNG. The file appears whole or not at all.

    Parameters
    ----------
    path : file to write; an earlier file is replaced
    labels : (H, W) uint8 object ids
    names, file_ids : as in `NamedMask`; a text chunk of the PNG keeps them

    Raises
    ------
    BadInput
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_mask(Path(folder) / "mask.png", np.array([[0, 1]], np.uint8))
    ...     Image.open(Path(folder) / "mask.png").mode
    'P'
    """
    picture = Image.fromarray(np.ascontiguousarray(labels))
    picture.putpalette(PALETTE.tobytes())
    info = PngInfo()
    for key, values in ((NAMES_KEY, names), (IDS_KEY, file_ids)):
        if values:
            info.add_text(key, json.dumps({str(object_id): value for object_id, value in values.items()}))
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=1, pnginfo=info)
    replace_file(Path(path), content.getvalue(), "Masks before it are complete.")


def overlay(image: np.ndarray, labels: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """Colour the objects over a picture, each with a thin border in black or white.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB, not changed
    labels : (H, W) uint8 object ids
    alpha : opacity of the colour, 0 to 1

    Returns
    -------
    (H, W, 3) uint8 RGB

    Examples
    --------
    >>> overlay(np.zeros((1, 3, 3), np.uint8), np.array([[0, 1, 1]], np.uint8))[..., 0]
    array([[  0, 255,  64]], dtype=uint8)
    """
    if image.shape != (*labels.shape, 3):
        raise ValueError(f"image is {image.shape}, labels are {labels.shape}; expected (H, W, 3) and (H, W)")
    weight = round(256 * alpha)
    return _overlay(np.ascontiguousarray(image), np.ascontiguousarray(labels), PALETTE, _BORDERS, weight)


def _is_text(path: Path) -> bool:
    """Return True if a file begins as JSON does."""
    try:
        with path.open("rb") as file:
            return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
    except OSError:
        return False


def _read_folder(path: Path, size: tuple[int, int]) -> NamedMask:
    """Read one picture per object; the files' names are the objects' names."""
    files = [one for one in path.iterdir() if one.suffix.lower() in IMAGE_SUFFIXES and not one.name.startswith(".")]
    files.sort(key=lambda file: natural_key(file.name))
    if not files:
        raise BadInput(
            f"{path}: the folder has no masks (got no pictures, expected one per object). Name another folder"
        )
    if len(files) > MAX_OBJECTS:
        raise too_many(path, len(files))
    labels = np.zeros(size, np.uint8)
    for object_id, file in enumerate(files, 1):
        labels[read_picture(file, size).labels > 0] = object_id
    visible = set(np.unique(labels).tolist())
    names = {at: file.stem for at, file in enumerate(files, 1) if at in visible}
    return from_ids(path, labels, void=False)._replace(names=names)


# One thread on purpose: the kernel runs beside the segmentation, which uses the other cores.
@numba.njit(cache=True, nogil=True)
def _overlay(
    image: np.ndarray, labels: np.ndarray, palette: np.ndarray, borders: np.ndarray, weight: int
) -> np.ndarray:
    """Mix the colours into (H, W, 3) uint8 with `weight` of 256, and draw the borders."""
    height, width = labels.shape
    out = np.empty_like(image)
    for y in range(height):
        up, down = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            label = labels[y, x]
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            if label == 0:
                for channel in range(3):
                    out[y, x, channel] = image[y, x, channel]
            elif (
                labels[y, left] != label
                or labels[y, right] != label
                or labels[up, x] != label
                or labels[down, x] != label
            ):
                for channel in range(3):
                    out[y, x, channel] = borders[label]
            else:
                for channel in range(3):
                    mixed = image[y, x, channel] * (256 - weight) + palette[label, channel] * weight
                    out[y, x, channel] = (mixed + 128) >> 8
    return out
