"""A real builder without a GPU: TensorRT for RTX parses, types and fuses what we export.

It is a gate for the graph, not an engine for a Jetson. It comes under NVIDIA's licence with
`pip install -e '.[rtx]'` and needs no driver to build.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from shls.calib.crops import Marked, record_crops
from shls.calib.quantize import quantize
from shls.calib.ranges import collect_ranges
from shls.calib.samples import sample_frames
from shls.export.tensorrt_builder import build_plan, contract_for_tensorrt
from shls.export.to_fp16 import to_fp16
from shls.runtime.backends.base import open_refiner, open_session
from shls.runtime.errors import ExportFailed

HINT = "TensorRT for RTX is not installed: pip install -e '.[rtx]'"
LAYER = re.compile(
    r"^(?:VERBOSE: )?Name: (\w+), LayerType: (?:correlation|runtime_fusion), Inputs: \[ \{[^}]*Datatype: (\w+)", re.M
)
ASSETS = Path(__file__).parents[2] / "runtime" / "assets"


@pytest.fixture(scope="module")
def trt() -> Any:
    pytest.importorskip("onnxruntime_ep_nv_tensorrt_rtx", reason=HINT)  # loads the libraries
    return pytest.importorskip("tensorrt_rtx_bindings", reason=HINT)


@pytest.fixture(scope="module")
def int8(small_model: Path, frames_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("int8")
    ranges = collect_ranges(small_model, sample_frames(str(frames_folder), 4, 0), "minmax")
    for target in ("tensorrt", "cpu"):
        quantize(small_model, ranges, target, folder / f"{target}.onnx")
    return {target: folder / f"{target}.onnx" for target in ("tensorrt", "cpu")}


def convolutions(trt: Any, model: Path) -> dict[str, str]:
    """Name -> type of the input of every convolution in the built engine."""
    log: list[str] = []
    plan = build_plan(trt, model, contract_for_tensorrt(model), 256, log=log)
    assert len(plan) > 10_000
    return dict(LAYER.findall("\n".join(log)))


def test_int8_runs_in_int8(trt: Any, int8: dict[str, Path]) -> None:
    assert Counter(convolutions(trt, int8["tensorrt"]).values()) == {"Int8": 20}


def test_fp16_runs_in_fp16(trt: Any, small_model: Path, tmp_path: Path) -> None:
    to_fp16(small_model, tmp_path / "half.onnx")
    assert Counter(convolutions(trt, tmp_path / "half.onnx").values()) == {"Half": 20}


def test_fp32_runs_in_fp32(trt: Any, small_model: Path) -> None:
    assert Counter(convolutions(trt, small_model).values()) == {"Float": 20}


def test_what_stays_float_is_half(trt: Any, small_model: Path, frames_folder: Path, tmp_path: Path) -> None:
    ranges = collect_ranges(small_model, sample_frames(str(frames_folder), 4, 0), "minmax")
    quantize(small_model, ranges, "tensorrt", tmp_path / "some.onnx", ["node_conv2d", "node_conv2d_19"])
    types = convolutions(trt, tmp_path / "some.onnx")
    assert Counter(types.values()) == {"Int8": 18, "Half": 2}


@pytest.mark.parametrize(("precision", "kind"), [("fp32", "Float"), ("fp16", "Half"), ("int8", "Int8")])
def test_the_refiner_for_any_number_of_objects(
    trt: Any, small_model: Path, small_refiner: Path, tmp_path: Path, precision: str, kind: str
) -> None:
    model = small_refiner if precision == "fp32" else tmp_path / "refiner.onnx"
    if precision == "fp16":
        to_fp16(small_refiner, model)
    elif precision == "int8":
        image, mask = np.zeros((64, 96, 3), np.uint8), np.zeros((64, 96), np.uint8)
        image[16:48, 30:60], mask[16:48, 30:60] = 200, 1
        clip = Marked([image, image, image], mask)
        samples = record_crops([clip], open_session(small_model), open_refiner(small_refiner), 2)
        quantize(small_refiner, collect_ranges(small_refiner, samples, "minmax"), "tensorrt", model)
    convs = sum(node.op_type == "Conv" for node in onnx.load(small_refiner).graph.node)
    assert Counter(convolutions(trt, model).values()) == {kind: convs}


def test_the_cpu_graph_is_refused_with_a_reason(trt: Any, int8: dict[str, Path]) -> None:
    contract = contract_for_tensorrt(int8["tensorrt"])
    with pytest.raises(ExportFailed, match="parser refuses it"):
        build_plan(trt, int8["cpu"], contract, 256)


@pytest.mark.parametrize("model", sorted(ASSETS.glob("*.onnx")), ids=lambda path: path.name)
def test_every_shipped_model_builds(trt: Any, model: Path) -> None:
    if model.name.endswith("int8-cpu.onnx"):
        pytest.skip("made for onnxruntime on the CPU, not for TensorRT")
    assert convolutions(trt, model)
