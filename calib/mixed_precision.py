"""Search for the smallest set of convolutions that must stay float to keep the score of the fp32 model."""

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
    """Score of a quantised model in which some convolutions stay float.

    Attributes
    ----------
    kept
        Names of the convolutions that stay float.
    score
        Score of the model, for example J&F from 0 to 1.

    Examples
    --------
    >>> Trial(["node_conv2d"], 0.8).score
    0.8
    """

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
    """Keep one more convolution float at a time, the most sensitive first, until the score is high enough.

    The result is the smallest such set if the losses of convolutions add up independently.

    Parameters
    ----------
    path
        An fp32 model that `shls export` wrote.
    ranges, target
        See `shls.calib.quantize.quantize`.
    losses
        Losses sorted from the largest, as `shls.calib.sensitivity.sensitivity` returns them.
    least
        Lowest score that is high enough.
    score
        Function from a model file to its score, for example J&F.

    Yields
    ------
    Trial
        Each trial as soon as it is scored. The score of the last trial is high enough.

    Raises
    ------
    BadInput
        If the score is too low even with half of the convolutions float.

    Examples
    --------
    >>> for trial in keep_float(model, ranges, "cpu", losses, 0.80, score):  # doctest: +SKIP
    ...     print(len(trial.kept), trial.score)
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
        f"{path}: score too low with {len(trial.kept)} of {len(names)} convolutions float "
        f"(got {trial.score:.6f}, expected at least {least:.6f}). "
        "Calibrate on other frames or by another method, or use fp16"
    )
