"""Checks of what callers pass to a segmenter: arrays are copied in, and every wrong argument is one clear error."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .errors import BadInput, ShapeMismatch
from .types import MAX_OBJECTS


def checked_image(image: np.ndarray) -> np.ndarray:
    """Return a frame, (H, W, 3) uint8 RGB, contiguous.

    Raises
    ------
    BadInput
        If it is not a NumPy array of uint8.
    ShapeMismatch
        If its shape is not (H, W, 3), or it is empty.
    """
    _check_array(image, "image", "an (H, W, 3) uint8 RGB array")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ShapeMismatch(
            f"image: wrong shape (got {image.shape}, expected (H, W, 3) RGB). Drop an alpha channel, or repeat grey"
        )
    if image.dtype != np.uint8:
        raise BadInput(f"image: wrong type (got {image.dtype}, expected uint8 RGB). Scale it to 0..255 and convert it")
    return np.ascontiguousarray(image)


def checked_size(image: np.ndarray, size: tuple[int, ...]) -> None:
    """Raise ShapeMismatch if a frame, (H, W, 3), has another size than the first frame, (H, W)."""
    if image.shape[:2] != tuple(size):
        raise ShapeMismatch(
            f"image: the size changed (got {image.shape[1]}x{image.shape[0]}, expected {size[1]}x{size[0]}, the first "
            "frame's). Resize the frame, or call `start` again"
        )


def checked_mask(mask: np.ndarray, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return a copy of a mask of a frame of `size` (H, W), and the object ids in it.

    A mask of bool marks object 1.

    Raises
    ------
    BadInput
        If it is not a NumPy array of uint8 or bool, or marks no object, or too many.
    ShapeMismatch
        If it has another size than the frame.
    """
    _check_array(mask, "mask", "an (H, W) uint8 array of object ids")
    if mask.shape != tuple(size):
        raise ShapeMismatch(
            f"mask: wrong shape (got {mask.shape}, expected {tuple(size)}, the frame's height and width). "
            "Resize it without interpolation, or drop its channels"
        )
    if mask.dtype == np.bool_:
        mask = mask.astype(np.uint8)
    if mask.dtype != np.uint8:
        raise BadInput(f"mask: wrong type (got {mask.dtype}, expected uint8 object ids, 0 for the background)")
    ids = np.unique(mask[mask > 0])
    if not 1 <= len(ids) <= MAX_OBJECTS:
        raise BadInput(
            f"mask: wrong number of objects (got {len(ids)}, expected 1 to {MAX_OBJECTS}). Give each object its own id"
        )
    return np.array(mask, order="C"), ids


def checked_path(path: str | Path | None, name: str) -> Path | None:
    """Return a path given as str or Path; None stays None.

    Raises
    ------
    BadInput
        If it is something else.
    """
    if path is None or isinstance(path, Path):
        return path
    if isinstance(path, str) and path:
        return Path(path)
    raise BadInput(f"{name}: not a path (got {path!r}, expected str or pathlib.Path). Pass the file's path")


def _check_array(value: object, name: str, expected: str) -> None:
    if not isinstance(value, np.ndarray):
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise BadInput(f"{name}: not a NumPy array (got {kind}, expected {expected}). Convert it with numpy.asarray")
