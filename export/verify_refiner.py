"""Whether two refiners do the same: on the crops that the first one gets, and on the masks of a whole clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from shls.runtime.backends.base import Refiner, Session, contract_of, open_refiner
from shls.runtime.errors import BadInput, ShapeMismatch
from shls.runtime.features.preprocess import to_input
from shls.runtime.models.contract import RefinerContract
from shls.runtime.types import Crops

from .verify import Difference, Follower, Tolerance, Verdict, draw_worst, is_checkpoint, mean_iou


def is_refiner(model: Path) -> bool:
    """Tell which of the two networks a checkpoint or an exported model is of."""
    if not is_checkpoint(model):
        return isinstance(contract_of(model), RefinerContract)
    from .refiner_to_onnx import is_refiner as is_refiners_checkpoint

    return is_refiners_checkpoint(model)


def open_refiners(a: Path, b: Path, threads: int = 0) -> tuple[Refiner, Refiner]:
    """Open two refiners, each an exported one or a checkpoint.

    Raises
    ------
    ContractMismatch, BadInput
        If one cannot be opened.
    ShapeMismatch
        If their crops are of different sizes.
    """
    first, second = (_open(path, threads) for path in (a, b))
    sizes = [(r.contract.size, r.contract.channels, r.contract.dim) for r in (first, second)]
    if sizes[0] != sizes[1]:
        raise ShapeMismatch(f"{a} takes crops of {sizes[0]} (side, channels, features), {b} of {sizes[1]}")
    return first, second


def compare_refiners(
    a: Refiner,
    b: Refiner,
    embedding: Session,
    images: Sequence[np.ndarray],
    mask: np.ndarray | None,
    tolerance: Tolerance,
    pictures: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Follow a clip with each of two refiners.

    Parameters
    ----------
    a, b : that take the same crops
    embedding : that both work with
    images, mask, tolerance, pictures, progress : see `shls.export.verify.compare`

    Raises
    ------
    BadInput
        If there is no mask, or no object was seen after the first frame.
    """
    if mask is None:
        raise BadInput("a refiner decides the pixels of objects; give --mask with those of the first frame")
    watched = _Watched(a)
    followers = [Follower(embedding, mask, refiner) for refiner in (watched, b)]
    differences, labels = [], []
    for index, image in enumerate(images):
        watched.crops = None
        features = embedding.run(to_input(image, embedding.contract))
        masks = [follower.step(image, features) for follower in followers]
        iou = mean_iou(masks[0], masks[1]) if index > 0 else None
        differences.append(_difference(index, watched, b, iou))
        labels.append(masks)
        if progress:
            progress(index + 1)
    if not any(frame.parts.size for frame in differences):
        raise BadInput("no object was seen after the first frame, so nothing was refined; give another clip or mask")
    verdict = Verdict(differences, tolerance, "logits", "crops")
    draw_worst(verdict, images, labels, pictures)
    return verdict


class _Watched:
    """A refiner that keeps its last crops and logits; see `shls.runtime.refinement.refiner.Refiner`."""

    def __init__(self, refiner: Refiner) -> None:
        self.contract, self.backend = refiner.contract, refiner.backend
        self.crops: Crops | None = None
        self.logits = np.zeros(0, np.float32)
        self._refiner = refiner

    def run(self, crops: Crops) -> np.ndarray:
        """(V, S, S) float32 logits."""
        self.crops, self.logits = crops, self._refiner.run(crops)
        return self.logits


def _difference(number: int, first: _Watched, second: Refiner, iou: float | None) -> Difference:
    """On the crops that the first one got in this frame, if it got any."""
    if first.crops is None:
        return Difference(number, 0.0, 0.0, 1.0, np.zeros(0), iou)
    a, b = first.logits, second.run(first.crops)
    apart = np.abs(a - b)
    flat = [values.reshape(len(values), -1) for values in (a, b)]
    lengths = np.maximum(np.linalg.norm(flat[0], axis=1) * np.linalg.norm(flat[1], axis=1), 1e-12)
    cosines = (flat[0] * flat[1]).sum(axis=1) / lengths
    return Difference(number, float(apart.max()), float(apart.mean()), float(cosines.mean()), cosines, iou)


def _open(path: Path, threads: int) -> Refiner:
    if not is_checkpoint(path):
        return open_refiner(path, threads)
    from .torch_session import TorchRefiner  # two exported models are compared without torch

    return TorchRefiner(path)
