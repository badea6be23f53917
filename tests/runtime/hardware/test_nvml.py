"""NVML's readings: the real nvidia-ml-py over a C library that the test plays."""

from __future__ import annotations

import ctypes
import logging
import sys
from typing import Any

import pynvml
import pytest

from shls.runtime.hardware.nvml import Nvml, open_nvml
from shls.runtime.hardware.sensors import Sample


class Library:
    """The functions of libnvidia-ml that are used; `missing` ones say that the GPU does not support them."""

    def __init__(self, missing: tuple[str, ...] = (), gpus: int = 1) -> None:
        self.missing, self.gpus = missing, gpus

    def __getattr__(self, name: str) -> Any:
        numbers = {
            "nvmlDeviceGetClockInfo": (ctypes.c_uint, 1410),
            "nvmlDeviceGetTemperature": (ctypes.c_uint, 61),
            "nvmlDeviceGetPowerUsage": (ctypes.c_uint, 71_500),
            "nvmlDeviceGetCurrentClocksThrottleReasons": (ctypes.c_ulonglong, 0x21),
        }

        def function(*arguments: Any) -> int:
            if name in self.missing:
                return 3
            kind, value = numbers[name]
            ctypes.cast(arguments[-1], ctypes.POINTER(kind))[0] = value
            return 0

        return function

    def nvmlInitWithFlags(self, flags: int) -> int:  # noqa: N802, ARG002
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:  # noqa: N802, ARG002
        return 0 if index.value < self.gpus else 2

    def nvmlDeviceGetName(self, gpu: Any, text: Any, size: int) -> int:  # noqa: N802, ARG002
        text.value = b"NVIDIA GeForce"
        return 0

    def nvmlSystemGetDriverVersion(self, text: Any, size: Any) -> int:  # noqa: N802, ARG002
        text.value = b"580.95"
        return 0

    def nvmlDeviceGetMemoryInfo(self, gpu: Any, memory: Any) -> int:  # noqa: N802, ARG002
        values = ctypes.cast(memory, ctypes.POINTER(ctypes.c_ulonglong))
        values[0], values[1] = 8 << 30, 5 << 30
        return 3 if "nvmlDeviceGetMemoryInfo" in self.missing else 0


def play(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynvml, "nvmlLib", library)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})


def test_a_gpu_with_all_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    play(Library(), monkeypatch)
    gpu = Nvml()
    assert gpu.name == "NVIDIA GeForce"
    assert gpu.driver == "580.95"
    assert gpu.memory == (8 << 30, 5 << 30)
    assert gpu.read() == Sample(
        clocks={"gpu": 1410},
        temperatures={"gpu": 61},
        power={"gpu": 71.5},
        throttling=("gpu: software thermal slowdown",),
        memory={"gpu": 3 * 1024},
    )


def test_missing_readings_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetMemoryInfo")
    play(Library(missing), monkeypatch)
    sample = Nvml().read()
    assert (sample.power, sample.throttling, sample.memory, sample.temperatures) == ({}, (), {}, {"gpu": 61})


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    play(Library(gpus=0), monkeypatch)
    with pytest.raises(OSError, match="Invalid Argument"):
        Nvml()
    assert open_nvml() is None


def test_no_driver(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", absent)
    with caplog.at_level(logging.INFO, "shls"):
        assert open_nvml() is None
    assert "NVML Shared Library Not Found" in caplog.text


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with caplog.at_level(logging.INFO, "shls"):
        assert open_nvml() is None
    assert "pip install nvidia-ml-py" in caplog.text
