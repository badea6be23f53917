"""Engines against stand-ins for TensorRT and CUDA: a model to build from, and what builds it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import onnx

from shls.export.tensorrt_builder import to_engine
from shls.runtime.backends.cudart import Cuda
from shls.runtime.backends.trt_engine import shapes_of
from shls.runtime.models.contract import METADATA_KEY, AnyContract, Contract, RefinerContract
from shls.runtime.refinement.crops import CHANNELS
from tests.fake_gpu import FakeCudart, FakeTensorrt

CONTRACT = Contract("shls-edge", 64, 96, 8, "c" * 64)
REFINER = RefinerContract("shls-edge-refiner", 32, CHANNELS, 8, "r" * 64, CONTRACT.checkpoint_sha256)


class Fakes(NamedTuple):
    trt: Any
    cudart: Any
    cuda: Cuda


def fake(integrated: bool = False, weak: bool = False, refiner: bool = False) -> Fakes:
    cudart = FakeCudart(integrated=integrated)
    return Fakes(FakeTensorrt(cudart, weak, refiner), cudart, Cuda(cudart))


def write_onnx(path: Path, precision: str = "fp32", contract: AnyContract = CONTRACT) -> Path:
    """A file with a contract and no network but its inputs and output: the stand-in does not look at it."""
    model = onnx.ModelProto(ir_version=10, opset_import=[onnx.helper.make_opsetid("", 18)])
    model.graph.output.append(onnx.helper.make_tensor_value_info(contract.output, onnx.TensorProto.FLOAT, None))
    for name, shape in shapes_of(contract).inputs.items():
        batch = 1 if contract is CONTRACT else "objects"
        model.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [batch, *shape]))
    onnx.helper.set_model_props(model, {METADATA_KEY: replace(contract, precision=precision).to_json()})
    onnx.save(model, path)
    return path


def build(model: Path, fakes: Fakes) -> Path:
    out = model.with_suffix(".engine")
    to_engine(model, out, trt=fakes.trt, cuda=fakes.cuda)
    return out
