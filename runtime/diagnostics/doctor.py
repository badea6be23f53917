"""Examine this machine for `shls doctor`: one finding per line, each with its fix.

A check never raises: a missing package or device is itself the finding.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import ShlsError
from ..hardware.jetson import jetpack_of, jetson_model, l4t_release, power_mode
from ..hardware.nvml import has_driver, open_nvml
from ..hardware.rapl import hidden
from ..hardware.sensors import ROOT, read_sysfs
from . import gpu_checks as gpus
from . import package_checks as installed
from .finding import Finding, Status

DISTRIBUTIONS = {"cv2": "opencv-python"}
"""Module -> package, where the names differ."""

HOT = 85.0
"""Degrees Celsius above which a warning is given; Jetsons reduce their clocks from about 95 on."""
LITTLE_MEMORY, NO_MEMORY = 1.0, 0.3
"""GiB of available memory below which a warning or a problem is reported."""
LITTLE_DISK = 1.0
"""GiB of free disk space below which a warning is given."""


def examine(root: Path = ROOT) -> list[Finding]:
    """Run all checks.

    Parameters
    ----------
    root : root of the file system in which devices are searched

    Examples
    --------
    >>> "Python" in {finding.name for finding in examine()}  # doctest: +SKIP
    True
    """
    gpu = open_nvml()
    present = gpu is not None or has_driver(root)
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("Python", installed.check_python),
        ("numpy", installed.check_numpy),
        ("numba", installed.check_numba),
        ("OpenCV", installed.check_opencv),
        ("PyAV", installed.check_av),
        ("onnxruntime", installed.check_onnxruntime),
        ("model", installed.check_model),
        ("GPU", lambda: gpus.check_gpu(gpu, present)),
        ("CUDA", lambda: gpus.check_cuda(present)),
        ("TensorRT module", lambda: gpus.check_tensorrt(present, l4t_release())),
        ("device", lambda: check_device(root)),
        ("memory", lambda: check_memory(root)),
        ("disk", lambda: check_disk(Path.cwd())),
        ("cameras", lambda: check_cameras(root)),
    ]
    return [finding for name, check in checks for finding in _guarded(name, check)]


def check_device(root: Path) -> Iterator[Finding]:
    """Check the board, its power mode, its temperature and whether its clocks are reduced now.

    Parameters
    ----------
    root : root of the file system

    Examples
    --------
    >>> list(check_device(Path("/no/such/tree")))
    []
    """
    if model := jetson_model(root):
        l4t = l4t_release(root)
        jetpack = f", L4T {l4t}, JetPack {jetpack_of(l4t) or 'unknown'}" if l4t else ""
        yield Finding("board", "OK", model + jetpack)
    if mode := power_mode(root):
        full = mode.startswith("MAXN")
        fix = "" if full else "run `sudo nvpmodel -m 0 && sudo jetson_clocks` for full speed"
        yield Finding("power mode", "OK" if full else "warning", mode, fix)
    sample = read_sysfs(root)
    if sample.temperatures:
        name, degrees = max(sample.temperatures.items(), key=lambda item: item[1])
        hot = degrees > HOT
        fix = "cool the device" if hot else ""
        yield Finding("temperature", "warning" if hot else "OK", f"{degrees:.0f} C at {name}", fix)
    if sample.throttling:
        text = "clocks are reduced now by " + ", ".join(sample.throttling)
        yield Finding("throttling", "warning", text, "cool the device, and use its own power supply")
    if sample.watts is not None:
        yield Finding("power", "OK", f"{sample.watts:.1f} W")
    elif hidden(root):
        text = "only root may read the processor's energy counters, so profiles have no power"
        yield Finding("power", "warning", text, "run `sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj`")


def check_memory(root: Path) -> Iterator[Finding]:
    """Check the available main memory.

    Parameters
    ----------
    root : root of the file system

    Examples
    --------
    >>> [finding.name for finding in check_memory(ROOT)]
    ['memory']
    """
    lines = (root / "proc/meminfo").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) / 2**20 for line in lines if line.endswith("kB")}
    available = sizes["MemAvailable"]
    status: Status = "problem" if available < NO_MEMORY else "warning" if available < LITTLE_MEMORY else "OK"
    fix = "" if status == "OK" else "close other programs, or add swap"
    yield Finding("memory", status, f"{available:.1f} of {sizes['MemTotal']:.1f} GiB available", fix)


def check_disk(folder: Path) -> Iterator[Finding]:
    """Check the free space of the disk that holds a folder.

    Parameters
    ----------
    folder : folder in which results will be written

    Examples
    --------
    >>> [finding.name for finding in check_disk(Path("."))]
    ['disk']
    """
    free = shutil.disk_usage(folder).free / 2**30
    little = free < LITTLE_DISK
    fix = "free some space, or write results elsewhere" if little else ""
    yield Finding("disk", "warning" if little else "OK", f"{free:.1f} GiB free in the current folder", fix)


def check_cameras(root: Path) -> Iterator[Finding]:
    """Check the video devices and their permissions.

    Parameters
    ----------
    root : root of the file system

    Examples
    --------
    >>> [finding.status for finding in check_cameras(Path("/no/such/tree"))]
    ['OK']
    """
    names = sorted((root / "sys/class/video4linux").glob("video*"))
    if not names:
        yield Finding("cameras", "OK", "no camera at /dev/video*; files, RTSP and HTTP work without one")
    for entry in names:
        device = root / "dev" / entry.name
        label = f"{entry.name}: {(entry / 'name').read_text().strip()}"
        if os.access(device, os.R_OK | os.W_OK):
            yield Finding("camera", "OK", label)
        else:
            fix = "run `sudo usermod -aG video $USER` and log in again; pass the device into a container"
            yield Finding("camera", "warning", f"{label}, permission denied", fix)


def _guarded(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Run a check and turn an exception into a finding."""
    try:
        yield from check()
    except ShlsError as error:  # its message ends with the fix
        yield Finding(name, "problem", str(error))
    except ImportError as error:
        package = DISTRIBUTIONS.get(error.name or "", error.name or name.lower())
        fix = f"run `pip install --force-reinstall {package}`"
        yield Finding(name, "problem", f"cannot be imported ({error})", fix)
    except Exception as error:  # a broken package must not hide the other lines
        yield Finding(name, "problem", f"cannot be examined ({error})", "reinstall shls")
