"""The fewest convolutions that have to stay float for masks to stay as good."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from shls.calib.quantize import quantize
from shls.calib.ranges import Ranges
from shls.calib.sensitivity import Loss
from shls.runtime.errors import BadInput


class Trial(NamedTuple):
    """What a quantised model scores in which some convolutions stay float."""

    kept: list[str]
    score: float


def keep_float(
    path: Path,
    ranges: Ranges,
    target: str,
    losses: list[Loss],
    max_drop: float,
    score: Callable[[Path], float],
) -> tuple[float, list[Trial]]:
    """Leave one more convolution float at a time, the most sensitive first, until the score is near that of fp32.

    That is the smallest such set as far as each convolution acts by itself.

    Parameters
    ----------
    path : an fp32 model that `shls export` wrote
    ranges, target : see `shls.calib.quantize.quantize`
    losses : the worst first, see `shls.calib.sensitivity.sensitivity`
    max_drop : by which the score may lie below that of fp32
    score : of a model file, J&F for one

    Returns
    -------
    The score of fp32, and the trials, of which the last is near enough.

    Raises
    ------
    BadInput
        If even with half of them float the score is too low: INT8 is not worth it then.
    """
    names = [loss.node for loss in losses]
    exact = score(path)
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory() as folder:
        quantized = Path(folder) / "quantized.onnx"
        for count in range(len(names) // 2 + 1):
            quantize(path, ranges, target, quantized, names[:count])
            trials.append(Trial(names[:count], score(quantized)))
            if trials[-1].score >= exact - max_drop:
                return exact, trials
    raise BadInput(
        f"with {len(names) // 2} of {len(names)} convolutions float the score is {trials[-1].score:.4f}, in fp32 "
        f"it is {exact:.4f}; calibrate on other frames or by another method, or use fp16"
    )
