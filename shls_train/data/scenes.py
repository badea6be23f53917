"""Random scenes for the refiner: backgrounds, objects by pseudo-masks, and distractors that are hard to separate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shls.runtime.io.image_collection import Stills

from ..pseudo_labels.masks import PseudoMasks
from .clips import Clip, ClipSize, Cutout, make_clip
from .shapes import largest_part, with_gaps, with_limbs
from .views import Rng, blob

HELD_OUT = 50
"""Every 50th still is held out for validation."""

OBJECTS = (0.4, 0.3, 0.18, 0.12)
"""Probability of 1, 2, 3 and 4 objects in a clip."""

LEAST_AREA = 0.001
"""Least share of the first frame that objects cover. A clip with less is drawn again."""

CONFIDENT = 0.5
"""Least confidence of a pseudo-mask that is used, 0 to 1."""

BLOBS = 0.25
"""Probability that a random blob is pasted instead of an object."""

LIMBED = 0.5
"""Probability of thin limbs, which superpixels miss and the refiner must recover."""

GAPPED = 0.5
"""Probability of gaps, like those between legs, which pseudo-masks include by mistake."""

TWIN = 0.35
"""Probability that a further object is a copy of the previous object and differs by position only."""

CAMOUFLAGED = 0.15
"""Probability that an object is cut out of the background image itself."""

UNMARKED = 0.3
"""Probability that one of several objects counts as background."""


class Scenes:
    """Source of random clips from one collection of stills.

    Parameters
    ----------
    stills : Stills
        Collection of images.
    masks : PseudoMasks or None
        Pseudo-masks of the stills; without masks only random blobs are pasted.
    size : ClipSize
        Frames per clip and their size.
    blobs : bool
        Also paste random blobs, and parts of the background as camouflage.

    Examples
    --------
    >>> images = [np.full((48, 64, 3), 2 * i, np.uint8) for i in range(60)]
    >>> clip = Scenes(images, None, ClipSize(frames=2, height=48, width=64)).draw(np.random.default_rng(0))
    >>> clip.frames.shape
    (2, 48, 64, 3)
    """

    def __init__(self, stills: Stills, masks: PseudoMasks | None, size: ClipSize, blobs: bool = True) -> None:
        self._stills, self._masks, self._size, self._blobs = stills, masks, size, blobs
        self._all = _split(range(len(stills)))
        self._confident = _split(masks.confident(CONFIDENT) if masks is not None else [])

    def draw(self, rng: Rng, held_out: bool = False) -> Clip:
        """Draw a clip with an object in its first frame, from held-out or from training stills."""
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

    def draw_object(self, rng: Rng, held_out: bool = False) -> Cutout | None:
        """Draw a still with a confident pseudo-mask of its object; None if there is none."""
        confident = self._confident[held_out]
        if self._masks is None or not confident:
            return None
        index = _pick(rng, confident)
        return Cutout(self._stills[index], largest_part(self._masks[index][0]))

    def _piece(self, rng: Rng, held_out: bool, background: np.ndarray, others: list[Cutout]) -> Cutout:
        """Draw a cutout: a new object, a copy of the previous object, or a part of the background."""
        confident = self._confident[held_out]
        if others and rng.random() < TWIN:
            return others[-1]
        if self._blobs and rng.random() < CAMOUFLAGED:
            still, mask = background, blob(background.shape[:2], rng)
        elif self._masks is None or not confident or (self._blobs and rng.random() < BLOBS):
            still = self._stills[_pick(rng, self._all[held_out])]
            mask = blob(still.shape[:2], rng)
        else:
            index = _pick(rng, confident)
            still, mask = self._stills[index], largest_part(self._masks[index][0])
        mask = with_gaps(mask, rng) if rng.random() < GAPPED else mask
        return Cutout(still, with_limbs(mask, rng) if rng.random() < LIMBED else mask)


def _split(indices: Sequence[int]) -> tuple[list[int], list[int]]:
    """Split indices into training stills and held-out stills."""
    return [i for i in indices if i % HELD_OUT], [i for i in indices if not i % HELD_OUT]


def _pick(rng: Rng, among: list[int]) -> int:
    return among[int(rng.integers(len(among)))]
