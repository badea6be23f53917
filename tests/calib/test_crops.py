"""The refiner through calibration: what it is calibrated on, where its Q/DQ nodes are, what it still computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto
from typer.testing import CliRunner

from shls.calib.crops import CropSamples, Marked, record_crops
from shls.calib.fp16 import halved_model
from shls.calib.graph import Graph
from shls.calib.placement import quantized_convolutions, tensorrt_faults
from shls.calib.quantize import quantize
from shls.calib.ranges import Ranges, collect_ranges
from shls.calib.samples import sample_frames
from shls.calib.sensitivity import sensitivity
from shls.export.to_fp16 import to_fp16
from shls.runtime.backends.base import open_refiner, open_session
from shls.runtime.cli.main import app
from shls.runtime.errors import BadInput
from shls.runtime.models.onnx_reader import read_refiner_contract
from shls.runtime.types import Crops


def clip(frames: int = 4) -> Marked:
    """Two boxes that move over a texture."""
    rng = np.random.default_rng(0)
    background = cv2.resize(rng.integers(0, 256, (8, 12, 3), np.uint8), (120, 80), interpolation=cv2.INTER_CUBIC)
    images, mask = [], np.zeros((80, 120), np.uint8)
    for t in range(frames):
        image = background.copy()
        image[20:50, 20 + 2 * t : 50 + 2 * t], image[30:60, 80 - t : 105 - t] = (250, 20, 20), (20, 20, 250)
        images.append(image)
    mask[20:50, 20:50], mask[30:60, 80:105] = 1, 2
    return Marked(images, mask)


@pytest.fixture(scope="module")
def samples(small_model: Path, small_refiner: Path) -> CropSamples:
    return record_crops([clip()], open_session(small_model), open_refiner(small_refiner), 4)


@pytest.fixture(scope="module")
def ranges(small_refiner: Path, samples: CropSamples) -> Ranges:
    return collect_ranges(small_refiner, samples, "minmax")


def run(model: Path, samples: CropSamples) -> np.ndarray:
    nothing = np.zeros((0, 0, 0), np.float32)
    numbers = np.arange(samples.runs)
    return open_refiner(model, device="cpu").run(Crops(nothing, numbers, numbers, samples.images, samples.features))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


def test_what_the_refiner_got_is_kept(samples: CropSamples, small_model: Path, small_refiner: Path) -> None:
    assert samples.candidates == 6, "two objects in each of three frames after the first"
    assert samples.images.shape == (4, 11, 32, 32)
    assert samples.features.shape == (4, 64, 8, 8)
    again = record_crops([clip()], open_session(small_model), open_refiner(small_refiner), 4)
    assert again.digest == samples.digest
    fewer = record_crops([clip()], open_session(small_model), open_refiner(small_refiner), 3)
    assert fewer.digest != samples.digest


@pytest.mark.parametrize("target", ["tensorrt", "cpu"])
def test_int8_computes_the_same(
    small_refiner: Path, ranges: Ranges, samples: CropSamples, target: str, tmp_path: Path
) -> None:
    out = tmp_path / "int8.onnx"
    contract = quantize(small_refiner, ranges, target, out)
    assert contract == read_refiner_contract(out)
    assert contract.precision == f"int8-{target}"
    assert out.stat().st_size < 0.35 * small_refiner.stat().st_size
    assert cosine(run(small_refiner, samples), run(out, samples)) > 0.99


def test_the_tensorrt_placement(small_refiner: Path, ranges: Ranges, tmp_path: Path) -> None:
    quantize(small_refiner, ranges, "tensorrt", tmp_path / "int8.onnx")
    model = onnx.load(tmp_path / "int8.onnx")
    assert tensorrt_faults(model) == []
    convolutions = [node.name for node in Graph(onnx.load(small_refiner)).of_kind("Conv")]
    assert quantized_convolutions(model) == convolutions
    assert len(convolutions) > 15


def test_the_prior_is_not_rounded(small_refiner: Path, ranges: Ranges, tmp_path: Path) -> None:
    for target in ("tensorrt", "cpu"):
        quantize(small_refiner, ranges, target, tmp_path / "int8.onnx")
        graph = Graph(onnx.load(tmp_path / "int8.onnx"))
        assert "crops" in [node.input[0] for node in graph.of_kind("Gather")], "what is corrected is taken as it came"


def test_fp16_keeps_ends_in_single_precision(small_refiner: Path, samples: CropSamples, tmp_path: Path) -> None:
    to_fp16(small_refiner, tmp_path / "half.onnx")
    model = onnx.load(tmp_path / "half.onnx")
    ends = [*model.graph.input, *model.graph.output]
    assert [end.type.tensor_type.elem_type for end in ends] == [TensorProto.FLOAT] * 3
    assert cosine(run(small_refiner, samples), run(tmp_path / "half.onnx", samples)) > 0.9999
    everything = {node.name for node in model.graph.node if node.op_type != "Gather"}
    onnx.checker.check_model(halved_model(onnx.load(small_refiner), everything), full_check=True)


def test_sensitivity(small_refiner: Path, ranges: Ranges, samples: CropSamples) -> None:
    losses = sensitivity(small_refiner, ranges, "tensorrt", samples)
    assert {loss.node for loss in losses} == {node.name for node in Graph(onnx.load(small_refiner)).of_kind("Conv")}
    assert 0 < losses[0].alone < 0.01


def test_the_right_data_for_the_right_network(
    small_model: Path, small_refiner: Path, samples: CropSamples, frames_folder: Path
) -> None:
    with pytest.raises(BadInput, match=r"\(got whole frames, expected crops of objects\)"):
        collect_ranges(small_refiner, sample_frames(str(frames_folder), 2, 0), "minmax")
    with pytest.raises(BadInput, match=r"\(got crops of objects, expected whole frames\)"):
        collect_ranges(small_model, samples, "minmax")


def shls(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_commands(
    small_refiner: Path, small_refiner_checkpoint: Path, small_model: Path, frames_folder: Path, tmp_path: Path
) -> None:
    pair = ["--frames", frames_folder, "--embedding", small_model, "--target", "cpu"]
    of_stills = shls("calibrate", small_refiner, *pair, "--count", 6, "--out", tmp_path / "a.onnx")
    assert of_stills.exit_code == 0, of_stills.output
    assert read_refiner_contract(tmp_path / "a.onnx").precision == "int8-cpu"
    assert "over 6 of" in of_stills.output
    cv2.imwrite(str(tmp_path / "mask.png"), clip().mask)
    refused = shls("calibrate", small_model, "--frames", frames_folder, "--embedding", small_model, "--out", "x.onnx")
    assert "--mask and --embedding are for a refiner or a prompter" in str(refused.exception)
    at_once = shls("export", small_refiner_checkpoint, "--precision", "int8", *pair, "--out", tmp_path / "b.onnx")
    assert at_once.exit_code == 0, at_once.output
    assert "int8-cpu, input 32x32" in at_once.output
    wrong = shls("export", small_refiner_checkpoint, "--size", "96x64", "--out", tmp_path / "c.onnx")
    assert "--size: has no meaning for a refiner" in str(wrong.exception)
    assert not (tmp_path / "c.onnx").exists()
