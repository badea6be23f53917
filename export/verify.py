"""Whether two models do the same: on their outputs, on superfeatures, and on the masks that come of them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from shls.runtime._support.files import write_whole
from shls.runtime.backends.base import Refiner, Session, open_session
from shls.runtime.errors import BadInput, ShapeMismatch
from shls.runtime.evaluation.metrics import jaccard
from shls.runtime.features.preprocess import to_input
from shls.runtime.features.superfeatures import superfeatures
from shls.runtime.io.masks import overlay
from shls.runtime.models.contract import AnyContract, Contract
from shls.runtime.segmenter import VideoSegmenter
from shls.runtime.superpixels.slic import SuperpixelTracker

DEFAULT_SIZE = (480, 864)
"""Height and width for two checkpoints, which have no size of their own."""


class Tolerance(NamedTuple):
    """What still counts as the same.

    cosine : least mean cosine of superfeatures
    iou : least mean intersection over union of the masks
    """

    cosine: float
    iou: float


TOLERANCES = {
    "fp32": Tolerance(0.99999, 0.995),
    "fp16": Tolerance(0.9999, 0.99),
    "int8": Tolerance(0.99, 0.95),
}
"""By the coarser precision of the two. Masks differ more: one superpixel's vote may turn over."""


class Difference(NamedTuple):
    """Two models on one frame.

    number : of the frame, from 0
    largest, mean : absolute difference of the feature maps
    cosine : between the two maps as vectors
    parts : (N,) cosine of each superpixel's two superfeatures; of a refiner, of each object's logits
    iou : mean over the objects in either mask; None without masks, and in the frame that they are given in
    """

    number: int
    largest: float
    mean: float
    cosine: float
    parts: np.ndarray
    iou: float | None


@dataclass(frozen=True)
class Verdict:
    """Two models on a clip.

    frames : per frame
    tolerance : what was asked for
    outputs, parts : what was compared, as a whole and in parts
    """

    frames: list[Difference]
    tolerance: Tolerance
    outputs: str = "feature maps"
    parts: str = "superfeatures"

    @property
    def cosines(self) -> np.ndarray:
        """Cosines of all parts of all frames."""
        return np.concatenate([frame.parts for frame in self.frames])

    @property
    def ious(self) -> list[float]:
        """Per frame that has masks."""
        return [frame.iou for frame in self.frames if frame.iou is not None]

    def broken(self) -> list[str]:
        """Say which tolerances are broken; empty if the models do the same."""
        cosine, found = float(self.cosines.mean()), []
        # Compared this way round so that not-a-number breaks them too.
        if not cosine >= self.tolerance.cosine:
            found.append(f"mean cosine of {self.parts} {cosine:.6f} is below {self.tolerance.cosine}")
        if self.ious and not np.mean(self.ious) >= self.tolerance.iou:
            found.append(f"mean mask IoU {np.mean(self.ious):.4f} is below {self.tolerance.iou}")
        return found

    def table(self) -> str:
        """Return the differences for people."""
        low = np.percentile(self.cosines, [0, 1, 50])
        lines = [
            f"frames                   {len(self.frames)}",
            f"largest difference       {max(frame.largest for frame in self.frames):.2e}",
            f"mean difference          {np.mean([frame.mean for frame in self.frames]):.2e}",
            f"cosine of {self.outputs:14} {np.mean([frame.cosine for frame in self.frames]):.6f} mean, "
            f"{min(frame.cosine for frame in self.frames):.6f} least",
            f"cosine of {self.parts:14} {self.cosines.mean():.6f} mean, {low[2]:.6f} median, "
            f"{low[1]:.6f} of the worst 1 %, {low[0]:.6f} least",
        ]
        if self.ious:
            lines.append(f"IoU of masks             {np.mean(self.ious):.4f} mean, {min(self.ious):.4f} least")
        names = ", ".join(str(frame.number) for frame in self.worst(3))
        return "\n".join([*lines, f"worst frames             {names}"])

    def worst(self, count: int) -> list[Difference]:
        """Return the frames that differ most, by masks if there are any, else by cosine."""
        masked = [frame for frame in self.frames if frame.iou is not None]
        return sorted(masked or self.frames, key=lambda frame: frame.cosine if frame.iou is None else frame.iou)[:count]


def open_either(a: Path, b: Path, threads: int = 0) -> tuple[Session, Session]:
    """Open two models, each an exported one or a checkpoint; a checkpoint takes the other one's input size.

    Raises
    ------
    ContractMismatch, BadInput
        If one cannot be opened.
    ShapeMismatch
        If their inputs or outputs are of different sizes.
    """
    exported = {path: open_session(path, threads) for path in (a, b) if not is_checkpoint(path)}
    size = next(((s.contract.height, s.contract.width) for s in exported.values()), DEFAULT_SIZE)
    first, second = (exported.get(path) or _open_checkpoint(path, size) for path in (a, b))
    if _shape(first.contract) != _shape(second.contract):
        raise ShapeMismatch(
            f"{a} has input and features {_shape(first.contract)}, {b} has {_shape(second.contract)}; "
            "export both with the same --size"
        )
    return first, second


