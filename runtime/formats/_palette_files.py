"""Palette PNGs of object ids, read without the guesses that pictures from elsewhere need."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import BadInput

NAMES_KEY = "shls:names"
"""Keyword of the text chunk with the objects' names."""
VOID = 255
"""Palette index of pixels of unknown content."""
READ_ERRORS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def read_ids(path: Path) -> tuple[np.ndarray, dict[int, str]]:
    """Read the (H, W) uint8 ids of a palette or grey PNG, void as 0, and the names of the objects."""
    try:
        with Image.open(path) as picture:
            picture.load()
            if picture.mode not in ("P", "L"):
                raise BadInput(
                    f"{path}: no mask of object ids (got a picture of mode {picture.mode}, expected a palette or grey "
                    "PNG). Name the folder that `shls run --masks` wrote"
                )
            labels, text = np.array(picture), picture.info.get(NAMES_KEY)
    except READ_ERRORS as error:
        raise BadInput(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    labels[labels == VOID] = 0
    try:
        names = {int(key): str(value) for key, value in json.loads(text).items()} if text else {}
    except (ValueError, AttributeError):
        names = {}
    return labels, names
