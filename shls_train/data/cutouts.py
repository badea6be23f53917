"""Cutouts: objects or random blobs cut from stills, to be pasted into clips."""

from __future__ import annotations

from ..pseudo_labels.masks import PseudoMasks
from .clips import Cutout
from .image_stream import Still
from .views import Rng, blob

CONFIDENT = 0.5
"""Least confidence of a pseudo-mask that is used, 0 to 1."""


def cut_out(still: Still, masks: PseudoMasks | None, rng: Rng) -> Cutout:
    """Cut the object out of a still by its pseudo-mask, or a random blob without a confident pseudo-mask.

    Parameters
    ----------
    still : Still
        Image and its name.
    masks : PseudoMasks or None
        Pseudo-masks of the collection.
    rng : numpy.random.Generator
        Source of random numbers for a blob.

    Returns
    -------
    Cutout
        The still and the mask.

    Raises
    ------
    BadInput
        If `masks` belongs to another collection, or the mask cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> still = Still("a", np.zeros((40, 60, 3), np.uint8))
    >>> cut_out(still, None, np.random.default_rng(0)).mask.shape
    (40, 60)
    """
    if masks is not None and masks.confidence(still.name) >= CONFIDENT:
        mask, _ = masks[still.name]
        return Cutout(still.image, mask)
    return Cutout(still.image, blob(still.image.shape[:2], rng))
