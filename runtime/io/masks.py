"""Masks on disk and on the screen: palette PNG, overlay, COCO's run-length encoding."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TypedDict

import av
import numba
import numpy as np

from .._support.files import replace_file
from ..errors import BadInput
from .image_files import natural_key

MAX_OBJECTS = 254  # ids 1..254 in a byte; 255 is the datasets' "void"
VOID = 255


class Rle(TypedDict):
    """A binary mask as pycocotools writes it: size [H, W], and run lengths down the columns as a string."""

    size: list[int]
    counts: str


def _voc_palette() -> np.ndarray:
    """Build PASCAL VOC's colours, which are DAVIS's: the id's bits, dealt to the high bits of R, G, B."""
    ids = np.arange(256)
    palette = np.zeros((256, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (ids >> 3 * bit + channel & 1) << 7 - bit
    return palette.astype(np.uint8)


PALETTE = _voc_palette()  # (256, 3) uint8 RGB
_BRIGHTNESS = PALETTE @ np.array([0.299, 0.587, 0.114])
_BORDERS = np.where(_BRIGHTNESS < 128, 255, 0).astype(np.uint8)  # white around dark colours, black around bright


def read_mask(path: str | Path, size: tuple[int, int]) -> np.ndarray:
    """Read the objects that a person marked.

    Parameters
    ----------
    path : a palette PNG (object ids are its indices), a grey PNG of ids, a PNG in black and white or in the
        colours of `PALETTE`; or a folder with one PNG per object: 1, 2, ... in natural order, later on top
    size : (H, W) of the frame it belongs to

    Returns
    -------
    (H, W) uint8, object ids 1..254, 0 background. "Void" (index 255 of a palette) counts as background.

    Raises
    ------
    BadInput
        If it cannot be read, has another size, marks nothing, or marks more than 254 objects.
    """
    path = Path(path)
    if not path.is_dir():
        return _read_labels(path, size)
    files = sorted(path.glob("*.[pP][nN][gG]"), key=lambda file: natural_key(file.name))
    if not files:
        raise BadInput(f"{path}: the folder has no masks; expected one PNG per object")
    if len(files) > MAX_OBJECTS:
        raise _too_many(path, len(files))
    labels = np.zeros(size, np.uint8)
    for object_id, file in enumerate(files, 1):
        labels[_read_labels(file, size) > 0] = object_id
    return labels


def write_mask(path: str | Path, labels: np.ndarray) -> None:
    """Write (H, W) uint8 object ids as a palette PNG, whole or not at all; raises BadInput if it cannot."""
    path = Path(path)
    height, width = labels.shape
    rows = np.zeros((height, width + 1), np.uint8)  # PNG: each row begins with its filter, 0 for none
    rows[:, 1:] = labels
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", PALETTE.tobytes()),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)),
            _chunk(b"IEND", b""),
        )
    )
    replace_file(path, content, "masks before it are complete")


def overlay(image: np.ndarray, labels: np.ndarray, alpha: float = 0.5) -> np.ndarray:
    """Colour the objects over a picture, each with a thin black or white border, whichever stands out.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB, left as it is
    labels : (H, W) uint8 object ids
    alpha : opacity of the colour, 0..1

    Returns
    -------
    (H, W, 3) uint8 RGB
    """
    if image.shape != (*labels.shape, 3):
        raise ValueError(f"image is {image.shape}, labels are {labels.shape}; expected (H, W, 3) and (H, W)")
    weight = round(256 * alpha)
    return _overlay(np.ascontiguousarray(image), np.ascontiguousarray(labels), PALETTE, _BORDERS, weight)


def encode_rle(mask: np.ndarray) -> Rle:
    """Encode a (H, W) mask, non-zero inside, exactly as `pycocotools.mask.encode` does, but with a str."""
    height, width = mask.shape
    flat = (mask != 0).T.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate(([0, 0] if flat[0] else [0], changes, [flat.size]))  # the first run is of zeros
    counts = np.diff(bounds)
    return {"size": [height, width], "counts": _encode_counts(counts).tobytes().decode("ascii")}


def decode_rle(rle: Rle) -> np.ndarray:
    """Decode COCO's RLE to (H, W) uint8, 0 and 1; raises BadInput if the runs do not fill the size."""
    height, width = rle["size"]
    counts = _decode_counts(np.frombuffer(rle["counts"].encode("ascii"), np.uint8))
    if counts.sum() != height * width or (counts < 0).any():
        raise BadInput(
            f"RLE of size {height}x{width} holds {counts.sum()} pixels; expected {height * width}: "
            "the string was cut, or belongs to another frame"
        )
    return np.repeat(np.arange(counts.size, dtype=np.uint8) & 1, counts).reshape(width, height).T.copy()


