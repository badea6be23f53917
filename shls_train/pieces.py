"""What is cut out of stills, to be pasted over others."""

from __future__ import annotations

from shls_train.augment import Rng, blob
from shls_train.clips import Piece
from shls_train.pseudo_masks import PseudoMasks
from shls_train.stream import Still

CONFIDENT = 0.5
"""Least confidence of a mask that is used."""


def cut_out(still: Still, masks: PseudoMasks | None, rng: Rng) -> Piece:
    """The thing on a still by its mask; a blob where there are no masks, or nobody is sure of this one.

    Raises
    ------
    BadInput
        If the masks are of other stills, or this one cannot be read.
    """
    if masks is not None and masks.confidence(still.name) >= CONFIDENT:
        mask, _ = masks[still.name]
        return Piece(still.image, mask)
    return Piece(still.image, blob(still.image.shape[:2], rng))
