"""Devices of onnxruntime: a named device runs or is an error; outputs are finite."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from shls.runtime._support.files import sha256_of
from shls.runtime.backends import ort_session
from shls.runtime.backends.base import contract_of, describe, open_refiner, open_session
from shls.runtime.backends.ort import OrtRefiner, OrtSession
from shls.runtime.errors import BadInput, DeviceUnavailable
from shls.runtime.hardware.cpu import usable_cores
from shls.runtime.types import Crops

REAL = onnxruntime.InferenceSession


def pretend(monkeypatch: pytest.MonkeyPatch, *available: str) -> list[Any]:
    """Let onnxruntime list providers that it lacks; it then runs on the CPU, as without a driver."""
    seen: list[Any] = []

    def create(model: Path, options: onnxruntime.SessionOptions, providers: list[str]) -> Any:
        seen.append((options, providers))
        return REAL(model, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [*available, "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", create)
    return seen


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_without_a_gpu_the_cpu_runs_and_is_told(small_model: Path, device: str) -> None:
    session = open_session(small_model, threads=1, device=device)
    assert session.backend.endswith("CPUExecutionProvider")
    assert session.run(np.zeros((1, 3, 64, 96), np.float32)).shape == (64, 16, 24)


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_provider_that_is_not_built_in(small_model: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    with pytest.raises(
        DeviceUnavailable, match=rf"device {device}: not in this onnxruntime \(got CPUExecutionProvider, expected"
    ):
        OrtSession(small_model, device=device)


@pytest.mark.parametrize(("device", "provider"), [("cuda", "CUDA"), ("tensorrt", "Tensorrt")])
def test_a_silent_fallback_is_an_error(
    small_model: Path, device: str, provider: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    seen = pretend(monkeypatch, f"{provider}ExecutionProvider")
    with pytest.raises(DeviceUnavailable, match=r"does not start \(got CPUExecutionProvider"):
        OrtSession(small_model, device=device)
    options, providers = seen[0]
    assert [one if isinstance(one, str) else one[0] for one in providers] == [f"{provider}ExecutionProvider"]
    assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"


def test_auto_may_fall_back_and_says_so_once(
    small_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen = pretend(monkeypatch, "TensorrtExecutionProvider", "CUDAExecutionProvider")
    ort_session._report_cpu.cache_clear()
    for _ in range(2):
        assert OrtSession(small_model).backend.endswith("CPUExecutionProvider")
    assert seen[0][1] == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "device auto: CUDA does not start" in caplog.text


@pytest.mark.parametrize(("gpu", "level"), [(True, "WARNING"), (False, "INFO")])
def test_auto_without_cuda_says_whether_a_gpu_is_idle(
    small_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, gpu: bool, level: str
) -> None:
    monkeypatch.setattr(ort_session, "has_driver", lambda: gpu)
    ort_session._report_cpu.cache_clear()
    with caplog.at_level(logging.INFO, "shls"):
        OrtSession(small_model)
    assert [record.levelname for record in caplog.records] == [level]


def test_tensorrt_keeps_its_engines_and_has_cuda_behind_it(
    small_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    seen = pretend(monkeypatch, "TensorrtExecutionProvider", "CUDAExecutionProvider")
    for built in (False, True):
        caplog.clear()
        with pytest.raises(DeviceUnavailable):  # the CPU plays
            OrtSession(small_model, device="tensorrt")
        (tensorrt, options), cuda = seen[-1][1]
        assert (tensorrt, cuda) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
        assert options["trt_engine_cache_enable"] is True
        folder = Path(options["trt_engine_cache_path"])
        assert folder.parent == tmp_path / "shls/onnxruntime-tensorrt"
        assert folder.name.startswith(sha256_of(small_model)[:16]), "another network with the same graph has another"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert ("engines are built now" in caplog.text) is not built
        (folder / "one.engine").touch()


def broken(model: Path, out: Path) -> Path:
    """Copy a model with an overflown weight."""
    proto = onnx.load(model)
    weight = next(one for one in proto.graph.initializer if len(one.dims) == 4)
    values = numpy_helper.to_array(weight).copy()
    values[0] = np.inf
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(proto, out)
    return out


def test_nan_in_an_output_names_the_network_and_the_file(
    small_model: Path, small_refiner: Path, tmp_path: Path
) -> None:
    session = OrtSession(broken(small_model, tmp_path / "net.onnx"), threads=1, device="cpu")
    with pytest.raises(BadInput, match=r"net\.onnx: the network shls-edge \(fp32\) computes NaN or infinity \(got \d+"):
        session.run(np.ones((1, 3, 64, 96), np.float32))
    refiner = OrtRefiner(broken(small_refiner, tmp_path / "refiner.onnx"), threads=1, device="cpu")
    crops = Crops(
        np.zeros((1, 1, 3), np.float32),
        np.array([1, 2]),
        np.zeros((2, 4), np.int64),
        np.ones((2, 11, 32, 32), np.float32),
        np.ones((2, 64, 8, 8), np.float32),
    )
    with pytest.raises(BadInput, match=r"refiner\.onnx: the network shls-edge-refiner \(fp32\) computes NaN"):
        refiner.run(crops)
    assert np.isfinite(OrtRefiner(small_refiner, threads=1, device="cpu").run(crops)).all()


def test_threads_are_limited_to_the_cores(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = pretend(monkeypatch)
    OrtSession(small_model, threads=9999)
    assert seen[0][0].intra_op_num_threads == usable_cores()
    with pytest.raises(BadInput, match="threads: not a number of threads"):
        OrtSession(small_model, threads=-1)


@pytest.mark.parametrize(("x86", "vnni", "entry"), [(True, False, "1"), (True, True, ""), (False, False, "")])
def test_exact_sums_where_the_cpu_saturates(
    small_model: Path, monkeypatch: pytest.MonkeyPatch, x86: bool, vnni: bool, entry: str
) -> None:
    seen = pretend(monkeypatch)
    monkeypatch.setattr(ort_session, "is_x86", lambda: x86)
    monkeypatch.setattr(ort_session, "has_vnni", lambda: vnni)
    OrtSession(small_model)
    name = "session.x64quantprecision"
    if entry:
        assert seen[0][0].get_session_config_entry(name) == entry
    else:
        with pytest.raises(RuntimeError, match=name):
            seen[0][0].get_session_config_entry(name)


def test_a_path_may_be_text(small_model: Path, small_refiner: Path) -> None:
    assert open_session(str(small_model), threads=1).contract == contract_of(str(small_model))
    assert open_refiner(str(small_refiner), threads=1).contract == contract_of(small_refiner)
    assert describe(str(small_model)) == describe(small_model)


def test_an_unknown_device_is_named(small_model: Path) -> None:
    with pytest.raises(BadInput, match=r"got 'gpu', expected cpu, cuda, tensorrt or auto"):
        OrtSession(small_model, device="gpu")
