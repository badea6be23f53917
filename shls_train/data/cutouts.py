"""What is cut out of stills, to be pasted over others."""

from __future__ import annotations

from ..pseudo_labels.masks import PseudoMasks
from .clips import Cutout
from .image_stream import Still
from .views import Rng, blob

CONFIDENT = 0.5
"""Least confidence of a mask that is used."""


def cut_out(still: Still, masks: PseudoMasks | None, rng: Rng) -> Cutout:
    """The thing on a still by its mask; a blob where there are no masks, or nobody is sure of this one.

    Raises
    ------
    BadInput
        If the masks are of other stills, or this one cannot be read.
    """
    if masks is not None and masks.confidence(still.name) >= CONFIDENT:
        mask, _ = masks[still.name]
        return Cutout(still.image, mask)
    return Cutout(still.image, blob(still.image.shape[:2], rng))
