"""Random synthetic clips from sharded collections of stills; each clip uses stills of one shard."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from shls.runtime.errors import BadInput
from shls.runtime.io.image_collection import LeftOut

from ..pseudo_labels.masks import PseudoMasks
from .clips import Clip, ClipSize, Cutout
from .image_stream import ReadableStills, describe_shards, shards_in
from .scenes import HELD_OUT, Scenes
from .views import Rng

OPEN = 8
"""Number of shards whose index is kept in memory."""


class SceneStream:
    """Source of random clips. A clip depends only on the random numbers of its generator.

    All shards are drawn with equal probability. A shard with fewer than `HELD_OUT` stills is skipped.

    Parameters
    ----------
    root : Path
        Folder of images or shards; see `shls_train.data.image_stream.StillStream`.
    masks : PseudoMasks or None
        Pseudo-masks of the stills; see `Scenes`.
    size : ClipSize
        Frames per clip and their size.
    blobs : bool
        See `Scenes`.

    Attributes
    ----------
    inputs : dict
        Properties that identify the collection: numbers of shards, files, bytes and masks.
    left_out : LeftOut
        Messages about unreadable stills and shards found so far.

    Raises
    ------
    BadInput
        If no shard has enough readable stills, or a still has no pseudo-mask entry.

    Examples
    --------
    >>> stream = SceneStream(Path("stills"), None, ClipSize())  # doctest: +SKIP
    >>> clip = stream.draw(np.random.default_rng(0))  # doctest: +SKIP
    """

    def __init__(self, root: Path, masks: PseudoMasks | None, size: ClipSize, blobs: bool = True) -> None:
        self._root, self._masks, self._size, self._blobs = root, masks, size, blobs
        self._shards = shards_in(root)
        self.left_out = LeftOut()
        self._opened = lru_cache(OPEN)(self._open)
        self.inputs: dict[str, Any] = describe_shards(self._shards) | {"masks": 0 if masks is None else len(masks)}
        self._from(0)

    def draw(self, rng: Rng, held_out: bool = False) -> Clip:
        """Draw a clip from a random shard's held-out stills or from its training stills."""
        return self._from(int(rng.integers(len(self._shards)))).draw(rng, held_out)

    def draw_object(self, rng: Rng, held_out: bool = False) -> Cutout | None:
        """Draw a still with a confident pseudo-mask of its object from a random shard; None if the shard has none."""
        return self._from(int(rng.integers(len(self._shards)))).draw_object(rng, held_out)

    def _from(self, first: int) -> Scenes:
        """Open a shard, or the next shard that has enough stills."""
        for after in range(len(self._shards)):
            scenes = self._opened((first + after) % len(self._shards))
            if scenes is not None:
                return scenes
        raise BadInput(f"{self._root}: too few stills (expected a folder or shard of at least {HELD_OUT}). Add stills.")

    def _open(self, shard: int) -> Scenes | None:
        """Open a shard; None if it has too few stills."""
        stills = ReadableStills(self._root, self._shards[shard], self.left_out)
        if len(stills) < HELD_OUT:
            return None
        return Scenes(stills, None if self._masks is None else self._masks.of(stills.names), self._size, self._blobs)
