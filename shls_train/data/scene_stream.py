"""Clips from any number of stills: the things of one clip come from one shard, and few shards are open at a time."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from shls.runtime.errors import BadInput

from ..pseudo_labels.masks import PseudoMasks
from .clips import Clip, ClipSize
from .image_stream import ReadableStills, describe_shards, shards_in
from .scenes import HELD_OUT, Scenes
from .views import Rng

OPEN = 8
"""Shards whose indices are in memory."""


class SceneStream:
    """Draws clips; what a clip shows depends on the random numbers alone.

    Every shard comes as often as the others. One with fewer than `HELD_OUT` stills is passed over.

    Parameters
    ----------
    root : see `shls_train.data.image_stream.StillStream`
    masks, size : see `Scenes`

    Attributes
    ----------
    inputs : what tells this collection from another, cheaply

    Raises
    ------
    BadInput
        If no shard has enough stills, or a shard cannot be read, or a still has no entry among the masks.
    """

    def __init__(self, root: Path, masks: PseudoMasks | None, size: ClipSize) -> None:
        self._root, self._masks, self._size = root, masks, size
        self._shards = shards_in(root)
        self._opened = lru_cache(OPEN)(self._open)
        self.inputs: dict[str, Any] = describe_shards(self._shards) | {"masks": 0 if masks is None else len(masks)}
        self._from(0)

    def draw(self, rng: Rng, held_out: bool = False) -> Clip:
        """Draw a clip of one shard's held-out stills or of its others."""
        return self._from(int(rng.integers(len(self._shards)))).draw(rng, held_out)

    def _from(self, first: int) -> Scenes:
        """The scenes of a shard, or of the next one that has enough stills."""
        for after in range(len(self._shards)):
            scenes = self._opened((first + after) % len(self._shards))
            if scenes is not None:
                return scenes
        raise BadInput(f"{self._root}: no folder or shard of at least {HELD_OUT} stills; some are kept for validation")

    def _open(self, shard: int) -> Scenes | None:
        stills = ReadableStills(self._root, self._shards[shard])
        if len(stills) < HELD_OUT:
            return None
        return Scenes(stills, None if self._masks is None else self._masks.of(stills.names), self._size)
