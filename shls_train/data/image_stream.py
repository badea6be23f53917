"""An endless stream of stills, shard by shard, so that any number of them needs the memory of a few shards' indices.

The order depends on the seed alone, and any position can be gone to at once: that is how a run resumes. Each round over
the shards has an order of its own and takes the next `VISIT` stills of every shard; a shard gives all its stills, in a
new order each time, before one comes again. With a single shard that is a plain shuffle.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shls.runtime.errors import BadInput
from shls.runtime.io.image_collection import Stills
from shls.runtime.io.image_files import IMAGE_SUFFIXES

VISIT = 256
"""Stills that are taken from one shard before the next: it is opened for them once."""

OPEN = 3
"""Shards whose index is in memory."""

HELD_OUT, LEAST = 16, 320
"""Stills of the first shard that are kept out of the stream, for validation, if it has so many at least."""

END = b"\0" * 512
"""What a whole tar file ends with."""


class Still(NamedTuple):
    """A photograph, (H, W, 3) uint8 RGB, and its name as `Stills` tells it."""

    name: str
    image: np.ndarray


class _Shard(NamedTuple):
    """An open shard, and the indices of what is streamed of it."""

    stills: Stills
    streamed: np.ndarray


class StillStream:
    """Stills by position, from 0 on without end.

    A still that cannot be read is left out: the next one of its shard takes its place.

    Parameters
    ----------
    root : path
        A folder of ``.tar`` shards, searched recursively; loose images in it are one more shard. Or one shard.
    seed : int

    Attributes
    ----------
    unreadable : messages of the stills that were left out so far

    Raises
    ------
    BadInput
        If there is no such place, nothing in it, or a shard that is cut short.
    """

    def __init__(self, root: Path, seed: int) -> None:
        self._root, self._seed = root, seed
        self._shards = shards_in(root)
        self.unreadable: list[str] = []
        self._opened = lru_cache(OPEN)(self._open)
        self._order = lru_cache(OPEN)(self._shuffle)
        self._round = lru_cache(2)(lambda number: _rng(seed, number).permutation(len(self._shards)))

    @property
    def inputs(self) -> dict[str, Any]:
        """What tells this collection from another, cheaply: shards, files and bytes."""
        return describe_shards(self._shards)

    def require(self, count: int) -> None:
        """Raise BadInput if there are fewer stills; opens shards only until there are enough."""
        found = 0
        for shard in range(len(self._shards)):
            found += len(self._opened(shard).streamed)
            if found >= count:
                return
        raise BadInput(f"{self._root}: {found} stills, at least {count} needed for a step of this recipe")

    def draw(self, position: int, many: int = 1) -> list[Still]:
        """The still at a position and those before it in its shard's order: as many as asked for, from one shard."""
        visit, step = divmod(position, VISIT)
        number, turn = divmod(visit, len(self._shards))
        shard = int(self._round(number)[turn])
        again, at = divmod(number * VISIT + step, len(self._opened(shard).streamed))
        return [self._read(shard, again, at - back) for back in range(many)]

    def held_out(self) -> list[Still]:
        """Stills that the stream never shows, always the same; none of small collections."""
        stills, streamed = self._opened(0)
        return [Still(stills.names[i], stills[i]) for i in np.setdiff1d(np.arange(len(stills)), streamed)]

    def _read(self, shard: int, again: int, at: int) -> Still:
        stills, order = self._opened(shard).stills, self._order(shard, again)
        for after in range(len(order)):
            index = int(order[(at + after) % len(order)])
            name = stills.names[index]
            try:
                return Still(name, stills[index])
            except BadInput as error:
                if str(error) not in self.unreadable:
                    self.unreadable.append(str(error))
        raise BadInput(f"{self._shards[shard][0]}: not one readable image; remove the shard")

    def _open(self, shard: int) -> _Shard:
        stills = Stills(self._root, self._shards[shard])
        every = np.arange(len(stills))
        if shard or len(stills) < LEAST:
            return _Shard(stills, every)
        return _Shard(stills, np.delete(every, every[:: len(stills) // HELD_OUT][:HELD_OUT]))

    def _shuffle(self, shard: int, again: int) -> np.ndarray:
        return _rng(self._seed, again, shard).permutation(self._opened(shard).streamed)


class ReadableStills(Stills):
    """Stills at random access; in place of one that cannot be read comes the next one."""

    def __getitem__(self, index: int) -> np.ndarray:
        for after in range(len(self)):
            try:
                return super().__getitem__((index + after) % len(self))
            except BadInput:
                continue
        raise BadInput(f"{self._root}: not one readable image; give a folder of photographs")


def _rng(*entropy: int) -> np.random.Generator:
    return np.random.default_rng(entropy)


def describe_shards(shards: list[list[Path]]) -> dict[str, Any]:
    """How many shards and files there are, and their bytes."""
    files = [file for shard in shards for file in shard]
    return {"shards": len(shards), "files": len(files), "bytes": sum(file.stat().st_size for file in files)}


def shards_in(root: Path) -> list[list[Path]]:
    """The files of each shard: tar files alone, loose images together; raises BadInput as `StillStream` does."""
    if not root.exists():
        raise BadInput(f"{root}: no such folder or file; give a folder of images or of .tar shards")
    files = sorted(root.rglob("*")) if root.is_dir() else [root]
    loose = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    tars = [file for file in files if file.suffix == ".tar"]
    for tar in tars:
        _check_end(tar)
    shards = [[tar] for tar in tars] + ([loose] if loose else [])
    if not shards:
        raise BadInput(f"{root}: no images found; expected {', '.join(sorted(IMAGE_SUFFIXES))} or .tar shards")
    return shards


def _check_end(tar: Path) -> None:
    """Look at the last block only: there may be thousands of shards."""
    with tar.open("rb") as file:
        file.seek(max(0, tar.stat().st_size - len(END)))
        if file.read() != END:
            raise BadInput(f"{tar}: cut short, it has no end mark; copy it again")
