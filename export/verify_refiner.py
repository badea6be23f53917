"""Compare two refiners over a clip: logits on the crops of the first refiner, and the masks that both lead to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from shls.runtime.backends.base import Refiner, Session, contract_of, open_refiner
from shls.runtime.errors import BadInput, ShapeMismatch
from shls.runtime.features.preprocess import to_input
from shls.runtime.models.contract import RefinerContract
from shls.runtime.types import Crops

from .verdict import Difference, Tolerance, Verdict
from .verify import Follower, is_checkpoint, mean_iou
from .worst_frames import draw_worst


def is_refiner(model: Path) -> bool:
    """Return True if a checkpoint or an exported model is a refiner, False if it is an embedding.

    Raises
    ------
    BadInput, ContractMismatch
        If the file cannot be read.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT_REFINER
    >>> is_refiner(ASSETS / EXACT_REFINER)
    True
    """
    if not is_checkpoint(model):
        return isinstance(contract_of(model), RefinerContract)
    from .refiner_to_onnx import is_refiner as is_refiners_checkpoint

    return is_refiners_checkpoint(model)


def open_refiners(a: Path, b: Path, threads: int = 0) -> tuple[Refiner, Refiner]:
    """Open two refiners, each an exported model or a checkpoint.

    Parameters
    ----------
    a, b
        Model files, checkpoint files or training folders.
    threads
        CPU threads of exported models; 0 uses all cores.

    Raises
    ------
    ContractMismatch, BadInput
        If a refiner cannot be opened.
    ShapeMismatch
        If the crops of the two refiners differ in size.

    Examples
    --------
    >>> a, b = open_refiners(Path("runs/refiner"), Path("refiner.onnx"))  # doctest: +SKIP
    """
    first, second = (_open(path, threads) for path in (a, b))
    sizes = [(r.contract.size, r.contract.channels, r.contract.dim) for r in (first, second)]
    if sizes[0] != sizes[1]:
        raise ShapeMismatch(
            f"{a} and {b}: crops differ in size (got {sizes[0]} and {sizes[1]}; each is side, channels, features). "
            "Give two refiners of the same crops"
        )
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
    """Follow a clip with each of two refiners and measure their differences.

    Parameters
    ----------
    a, b
        Two refiners that take the same crops.
    embedding
        The embedding that both refiners were trained with.
    images, mask, tolerance, pictures, progress
        See `shls.export.verify.compare`.

    Raises
    ------
    BadInput
        If there is no mask, or if no object is visible after the first frame.

    Examples
    --------
    >>> compare_refiners(a, b, embedding, images, mask, Tolerance(0.99, 0.95)).broken()  # doctest: +SKIP
    []
    """
    if mask is None:
        raise BadInput(
            "mask: missing; refiners are compared on objects. Give --mask with the objects of the first frame"
        )
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
        raise BadInput(
            "clip: no object is visible after the first frame, so nothing was refined. Give another clip or mask"
        )
    verdict = Verdict(differences, tolerance, "logits", "crops")
    draw_worst(verdict, images, labels, pictures)
    return verdict


class _Watched:
    """A refiner that keeps its last crops and logits; implements `shls.runtime.backends.base.Refiner`."""

    def __init__(self, refiner: Refiner) -> None:
        self.contract, self.backend = refiner.contract, refiner.backend
        self.sizes: tuple[int, ...] = (refiner.contract.size,)
        self.crops: Crops | None = None
        self.logits = np.zeros(0, np.float32)
        self._refiner = refiner

    def run(self, crops: Crops) -> np.ndarray:
        """Keep the crops and return the refiner's logits, (V, S, S) float32."""
        self.crops, self.logits = crops, self._refiner.run(crops)
        return self.logits


def _difference(number: int, first: _Watched, second: Refiner, iou: float | None) -> Difference:
    """Compare both refiners on the crops that the first refiner received in this frame, if any."""
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
    from .torch_session import TorchRefiner  # imported late: exported models are compared without torch

    return TorchRefiner(path)
