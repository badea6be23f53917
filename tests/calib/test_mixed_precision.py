"""What has to stay float: as little as the score allows."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from shls.calib.graph import Graph
from shls.calib.mixed_precision import keep_float
from shls.calib.placement import quantized_convolutions
from shls.calib.ranges import Ranges, collect_ranges
from shls.calib.samples import sample_frames
from shls.calib.sensitivity import Loss
from shls.runtime.errors import BadInput


@pytest.fixture(scope="module")
def ranges(small_model: Path, frames_folder: Path) -> Ranges:
    return collect_ranges(small_model, sample_frames(str(frames_folder), 2, 0), "minmax")


@pytest.fixture(scope="module")
def losses(small_model: Path) -> list[Loss]:
    names = [node.name for node in Graph(onnx.load(small_model)).of_kind("Conv")]
    return [Loss(name, "", 1.0, 1.0) for name in reversed(names)]


def share_float(path: Path) -> float:
    """A stand-in for J&F: 0.8 in fp32, 0.7 in INT8, and 0.02 more for each convolution that is float."""
    model = onnx.load(path)
    quantized = len(quantized_convolutions(model))
    floats = len(Graph(model).of_kind("Conv")) - quantized
    return 0.7 + 0.02 * floats if quantized else 0.8


@pytest.mark.parametrize(("max_drop", "count"), [(0.11, 0), (0.05, 3), (0.005, 5)])
def test_as_few_as_will_do(small_model: Path, ranges: Ranges, losses: list[Loss], max_drop: float, count: int) -> None:
    trials = list(keep_float(small_model, ranges, "tensorrt", losses, share_float(small_model) - max_drop, share_float))
    assert [len(trial.kept) for trial in trials] == list(range(count + 1))
    assert trials[-1].kept == [loss.node for loss in losses[:count]]


def test_when_nothing_helps(small_model: Path, ranges: Ranges, losses: list[Loss]) -> None:
    trials = keep_float(small_model, ranges, "cpu", losses, 0.7, lambda _: 0.5)
    message = r"with 10 of 20 convolutions float \(got 0\.500000, expected at least 0\.700000\)"
    with pytest.raises(BadInput, match=message):
        list(trials)
