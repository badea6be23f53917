"""The doctor's checks of what is installed: Python, its packages, CUDA's libraries, the shipped model.

Each imports what it looks at itself, since that may be missing.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from typing import Any

from ..hardware.jetson import l4t_release
from .finding import Finding

IDENTITY = (
    b'\x08\x08:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x12"
)
"""The smallest ONNX model, y = x for one float: tells which providers really start."""

ORT_DISTRIBUTIONS = frozenset(
    {"onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-training"}
)
"""Distributions that all write into one folder, `onnxruntime`."""

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


def check_python() -> Iterator[Finding]:
    text = f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores"
    old = sys.version_info < (3, 10)
    yield Finding("Python", "problem" if old else "OK", text, "install Python 3.10 or later" if old else "")


def check_numpy() -> Iterator[Finding]:
    import numpy

    yield Finding("numpy", "OK", numpy.__version__)


def check_numba() -> Iterator[Finding]:
    import numba

    from .._support import threading_layer as kernels

    layers = ", ".join(kernels.threading_layers())
    text = f"{numba.__version__}, {numba.get_num_threads()} threads, threading layers {layers}"
    if kernels.safe():
        yield Finding("numba", "OK", text)
    else:
        fix = "`pip install tbb`, or `apt install libgomp1`; leave NUMBA_THREADING_LAYER unset"
        yield Finding("numba", "warning", f"{text}: segmenters in several threads wait for each other", fix)
    try:
        from ..features import pooling
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
    from ..io.capture import has_gstreamer  # needs more than OpenCV: the lines above must not

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


def check_model() -> Iterator[Finding]:
    from ..backends.base import open_session
    from ..backends.pretrained import SHIPPED_MODEL

    contract = open_session(SHIPPED_MODEL, threads=1).contract
    text = f"{contract.network}, {contract.precision}, {contract.width}x{contract.height}"
    yield Finding("shipped model", "OK", text)


def check_cuda(wanted: bool) -> Iterator[Finding]:
    """CUDA, cuDNN and TensorRT; a lack of them matters only where a GPU is."""
    for name, files, function, fix in LIBRARIES:
        version = _library_version(files, function)
        if version is None and wanted:
            yield Finding(name, "warning", "not found by the loader, so the GPU is not used", fix)
        else:
            yield Finding(name, "OK", version or "not found, and not needed without an NVIDIA GPU")


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
