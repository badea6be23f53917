"""Differences between two models over a clip, and the tolerances that the differences must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from shls.runtime.models.contract import AnyContract


class Tolerance(NamedTuple):
    """Lowest agreement at which two models count as equal.

    Attributes
    ----------
    cosine
        Lowest mean cosine of superfeatures, or of the logits of crops; at most 1.
    iou
        Lowest mean intersection over union of the masks, 0 to 1.

    Examples
    --------
    >>> Tolerance(cosine=0.999, iou=0.98).iou
    0.98
    """

    cosine: float
    iou: float


TOLERANCES = {
    "fp32": Tolerance(0.99999, 0.995),
    "fp16": Tolerance(0.9999, 0.99),
    "int8": Tolerance(0.99, 0.95),
}
"""Tolerance per precision. The limits for masks are lower, because a rounding error can flip a whole superpixel."""


class Difference(NamedTuple):
    """Difference between two models on one frame.

    Attributes
    ----------
    number
        Number of the frame, from 0.
    largest, mean
        Largest and mean absolute difference of the outputs.
    cosine
        Cosine between the two outputs as vectors.
    parts
        (N,) cosines: for embeddings one per superpixel, between its two superfeatures; for refiners one per object,
        between its logits.
    iou
        Mean intersection over union of the objects' masks. None without masks, and in the frame of the first mask.

    Examples
    --------
    >>> Difference(1, 0.1, 0.01, 0.999, np.array([0.99, 1.0]), 0.97).number
    1
    """

    number: int
    largest: float
    mean: float
    cosine: float
    parts: np.ndarray
    iou: float | None


@dataclass(frozen=True)
class Verdict:
    """Differences between two models over a clip.

    Attributes
    ----------
    frames
        One difference per frame.
    tolerance
        The tolerance that the models must keep.
    outputs, parts
        Names of the compared outputs, as a whole and in parts, for `table`.

    Examples
    --------
    >>> frame = Difference(1, 0.1, 0.01, 0.999, np.array([0.99, 1.0]), 0.97)
    >>> Verdict([frame], Tolerance(0.999, 0.95)).broken()
    ['mean cosine of superfeatures 0.995000 is below 0.999']
    """

    frames: list[Difference]
    tolerance: Tolerance
    outputs: str = "feature maps"
    parts: str = "superfeatures"

    @property
    def cosines(self) -> np.ndarray:
        """Cosines of all parts of all frames, (M,)."""
        return np.concatenate([frame.parts for frame in self.frames])

    @property
    def ious(self) -> list[float]:
        """Intersection over union of each frame that has masks."""
        return [frame.iou for frame in self.frames if frame.iou is not None]

    def broken(self) -> list[str]:
        """Return one sentence per tolerance that is not kept; empty if the models count as equal."""
        cosine, found = float(self.cosines.mean()), []
        # `not ... >= ...` is also true for not-a-number.
        if not cosine >= self.tolerance.cosine:
            found.append(f"mean cosine of {self.parts} {cosine:.6f} is below {self.tolerance.cosine}")
        if self.ious and not np.mean(self.ious) >= self.tolerance.iou:
            found.append(f"mean mask IoU {np.mean(self.ious):.4f} is below {self.tolerance.iou}")
        return found

    def table(self) -> str:
        """Return the differences as a text table."""
        low = np.percentile(self.cosines, [0, 1, 50])
        lines = [
            f"frames                   {len(self.frames)}",
            f"largest difference       {max(frame.largest for frame in self.frames):.2e}",
            f"mean difference          {np.mean([frame.mean for frame in self.frames]):.2e}",
            f"cosine of {self.outputs:14} {np.mean([frame.cosine for frame in self.frames]):.6f} mean, "
            f"{min(frame.cosine for frame in self.frames):.6f} lowest",
            f"cosine of {self.parts:14} {self.cosines.mean():.6f} mean, {low[2]:.6f} median, "
            f"{low[1]:.6f} first percentile, {low[0]:.6f} lowest",
        ]
        if self.ious:
            lines.append(f"IoU of masks             {np.mean(self.ious):.4f} mean, {min(self.ious):.4f} lowest")
        names = ", ".join(str(frame.number) for frame in self.worst(3))
        return "\n".join([*lines, f"worst frames             {names}"])

    def worst(self, count: int) -> list[Difference]:
        """Return the `count` frames with the largest difference: by masks if there are any, otherwise by cosine."""
        masked = [frame for frame in self.frames if frame.iou is not None]
        return sorted(masked or self.frames, key=lambda frame: frame.cosine if frame.iou is None else frame.iou)[:count]


def tolerance_for(a: AnyContract, b: AnyContract) -> Tolerance:
    """Return the tolerance of the coarser of two models' precisions.

    Examples
    --------
    >>> from shls.runtime.backends.base import contract_of
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT, INT8_CPU
    >>> tolerance_for(contract_of(ASSETS / EXACT), contract_of(ASSETS / INT8_CPU))
    Tolerance(cosine=0.99, iou=0.95)
    """
    found = {contract.precision.split("-")[0] for contract in (a, b)}
    return next(TOLERANCES[name] for name in ("int8", "fp16", "fp32") if name in found)