def _read_labels(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read one PNG as (H, W) uint8 ids."""
    ids, indexed = _read_png(path)
    if ids.shape != size:
        raise BadInput(
            f"{path}: the mask is {ids.shape[1]}x{ids.shape[0]}, the frame is {size[1]}x{size[0]}; "
            "expected a mask of the frame's size: scale it without smoothing"
        )
    found = np.unique(ids)
    found = found[found > 0]
    if found.size == 0:
        raise BadInput(f"{path}: the mask marks no object; expected pixels above 0 where the object is")
    if found.size > MAX_OBJECTS or (found.size > 1 and found[-1] > VOID):
        raise _too_many(path, found.size)
    if found.size == 1 and found[0] >= VOID:  # black and white
        return (ids > 0).astype(np.uint8)
    if found[-1] == VOID and not indexed:
        raise BadInput(
            f"{path}: the mask is white (255) with {found.size - 1} greys; expected ids 1..{MAX_OBJECTS}, "
            "or black and white only: if its edges are soft, save it without smoothing"
        )
    return np.where(ids == VOID, 0, ids).astype(np.uint8)


def _read_png(path: Path) -> tuple[np.ndarray, bool]:
    """Read (H, W) palette indices or greys, and whether they are indices.

    FFmpeg's decoder keeps the indices of a palette; OpenCV's turns them into colours.
    """
    try:
        with av.open(str(path), format="png_pipe") as container:
            picture = next(container.decode(video=0))
            kind = picture.format.name
            if kind == "pal8":
                return picture.to_ndarray()[0], True
            if kind in ("gray", "gray16be"):
                return picture.to_ndarray(), False
            if kind.startswith(("mono", "ya")):
                return picture.to_ndarray(format="gray"), False
            colours = picture.to_ndarray(format="rgb24")
    except (av.FFmpegError, OSError, StopIteration) as error:
        reason = getattr(error, "strerror", None) or "it holds no picture"
        raise BadInput(f"{path}: cannot be read as a mask ({reason}); expected a PNG") from error
    if (colours == colours[..., :1]).all():
        return colours[..., 0], False
    return _ids_of(path, colours), True


def _ids_of(path: Path, colours: np.ndarray) -> np.ndarray:
    """Find the ids of (H, W, 3) colours in PALETTE, exactly."""
    shifts = np.array([1 << 16, 1 << 8, 1])
    codes, known = colours @ shifts, PALETTE @ shifts
    order = np.argsort(known)
    ids: np.ndarray = order[np.searchsorted(known[order], codes).clip(max=255)]
    if (known[ids] != codes).any():
        y, x = np.argwhere(known[ids] != codes)[0]
        raise BadInput(
            f"{path}: the colour {tuple(colours[y, x].tolist())} at {x},{y} belongs to no object id; "
            "expected a palette PNG, a grey PNG of ids, black and white, or the DAVIS palette's colours"
        )
    return ids


def _too_many(path: Path, count: int) -> BadInput:
    return BadInput(f"{path}: marks {count} objects; expected at most {MAX_OBJECTS}, ids 1..{MAX_OBJECTS}")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# One thread on purpose: it runs beside the segmentation, whose kernels have the other cores.
@numba.njit(cache=True, nogil=True)
def _overlay(
    image: np.ndarray, labels: np.ndarray, palette: np.ndarray, borders: np.ndarray, weight: int
) -> np.ndarray:
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


@numba.njit(cache=True, nogil=True)
def _encode_counts(counts: np.ndarray) -> np.ndarray:
    """Write each count, from the fourth on its difference to the last but one, in signed groups of 5 bits."""
    out = np.empty(13 * counts.size, np.uint8)
    at = 0
    for index in range(counts.size):
        value = counts[index] - (counts[index - 2] if index > 2 else 0)
        more = True
        while more:
            group = value & 0x1F
            value >>= 5
            more = value != (-1 if group & 0x10 else 0)
            out[at] = group + (0x20 if more else 0) + 48
            at += 1
    return out[:at]


@numba.njit(cache=True, nogil=True)
def _decode_counts(text: np.ndarray) -> np.ndarray:
    counts = np.zeros(text.size, np.int64)
    size, value, shift = 0, np.int64(0), 0
    for index in range(text.size):
        group = np.int64(text[index]) - 48
        value |= (group & 0x1F) << shift
        shift += 5
        if not group & 0x20:
            if group & 0x10:
                value |= -1 << shift
            counts[size] = value + (counts[size - 2] if size > 2 else 0)
            size, value, shift = size + 1, np.int64(0), 0
    return counts[:size]
