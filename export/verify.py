"""Compare two embeddings over a clip: feature maps, superfeatures, and the masks that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from shls.runtime.backends.base import Refiner, Session, open_session
from shls.runtime.errors import ShapeMismatch
from shls.runtime.evaluation.metrics import jaccard
from shls.runtime.features.preprocess import to_input
from shls.runtime.features.superfeatures import superfeatures
from shls.runtime.models.contract import Contract
from shls.runtime.segmenter import VideoSegmenter
from shls.runtime.superpixels.slic import SuperpixelTracker

from .verdict import Difference, Tolerance, Verdict
from .worst_frames import draw_worst

DEFAULT_SIZE = (480, 864)
"""Height and width of the input when two checkpoints are compared, pixels: a checkpoint has no input size."""


def open_either(a: Path, b: Path, threads: int = 0) -> tuple[Session, Session]:
    """Open two embeddings, each an exported model or a checkpoint.

    Parameters
    ----------
    a, b
        Model files, checkpoint files or training folders. A checkpoint takes the input size of the other model.
    threads
        CPU threads of exported models; 0 uses all cores.

    Raises
    ------
    ContractMismatch, BadInput
        If a model cannot be opened.
    ShapeMismatch
        If inputs or outputs of the two models differ in size.

    Examples
    --------
    >>> a, b = open_either(Path("runs/edge"), Path("edge.onnx"))  # doctest: +SKIP
    """
    exported = {path: open_session(path, threads) for path in (a, b) if not is_checkpoint(path)}
    size = next(((s.contract.height, s.contract.width) for s in exported.values()), DEFAULT_SIZE)
    first, second = (exported.get(path) or _open_checkpoint(path, size) for path in (a, b))
    if _shape(first.contract) != _shape(second.contract):
        raise ShapeMismatch(
            f"{a} and {b}: sizes differ (got {_shape(first.contract)} and {_shape(second.contract)}; each is width, "
            "height, channels, stride). Export both with the same --size"
        )
    return first, second


def compare(
    a: Session,
    b: Session,
    images: Sequence[np.ndarray],
    mask: np.ndarray | None,
    tolerance: Tolerance,
    pictures: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Run two embeddings over the same frames and measure their differences.

    Parameters
    ----------
    a, b
        Two embeddings with the same input and output sizes.
    images
        Frames of one clip, each (H, W, 3) uint8 RGB.
    mask
        (H, W) uint8 object ids of the first frame. Without a mask, no masks are compared.
    tolerance
        Lowest agreement at which the models count as equal.
    pictures
        Folder for pictures of the three worst frames, see `shls.export.worst_frames.draw_worst`.
    progress
        Function called with the number of finished frames.

    Returns
    -------
    The differences of all frames.

    Examples
    --------
    >>> verdict = compare(*open_either(a, b), images, mask, Tolerance(0.999, 0.98))  # doctest: +SKIP
    >>> print(verdict.table())  # doctest: +SKIP
    """
    tracker = SuperpixelTracker(a.contract.settings.superpixels)
    followers = [Follower(session, mask) for session in (a, b)]
    differences, labels = [], []
    for index, image in enumerate(images):
        maps = [session.run(to_input(image, session.contract)) for session in (a, b)]
        superpixels = tracker.step(image)
        described = [superfeatures(m, superpixels, s.contract.head) for m, s in zip(maps, (a, b), strict=True)]
        cosines = np.sum(described[0] * described[1], axis=1)
        masks = [follower.step(image, features) for follower, features in zip(followers, maps, strict=True)]
        iou = mean_iou(masks[0], masks[1]) if mask is not None and index > 0 else None
        differences.append(_difference(index, maps[0], maps[1], cosines, iou))
        labels.append(masks)
        if progress:
            progress(index + 1)
    verdict = Verdict(differences, tolerance)
    draw_worst(verdict, images, labels, pictures)
    return verdict


class Follower:
    """A segmenter that receives feature maps instead of computing them again.

    Parameters
    ----------
    session
        The embedding whose contract the segmenter uses; it is not run.
    mask
        (H, W) uint8 object ids of the first frame; None for no masks.
    refiner
        The refiner of the segmenter; None for none.

    Examples
    --------
    >>> follower = Follower(session, mask)  # doctest: +SKIP
    >>> labels = follower.step(image, session.run(to_input(image, session.contract)))  # doctest: +SKIP
    """

    def __init__(self, session: Session, mask: np.ndarray | None, refiner: Refiner | None = None) -> None:
        self.contract, self.backend, self.on_gpu = session.contract, session.backend, session.on_gpu
        self._refiner = refiner
        self._mask, self._features = mask, np.zeros(0, np.float32)
        self._segmenter: VideoSegmenter | None = None

    def run(self, tensor: np.ndarray) -> np.ndarray:  # noqa: ARG002  # argument of the Session protocol
        """Return the feature map of the current step."""
        return self._features

    def step(self, image: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Segment one frame with a given feature map.

        Parameters
        ----------
        image
            (H, W, 3) uint8 RGB.
        features
            Feature map of the frame, as the session returns it.

        Returns
        -------
        (H, W) uint8 object ids: the given mask for the first frame, zeros if there is no mask.
        """
        self._features = features
        if self._mask is None:
            return np.zeros(image.shape[:2], np.uint8)
        if self._segmenter is None:
            self._segmenter = VideoSegmenter(self, self._refiner, overlap=False)
            self._segmenter.start(image, self._mask)
            return self._mask
        return self._segmenter.step(image).labels


def is_checkpoint(path: Path) -> bool:
    """Return True for a training folder or a checkpoint file, False for an exported model.

    Examples
    --------
    >>> is_checkpoint(Path("edge.onnx"))
    False
    """
    return path.is_dir() or path.suffix == ".safetensors"


def mean_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean intersection over union of the objects in two masks.

    Parameters
    ----------
    a, b
        Masks of one size, each (H, W) uint8 object ids.

    Returns
    -------
    Mean over all objects of either mask, 0 to 1; 1 if neither mask has an object.

    Examples
    --------
    >>> mean_iou(np.array([[1, 1, 0]]), np.array([[1, 0, 0]]))
    0.5
    """
    ids = np.union1d(a[a > 0], b[b > 0])
    return float(np.mean([jaccard(a == k, b == k) for k in ids])) if ids.size else 1.0


def _open_checkpoint(path: Path, size: tuple[int, int]) -> Session:
    from .torch_session import TorchSession  # imported late: exported models are compared without torch

    return TorchSession(path, *size)


def _shape(contract: Contract) -> tuple[int, int, int, int]:
    return contract.width, contract.height, contract.channels, contract.stride


def _difference(number: int, a: np.ndarray, b: np.ndarray, cosines: np.ndarray, iou: float | None) -> Difference:
    apart = np.abs(a - b)
    cosine = float(np.vdot(a, b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
    return Difference(number, float(apart.max()), float(apart.mean()), cosine, cosines, iou)
