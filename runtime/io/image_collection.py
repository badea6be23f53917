"""Unlabelled photographs, read from folders and tar shards."""

from __future__ import annotations

import os
import tarfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from ..errors import BadInput
from .image_files import IMAGE_SUFFIXES


@dataclass(frozen=True)
class _Place:
    """Where the bytes of one still lie, and what it is called there."""

    path: Path
    offset: int
    size: int
    member: str = ""


class Stills:
    """A random-access collection of photographs.

    Nothing is decoded until it is asked for, and tar shards are read in place: only the index is kept in memory.

    Parameters
    ----------
    root : path
        A folder (searched recursively for images and ``.tar`` shards), one ``.tar`` shard, or one image.
    files : list of paths, optional
        Only these files of it; their stills keep the names that they have in the whole.

    Raises
    ------
    BadInput
        If there is no such place, no image in it, or a shard that is cut short.
    """

    def __init__(self, root: Path, files: Sequence[Path] | None = None) -> None:
        if not root.exists():
            raise BadInput(f"{root}: no such folder or file; give a folder of images or of .tar shards")
        self._root = root if root.is_dir() else root.parent
        if files is None:
            files = sorted(root.rglob("*")) if root.is_dir() else [root]
        self._places = [place for file in files for place in _places_in(file)]
        if not self._places:
            raise BadInput(f"{root}: no images found; expected {', '.join(sorted(IMAGE_SUFFIXES))} or .tar shards")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> np.ndarray:
        """The still at `index`, (H, W, 3) uint8 RGB.

        Raises
        ------
        BadInput
            If the bytes are not an image that OpenCV can read.
        """
        place = self._places[index]
        with place.path.open("rb") as file:
            encoded = os.pread(file.fileno(), place.size, place.offset)
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR) if encoded else None
        if image is None:
            raise BadInput(f"{place.path} at byte {place.offset}: not a readable image; remove it or repair the shard")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    @cached_property
    def names(self) -> list[str]:
        """What each still is called wherever its folder lies: path below the root, shard and member, no suffixes.

        Raises
        ------
        BadInput
            If two stills have one name.
        """
        names = [self._name(place) for place in self._places]
        name, times = Counter(names).most_common(1)[0]
        if times > 1:
            raise BadInput(f"{self._root}: {times} stills are called {name}; names must differ in more than the suffix")
        return names

    def _name(self, place: _Place) -> str:
        below = PurePosixPath(place.path.relative_to(self._root).with_suffix("").as_posix())
        member = PurePosixPath(place.member).with_suffix("") if place.member else PurePosixPath()
        return str(below.joinpath(*(part for part in member.parts if part not in ("/", ".."))))


def _places_in(file: Path) -> Iterable[_Place]:
    if file.suffix.lower() in IMAGE_SUFFIXES:
        return [_Place(file, 0, file.stat().st_size)]
    return _places_in_shard(file) if file.suffix == ".tar" else []


def _places_in_shard(shard: Path) -> list[_Place]:
    try:
        with tarfile.open(shard) as tar:
            members = [m for m in tar if m.isfile() and Path(m.name).suffix.lower() in IMAGE_SUFFIXES]
    except tarfile.TarError as error:
        raise BadInput(f"{shard}: not a whole tar file ({error}); copy it again") from error
    if members and members[-1].offset_data + members[-1].size > shard.stat().st_size:
        raise BadInput(f"{shard}: cut short inside {members[-1].name}; copy it again")
    return [_Place(shard, m.offset_data, m.size, m.name) for m in members]
