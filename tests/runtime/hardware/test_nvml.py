"""NVML's answers, from a library that is played."""

from __future__ import annotations

import ctypes
from typing import Any

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

    def nvmlInit_v2(self) -> int:  # noqa: N802
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, handle: Any) -> int:  # noqa: N802, ARG002
        return 0 if index < self.gpus else 2

    def nvmlDeviceGetName(self, gpu: Any, text: Any, size: int) -> int:  # noqa: N802, ARG002
        text.value = b"NVIDIA GeForce"
        return 0

    def nvmlDeviceGetMemoryInfo(self, gpu: Any, memory: Any) -> int:  # noqa: N802, ARG002
        values = ctypes.cast(memory, ctypes.POINTER(ctypes.c_ulonglong))
        values[0], values[1] = 8 << 30, 5 << 30
        return 3 if "nvmlDeviceGetMemoryInfo" in self.missing else 0


def test_a_gpu_that_tells_all() -> None:
    gpu = Nvml(Library())
    assert gpu.name == "NVIDIA GeForce"
    assert gpu.memory == (8 << 30, 5 << 30)
    assert gpu.read() == Sample(
        clocks={"gpu": 1410},
        temperatures={"gpu": 61},
        power={"gpu": 71.5},
        throttling=("gpu: software thermal slowdown",),
        memory={"gpu": 3 * 1024},
    )


def test_what_a_gpu_does_not_tell_is_left_out() -> None:
    missing = ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetMemoryInfo")
    sample = Nvml(Library(missing)).read()
    assert (sample.power, sample.throttling, sample.memory, sample.temperatures) == ({}, (), {}, {"gpu": 61})


def test_no_gpu() -> None:
    with pytest.raises(RuntimeError, match="no GPU"):
        Nvml(Library(gpus=0))


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert open_nvml() is None
