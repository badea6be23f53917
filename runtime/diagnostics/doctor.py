"""What this machine has and lacks for running: one finding a line, with the fix.

No check may fail because something is missing: that is what it reports.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import ShlsError
from ..hardware.jetson import jetpack_of, jetson_model, l4t_release, power_mode
from ..hardware.nvml import Nvml, open_nvml
from ..hardware.rapl import hidden
from ..hardware.sensors import ROOT, read_sysfs
from . import package_checks as installed
from .finding import Finding, Status

DISTRIBUTIONS = {"cv2": "opencv-python"}
"""Modules whose package has another name."""

HOT = 85.0  # degrees Celsius: Jetsons slow down from about 95 on
LITTLE_MEMORY, NO_MEMORY = 1.0, 0.3  # GiB available
LITTLE_DISK = 1.0  # GiB free


def examine(root: Path = ROOT) -> list[Finding]:
    """Look at everything.

    Parameters
    ----------
    root : of the file system in which devices are looked for
    """
    gpu = open_nvml()
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("Python", installed.check_python),
        ("numpy", installed.check_numpy),
        ("numba", installed.check_numba),
        ("OpenCV", installed.check_opencv),
        ("PyAV", installed.check_av),
        ("onnxruntime", installed.check_onnxruntime),
        ("model", installed.check_model),
        ("GPU", lambda: check_gpu(gpu)),
        ("CUDA", lambda: installed.check_cuda(gpu is not None or l4t_release(root) is not None)),
        ("device", lambda: check_device(root)),
        ("memory", lambda: check_memory(root)),
        ("disk", lambda: check_disk(Path.cwd())),
        ("cameras", lambda: check_cameras(root)),
    ]
    return [finding for name, check in checks for finding in _guarded(name, check)]


def check_gpu(gpu: Nvml | None) -> Iterator[Finding]:
    if gpu is None:
        yield Finding("GPU", "OK", "no NVIDIA driver answers; the network runs on the CPU")
        return
    total, free = gpu.memory
    memory = f", {free / 2**30:.1f} of {total / 2**30:.1f} GiB free" if total else ""
    yield Finding("GPU", "OK", f"{gpu.name}, driver {gpu.driver}{memory}")


def check_device(root: Path) -> Iterator[Finding]:
    """The board, its power mode, and whether it is hot or slowed down now."""
    if model := jetson_model(root):
        l4t = l4t_release(root)
        jetpack = f", L4T {l4t}, JetPack {jetpack_of(l4t) or 'unknown'}" if l4t else ""
        yield Finding("board", "OK", model + jetpack)
    if mode := power_mode(root):
        full = mode.startswith("MAXN")
        fix = "" if full else "`sudo nvpmodel -m 0 && sudo jetson_clocks` for full speed"
        yield Finding("power mode", "OK" if full else "warning", mode, fix)
    sample = read_sysfs(root)
    if sample.temperatures:
        name, degrees = max(sample.temperatures.items(), key=lambda item: item[1])
        hot = degrees > HOT
        yield Finding("temperature", "warning" if hot else "OK", f"{degrees:.0f} C at {name}", "cool it" if hot else "")
    if sample.throttling:
        text = "slowed down now by " + ", ".join(sample.throttling)
        yield Finding("throttling", "warning", text, "cool it, and use the power supply made for it")
    if sample.watts is not None:
        yield Finding("power", "OK", f"{sample.watts:.1f} W")
    elif hidden(root):
        text = "the processor counts its energy, but only root may read it, so profiles tell no power"
        yield Finding("power", "warning", text, "`sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj`")


def check_memory(root: Path) -> Iterator[Finding]:
    lines = (root / "proc/meminfo").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) / 2**20 for line in lines if line.endswith("kB")}
    available = sizes["MemAvailable"]
    status: Status = "problem" if available < NO_MEMORY else "warning" if available < LITTLE_MEMORY else "OK"
    fix = "" if status == "OK" else "close other programs, or add swap"
    yield Finding("memory", status, f"{available:.1f} of {sizes['MemTotal']:.1f} GiB available", fix)


def check_disk(folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free / 2**30
    little = free < LITTLE_DISK
    yield Finding(
        "disk",
        "warning" if little else "OK",
        f"{free:.1f} GiB free here",
        "free some, or write results elsewhere" if little else "",
    )


def check_cameras(root: Path) -> Iterator[Finding]:
    names = sorted((root / "sys/class/video4linux").glob("video*"))
    if not names:
        yield Finding("cameras", "OK", "none at /dev/video*; files, RTSP and HTTP work without")
    for entry in names:
        device = root / "dev" / entry.name
        label = f"{entry.name}: {(entry / 'name').read_text().strip()}"
        if os.access(device, os.R_OK | os.W_OK):
            yield Finding("camera", "OK", label)
        else:
            fix = "`sudo usermod -aG video $USER`, then log in again; in a container, pass the device in"
            yield Finding("camera", "warning", f"{label}, may not be opened", fix)


def _guarded(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Run a check; what it raises is itself a finding."""
    try:
        yield from check()
    except ShlsError as error:  # says what to do
        yield Finding(name, "problem", str(error))
    except ImportError as error:
        package = DISTRIBUTIONS.get(error.name or "", error.name or name.lower())
        fix = f"`pip install --force-reinstall {package}`"
        yield Finding(name, "problem", f"cannot be imported ({error})", fix)
    except Exception as error:  # whatever is broken here, the other lines must still come
        yield Finding(name, "problem", f"cannot be examined ({error})", "reinstall shls")
