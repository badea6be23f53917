"""Objects of a mask picture: palette indices, grey ids, soft edges, flat colours or transparency."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import BadInput
from ..types import MAX_OBJECTS
from ._flat_colors import flat_labels, is_flat
from .objects import NamedMask
from .palette import PALETTE

WHITE = (255, 65535)
"""Values that alone are no id but a picture in black and white."""
VOID = 255
"""Palette index that data sets use for pixels of unknown content."""
LOSSY = frozenset({"AVIF", "JPEG", "JPEG2000", "MPO", "WEBP"})
"""Pillow's names of formats that may change colours."""
GREYS = frozenset({"1", "L", "I", "I;16", "I;16B", "I;16L", "F"})
"""Pillow's names of pictures with one channel."""
GREY_SPREAD = 40
"""Largest difference of the channels in a lossy picture that counts as grey, levels."""
NAMES_KEY, IDS_KEY = "shls:names", "shls:ids"
"""Keywords of PNG text chunks with the names and the original ids of objects: JSON from the ids in the mask."""
READ_ERRORS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""What Pillow raises for files that are missing, damaged or of another kind."""


def read_picture(path: Path, size: tuple[int, int]) -> NamedMask:
    """Read a picture of the objects, see `shls.runtime.io.masks.read_objects`."""
    try:
        with Image.open(path) as file:
            lossy = file.format in LOSSY
            picture = ImageOps.exif_transpose(file)
    except READ_ERRORS as error:
        unknown = isinstance(error, UnidentifiedImageError)
        reason = getattr(error, "strerror", None) or ("not a picture of a known kind" if unknown else str(error))
        raise BadInput(
            f"{path}: cannot be read as a mask ({reason}; expected a picture such as PNG or JPEG, or JSON). "
            "Export the mask again"
        ) from error
    check_size(path, (picture.height, picture.width), size)
    if picture.mode == "P":
        return _from_palette(path, picture)
    if picture.mode in GREYS:
        return _from_greys(path, _values(picture), lossy)
    return _from_colors(path, picture, lossy)


def check_size(path: Path, found: tuple[int, int], size: tuple[int, int]) -> None:
    """Raise BadInput if a mask (H, W) has not the size of the frame (H, W)."""
    if found != size:
        raise BadInput(
            f"{path}: the mask has another size than the frame (got {found[1]}x{found[0]}, expected "
            f"{size[1]}x{size[0]}). Scale the mask without smoothing"
        )


def from_ids(path: Path, values: np.ndarray, void: bool) -> NamedMask:
    """Take (H, W) integers as object ids; ids above 254 are renumbered. `void`: 255 is background."""
    if void:
        values = np.where(values == VOID, 0, values)
    found = np.unique(values)
    found = found[found > 0]
    if found.size == 0:
        raise BadInput(f"{path}: the mask has no object (got background only). Mark the object with pixels above 0")
    if found.size > MAX_OBJECTS:
        raise too_many(path, found.size)
    if found.size == 1 and found[0] in WHITE:
        return NamedMask((values > 0).astype(np.uint8))
    if found[-1] <= MAX_OBJECTS:
        return NamedMask(values.clip(0).astype(np.uint8))
    labels = np.searchsorted(found, values.clip(0), side="right").astype(np.uint8)
    return NamedMask(labels, {}, dict(enumerate(map(int, found), 1)))


def too_many(path: Path, count: int) -> BadInput:
    return BadInput(
        f"{path}: the mask has too many objects (got {count}, expected at most {MAX_OBJECTS}). Remove some of them"
    )


def _values(picture: Image.Image) -> np.ndarray:
    """Return the grey values of a picture as (H, W) integers."""
    if picture.mode == "1":
        return np.asarray(picture).astype(np.uint8) * np.uint8(255)
    values = np.asarray(picture)
    if values.dtype.kind != "f":
        return values
    values = np.nan_to_num(values)
    return np.rint(values * (255 if values.max(initial=0) <= 1 else 1)).astype(np.int64)


def _from_palette(path: Path, picture: Image.Image) -> NamedMask:
    """Take palette indices as ids, unless index 0 is evidently not the background or the indices are a photograph's."""
    indices = np.asarray(picture)
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=256))
    table = np.zeros((256, 3), np.uint8)
    given = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
    table[: len(given)] = given
    if not (table[used] == PALETTE[used]).all():
        black = used[~table[used].any(1)]
        if (black.size and black[0] > 0) or not is_flat(indices):
            shown = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
            return _from_colors(path, shown, lossy=False)
    found = from_ids(path, indices, void=bool((used > 0).sum() > 1))
    names, file_ids = _texts(picture)
    return NamedMask(found.labels, names, found.file_ids or file_ids)


