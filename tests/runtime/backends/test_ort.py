"""Devices of onnxruntime: what is asked for by name is what runs, or an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from shls.runtime.backends import ort as ort_session
from shls.runtime.backends.base import open_session
from shls.runtime.backends.ort import OrtSession
from shls.runtime.errors import BadInput, DeviceUnavailable

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
    with pytest.raises(DeviceUnavailable, match=f"device {device} was asked for.*CPUExecutionProvider only"):
        OrtSession(small_model, device=device)


@pytest.mark.parametrize(("device", "provider"), [("cuda", "CUDA"), ("tensorrt", "Tensorrt")])
def test_a_silent_fallback_is_an_error(
    small_model: Path, device: str, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = pretend(monkeypatch, f"{provider}ExecutionProvider")
    with pytest.raises(DeviceUnavailable, match="runs on CPUExecutionProvider"):
        OrtSession(small_model, device=device)
    options, providers = seen[0]
    assert providers == [f"{provider}ExecutionProvider"]
    assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"


def test_auto_may_fall_back_and_says_so(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = pretend(monkeypatch, "TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert OrtSession(small_model).backend.endswith("CPUExecutionProvider")
    assert seen[0][1] == ["CUDAExecutionProvider", "CPUExecutionProvider"]


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


def test_an_unknown_device_is_named(small_model: Path) -> None:
    with pytest.raises(BadInput, match="'gpu'; expected cpu, cuda, tensorrt or auto"):
        OrtSession(small_model, device="gpu")
