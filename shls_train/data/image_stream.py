"""Endless stream of stills. The memory holds the indices of a few shards only, whatever the size of the collection.

The order depends on the seed alone, and the still at any position can be read at once; a run resumes in this way. Each
round over the shards has an order of its own and takes the next `VISIT` stills of each shard. A shard gives all its
stills, in a new order each time, before a still is repeated. A single shard is simply shuffled.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shls.runtime.errors import BadInput
from shls.runtime.io.image_collection import LeftOut, Stills, collection_files, no_images
from shls.runtime.io.image_files import is_image

VISIT = 256
"""Number of stills that are taken from one shard before the next; the shard is opened once for them."""

OPEN = 3
"""Number of shards whose index is in memory."""

HELD_OUT = 16
"""Number of stills of the first shard that are kept out of the stream, for validation."""

LEAST = 320
"""Least number of stills in the first shard for which stills are held out."""


class Still(NamedTuple):
    """Photograph and its name.

    Attributes
    ----------
    name : str
        Name in the collection; see `shls.runtime.io.image_collection.Stills.names`.
    image : (H, W, 3) uint8 array
        RGB image.

    Examples
    --------
    >>> Still("a", np.zeros((4, 6, 3), np.uint8)).image.shape
    (4, 6, 3)
    """

    name: str
    image: np.ndarray


class _Shard(NamedTuple):
    """Open shard and the indices of its stills that are streamed."""

    stills: Stills
    streamed: np.ndarray


class StillStream:
    """Stills by position, without end.

    An unreadable still is left out, and the next still of its shard takes its place. A shard without a readable still
    is left out, and the next shard of the round takes its place.

    Parameters
    ----------
    root : Path
        Folder of ``.tar`` shards, searched recursively; loose images in the folder form one more shard. Or one shard.
    seed : int
        Random seed of the order.

    Attributes
    ----------
    left_out : LeftOut
        Messages about unreadable stills and shards found so far.

    Raises
    ------
    BadInput
        If the place does not exist or has neither images nor shards.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS
    >>> stream = StillStream(ASSETS / "bunny_mask.png", seed=0)
    >>> [still.name for still in stream.draw(7, 2)]
    ['bunny_mask', 'bunny_mask']
    """

    def __init__(self, root: Path, seed: int) -> None:
        self._root, self._seed = root, seed
        self._shards = shards_in(root)
        self.left_out = LeftOut()
        self._opened = lru_cache(OPEN)(self._open)
        self._order = lru_cache(OPEN)(self._shuffle)
        self._round = lru_cache(2)(lambda number: _rng(seed, number).permutation(len(self._shards)))
        self._useless: set[int] = set()

    @property
    def inputs(self) -> dict[str, Any]:
        """Properties that identify the collection: numbers of shards, files and bytes."""
        return describe_shards(self._shards)

    def require(self, count: int) -> None:
        """Raise BadInput if there are fewer than `count` stills; opens only as many shards as needed."""
        found = 0
        for shard in range(len(self._shards)):
            found += len(self._opened(shard).streamed)
            if found >= count:
                return
        if not found:
            raise no_images(self._root, self.left_out)
        raise BadInput(f"{self._root}: too few stills (got {found}, expected at least {count} for a step). Add stills.")

    def draw(self, position: int, many: int = 1) -> list[Still]:
        """Read the still at a position and the stills before it in the order of its shard.

        Parameters
        ----------
        position : int
            Position in the stream, from 0.
        many : int
            Number of stills, all from one shard.

        Raises
        ------
        BadInput
            If no still of the collection can be read.
        """
        visit, step = divmod(position, VISIT)
        number, turn = divmod(visit, len(self._shards))
        for after in range(len(self._shards)):
            shard = int(self._round(number)[(turn + after) % len(self._shards)])
            found = self._draw_from(shard, number * VISIT + step, many)
            if found:
                return found
        raise no_images(self._root, self.left_out)

    def held_out(self) -> list[Still]:
        """Stills that are never streamed, always the same; none for small collections."""
        stills, streamed = self._opened(0)
        found = ((i, stills.read(i)) for i in np.setdiff1d(np.arange(len(stills)), streamed))
        return [Still(stills.names[i], image) for i, image in found if image is not None]

    def _draw_from(self, shard: int, position: int, many: int) -> list[Still]:
        """Read stills of a shard; empty if the shard has no readable still."""
        count = len(self._opened(shard).streamed)
        if not count or shard in self._useless:
            return []
        again, at = divmod(position, count)
        found = [self._read(shard, again, at - back) for back in range(many)]
        stills = [still for still in found if still is not None]
        if not stills:
            self._useless.add(shard)
        return stills

    def _read(self, shard: int, again: int, at: int) -> Still | None:
        stills, order = self._opened(shard).stills, self._order(shard, again)
        for after in range(len(order)):
            index = int(order[(at + after) % len(order)])
            image = stills.read(index)
            if image is not None:
                return Still(stills.names[index], image)
        return None

    def _open(self, shard: int) -> _Shard:
        stills = Stills(self._root, self._shards[shard], self.left_out)
        every = np.arange(len(stills))
        if shard or len(stills) < LEAST:
            return _Shard(stills, every)
        return _Shard(stills, np.delete(every, every[:: len(stills) // HELD_OUT][:HELD_OUT]))

    def _shuffle(self, shard: int, again: int) -> np.ndarray:
        return _rng(self._seed, again, shard).permutation(self._opened(shard).streamed)


class ReadableStills(Stills):
    """Collection in which the next still takes the place of an unreadable still.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS
    >>> ReadableStills(ASSETS / "bunny_mask.png")[0].shape
    (480, 854, 3)
    """

    def __getitem__(self, index: int) -> np.ndarray:
        """Return the still at a position, or the next readable still, (H, W, 3) uint8 RGB."""
        for after in range(len(self)):
            try:
                return super().__getitem__((index + after) % len(self))
            except BadInput as error:
                self.left_out.add(str(error))
        raise no_images(self._root, self.left_out)


def describe_shards(shards: list[list[Path]]) -> dict[str, Any]:
    """Return the numbers of shards, files and bytes.

    Examples
    --------
    >>> describe_shards([])
    {'shards': 0, 'files': 0, 'bytes': 0}
    """
    files = [file for shard in shards for file in shard]
    return {"shards": len(shards), "files": len(files), "bytes": sum(file.stat().st_size for file in files)}


def shards_in(root: Path) -> list[list[Path]]:
    """List the files of each shard: each tar file alone, and all loose images together.

    Raises
    ------
    BadInput
        If the place does not exist or has neither images nor shards.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS
    >>> [[file.name for file in shard] for shard in shards_in(ASSETS)]
    [['bunny_mask.png']]
    """
    files = collection_files(root)
    loose = [file for file in files if is_image(file)]
    shards = [[file] for file in files if not is_image(file)] + ([loose] if loose else [])
    if not shards:
        raise no_images(root, LeftOut())
    return shards


def _rng(*entropy: int) -> np.random.Generator:
    return np.random.default_rng(entropy)
