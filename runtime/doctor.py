"""What this machine has and lacks for running: one finding a line, with the fix.

No check may fail because something is missing: that is what it reports.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal, NamedTuple

from shls.runtime.devices import ROOT, jetpack_of, jetson_model, l4t_release, power_mode, read_sysfs
from shls.runtime.nvml import Nvml, open_nvml
from shls.runtime.powercap import hidden

Status = Literal["OK", "warning", "problem"]
IDENTITY = (
    b'\x08\x08:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x12"
)
"""The smallest ONNX model, y = x for one float: tells which providers really start."""
HOT = 85.0  # degrees Celsius: Jetsons slow down from about 95 on
LITTLE_MEMORY, NO_MEMORY = 1.0, 0.3  # GiB available
LITTLE_DISK = 1.0  # GiB free


class Finding(NamedTuple):
    """One line of the report; `fix` is empty where there is nothing to do."""

    name: str
    status: Status
    text: str
    fix: str = ""


def examine(root: Path = ROOT) -> list[Finding]:
    """Look at everything.

    Parameters
    ----------
    root : of the file system in which devices are looked for
    """
    gpu = open_nvml()
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("Python", check_python),
        ("numpy", check_numpy),
        ("numba", check_numba),
        ("OpenCV", check_opencv),
        ("PyAV", check_av),
        ("onnxruntime", check_onnxruntime),
        ("model", check_model),
        ("GPU", lambda: check_gpu(gpu)),
        ("CUDA", lambda: check_cuda(gpu is not None or l4t_release(root) is not None)),
        ("device", lambda: check_device(root)),
        ("memory", lambda: check_memory(root)),
        ("disk", lambda: check_disk(Path.cwd())),
        ("cameras", lambda: check_cameras(root)),
    ]
    return [finding for name, check in checks for finding in _guarded(name, check)]


def check_python() -> Iterator[Finding]:
    text = f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores"
    old = sys.version_info < (3, 10)
    yield Finding("Python", "problem" if old else "OK", text, "install Python 3.10 or later" if old else "")


def check_numpy() -> Iterator[Finding]:
    import numpy

    yield Finding("numpy", "OK", numpy.__version__)


def check_numba() -> Iterator[Finding]:
    import numba

    from shls.runtime import kernels

    layers = ", ".join(kernels.threading_layers())
    text = f"{numba.__version__}, {numba.get_num_threads()} threads, threading layers {layers}"
    if kernels.safe():
        yield Finding("numba", "OK", text)
    else:
        fix = "`pip install tbb`, or `apt install libgomp1`; leave NUMBA_THREADING_LAYER unset"
        yield Finding("numba", "warning", f"{text}: segmenters in several threads wait for each other", fix)
    try:
        from shls.runtime import pooling
    except RuntimeError as error:  # numba's own word where no folder is writable
        fix = "set NUMBA_CACHE_DIR to a folder that may be written"
        yield Finding("numba cache", "problem", f"compiled kernels cannot be kept ({error})", fix)
    else:
        yield Finding("numba cache", "OK", str(pooling._unit_rows.stats.cache_path))


def check_opencv() -> Iterator[Finding]:
    import cv2

    built = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in cv2.getBuildInformation().splitlines())
    }
    yield Finding("OpenCV", "OK", f"{cv2.__version__}, FFmpeg {built.get('FFMPEG', 'NO')}")
    gui = built.get("GUI", "NONE")
    if gui == "NONE":
        yield Finding("windows", "warning", "this OpenCV has none: no marking with the mouse", "install opencv-python")
    else:
        yield Finding("windows", "OK", f"{gui}, where there is a display")
    from shls.runtime.feeds import has_gstreamer  # needs more than OpenCV: the lines above must not

    if has_gstreamer():
        yield Finding("GStreamer", "OK", "in OpenCV: csi:// cameras work")
    else:
        jetson = l4t_release() is not None
        yield Finding(
            "GStreamer",
            "warning" if jetson else "OK",
            "not in this OpenCV, so csi:// cameras are not reachable; USB cameras, RTSP and HTTP are",
            "use the system's OpenCV: `apt install python3-opencv`, and a venv with --system-site-packages"
            if jetson
            else "",
        )


def check_av() -> Iterator[Finding]:
    import av

    text = f"{av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"
    if "libx264" in av.codecs_available:
        yield Finding("PyAV", "OK", f"{text}, H.264 encoder")
    else:
        yield Finding("PyAV", "warning", f"{text}, no H.264 encoder: no overlay video", "`pip install av`")


def check_onnxruntime() -> Iterator[Finding]:
    names = {str(one.metadata["Name"]).lower() for one in distributions() if one.metadata["Name"]}
    found = sorted(name for name in names if name in ORT_DISTRIBUTIONS)
    if not found:
        yield Finding("onnxruntime", "problem", "not installed", "`pip install 'shls[cpu]'`")
        return
    if len(found) > 1:
        yield Finding(
            "onnxruntime",
            "problem",
            f"{' and '.join(found)} are installed over each other",
            f"`pip uninstall -y {' '.join(found)}`, then install one of them",
        )
    import onnxruntime

    yield Finding("onnxruntime", "OK", f"{onnxruntime.__version__} ({', '.join(found)})")
    for provider in onnxruntime.get_available_providers():
        if provider != "AzureExecutionProvider":  # calls servers; nothing runs on it here
            yield _try_provider(onnxruntime, provider)


ORT_DISTRIBUTIONS = frozenset(
    {"onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-training"}
)
"""Distributions that all write into one folder, `onnxruntime`."""


def _try_provider(onnxruntime: Any, provider: str) -> Finding:
    """Start a session on a provider: that one is listed does not mean that it works."""
    name = provider.removesuffix("ExecutionProvider")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        running = onnxruntime.InferenceSession(IDENTITY, options, providers=[provider]).get_providers()
    except Exception as error:  # onnxruntime's exceptions share no base class but Exception
        running = [str(error)]
    if provider in running:
        return Finding(f"  {name}", "OK", "works")
    return Finding(
        f"  {name}",
        "warning",
        "is listed but does not start, so the network would run on the CPU",
        "install the CUDA, cuDNN and TensorRT of this onnxruntime, or `pip install onnxruntime`",
    )


def check_model() -> Iterator[Finding]:
    from shls.runtime.segmenter import SHIPPED_MODEL
    from shls.runtime.session import open_session

    contract = open_session(SHIPPED_MODEL, threads=1).contract
    text = f"{contract.network}, {contract.precision}, {contract.width}x{contract.height}"
    yield Finding("shipped model", "OK", text)


def check_gpu(gpu: Nvml | None) -> Iterator[Finding]:
    if gpu is None:
        yield Finding("GPU", "OK", "no NVIDIA driver answers; the network runs on the CPU")
        return
    total, free = gpu.memory
    memory = f", {free / 2**30:.1f} of {total / 2**30:.1f} GiB free" if total else ""
    yield Finding("GPU", "OK", f"{gpu.name}, driver {gpu.driver}{memory}")


def check_cuda(wanted: bool) -> Iterator[Finding]:
    """CUDA, cuDNN and TensorRT; a lack of them matters only where a GPU is."""
    for name, files, function, fix in LIBRARIES:
        version = _library_version(files, function)
        if version is None and wanted:
            yield Finding(name, "warning", "not found by the loader, so the GPU is not used", fix)
        else:
            yield Finding(name, "OK", version or "not found, and not needed without an NVIDIA GPU")


LIBRARIES = (
    (
        "CUDA",
        ("libcudart.so.13", "libcudart.so.12", "libcudart.so"),
        "cudaRuntimeGetVersion",
        "install CUDA, or on a Jetson `apt install nvidia-jetpack`",
    ),
    ("cuDNN", ("libcudnn.so.9", "libcudnn.so.8", "libcudnn.so"), "cudnnGetVersion", "install cuDNN 9"),
    (
        "TensorRT",
        ("libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so.8", "libnvinfer.so"),
        "getInferLibVersion",
        "`pip install 'shls[trt]'`, or on a Jetson `apt install nvidia-jetpack`",
    ),
)
"""Name, files newest first, the function that tells the version, the fix."""


def _library_version(files: tuple[str, ...], function: str) -> str | None:
    for file in files:
        try:
            library = ctypes.CDLL(file)
            if function == "cudaRuntimeGetVersion":  # writes it; the others return it
                number = ctypes.c_int()
                library.cudaRuntimeGetVersion(ctypes.byref(number))
                return f"{number.value // 1000}.{number.value % 1000 // 10}"
            return f"{file}, version number {getattr(library, function)()}"
        except (OSError, AttributeError):
            continue
    return None


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


DISTRIBUTIONS = {"cv2": "opencv-python"}
"""Modules whose package has another name."""


def _guarded(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Run a check; what it raises is itself a finding."""
    try:
        yield from check()
    except ImportError as error:
        package = DISTRIBUTIONS.get(error.name or "", error.name or name.lower())
        fix = f"`pip install --force-reinstall {package}`"
        yield Finding(name, "problem", f"cannot be imported ({error})", fix)
    except Exception as error:  # whatever is broken here, the other lines must still come
        yield Finding(name, "problem", f"cannot be examined ({error})", "reinstall shls")
