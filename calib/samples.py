"""Calibration frames: a small selection of frames that differ from each other as much as the source allows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from shls.runtime.errors import BadInput
from shls.runtime.features.preprocess import to_input
from shls.runtime.io.image_collection import LeftOut, Stills, no_images
from shls.runtime.io.image_files import IMAGE_SUFFIXES, source_files
from shls.runtime.io.shards import is_shard
from shls.runtime.io.sources import open_source
from shls.runtime.io.uris import redact
from shls.runtime.models.contract import AnyContract, Contract

CANDIDATES = 512
"""Largest number of images to choose from; of a video, all frames are candidates."""
GRID = 8
"""Number of cells per side of the thumbnail that describes an image."""
ROUNDS = 20
"""Largest number of rounds of k-means."""


class Inputs(Protocol):
    """Inputs of a network for calibration or comparison.

    Attributes
    ----------
    runs
        Number of network runs that the inputs are for.
    candidates
        Number of frames or crops that the inputs were chosen from.
    digest
        SHA-256 of the data, in hexadecimal.
    """

    @property
    def runs(self) -> int: ...
    @property
    def candidates(self) -> int: ...
    @property
    def digest(self) -> str: ...

    def check(self) -> None:
        """Raise BadInput if the data cannot give usable ranges."""

    def feeds(self, contract: AnyContract) -> Iterator[dict[str, np.ndarray]]:
        """Yield the input tensors of each run by name; raises BadInput for a network with other inputs."""


class Samples(NamedTuple):
    """Frames, the calibration inputs of an embedding; implements `Inputs`.

    Attributes
    ----------
    images
        Frames of any size, each (H, W, 3) uint8 RGB.
    candidates
        Number of frames that the samples were chosen from.
    digest
        SHA-256 of sizes and pixels, in hexadecimal.

    Examples
    --------
    >>> Samples([np.zeros((4, 6, 3), np.uint8)], candidates=9, digest="").runs
    1
    """

    images: list[np.ndarray]
    candidates: int
    digest: str

    @property
    def runs(self) -> int:
        """Number of network runs, one per frame."""
        return len(self.images)

    def check(self) -> None:
        """Raise BadInput if all frames are black or blank."""
        check_contrast(self.images)

    def feeds(self, contract: AnyContract) -> Iterator[dict[str, np.ndarray]]:
        """Yield the input tensor of one frame after the other; raises BadInput for a refiner."""
        if not isinstance(contract, Contract):
            raise BadInput(
                f"{contract.network}: wrong calibration inputs (got whole frames, expected crops of objects). "
                "Give clips with masks"
            )
        for image in self.images:
            yield {contract.input: to_input(image, contract)}


def sample_frames(uri: str, count: int, seed: int) -> Samples:
    """Choose frames that differ: cluster all candidates by thumbnail and take the frame nearest to each centre.

    Parameters
    ----------
    uri
        A video file, a folder of images (searched recursively, .tar shards too), a .tar shard, or a file pattern.
    count
        Number of frames to choose. All frames are taken if there are fewer.
    seed
        Random seed for the choice of candidates and for the first centres.

    Raises
    ------
    BadInput
        If no image can be read. Single unreadable images and shards are left out, with a message in the log.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS
    >>> samples = sample_frames(str(ASSETS / "bunny.mp4"), 3, seed=0)
    >>> samples.runs, samples.images[0].dtype.name
    (3, 'uint8')
    """
    rng = np.random.default_rng(seed)
    images, left_out = _images(uri, rng)
    thumbnails = np.array([_describe(image) for image in images()])
    if not len(thumbnails):
        raise no_images(Path(uri), left_out)
    left_out.log_total()
    chosen = set(_spread(thumbnails, count, rng))
    kept = [image for index, image in enumerate(images()) if index in chosen]
    return Samples(kept, len(thumbnails), _digest(kept))


def _images(uri: str, rng: np.random.Generator) -> tuple[Callable[[], Iterator[np.ndarray]], LeftOut]:
    """Return a function that reads all readable candidates, so that they need not stay in memory, and its messages."""
    path = Path(uri)
    left_out = LeftOut()
    if path.is_dir() or is_shard(path):
        stills = Stills(path, left_out=left_out)
        read, total = stills.read, len(stills)
    else:
        files = source_files(uri)
        if not files or (len(files) == 1 and files[0].suffix.lower() not in IMAGE_SUFFIXES):  # a URL has no files
            return lambda: _video(uri), left_out
        images = Stills(files[0].parent, files, left_out)
        read, total = images.read, len(images)
    candidates = np.sort(rng.choice(total, min(CANDIDATES, total), replace=False)).tolist()
    return lambda: (image for image in map(read, candidates) if image is not None), left_out


def _video(uri: str) -> Iterator[np.ndarray]:
    with open_source(uri) as source:
        if source.live:
            raise BadInput(f"{redact(uri)}: is live and has no end (expected recorded frames). Record a video first")
        yield from (frame.image for frame in source)


def _describe(image: np.ndarray) -> np.ndarray:
    """Return (GRID * GRID * 6,) float32: mean and standard deviation of the colour in each cell."""
    cells = cv2.resize(image, (GRID * 8, GRID * 8), interpolation=cv2.INTER_AREA).astype(np.float32)
    cells = cells.reshape(GRID, 8, GRID, 8, 3)
    return np.concatenate([cells.mean((1, 3)).ravel(), cells.std((1, 3)).ravel()])


def _spread(points: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    """Return the indices of at most `count` points, the nearest point to each centre of k-means."""
    if len(points) <= count:
        return list(range(len(points)))
    centres = points[_first_centres(points, count, rng)]
    owner = np.full(len(points), -1)
    for _ in range(ROUNDS):
        distances = _square_distances(points, centres)
        nearest = distances.argmin(axis=1)
        if (nearest == owner).all():
            break
        owner = nearest
        for k in np.unique(owner):
            centres[k] = points[owner == k].mean(axis=0)
    return sorted({int(index) for index in _square_distances(points, centres).argmin(axis=0)})


def _first_centres(points: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    """Choose the first centres by k-means++ (Arthur and Vassilvitskii 2007): distant points are more probable."""
    chosen = [int(rng.integers(len(points)))]
    while len(chosen) < count:
        distances = _square_distances(points, points[chosen]).min(axis=1)
        if not distances.any():  # all other points are copies of the chosen points
            break
        chosen.append(int(rng.choice(len(points), p=distances / distances.sum())))
    return chosen


def _square_distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the squared distances between (P, F) and (K, F) points, (P, K)."""
    squares: np.ndarray = (points**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * points @ centres.T
    return np.asarray(np.maximum(squares, 0))


def _digest(images: list[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.shape}".encode() + image.tobytes())
    return digest.hexdigest()


def check_contrast(images: list[np.ndarray], least: int = 32) -> None:
    """Raise BadInput if frames are black or blank, because such frames give no usable ranges.

    Parameters
    ----------
    images
        Frames, each (H, W, 3) uint8.
    least
        Smallest acceptable difference between the darkest and the brightest value of all frames, in grey levels.

    Raises
    ------
    BadInput
        If the difference is smaller.

    Examples
    --------
    >>> check_contrast([np.zeros((4, 6, 3), np.uint8), np.full((4, 6, 3), 90, np.uint8)])
    """
    low, high = min(int(i.min()) for i in images), max(int(i.max()) for i in images)
    if high - low < least:
        raise BadInput(
            f"calibration frames: black or blank (got pixels between {low} and {high} of 255 in {len(images)} frames, "
            f"expected a difference of at least {least}). Give ordinary pictures"
        )
