"""Frames to calibrate on: few, and as different from each other as the source allows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from shls.runtime.errors import BadInput
from shls.runtime.features.preprocess import to_input
from shls.runtime.io.image_collection import Stills
from shls.runtime.io.image_files import IMAGE_SUFFIXES, read_image, source_files
from shls.runtime.io.sources import open_source
from shls.runtime.models.contract import AnyContract, RefinerContract

CANDIDATES = 512
"""Images that are looked at, at most; of a video every frame is."""
GRID = 8
"""Cells per side of the thumbnail that describes an image."""
ROUNDS = 20
"""Of k-means, at most."""


class Inputs(Protocol):
    """What a network is calibrated on, and compared on.

    Attributes
    ----------
    runs : of the network
    candidates : how many they were chosen from
    digest : SHA-256 of the data, in hexadecimal
    """

    @property
    def runs(self) -> int: ...
    @property
    def candidates(self) -> int: ...
    @property
    def digest(self) -> str: ...

    def check(self) -> None:
        """Raise BadInput for data from which no range can be learnt."""

    def feeds(self, contract: AnyContract) -> Iterator[dict[str, np.ndarray]]:
        """Tensors by name, run after run; raises BadInput for a network that takes something else."""


class Samples(NamedTuple):
    """Frames; see `Inputs`.

    images : each (H, W, 3) uint8 RGB, of any size
    candidates : how many they were chosen from
    digest : SHA-256 of sizes and pixels, in hexadecimal
    """

    images: list[np.ndarray]
    candidates: int
    digest: str

    @property
    def runs(self) -> int:
        return len(self.images)

    def check(self) -> None:
        """Refuse black and blank frames."""
        check_contrast(self.images)

    def feeds(self, contract: AnyContract) -> Iterator[dict[str, np.ndarray]]:
        """One frame after the other."""
        if isinstance(contract, RefinerContract):
            raise BadInput(f"{contract.network}: takes crops of objects, these are whole frames")
        for image in self.images:
            yield {contract.input: to_input(image, contract)}


def sample_frames(uri: str, count: int, seed: int) -> Samples:
    """Choose different frames: cluster them by thumbnail, take the one nearest to each centre.

    Parameters
    ----------
    uri : a video file; or images: a folder (searched recursively, .tar shards too), a .tar shard, a pattern
    count : frames wanted; all there are, if there are fewer
    seed : of the candidates among many images, and of the clusters' first centres

    Raises
    ------
    BadInput
        If there are no images, or one of those chosen cannot be read.
    """
    rng = np.random.default_rng(seed)
    images = _images(uri, rng)
    thumbnails = np.array([_describe(image) for image in images()])
    chosen = set(_spread(thumbnails, count, rng))
    kept = [image for index, image in enumerate(images()) if index in chosen]
    return Samples(kept, len(thumbnails), _digest(kept))


def _images(uri: str, rng: np.random.Generator) -> Callable[[], Iterator[np.ndarray]]:
    """What reads the candidates; called twice, because few of them stay in memory."""
    path = Path(uri)
    if path.is_dir() or path.suffix == ".tar":
        stills = Stills(path)
        read, total = stills.__getitem__, len(stills)
    else:
        files = source_files(uri)
        if len(files) == 1 and files[0].suffix.lower() not in IMAGE_SUFFIXES:
            return lambda: _video(uri)
        read, total = lambda index: read_image(files[index]), len(files)
    candidates = np.sort(rng.choice(total, min(CANDIDATES, total), replace=False)).tolist()
    return lambda: map(read, candidates)


def _video(uri: str) -> Iterator[np.ndarray]:
    with open_source(uri) as source:
        yield from (frame.image for frame in source)


def _describe(image: np.ndarray) -> np.ndarray:
    """(GRID * GRID * 6,) float32: mean colour and its spread in each cell."""
    cells = cv2.resize(image, (GRID * 8, GRID * 8), interpolation=cv2.INTER_AREA).astype(np.float32)
    cells = cells.reshape(GRID, 8, GRID, 8, 3)
    return np.concatenate([cells.mean((1, 3)).ravel(), cells.std((1, 3)).ravel()])


def _spread(points: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    """Indices of at most `count` points, the nearest to each centre of k-means."""
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
    """k-means++ (Arthur and Vassilvitskii 2007): far points are likelier."""
    chosen = [int(rng.integers(len(points)))]
    while len(chosen) < count:
        distances = _square_distances(points, points[chosen]).min(axis=1)
        if not distances.any():  # the rest are copies of those chosen
            break
        chosen.append(int(rng.choice(len(points), p=distances / distances.sum())))
    return chosen


def _square_distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(P, F) and (K, F) -> (P, K)."""
    squares: np.ndarray = (points**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * points @ centres.T
    return np.asarray(np.maximum(squares, 0))


def _digest(images: list[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.shape}".encode() + image.tobytes())
    return digest.hexdigest()


def check_contrast(images: list[np.ndarray], least: int = 32) -> None:
    """Refuse frames from which no range can be learnt.

    Raises
    ------
    BadInput
        If all pixels of all frames lie within fewer grey levels than `least`, as in black frames.
    """
    low, high = min(int(i.min()) for i in images), max(int(i.max()) for i in images)
    if high - low < least:
        raise BadInput(
            f"all pixels of the {len(images)} calibration frames lie between {low} and {high} of 255; "
            "black or blank frames teach no ranges: give ordinary pictures"
        )
