"""Frames and first mask of a comparison in one file, so that another machine compares models on the same bytes."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from shls.runtime._support.files import write_whole
from shls.runtime.errors import BadInput


def save_inputs(path: Path, images: Sequence[np.ndarray], mask: np.ndarray | None) -> None:
    """Write frames and mask into an .npz file; the file appears whole or not at all.

    Parameters
    ----------
    path
        File to write.
    images
        Frames of one size, each (H, W, 3) uint8 RGB.
    mask
        (H, W) uint8 object ids of the first frame, or None.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_inputs(Path(folder, "a.npz"), [np.zeros((4, 6, 3), np.uint8)], None)
    ...     images, mask = load_inputs(Path(folder, "a.npz"))
    >>> images[0].shape, mask
    ((4, 6, 3), None)
    """
    buffer = BytesIO()
    none = np.zeros((0, 0), np.uint8)
    np.savez_compressed(buffer, images=np.stack(images), mask=none if mask is None else mask)
    write_whole(path, buffer.getvalue())


def load_inputs(path: Path) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Read frames and mask that `save_inputs` wrote; nothing is unpickled.

    Raises
    ------
    BadInput
        If the file cannot be read, or if `save_inputs` did not write it.

    Examples
    --------
    >>> images, mask = load_inputs(Path("inputs.npz"))  # doctest: +SKIP
    """
    try:
        # zipfile comes first, because numpy would also read other formats.
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as kept:
            images, mask = kept["images"], kept["mask"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path}: cannot be replayed ({error}). Give a file that --save-inputs wrote") from error
    return list(images), mask if mask.size else None
