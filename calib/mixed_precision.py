"""The fewest convolutions that have to stay float for masks to stay as good."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from shls.runtime.errors import BadInput

from .quantize import quantize
from .ranges import Ranges
from .sensitivity import Loss


class Trial(NamedTuple):
    """What a quantised model scores in which some convolutions stay float."""

    kept: list[str]
    score: float


def keep_float(
    path: Path,
    ranges: Ranges,
    target: str,
    losses: list[Loss],
    least: float,
    score: Callable[[Path], float],
) -> Iterator[Trial]:
    """Leave one more convolution float at a time, the most sensitive first, until the score is good enough.

    That is the smallest such set as far as each convolution acts by itself.

    Parameters
    ----------
    path : an fp32 model that `shls export` wrote
    ranges, target : see `shls.calib.quantize.quantize`
    losses : the worst first, see `shls.calib.sensitivity.sensitivity`
    least : score that is good enough
    score : of a model file, J&F for one

    Yields
    ------
    Each trial when it is scored; the last one is good enough.

    Raises
    ------
    BadInput
        If even with half of them float the score is too low: INT8 is not worth it then.
    """
    names = [loss.node for loss in losses]
    with tempfile.TemporaryDirectory() as folder:
        quantized = Path(folder) / "quantized.onnx"
        for count in range(len(names) // 2 + 1):
            quantize(path, ranges, target, quantized, names[:count])
            trial = Trial(names[:count], score(quantized))
            yield trial
            if trial.score >= least:
                return
    raise BadInput(
        f"with {len(trial.kept)} of {len(names)} convolutions float the score is {trial.score:.6f}, below "
        f"{least:.6f}; calibrate on other frames or by another method, or use fp16"
    )
