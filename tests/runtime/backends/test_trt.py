"""Engines: description, loading, running; against stand-ins for TensorRT and CUDA."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shls.export.tensorrt_builder import (
    to_engine,
)
from shls.runtime.backends.base import open_refiner, open_session
from shls.runtime.backends.trt import TrtRefiner, TrtSession
from shls.runtime.errors import BadInput, ContractMismatch, DeviceUnavailable, MissingDependency
from shls.runtime.models.engine_info import Machine, read_sidecar, sidecar_path
from shls.runtime.refinement.crops import CHANNELS
from shls.runtime.types import Crops
from tests.fake_engines import CONTRACT, REFINER, build, fake, write_onnx


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_onnx(tmp_path / "net.onnx")


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


def test_engines_of_the_other_network_are_refused(model: Path, refiner: Path) -> None:
    fakes, others = fake(), fake(refiner=True)
    with pytest.raises(ContractMismatch, match=r"got an engine of an embedding.* Give it as --model"):
        TrtRefiner(build(model, fakes), fakes.trt, fakes.cuda)
    with pytest.raises(ContractMismatch, match=r"got an engine of a refiner.* Give it as --refiner"):
        TrtSession(build(refiner, others), others.trt, others.cuda)
    with pytest.raises(BadInput, match="Leave --device cpu out"):
        open_refiner(refiner.with_suffix(".engine"), device="cpu")


def test_shared_memory_is_not_copied(model: Path) -> None:
    for integrated, copies in ((False, 4), (True, 0)):  # once to warm up, once into the graph
        fakes = fake(integrated)
        session = TrtSession(build(model, fakes), fakes.trt, fakes.cuda)
        session.run(np.zeros((1, 3, 64, 96), np.float32))
        assert fakes.cudart.calls.count("cudaMemcpyAsync") == copies
        assert fakes.cudart.calls.count("cudaGraphLaunch") == 1


def test_nan_in_an_output_names_the_network_and_the_engine(model: Path, refiner: Path) -> None:
    fakes, others = fake(), fake(refiner=True)
    session = TrtSession(build(model, fakes), fakes.trt, fakes.cuda)
    tensor = np.zeros((1, 3, 64, 96), np.float32)
    tensor[0, 1, 5, 6] = np.nan
    with pytest.raises(BadInput, match=rf"net\.engine: the network {CONTRACT.network} .*got 8 of 3072 values"):
        session.run(tensor)
    decider = TrtRefiner(build(refiner, others), others.trt, others.cuda)
    crops = crops_of(2)
    crops.images[1, 0, 3, 4] = np.inf
    with pytest.raises(BadInput, match=rf"refiner\.engine: the network {REFINER.network} .*got 1 of 2048 values"):
        decider.run(crops)


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
    with pytest.raises(ContractMismatch, match="differ from the contract"):
        TrtSession(engine, fakes.trt, fakes.cuda)


def test_without_tensorrt_one_line_says_how_to_get_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorrt", None)
    engine = build(model, fake())
    for attempt in (lambda: open_session(engine), lambda: to_engine(model, engine)):
        with pytest.raises(MissingDependency, match="pip install 'tensorrt"):
            attempt()


def test_an_engine_does_not_run_on_the_cpu(model: Path) -> None:
    with pytest.raises(BadInput, match="Leave --device cpu out"):
        open_session(build(model, fake()), device="cpu")
