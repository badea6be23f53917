"""Engines: building, description, loading, running; against stand-ins for TensorRT and CUDA."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from shls.export.to_engine import (
    contract_for_tensorrt,
    timing_cache_name,
    to_engine,
    trtexec_line,
    workspace_mb,
)
from shls.runtime.cli import app
from shls.runtime.contract import METADATA_KEY, AnyContract, Contract, RefinerContract
from shls.runtime.crops import CHANNELS, Crops
from shls.runtime.cuda import Cuda
from shls.runtime.errors import BadInput, ContractMismatch, DeviceUnavailable, ExportFailed, MissingDependency
from shls.runtime.refiner import open_refiner
from shls.runtime.session import open_session
from shls.runtime.sidecar import Machine, read_sidecar, sidecar_path
from shls.runtime.trt_engine import shapes_of
from shls.runtime.trt_session import TrtRefiner, TrtSession

CONTRACT = Contract("shls-edge", 64, 96, 8, "c" * 64)
REFINER = RefinerContract("shls-edge-refiner", 32, CHANNELS, 8, "r" * 64, CONTRACT.checkpoint_sha256)


class Fakes(NamedTuple):
    trt: Any
    cudart: Any
    cuda: Cuda


def fake(integrated: bool = False, weak: bool = False, refiner: bool = False) -> Fakes:
    from fake_gpu import FakeCudart, FakeTensorrt

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


@pytest.fixture(autouse=True)
def _path_to_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_onnx(tmp_path / "net.onnx")


def build(model: Path, fakes: Fakes) -> Path:
    out = model.with_suffix(".engine")
    to_engine(model, out, trt=fakes.trt, cuda=fakes.cuda)
    return out


@pytest.mark.parametrize("integrated", [False, True])
def test_it_runs_and_frees_everything(model: Path, integrated: bool) -> None:
    fakes = fake(integrated)
    session = TrtSession(build(model, fakes), fakes.trt, fakes.cuda)
    assert session.backend == "TensorRT 11.4.1 on Orin"
    rng = np.random.default_rng(0)
    outputs = []
    for _ in range(2):
        tensor = rng.random((1, 3, 64, 96), np.float32)
        features = session.run(tensor)
        cells = tensor[0].sum(0).reshape(16, 4, 24, 4).sum((1, 3))
        np.testing.assert_allclose(features, cells + np.arange(8)[:, None, None], rtol=1e-6)
        outputs.append(features)
    assert not np.shares_memory(*outputs), "the first result outlives the second run"
    assert session.gpu_milliseconds > 0
    session.close()
    assert fakes.cudart.memory == {}


@pytest.fixture
def refiner(tmp_path: Path) -> Path:
    return write_onnx(tmp_path / "refiner.onnx", contract=REFINER)


def crops_of(count: int) -> Crops:
    rng = np.random.default_rng(count)
    images, features = rng.random((count, CHANNELS, 32, 32), np.float32), rng.random((count, 8, 8, 8), np.float32)
    return Crops(
        np.zeros((1, 1, count + 1), np.float32), np.arange(1, count + 1), np.zeros((count, 4)), images, features
    )


@pytest.mark.parametrize("integrated", [False, True])
def test_a_refiner_takes_any_number_of_objects(refiner: Path, integrated: bool) -> None:
    fakes = fake(integrated, refiner=True)
    session = TrtRefiner(build(refiner, fakes), fakes.trt, fakes.cuda)
    assert session.contract == REFINER
    for count in (1, 3, 2, 5, 1):  # five are a full run of three, and one of two
        crops = crops_of(count)
        expected = crops.images.sum(1) + crops.features[:, 0, :1, :1]
        np.testing.assert_allclose(session.run(crops), expected, rtol=1e-5)
    assert fakes.cudart.calls.count("cudaStreamBeginCapture") == 3, "one graph for each of 1, 2 and 3 objects"
    assert fakes.cudart.calls.count("cudaGraphLaunch") == 6
    session.close()
    assert fakes.cudart.memory == {}


def test_the_builder_is_told_how_many_objects_come(model: Path, refiner: Path) -> None:
    fakes = fake(refiner=True)
    build(refiner, fakes)
    assert fakes.trt.profile["crops"] == ((1, 11, 32, 32), (2, 11, 32, 32), (8, 11, 32, 32))
    assert fakes.trt.profile["features"] == ((1, 8, 8, 8), (2, 8, 8, 8), (8, 8, 8, 8))
    fixed = fake()
    build(model, fixed)
    assert fixed.trt.profile == {}


def test_engines_of_the_other_network_are_refused(model: Path, refiner: Path) -> None:
    fakes, others = fake(), fake(refiner=True)
    with pytest.raises(ContractMismatch, match="engine of an embedding; give it as --model"):
        TrtRefiner(build(model, fakes), fakes.trt, fakes.cuda)
    with pytest.raises(ContractMismatch, match="engine of a refiner; give it as --refiner"):
        TrtSession(build(refiner, others), others.trt, others.cuda)
    with pytest.raises(BadInput, match="leave --device cpu out"):
        open_refiner(refiner.with_suffix(".engine"), device="cpu")


def test_shared_memory_is_not_copied(model: Path) -> None:
    for integrated, copies in ((False, 4), (True, 0)):  # once to warm up, once into the graph
        fakes = fake(integrated)
        session = TrtSession(build(model, fakes), fakes.trt, fakes.cuda)
        session.run(np.zeros((1, 3, 64, 96), np.float32))
        assert fakes.cudart.calls.count("cudaMemcpyAsync") == copies
        assert fakes.cudart.calls.count("cudaGraphLaunch") == 1


def test_a_cuda_error_in_a_run_is_clear(model: Path) -> None:
    fakes = fake()
    session = TrtSession(build(model, fakes), fakes.trt, fakes.cuda)
    fakes.cudart.fails["cudaGraphLaunch"] = 700
    with pytest.raises(DeviceUnavailable, match="cudaGraphLaunch failed"):
        session.run(np.zeros((1, 3, 64, 96), np.float32))


def test_the_description(model: Path) -> None:
    sidecar = read_sidecar(build(model, fake()))
    assert sidecar.contract == CONTRACT
    assert sidecar.machine == Machine("Orin", "8.7", "11.4.1")
    assert sidecar.onnx == "net.onnx"


@pytest.mark.parametrize(("field", "value"), [("gpu", "Thor"), ("compute_capability", "11.0"), ("tensorrt", "10.3.0")])
def test_an_engine_of_another_machine_is_not_deserialised(model: Path, field: str, value: str) -> None:
    fakes = fake()
    engine = build(model, fakes)
    content = json.loads(sidecar_path(engine).read_text())
    ours = content["machine"][field]
    content["machine"][field] = value
    sidecar_path(engine).write_text(json.dumps(content))
    with pytest.raises(ContractMismatch, match=r"shls export net\.onnx --format engine --out") as caught:
        TrtSession(engine, fakes.trt, fakes.cuda)
    assert value in str(caught.value)
    assert ours in str(caught.value)
    assert fakes.trt.deserialized == []


def test_a_truncated_engine_is_not_deserialised(model: Path) -> None:
    fakes = fake()
    engine = build(model, fakes)
    engine.write_bytes(b"pla")
    with pytest.raises(BadInput, match="perhaps truncated"):
        TrtSession(engine, fakes.trt, fakes.cuda)
    assert fakes.trt.deserialized == []


def test_an_engine_without_description_is_refused(model: Path) -> None:
    fakes = fake()
    engine = build(model, fakes)
    sidecar_path(engine).unlink()
    with pytest.raises(ContractMismatch, match=r"net\.engine\.json cannot be read"):
        TrtSession(engine, fakes.trt, fakes.cuda)


def test_an_engine_of_other_shapes_is_refused(model: Path) -> None:
    fakes = fake()
    engine = build(model, fakes)
    fakes.trt.shapes["features"] = (1, 9, 16, 24)
    with pytest.raises(ContractMismatch, match="its contract says"):
        TrtSession(engine, fakes.trt, fakes.cuda)


def test_strongly_typed_alone_where_that_works(model: Path) -> None:
    for weak in (False, True):
        fakes = fake(weak=weak)
        build(model, fakes)
        assert [line for line in fakes.trt.log if "MB" not in line] == ["network typed=True"]


@pytest.mark.parametrize(("precision", "flags"), [("fp16", ["FP16"]), ("int8-tensorrt", ["FP16", "INT8"])])
def test_weak_typing_where_a_version_10_needs_it(tmp_path: Path, precision: str, flags: list[str]) -> None:
    fakes = fake(weak=True)
    fakes.trt.builds[True] = False
    build(write_onnx(tmp_path / "net.onnx", precision), fakes)
    said = [line for line in fakes.trt.log if "MB" not in line]
    assert said == ["network typed=True", "network typed=False", *flags]


def test_what_tensorrt_refuses_leaves_nothing(model: Path) -> None:
    fakes = fake()
    fakes.trt.builds[True] = False
    with pytest.raises(ExportFailed, match=r"cannot build it.*no implementation for node_conv2d") as caught:
        build(model, fakes)
    assert "not to be repeated" not in str(caught.value)
    fakes.trt.parses = False
    with pytest.raises(ExportFailed, match=r"parser refuses it \(In node 3: unsupported type\)"):
        build(model, fakes)
    assert [file.name for file in model.parent.iterdir()] == ["net.onnx"]


def test_timings_are_kept_and_those_of_others_replaced(model: Path) -> None:
    fakes = fake()
    build(model, fakes)
    cache = model.with_name("Orin-8.7-trt11.4.1.timing")
    assert cache.read_bytes() == b"timings"
    cache.write_bytes(b"other")
    fakes.trt.timings = b"new timings"
    build(model, fakes)
    assert cache.read_bytes() == b"new timings"
    assert timing_cache_name(Machine("RTX 4090/D", "8.9", "11.0")) == "RTX_4090_D-8.9-trt11.0.timing"


def test_progress_is_told(model: Path) -> None:
    fakes, told = fake(), []
    to_engine(
        model,
        model.with_suffix(".engine"),
        trt=fakes.trt,
        cuda=fakes.cuda,
        progress=lambda *step: told.append(step),
    )
    assert told == [("Building", 1, 2), ("Building", 2, 2)]


def test_models_that_are_not_for_tensorrt(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="calibrate --target tensorrt"):
        contract_for_tensorrt(write_onnx(tmp_path / "cpu.onnx", "int8-cpu"))
    (tmp_path / "no.onnx").write_bytes(b"\x3a\xff")
    with pytest.raises(BadInput, match="not a whole ONNX file"):
        contract_for_tensorrt(tmp_path / "no.onnx")
    onnx.save(onnx.ModelProto(ir_version=10), tmp_path / "strange.onnx")
    with pytest.raises(ContractMismatch, match="carries no shls contract"):
        contract_for_tensorrt(tmp_path / "strange.onnx")


def test_without_tensorrt_one_line_says_how_to_get_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    engine = build(model, fake())
    for attempt in (lambda: open_session(engine), lambda: to_engine(model, engine)):
        with pytest.raises(MissingDependency, match=r"pip install 'shls\[trt\]'"):
            attempt()


def test_an_engine_does_not_run_on_the_cpu(model: Path) -> None:
    with pytest.raises(BadInput, match="leave --device cpu out"):
        open_session(build(model, fake()), device="cpu")


def shls(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_refuses_what_does_not_fit(model: Path) -> None:
    engine, other = model.with_suffix(".engine"), model.with_name("other.onnx")
    for arguments, out, message in (
        ([model, "--format", "engine", "--size", "96x64"], engine, "--size has no meaning for --format engine"),
        ([model, "--format", "engine", "--target", "cpu"], engine, "--target has no meaning for --format engine"),
        ([model, "--via", "trtexec"], other, "--via has no meaning for --format onnx"),
        ([model, "--target", "cpu"], other, "--target has no meaning for --precision fp32"),
        ([model, "--precision", "int8"], other, "give --frames FOLDER or VIDEO"),
        ([model], other, "is ONNX already"),
        ([model.parent, "--format", "engine"], engine, "an engine is built from ONNX"),
        ([model.parent], engine, r"--format onnx writes NAME.onnx"),
    ):
        error = shls("export", *arguments, "--out", out).exception
        assert isinstance(error, BadInput)
        assert message in str(error)
        assert not out.exists()
    line = shls("export", model, "--format", "engine", "--out", engine, "--via", "trtexec")
    assert line.output.startswith("trtexec --onnx=")


def test_trtexec(tmp_path: Path) -> None:
    model = write_onnx(tmp_path / "a b.onnx")
    words = shlex.split(trtexec_line(model, Path("x.engine")))
    assert words[:3] == ["trtexec", f"--onnx={model}", "--saveEngine=x.engine"]
    assert "--stronglyTyped" in words
    assert not [word for word in words if "Shapes" in word]
    assert 64 <= workspace_mb() <= 1024


def test_trtexec_of_any_number_of_objects(refiner: Path) -> None:
    words = shlex.split(trtexec_line(refiner, Path("x.engine")))
    assert words[-3:] == [
        "--minShapes=crops:1x11x32x32,features:1x8x8x8",
        "--optShapes=crops:2x11x32x32,features:2x8x8x8",
        "--maxShapes=crops:8x11x32x32,features:8x8x8x8",
    ]
