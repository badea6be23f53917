"""NVIDIA's management library through ctypes: what a desktop GPU tells of itself."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Any

from .sensors import Sample

THROTTLE_REASONS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
"""Bits of nvmlClocksThrottleReasons that mean less speed than the user asked for; idle is none of them."""


class _Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


def open_nvml() -> Nvml | None:
    """Open the first GPU; None where there is no driver, or no GPU."""
    with suppress(OSError, RuntimeError, AttributeError):
        return Nvml(ctypes.CDLL("libnvidia-ml.so.1"))
    return None


class Nvml:
    """The first GPU.

    Parameters
    ----------
    library : libnvidia-ml, or what has its functions

    Raises
    ------
    RuntimeError
        If the library finds no GPU.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        self._gpu = ctypes.c_void_p()
        if library.nvmlInit_v2() or library.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(self._gpu)):
            raise RuntimeError("NVML finds no GPU")

    @property
    def name(self) -> str:
        text = ctypes.create_string_buffer(96)
        self._library.nvmlDeviceGetName(self._gpu, text, 96)
        return text.value.decode(errors="replace")

    @property
    def driver(self) -> str:
        text = ctypes.create_string_buffer(80)
        self._library.nvmlSystemGetDriverVersion(text, 80)
        return text.value.decode(errors="replace")

    @property
    def memory(self) -> tuple[int, int]:
        """Bytes in all and free; zeros where the device shares the CPU's memory and does not say."""
        memory = _Memory()
        if self._library.nvmlDeviceGetMemoryInfo(self._gpu, ctypes.byref(memory)):
            return 0, 0
        return memory.total, memory.free

    def read(self) -> Sample:
        """Read clock, temperature, power, throttling and memory; what this GPU does not tell is left out."""
        clock = self._value("nvmlDeviceGetClockInfo", ctypes.c_uint(), 1)  # 1: the multiprocessors'
        degrees = self._value("nvmlDeviceGetTemperature", ctypes.c_uint(), 0)  # 0: the chip's
        milliwatts = self._value("nvmlDeviceGetPowerUsage", ctypes.c_uint())
        reasons = self._value("nvmlDeviceGetCurrentClocksThrottleReasons", ctypes.c_ulonglong()) or 0
        total, free = self.memory
        return Sample(
            0.0,
            {} if clock is None else {"gpu": float(clock)},
            {} if degrees is None else {"gpu": float(degrees)},
            {} if milliwatts is None else {"gpu": milliwatts / 1000},
            tuple(f"gpu: {word}" for bit, word in THROTTLE_REASONS.items() if reasons & bit),
            {"gpu": (total - free) / 2**20} if total else {},
        )

    def _value(self, function: str, result: Any, *arguments: int) -> int | None:
        code = getattr(self._library, function)(self._gpu, *arguments, ctypes.byref(result))
        return None if code else int(result.value)
