"""Calibration inputs of a refiner: crops of objects, recorded while the runtime follows clips with that refiner."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from shls.runtime.backends.base import Refiner, Session
from shls.runtime.errors import BadInput
from shls.runtime.models.contract import AnyContract, PrompterContract, RefinerContract
from shls.runtime.segmenter import VideoSegmenter
from shls.runtime.types import Crops


class Marked(NamedTuple):
    """A clip together with the objects of its first frame.

    Attributes
    ----------
    frames
        Frames of one size, each (H, W, 3) uint8 RGB.
    mask
        (H, W) uint8 object ids of the first frame, 0 for the background.

    Examples
    --------
    >>> clip = Marked([np.zeros((4, 6, 3), np.uint8)], np.ones((4, 6), np.uint8))
    >>> len(clip.frames)
    1
    """

    frames: Sequence[np.ndarray]
    mask: np.ndarray


class CropSamples(NamedTuple):
    """Crops of objects, the calibration inputs of a refiner or a prompter; implements `shls.calib.samples.Inputs`.

    Attributes
    ----------
    images
        (V, C, S, S) float32 crops of V objects.
    features
        (V, D, S / stride, S / stride) float32 features of the same crops; 3 D channels for a refiner with past frames.
    candidates
        Number of crops that the samples were chosen from.
    digest
        SHA-256 of images and features, in hexadecimal.

    Examples
    --------
    >>> samples = CropSamples(np.zeros((2, 11, 8, 8), np.float32), np.zeros((2, 64, 2, 2), np.float32), 5, "")
    >>> samples.runs
    2
    """

    images: np.ndarray
    features: np.ndarray
    candidates: int
    digest: str

    @property
    def runs(self) -> int:
        """Number of network runs, one per crop."""
        return len(self.images)

    def check(self) -> None:
        """Accept all crops: their frames are checked before the clips are followed."""

    def feeds(self, contract: AnyContract) -> Iterator[dict[str, np.ndarray]]:
        """Yield the input tensors of one crop after the other; raises BadInput for an embedding."""
        if not isinstance(contract, RefinerContract | PrompterContract):
            raise BadInput(
                f"{contract.network}: wrong calibration inputs (got crops of objects, expected whole frames). "
                "Give frames"
            )
        for at in range(self.runs):
            one = slice(at, at + 1)
            yield {contract.crops: self.images[one], contract.features: self.features[one]}


def record_crops(clips: Iterable[Marked], embedding: Session, refiner: Refiner, count: int) -> CropSamples:
    """Follow the objects of some clips and keep crops that the refiner received.

    Parameters
    ----------
    clips
        Clips with first masks; their sizes may differ.
    embedding, refiner
        Two networks that were trained together.
    count
        Number of crops to keep, spread evenly over all crops. All crops are kept if there are fewer.

    Raises
    ------
    BadInput
        If no object is visible after the first frame of any clip.

    Examples
    --------
    >>> crops = record_crops([clip], open_session(embedding), open_refiner(refiner), 32)  # doctest: +SKIP
    """
    recorder = Recorder(refiner)
    for clip in clips:
        segmenter = VideoSegmenter(embedding, recorder, overlap=False)
        segmenter.start(clip.frames[0], clip.mask)
        for frame in clip.frames[1:]:
            segmenter.step(frame)
    if not recorder.seen:
        raise BadInput(
            "calibration clips: no object is visible after the first frame of any clip. "
            "Give longer clips, or another mask"
        )
    images, features = (np.concatenate(parts) for parts in zip(*recorder.seen, strict=True))
    return choose(images, features, count)


def choose(images: np.ndarray, features: np.ndarray, count: int) -> CropSamples:
    """Keep `count` crops, spread evenly over all crops.

    Examples
    --------
    >>> len(choose(np.zeros((9, 1, 2, 2), np.float32), np.zeros((9, 1, 1, 1), np.float32), 3).images)
    3
    """
    chosen = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).astype(int))
    digest = hashlib.sha256(images[chosen].tobytes() + features[chosen].tobytes()).hexdigest()
    return CropSamples(images[chosen], features[chosen], len(images), digest)


class Recorder:
    """A refiner that records its inputs; implements `shls.runtime.backends.base.Refiner`.

    Attributes
    ----------
    seen
        Images and features of the objects, one pair per frame.

    Parameters
    ----------
    refiner
        The refiner that computes the logits.

    Examples
    --------
    >>> recorder = Recorder(open_refiner(Path("refiner.onnx")))  # doctest: +SKIP
    """

    def __init__(self, refiner: Refiner) -> None:
        self.contract, self.backend = refiner.contract, refiner.backend
        self.sizes: tuple[int, ...] = (refiner.contract.size,)
        self.seen: list[tuple[np.ndarray, np.ndarray]] = []
        self._refiner = refiner

    def run(self, crops: Crops) -> np.ndarray:
        """Record the crops and return the refiner's logits, (V, S, S) float32."""
        self.seen.append((crops.images.copy(), crops.features.copy()))
        return self._refiner.run(crops)