def _texts(picture: Image.Image) -> tuple[dict[int, str], dict[int, int]]:
    """Return the names and original ids that `write_mask` put into a PNG; empty if there are none."""
    try:
        names, ids = (json.loads(str(picture.info.get(key, "{}"))) for key in (NAMES_KEY, IDS_KEY))
        return {int(key): str(one) for key, one in names.items()}, {int(key): int(one) for key, one in ids.items()}
    except (ValueError, AttributeError, TypeError):
        return {}, {}


def _from_greys(path: Path, values: np.ndarray, lossy: bool) -> NamedMask:
    found = np.unique(values)
    found = found[found > 0]
    top = 65535 if values.dtype.itemsize > 1 and found.size and found[-1] > 255 else 255
    half = (top + 1) // 2
    if not lossy and (found.size < 2 or found[-1] < half or is_flat(values)):
        return from_ids(path, values, void=bool(found.size > 1 and found[-1] == VOID and found[-2] < half))
    if found.size and found[-1] <= top:
        greys = np.repeat((values // (top // 255)).astype(np.uint8)[..., None], 3, axis=2)
        flat = flat_labels(greys, lossy)
        if flat is not None and 1 < flat.labels.max() <= MAX_OBJECTS and flat.solidity > 0.6:
            return NamedMask(flat.labels.astype(np.uint8), flat.names)
    if ((values > top * 0.2) & (values < top * 0.8)).mean() > 0.5:
        raise _photograph(path)
    labels = (values >= half).astype(np.uint8)
    if not labels.any():
        raise BadInput(
            f"{path}: the soft mask has no object (brightest pixel: got {found[-1] if found.size else 0}, expected "
            f"at least {half} of {top}). Make the object brighter"
        )
    return NamedMask(labels)


def _from_colors(path: Path, picture: Image.Image, lossy: bool) -> NamedMask:
    """Take the transparency, the ids of the DAVIS palette, or each flat colour as an object."""
    colors = np.asarray(picture.convert("RGB"))
    if "A" in picture.getbands():
        alpha = np.asarray(picture.getchannel("A"))
        opaque = alpha >= 128
        if alpha.min() < alpha.max():
            ids = _palette_ids(np.where(opaque[..., None], colors, 0))
            if ids is None:
                return from_ids(path, opaque.astype(np.uint8), void=False)
            return from_ids(path, ids, void=True)
    spread = np.ptp(colors, axis=2)
    if spread.max() <= (GREY_SPREAD if lossy else 0):
        return _from_greys(path, colors[..., 1], lossy)
    ids = _palette_ids(colors)
    if ids is not None:
        return from_ids(path, ids, void=True)
    flat = flat_labels(colors, lossy)
    if flat is None or flat.closeness < 0.8:
        raise _photograph(path)
    if flat.labels.max() > MAX_OBJECTS:
        raise too_many(path, int(flat.labels.max()))
    ids = _nearest_palette_ids(flat.colors)
    if ids is not None:
        return from_ids(path, np.concatenate([[0], ids])[flat.labels], void=True)
    return from_ids(path, flat.labels, void=False)._replace(names=flat.names)


def _photograph(path: Path) -> BadInput:
    return BadInput(
        f"{path}: the picture is no mask (got a photograph, expected one flat colour per object). "
        "Give a mask, or use --box"
    )


def _palette_ids(colors: np.ndarray) -> np.ndarray | None:
    """Return the ids of (H, W, 3) colours if all of them are exactly in PALETTE and at least one is an object."""
    shifts = np.array([1 << 16, 1 << 8, 1])
    codes, known = colors @ shifts, PALETTE @ shifts
    order = np.argsort(known)
    ids: np.ndarray = order[np.searchsorted(known[order], codes).clip(max=255)]
    return ids if (known[ids] == codes).all() and ids.any() else None


def _nearest_palette_ids(colors: np.ndarray) -> np.ndarray | None:
    """Return the ids of (K, 3) colours if each is near its own colour of PALETTE."""
    distances = np.abs(colors[:, None].astype(int) - PALETTE[None]).max(2)
    ids = distances.argmin(1)
    near = distances.min(1) <= 10
    return ids if near.all() and np.unique(ids).size == ids.size and ids.all() else None
