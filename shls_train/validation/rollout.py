"""Roll-outs: synthetic clips segmented by the runtime, so that a refiner trains on the inputs of a device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from shls.runtime.backends.base import Refiner
from shls.runtime.evaluation.metrics import jaccard
from shls.runtime.models.contract import Contract, RefinerContract
from shls.runtime.segmenter import VideoSegmenter
from shls.runtime.types import Crops

FOLLOWED = 0.5
"""Least IoU with the ground truth of an object in a training sample. A refiner cannot recover a lost object."""


class Sample(NamedTuple):
    """One frame of a roll-out.

    Attributes
    ----------
    crops : Crops
        Input of the refiner.
    truth : (h, w) int64 array
        Ground truth: the correct plane of `crops.planes` for each cell of the grid.

    Examples
    --------
    >>> planes, no_input = np.full((8, 8, 2), 0.5, np.float32), np.zeros((1, 0, 0, 0), np.float32)
    >>> crops = Crops(planes, np.array([1]), np.array([(0, 0, 6, 4)]), no_input, no_input)
    >>> Sample(crops, np.zeros((8, 8), np.int64)).truth.shape
    (8, 8)
    """

    crops: Crops
    truth: np.ndarray


class GivenFeatures:
    """Session that returns precomputed feature maps; see `shls.runtime.backends.base.Session`.

    Parameters
    ----------
    contract : Contract
        Contract of the embedding.
    features : (T, D, h, w) float32
        Feature maps in the order of the frames.

    Examples
    --------
    >>> contract = Contract("shls-edge", 64, 96, 2, "", 4)
    >>> GivenFeatures(contract, np.zeros((1, 2, 16, 24), np.float32)).run(np.zeros(0)).shape
    (2, 16, 24)
    """

    def __init__(self, contract: Contract, features: np.ndarray) -> None:
        self.contract, self.backend, self.on_gpu = contract, "given", False
        self._next = iter(features)

    def run(self, tensor: np.ndarray) -> np.ndarray:  # noqa: ARG002  # of the protocol
        """Return the next frame's features, (D, h, w); the tensor is ignored."""
        return next(self._next)


class TorchRefiner:
    """Refiner that runs in torch and keeps its last input; see `shls.runtime.backends.base.Refiner`.

    Parameters
    ----------
    network : nn.Module
        Refiner network. It is set to evaluation mode.
    contract : RefinerContract
        Contract of the refiner.

    Attributes
    ----------
    crops : Crops or None
        Input of the last call of `run`.

    Examples
    --------
    >>> from ..models.edge_refiner import EdgeRefiner, contract_of
    >>> network = EdgeRefiner()
    >>> TorchRefiner(network, contract_of(network, "shls-edge-refiner", 32)).crops is None
    True
    """

    def __init__(self, network: nn.Module, contract: RefinerContract) -> None:
        self.contract, self.backend = contract, f"torch {torch.__version__}"
        self.sizes: tuple[int, ...] = (contract.size,)
        self.crops: Crops | None = None
        self._network = network.eval()
        self._device = next(network.parameters()).device

    def run(self, crops: Crops) -> np.ndarray:
        """Compute the logits of V crops, (V, S, S) float32."""
        self.crops = crops
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16):
            images, features = (torch.from_numpy(a).to(self._device) for a in (crops.images, crops.features))
            logits: Tensor = self._network(images, features)
        return logits.float().cpu().numpy()


