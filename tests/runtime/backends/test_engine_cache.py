"""Engines in the user's cache, with stand-ins for TensorRT and CUDA: found again, or told why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shls.export import tensorrt_builder
from shls.runtime.backends import cudart, engine_cache, trt_api
from shls.runtime.backends.choice import choose_embedding, engine_or_onnx
from shls.runtime.backends.engine_cache import cached_engine, engine_path
from shls.runtime.backends.pretrained import ASSETS, EXACT_REFINER
from shls.runtime.backends.trt import TrtSession
from shls.runtime.cli import engines
from shls.runtime.errors import BadInput, DeviceUnavailable, MissingDependency
from tests.fake_engines import REFINER, Fakes, fake, write_onnx


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shls"


def build(model: Path, fakes: Fakes) -> Path:
    path = engine_path(model, fakes.trt, fakes.cuda)
    tensorrt_builder.to_engine(model, path, trt=fakes.trt, cuda=fakes.cuda)
    return path


def test_an_engine_is_found_again_and_runs(home: Path, tmp_path: Path) -> None:
    fakes, model = fake(), write_onnx(tmp_path / "edge.onnx")
    assert cached_engine(model, fakes.trt, fakes.cuda) is None
    path = build(model, fakes)
    assert path.parent == home / "engines"
    assert cached_engine(model, fakes.trt, fakes.cuda) == path
    assert TrtSession(path, fakes.trt, fakes.cuda).contract.network == "shls-edge"


def test_nothing_is_asked_where_no_engine_was_built(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise AssertionError("TensorRT was imported")

    monkeypatch.setattr(engine_cache, "load_tensorrt", fails)
    assert cached_engine(write_onnx(tmp_path / "edge.onnx")) is None
    assert not (home / "engines").exists()


def test_what_an_engine_depends_on_is_its_name(tmp_path: Path) -> None:
    fakes, model = fake(), write_onnx(tmp_path / "edge.onnx")
    first = build(model, fakes)
    other = fake()
    other.cudart.driver = 13020
    assert cached_engine(model, other.trt, other.cuda) is None, "another driver"
    other = fake()
    other.cudart._attributes[76] = 9
    assert cached_engine(model, other.trt, other.cuda) is None, "another GPU"
    other = fake()
    other.trt.__version__ = "10.3.0"
    assert cached_engine(model, other.trt, other.cuda) is None, "another TensorRT"
    half = write_onnx(tmp_path / "edge.onnx", "fp16")
    assert cached_engine(half, fakes.trt, fakes.cuda) is None, "another precision"
    assert first.exists()


@pytest.mark.parametrize("damage", ["truncated", "no description", "of another card"])
def test_damaged_engines_are_not_used(damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fakes, model = fake(), write_onnx(tmp_path / "edge.onnx")
    path = build(model, fakes)
    sidecar = path.with_name(f"{path.name}.json")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "no description":
        sidecar.unlink()
    else:
        content = json.loads(sidecar.read_text())
        content["machine"]["gpu"] = "Thor"
        sidecar.write_text(json.dumps(content))
    assert cached_engine(model, fakes.trt, fakes.cuda) is None
    assert path.name in caplog.text
    assert "--build" in caplog.text


def test_a_gpu_that_is_gone_or_a_missing_tensorrt_leave_the_onnx_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fakes, model = fake(), write_onnx(tmp_path / "edge.onnx")
    build(model, fakes)
    fakes.cudart.fails["cudaDeviceGetAttribute"] = 700
    assert cached_engine(model, fakes.trt, fakes.cuda) is None
    assert "cudaDeviceGetAttribute failed" in caplog.text

    def missing() -> None:
        raise MissingDependency("TensorRT: its Python module cannot be imported.")

    monkeypatch.setattr(engine_cache, "load_tensorrt", missing)
    assert cached_engine(model) is None
    assert "cannot be imported" in caplog.text


def test_only_a_shipped_network_is_replaced_by_its_int8_file(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = fake()
    monkeypatch.setattr(engine_cache, "load_tensorrt", lambda: fakes.trt)
    monkeypatch.setattr(engine_cache, "Cuda", lambda: fakes.cuda)
    exact, quantized = ASSETS / EXACT_REFINER, ASSETS / "shls-edge-refiner.int8-tensorrt.onnx"
    assert engine_or_onnx(exact, "auto", shipped=True) == exact, "no engine yet"
    engine = build(quantized, fake(refiner=True))
    assert engine_or_onnx(exact, "auto", shipped=True) == engine
    assert engine_or_onnx(exact, "auto", shipped=False) == exact, "the user named it"
    assert engine_or_onnx(quantized, "tensorrt", shipped=False) == engine
    for device in ("cpu", "cuda"):
        assert engine_or_onnx(exact, device, shipped=True) == exact
    assert choose_embedding(None, "auto", (480, 854)).suffix == ".onnx", "an engine of the other network"


def test_build_makes_each_engine_once(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = fake()
    monkeypatch.setattr(trt_api, "load_tensorrt", lambda: fakes.trt)
    monkeypatch.setattr(cudart, "Cuda", lambda: fakes.cuda)
    model = write_onnx(tmp_path / "edge.onnx")
    refiner = write_onnx(tmp_path / "refiner.onnx", contract=REFINER)
    for _ in range(2):
        engines.build_engines(model, refiner, refined=False, size=(48, 64))
    (engine,) = (home / "engines").glob("*.engine")
    written = engine.stat().st_mtime_ns
    engines.build_engines(model, refiner, refined=False, size=(48, 64))
    assert engine.stat().st_mtime_ns == written
    for device in ("cpu", "cuda"):
        with pytest.raises(BadInput, match=f"got --device {device}"):
            engines.build_engines(model, refiner, refined=False, size=(48, 64), device=device)
    with pytest.raises(BadInput, match="wrong precision for TensorRT"):
        engines.build_engines(write_onnx(tmp_path / "cpu.onnx", "int8-cpu"), None, refined=False, size=(48, 64))


def test_a_cache_that_cannot_be_written_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = fake()
    monkeypatch.setattr(engine_cache, "user_cache", lambda: None)
    with pytest.raises(BadInput, match="cache folder cannot be written"):
        engine_path(write_onnx(tmp_path / "edge.onnx"), fakes.trt, fakes.cuda)


def test_a_failed_build_leaves_no_engine(home: Path, tmp_path: Path) -> None:
    fakes, model = fake(), write_onnx(tmp_path / "edge.onnx")
    fakes.cudart.fails["cudaGetDeviceProperties"] = 700
    with pytest.raises(DeviceUnavailable):
        build(model, fakes)
    assert not list(home.rglob("*.engine"))
