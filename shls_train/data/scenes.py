"""What clips show: stills, the things on them by pseudo-masks, and things that are hard to tell apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shls.runtime.io.image_collection import Stills

from ..pseudo_labels.masks import PseudoMasks
from .clips import Clip, ClipSize, Cutout, make_clip
from .shapes import largest_part, with_gaps, with_limbs
from .views import Rng, blob

HELD_OUT = 50
"""Every so many-th still is kept for validation."""

OBJECTS = (0.4, 0.3, 0.18, 0.12)
"""Probability of 1, 2, 3 and 4 objects in a clip."""

LEAST_AREA = 0.001
"""Share of the first frame that its objects must cover, or the clip is drawn again."""

CONFIDENT = 0.5
"""Least confidence of a pseudo-mask that is used."""

BLOBS = 0.25
"""How often what is pasted is a blob, not a thing."""

LIMBED = 0.5
"""How often it has limbs: thin parts are what superpixels lose and pixels must find."""

GAPPED = 0.5
"""How often gaps are cut into it: what shows between legs is not the thing, though pseudo-masks take it in."""

TWIN = 0.35
"""How often a further object looks like the one before: only its place tells them apart."""

CAMOUFLAGED = 0.15
"""How often an object is cut out of its own background."""

UNMARKED = 0.3
"""How often one of several things is not to be followed."""


class Scenes:
    """Draws clips from a collection of stills.

    Parameters
    ----------
    stills : Stills
    masks : of the things on them; without, only blobs are cut out
    size : of the clips
    """

    def __init__(self, stills: Stills, masks: PseudoMasks | None, size: ClipSize) -> None:
        self._stills, self._masks, self._size = stills, masks, size
        self._all = _split(range(len(stills)))
        self._things = _split(masks.confident(CONFIDENT) if masks is not None else [])

    def draw(self, rng: Rng, held_out: bool = False) -> Clip:
        """Draw a clip whose first frame shows something to follow, of the held-out stills or of the others."""
        while True:
            background = self._stills[_pick(rng, self._all[held_out])]
            pieces: list[Cutout] = []
            for _ in range(1 + rng.choice(4, p=OBJECTS)):
                pieces.append(self._piece(rng, held_out, background, pieces))
            clip = make_clip(background, pieces, rng, self._size)
            if len(pieces) > 1 and rng.random() < UNMARKED:
                clip.labels[clip.labels == rng.integers(1, len(pieces) + 1)] = 0
            if (clip.labels[0] > 0).mean() >= LEAST_AREA:
                return clip

    def _piece(self, rng: Rng, held_out: bool, background: np.ndarray, others: list[Cutout]) -> Cutout:
        """A thing to paste: a new one, or one that looks like what is there already."""
        things = self._things[held_out]
        if others and rng.random() < TWIN:
            return others[-1]
        if rng.random() < CAMOUFLAGED:
            still, mask = background, blob(background.shape[:2], rng)
        elif self._masks is None or not things or rng.random() < BLOBS:
            still = self._stills[_pick(rng, self._all[held_out])]
            mask = blob(still.shape[:2], rng)
        else:
            index = _pick(rng, things)
            still, mask = self._stills[index], largest_part(self._masks[index][0])
        mask = with_gaps(mask, rng) if rng.random() < GAPPED else mask
        return Cutout(still, with_limbs(mask, rng) if rng.random() < LIMBED else mask)


def _split(indices: Sequence[int]) -> tuple[list[int], list[int]]:
    """Those to learn from, and those held out."""
    return [i for i in indices if i % HELD_OUT], [i for i in indices if not i % HELD_OUT]


def _pick(rng: Rng, among: list[int]) -> int:
    return among[int(rng.integers(len(among)))]