def roll_out(
    frames: np.ndarray, labels: np.ndarray, features: np.ndarray, contract: Contract, refiner: TorchRefiner
) -> Iterator[Sample]:
    """Segment a clip from its first mask on and yield the refiner's inputs.

    Parameters
    ----------
    frames : (T, H, W, 3) uint8
        RGB frames.
    labels : (T, H, W) uint8
        Ground truth. Objects that are absent from the first frame count as background.
    features : (T, D, h, w) float32
        Feature maps of the frames.
    contract : Contract
        Contract of the embedding.
    refiner : TorchRefiner
        Refiner that takes part in the roll-out.

    Yields
    ------
    Sample
        One sample per frame in which the refiner ran.

    Examples
    --------
    >>> samples = list(roll_out(frames, labels, features, contract, refiner))  # doctest: +SKIP
    """
    segmenter = VideoSegmenter(GivenFeatures(contract, features), refiner, overlap=False)
    segmenter.start(frames[0], labels[0])
    columns = np.zeros(256, np.int64)
    ids = np.unique(labels[0][labels[0] > 0])
    columns[ids] = 1 + np.arange(len(ids))
    for image, label in zip(frames[1:], labels[1:], strict=True):
        refiner.crops = None
        segmenter.step(image)
        if refiner.crops is not None:
            yield Sample(refiner.crops, columns[_on_grid(label, refiner.crops.planes.shape)])


def followed(sample: Sample) -> Sample:
    """Keep the objects whose unrefined mask overlaps the ground truth with an IoU of at least `FOLLOWED`.

    Parameters
    ----------
    sample : Sample
        Frame of a roll-out.

    Returns
    -------
    Sample
        The same frame with the remaining objects, possibly none.

    Examples
    --------
    >>> planes, no_input = np.full((8, 8, 2), 0.5, np.float32), np.zeros((1, 0, 0, 0), np.float32)
    >>> crops = Crops(planes, np.array([1]), np.array([(0, 0, 6, 4)]), no_input, no_input)
    >>> sample = Sample(crops, np.ones((8, 8), np.int64))
    >>> followed(sample).crops.objects.tolist()  # the mask is empty and the truth is not
    []
    """
    crops, predicted = sample.crops, sample.crops.planes.argmax(2)
    kept = np.array([jaccard(predicted == k, sample.truth == k) >= FOLLOWED for k in crops.objects], bool)
    kept_crops = crops._replace(
        objects=crops.objects[kept], boxes=crops.boxes[kept], images=crops.images[kept], features=crops.features[kept]
    )
    return Sample(kept_crops, sample.truth)


def mirrored(sample: Sample) -> Sample:
    """Mirror a sample horizontally.

    Examples
    --------
    >>> planes, no_input = np.full((8, 8, 2), 0.5, np.float32), np.zeros((1, 0, 0, 0), np.float32)
    >>> crops = Crops(planes, np.array([1]), np.array([(0, 0, 6, 4)]), no_input, no_input)
    >>> mirrored(Sample(crops, np.zeros((8, 8), np.int64))).crops.boxes.tolist()
    [[2, 0, 8, 4]]
    """
    crops, width = sample.crops, sample.crops.planes.shape[1]
    left, top, right, bottom = crops.boxes.T
    other = crops._replace(
        planes=crops.planes[:, ::-1].copy(),
        boxes=np.stack([width - right, top, width - left, bottom], axis=1),
        images=crops.images[..., ::-1].copy(),
        features=crops.features[..., ::-1].copy(),
    )
    return Sample(other, sample.truth[:, ::-1].copy())


def follow(
    frames: np.ndarray, labels: np.ndarray, features: np.ndarray, contract: Contract, refiner: Refiner | None
) -> np.ndarray:
    """Segment a clip from its first mask on.

    Parameters
    ----------
    frames, labels, features, contract
        See `roll_out`.
    refiner : Refiner or None
        Refiner, if masks are refined.

    Returns
    -------
    (T, H, W) uint8 array
        Masks of all frames, the given first mask included.

    Examples
    --------
    >>> masks = follow(frames, labels, features, contract, refiner=None)  # doctest: +SKIP
    """
    segmenter = VideoSegmenter(GivenFeatures(contract, features), refiner, overlap=False)
    segmenter.start(frames[0], labels[0])
    return np.stack([labels[0], *(segmenter.step(image).labels for image in frames[1:])])


def _on_grid(label: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Sample labels at the centres of a grid's cells."""
    rows, columns = (((np.arange(n) + 0.5) * of / n).astype(int) for n, of in zip(grid, label.shape, strict=False))
    return label[np.ix_(rows, columns)]
