"""What a refiner is calibrated on: objects as the runtime cuts them out while it follows clips with that refiner."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from shls.runtime.backends.base import Refiner, Session
from shls.runtime.errors import BadInput
from shls.runtime.models.contract import AnyContract, RefinerContract
from shls.runtime.segmenter import VideoSegmenter
from shls.runtime.types import Crops


class Marked(NamedTuple):
    """A clip to follow: frames, each (H, W, 3) uint8 RGB, and the first one's objects, (H, W) uint8."""

    frames: Sequence[np.ndarray]
    mask: np.ndarray


class CropSamples(NamedTuple):
    """See `shls.calib.samples.Inputs`.

    images : (V, C, S, S) float32
    features : (V, D, S / stride, S / stride) float32, 3 D with the past
    candidates : how many they were chosen from
    digest : SHA-256 of both, in hexadecimal
    """

    images: np.ndarray
    features: np.ndarray
    candidates: int
    digest: str

    @property
    def runs(self) -> int:
        return len(self.images)

    def check(self) -> None:
        """Nothing to refuse: the frames are looked at before they are followed."""

    def feeds(self, contract: AnyContract) -> Iterator[dict[str, np.ndarray]]:
        """One object after the other."""
        if not isinstance(contract, RefinerContract):
            raise BadInput(f"{contract.network}: describes whole frames, these are crops for a refiner")
        for at in range(self.runs):
            one = slice(at, at + 1)
            yield {contract.crops: self.images[one], contract.features: self.features[one]}


def record_crops(clips: Iterable[Marked], embedding: Session, refiner: Refiner, count: int) -> CropSamples:
    """Follow clips, and keep what the refiner got.

    Parameters
    ----------
    clips : may be of different sizes
    embedding, refiner : that belong together
    count : objects wanted, evenly spread over all; all there are, if there are fewer

    Raises
    ------
    BadInput
        If no object was seen after the first frames.
    """
    recorder = Recorder(refiner)
    for clip in clips:
        segmenter = VideoSegmenter(embedding, recorder, overlap=False)
        segmenter.start(clip.frames[0], clip.mask)
        for frame in clip.frames[1:]:
            segmenter.step(frame)
    if not recorder.seen:
        raise BadInput("no object was seen after the first frame of any clip; give longer clips, or another mask")
    images, features = (np.concatenate(parts) for parts in zip(*recorder.seen, strict=True))
    chosen = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).astype(int))
    digest = hashlib.sha256(images[chosen].tobytes() + features[chosen].tobytes()).hexdigest()
    return CropSamples(images[chosen], features[chosen], len(images), digest)


class Recorder:
    """A refiner that keeps what it is asked; see `shls.runtime.refinement.refiner.Refiner`.

    Attributes
    ----------
    seen : images and features of each frame's objects
    """

    def __init__(self, refiner: Refiner) -> None:
        self.contract, self.backend = refiner.contract, refiner.backend
        self.seen: list[tuple[np.ndarray, np.ndarray]] = []
        self._refiner = refiner

    def run(self, crops: Crops) -> np.ndarray:
        """(V, S, S) float32 logits, of the refiner."""
        self.seen.append((crops.images.copy(), crops.features.copy()))
        return self._refiner.run(crops)