def tolerance_for(a: AnyContract, b: AnyContract) -> Tolerance:
    """Return what is expected of the coarser precision of two."""
    found = {contract.precision.split("-")[0] for contract in (a, b)}
    return next(TOLERANCES[name] for name in ("int8", "fp16", "fp32") if name in found)


def compare(
    a: Session,
    b: Session,
    images: Sequence[np.ndarray],
    mask: np.ndarray | None,
    tolerance: Tolerance,
    pictures: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Run two models over the same frames.

    Parameters
    ----------
    a, b : models of one input and output size
    images : frames of one clip, each (H, W, 3) uint8 RGB
    mask : (H, W) uint8 object ids in the first frame; without it no masks are compared
    tolerance : what still counts as the same
    pictures : folder for the three worst frames: both overlays, and where they differ
    progress : called with the number of frames done
    """
    tracker = SuperpixelTracker(a.contract.superpixels)
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


def save_inputs(path: Path, images: Sequence[np.ndarray], mask: np.ndarray | None) -> None:
    """Keep frames and mask in one file, so that another machine compares on the same bytes."""
    buffer = BytesIO()
    none = np.zeros((0, 0), np.uint8)
    np.savez_compressed(buffer, images=np.stack(images), mask=none if mask is None else mask)
    write_whole(path, buffer.getvalue())


def load_inputs(path: Path) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Read what `save_inputs` kept; raises BadInput if it did not."""
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as kept:  # numpy reads other things, too
            images, mask = kept["images"], kept["mask"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path}: cannot be replayed ({error}); expected a file of --save-inputs") from error
    return list(images), mask if mask.size else None


class Follower:
    """A segmenter that is handed the features instead of computing them a second time."""

    def __init__(self, session: Session, mask: np.ndarray | None, refiner: Refiner | None = None) -> None:
        self.contract, self.backend, self.on_gpu = session.contract, session.backend, session.on_gpu
        self._refiner = refiner
        self._mask, self._features = mask, np.zeros(0, np.float32)
        self._segmenter: VideoSegmenter | None = None

    def run(self, tensor: np.ndarray) -> np.ndarray:  # noqa: ARG002  # of the protocol
        return self._features

    def step(self, image: np.ndarray, features: np.ndarray) -> np.ndarray:
        """(H, W) uint8 object ids; those given for the first frame, or none at all without a mask."""
        self._features = features
        if self._mask is None:
            return np.zeros(image.shape[:2], np.uint8)
        if self._segmenter is None:
            self._segmenter = VideoSegmenter(self, self._refiner, overlap=False)
            self._segmenter.start(image, self._mask)
            return self._mask
        return self._segmenter.step(image).labels


def is_checkpoint(path: Path) -> bool:
    return path.is_dir() or path.suffix == ".safetensors"


def _open_checkpoint(path: Path, size: tuple[int, int]) -> Session:
    from .torch_session import TorchSession  # two exported models are compared without torch

    return TorchSession(path, *size)


def _shape(contract: Contract) -> tuple[int, int, int, int]:
    return contract.width, contract.height, contract.channels, contract.stride


def _difference(number: int, a: np.ndarray, b: np.ndarray, cosines: np.ndarray, iou: float | None) -> Difference:
    apart = np.abs(a - b)
    cosine = float(np.vdot(a, b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
    return Difference(number, float(apart.max()), float(apart.mean()), cosine, cosines, iou)


def mean_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over the objects that are in either mask; 1 where there is none."""
    ids = np.union1d(a[a > 0], b[b > 0])
    return float(np.mean([jaccard(a == k, b == k) for k in ids])) if ids.size else 1.0


def draw_worst(
    verdict: Verdict, images: Sequence[np.ndarray], labels: list[list[np.ndarray]], folder: Path | None
) -> None:
    """Write the three worst frames, if there is a folder for them: both overlays, and where they differ."""
    for frame in verdict.worst(3) if folder is not None else ():
        assert folder is not None
        image, masks = images[frame.number], labels[frame.number]
        apart = (masks[0] != masks[1]).astype(np.uint8)
        row = np.hstack([*(overlay(image, mask) for mask in masks), overlay(image, apart)])
        _, encoded = cv2.imencode(".png", row[:, :, ::-1])
        write_whole(picture_path(folder, frame.number), encoded.tobytes())


def picture_path(folder: Path, number: int) -> Path:
    """Where the picture of a frame lies."""
    return folder / f"{number:05d}.png"
