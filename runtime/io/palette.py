"""Colours of object ids: the palette of PASCAL VOC and DAVIS."""

from __future__ import annotations

import numpy as np


def _voc_palette() -> np.ndarray:
    """Spread the bits of each id over the high bits of red, green and blue."""
    ids = np.arange(256)
    palette = np.zeros((256, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (ids >> 3 * bit + channel & 1) << 7 - bit
    return palette.astype(np.uint8)


PALETTE = _voc_palette()
"""(256, 3) uint8 RGB, colour of each object id."""
