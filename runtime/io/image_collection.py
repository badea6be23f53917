"""Collections of photographs without labels, read from folders and tar shards."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from ..errors import BadInput
from .image_files import IMAGE_SUFFIXES, is_image
from .shards import is_shard, read_shard

SHOWN = 5
"""Number of messages about unreadable stills and shards that are logged one by one."""

logger = logging.getLogger("shls")


class LeftOut:
    """Messages about stills and shards that cannot be read and are left out; the first ones are logged.

    Attributes
    ----------
    messages : list of str
        Each message once, in the order of discovery.

    Examples
    --------
    >>> left_out = LeftOut()
    >>> left_out.add("a.jpg: not a readable image")
    >>> left_out.add("a.jpg: not a readable image")
    >>> left_out.messages
    ['a.jpg: not a readable image']
    """

    def __init__(self) -> None:
        self.messages: list[str] = []

    def add(self, message: str) -> None:
        """Add a message, unless it is known."""
        if message not in self.messages:
            self.messages.append(message)
            if len(self.messages) <= SHOWN:
                logger.warning("left out: %s", message)

    def log_total(self) -> None:
        """Log the number of messages, if there are any."""
        if self.messages:
            logger.warning("%d stills or parts of shards were unreadable and left out", len(self.messages))


@dataclass(frozen=True)
class _Place:
    """Position of a still's bytes, and its name within a shard."""

    path: Path
    offset: int
    size: int
    member: str = ""


class Stills:
    """Random-access collection of photographs.

    Images are decoded when they are asked for. Shards are read in place; only their index is kept in memory. Hidden
    files, whose names begin with a dot, are ignored. Unreadable stills, unreadable shards and damaged parts of shards
    are left out.

    Parameters
    ----------
    root : Path
        Folder (searched recursively for images and ``.tar`` shards), one ``.tar`` shard, or one image.
    files : sequence of Path, optional
        Only these files of the folder. Their stills keep the names that they have in the whole collection.
    left_out : LeftOut, optional
        Receives the messages; by default a new one.

    Attributes
    ----------
    left_out : LeftOut
        Messages about what was left out so far.

    Raises
    ------
    BadInput
        If the place does not exist or has no images, and `files` is not given.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS
    >>> stills = Stills(ASSETS / "bunny_mask.png")
    >>> len(stills), stills.names, stills[0].shape
    (1, ['bunny_mask'], (480, 854, 3))
    """

    def __init__(self, root: Path, files: Sequence[Path] | None = None, left_out: LeftOut | None = None) -> None:
        self.left_out = left_out or LeftOut()
        self._root = root if root.is_dir() else root.parent
        listed = collection_files(root) if files is None else files
        self._places = [place for file in listed for place in _places_in(file, self.left_out)]
        if files is None and not self._places:
            raise no_images(root, self.left_out)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return a still, (H, W, 3) uint8 RGB; raises BadInput if OpenCV cannot read it."""
        place = self._places[index]
        try:
            with place.path.open("rb") as file:
                encoded = os.pread(file.fileno(), place.size, place.offset)
            image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR) if encoded else None
        except (OSError, cv2.error):  # cv2.error: a size beyond OpenCV's limit
            image = None
        if image is None:
            where = f"{place.path}, {place.member}" if place.member else str(place.path)
            raise BadInput(f"{where}: not a readable image. Remove or replace the image")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def read(self, index: int) -> np.ndarray | None:
        """Return a still, (H, W, 3) uint8 RGB, or None and a message in `left_out` if it cannot be read."""
        try:
            return self[index]
        except BadInput as error:
            self.left_out.add(str(error))
            return None

    @cached_property
    def names(self) -> list[str]:
        """Names of the stills: path below the root, shard and member, without suffixes.

        Raises
        ------
        BadInput
            If two stills have one name.
        """
        names = [self._name(place) for place in self._places]
        name, times = Counter(names).most_common(1)[0] if names else ("", 0)
        if times > 1:
            raise BadInput(
                f"{self._root}: stills with equal names (got {times} of the name {name}, expected names that differ in "
                "more than the suffix). Rename the stills"
            )
        return names

    def _name(self, place: _Place) -> str:
        below = PurePosixPath(place.path.relative_to(self._root).with_suffix("").as_posix())
        member = PurePosixPath(place.member).with_suffix("") if place.member else PurePosixPath()
        return str(below.joinpath(*(part for part in member.parts if part not in ("/", ".."))))


def collection_files(root: Path) -> list[Path]:
    """List the images and shards of a collection, in alphabetical order, without hidden files and folders.

    Parameters
    ----------
    root : Path
        Folder, searched recursively, or one file.

    Raises
    ------
    BadInput
        If the place does not exist.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS
    >>> [file.name for file in collection_files(ASSETS)]
    ['bunny_mask.png']
    """
    if not root.exists():
        raise BadInput(
            f"{root}: no such folder or file (expected a folder of images or of .tar shards). Check the name"
        )
    if not root.is_dir():
        return [root]
    found = (path for path in sorted(root.rglob("*")) if is_image(path) or is_shard(path))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts)]


def no_images(root: Path, left_out: LeftOut) -> BadInput:
    """Return the error for a collection without a still: the first message about what was left out, if there is one.

    Examples
    --------
    >>> print(no_images(Path("stills"), LeftOut()))
    stills: no images found (expected .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp or .tar shards). Check the folder
    """
    if left_out.messages:
        return BadInput(left_out.messages[0])
    return BadInput(
        f"{root}: no images found (expected {', '.join(sorted(IMAGE_SUFFIXES))} or .tar shards). Check the folder"
    )


def _places_in(file: Path, left_out: LeftOut) -> Iterator[_Place]:
    """Yield the stills in an image file or a shard."""
    if is_image(file):
        yield _Place(file, 0, file.stat().st_size)
    elif is_shard(file):
        members, problem = read_shard(file)
        if problem:
            left_out.add(problem)
        yield from (_Place(file, member.offset_data, member.size, member.name) for member in members)
