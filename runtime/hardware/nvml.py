"""Readings of an NVIDIA GPU through NVML, the driver's management library (package `nvidia-ml-py`)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from .sensors import ROOT, Sample

THROTTLING = {
    "SwPowerCap": "power cap",
    "HwSlowdown": "hardware slowdown",
    "SwThermalSlowdown": "software thermal slowdown",
    "HwThermalSlowdown": "hardware thermal slowdown",
    "HwPowerBrakeSlowdown": "power brake",
}
"""NVML's throttle reasons that reduce the speed below the requested one, in words; an idle GPU has none of them."""

log = logging.getLogger("shls")


def open_nvml() -> Nvml | None:
    """Open the first NVIDIA GPU.

    Returns
    -------
    The GPU, or None without `nvidia-ml-py`, without a driver or without a GPU. The reason is logged.

    Examples
    --------
    >>> gpu = open_nvml()
    >>> gpu is None or isinstance(gpu.name, str)
    True
    """
    try:
        return Nvml()
    except ModuleNotFoundError:
        log.info("GPU: no readings, because nvidia-ml-py is not installed. Run `pip install nvidia-ml-py`.")
    except OSError as error:
        log.info("GPU: no readings from NVML (%s)", error)
    return None


def has_driver(root: Path = ROOT) -> bool:
    """Return True if an NVIDIA driver runs on this machine, or the machine is a Jetson; needs no library.

    Parameters
    ----------
    root : root of the file system

    Examples
    --------
    >>> has_driver(Path("/no/such/tree"))
    False
    """
    return any((root / name).exists() for name in ("proc/driver/nvidia/version", "etc/nv_tegra_release"))


class Nvml:
    """The first NVIDIA GPU.

    Raises
    ------
    ModuleNotFoundError
        If `nvidia-ml-py` is not installed.
    OSError
        If NVML finds no driver or no GPU.

    Examples
    --------
    >>> gpu = Nvml()  # doctest: +SKIP
    >>> gpu.read().temperatures  # doctest: +SKIP
    {'gpu': 61.0}
    """

    def __init__(self) -> None:
        import pynvml

        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            self._gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        except pynvml.NVMLError as error:
            raise OSError(str(error)) from error

    @property
    def name(self) -> str:
        """Name of the GPU, empty if NVML does not report it.

        Examples
        --------
        >>> Nvml().name  # doctest: +SKIP
        'NVIDIA GeForce RTX 4090'
        """
        return str(self._value("nvmlDeviceGetName") or "")

    @property
    def driver(self) -> str:
        """Version of the driver, empty if NVML does not report it.

        Examples
        --------
        >>> Nvml().driver  # doctest: +SKIP
        '580.95.05'
        """
        try:
            return str(self._nvml.nvmlSystemGetDriverVersion())
        except self._nvml.NVMLError:
            return ""

    @property
    def memory(self) -> tuple[int, int]:
        """Total and free bytes; zeros where GPU and CPU share the memory and NVML does not report it.

        Examples
        --------
        >>> Nvml().memory  # doctest: +SKIP
        (25757220864, 25191030784)
        """
        memory = self._value("nvmlDeviceGetMemoryInfo")
        return (0, 0) if memory is None else (int(memory.total), int(memory.free))

    def read(self) -> Sample:
        """Return clock, temperature, power, throttling and memory; values that the GPU lacks are left out.

        Examples
        --------
        >>> Nvml().read().watts  # doctest: +SKIP
        71.5
        """
        nvml = self._nvml
        clock = self._value("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM)
        degrees = self._value("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU)
        milliwatts = self._value("nvmlDeviceGetPowerUsage")
        reasons = self._value("nvmlDeviceGetCurrentClocksThrottleReasons") or 0
        bits = {word: getattr(nvml, f"nvmlClocksThrottleReason{reason}") for reason, word in THROTTLING.items()}
        total, free = self.memory
        return Sample(
            0.0,
            {} if clock is None else {"gpu": float(clock)},
            {} if degrees is None else {"gpu": float(degrees)},
            {} if milliwatts is None else {"gpu": milliwatts / 1000},
            tuple(f"gpu: {word}" for word, bit in bits.items() if reasons & bit),
            {"gpu": (total - free) / 2**20} if total else {},
        )

    def _value(self, function: str, *arguments: int) -> Any:
        """Call a function of NVML on the GPU; None if the GPU or the library does not support it."""
        try:
            return getattr(self._nvml, function)(self._gpu, *arguments)
        except (self._nvml.NVMLError, AttributeError):
            return None
