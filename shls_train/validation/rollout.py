"""Clips followed by the runtime itself: what a refiner is trained on is what it will see on the device."""

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
"""Least IoU with the truth at which an object is learned from: pixels cannot mend what is lost."""


class Sample(NamedTuple):
    """One frame of a roll-out.

    crops : as the refiner got them
    truth : (h, w) int64, the right column of `crops.planes` per cell of the grid
    """

    crops: Crops
    truth: np.ndarray


class GivenFeatures:
    """A session that hands out feature maps computed before; see `shls.runtime.backends.base.Session`.

    Parameters
    ----------
    contract : of the embedding
    features : (T, D, h, w) float32, in the order in which they will be asked for
    """

    def __init__(self, contract: Contract, features: np.ndarray) -> None:
        self.contract, self.backend, self.on_gpu = contract, "given", False
        self._next = iter(features)

    def run(self, tensor: np.ndarray) -> np.ndarray:  # noqa: ARG002  # of the protocol
        """(D, h, w) of the next frame, whatever the tensor."""
        return next(self._next)


class TorchRefiner:
    """A refiner under torch that keeps its last crops; see `shls.runtime.refinement.refiner.Refiner`."""

    def __init__(self, network: nn.Module, contract: RefinerContract) -> None:
        self.contract, self.backend = contract, f"torch {torch.__version__}"
        self.crops: Crops | None = None
        self._network = network.eval()
        self._device = next(network.parameters()).device

    def run(self, crops: Crops) -> np.ndarray:
        """(V, S, S) float32 logits."""
        self.crops = crops
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16):
            images, features = (torch.from_numpy(a).to(self._device) for a in (crops.images, crops.features))
            logits: Tensor = self._network(images, features)
        return logits.float().cpu().numpy()


def roll_out(
    frames: np.ndarray, labels: np.ndarray, features: np.ndarray, contract: Contract, refiner: TorchRefiner
) -> Iterator[Sample]:
    """Follow a clip's objects from its first frame on.

    Parameters
    ----------
    frames : (T, H, W, 3) uint8 RGB
    labels : (T, H, W) uint8; what the first frame does not show counts as background
    features : (T, D, h, w) float32
    contract : of the embedding
    refiner : in use
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
    """The objects whose mask, as it came in, has an IoU of at least `FOLLOWED` with the truth: there may be none."""
    crops, found = sample.crops, sample.crops.planes.argmax(2)
    kept = np.array([jaccard(found == k, sample.truth == k) >= FOLLOWED for k in crops.objects], bool)
    some = crops._replace(
        objects=crops.objects[kept], boxes=crops.boxes[kept], images=crops.images[kept], features=crops.features[kept]
    )
    return Sample(some, sample.truth)


def mirrored(sample: Sample) -> Sample:
    """Left for right."""
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
    """Masks of a clip, (T, H, W) uint8; the parameters are those of `roll_out`."""
    segmenter = VideoSegmenter(GivenFeatures(contract, features), refiner, overlap=False)
    segmenter.start(frames[0], labels[0])
    return np.stack([labels[0], *(segmenter.step(image).labels for image in frames[1:])])


def _on_grid(label: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    rows, columns = (((np.arange(n) + 0.5) * of / n).astype(int) for n, of in zip(grid, label.shape, strict=False))
    return label[np.ix_(rows, columns)]
