"""Checks of Python, its packages and the shipped model for `shls doctor`.

Each check imports its package itself, because the package may be missing.
"""

from __future__ import annotations

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
"""Smallest ONNX model, y = x for one float. Sessions on it show which providers really start."""

ORT_DISTRIBUTIONS = frozenset(
    {"onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-training"}
)
"""Packages that all write into one folder, `onnxruntime`."""

OPENCV_DISTRIBUTIONS = frozenset(
    {"opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"}
)
"""Packages that all write into one folder, `cv2`."""


def check_python() -> Iterator[Finding]:
    """Check Python's version.

    Examples
    --------
    >>> [finding.status for finding in check_python()]
    ['OK']
    """
    text = f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores"
    old = sys.version_info < (3, 10)
    yield Finding("Python", "problem" if old else "OK", text, "install Python 3.10 or later" if old else "")


def check_numpy() -> Iterator[Finding]:
    """Check that numpy loads.

    Examples
    --------
    >>> [finding.name for finding in check_numpy()]
    ['numpy']
    """
    import numpy

    yield Finding("numpy", "OK", numpy.__version__)


def check_numba() -> Iterator[Finding]:
    """Check numba's threading layers and the folder of compiled kernels.

    Examples
    --------
    >>> [finding.name for finding in check_numba()]
    ['numba', 'numba cache']
    """
    import numba

    from .._support import threading_layer as kernels

    layers = ", ".join(kernels.threading_layers())
    text = f"{numba.__version__}, {numba.get_num_threads()} threads, threading layers {layers}"
    if kernels.safe():
        yield Finding("numba", "OK", text)
    else:
        fix = "run `pip install tbb` or `apt install libgomp1`; leave NUMBA_THREADING_LAYER unset"
        yield Finding("numba", "warning", f"{text}: segmenters in several threads wait for each other", fix)
    try:
        from ..features import pooling
    except RuntimeError as error:  # numba raises this where no folder is writable
        fix = "set NUMBA_CACHE_DIR to a folder that is writable"
        yield Finding("numba cache", "problem", f"compiled kernels cannot be stored ({error})", fix)
    else:
        yield Finding("numba cache", "OK", str(pooling._unit_rows.stats.cache_path))


def check_opencv() -> Iterator[Finding]:
    """Check OpenCV: duplicate packages, windows and GStreamer.

    Examples
    --------
    >>> [finding.name for finding in check_opencv()][-3:]
    ['OpenCV', 'windows', 'GStreamer']
    """
    yield from _conflict("OpenCV", _packages(OPENCV_DISTRIBUTIONS))
    import cv2

    built = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in cv2.getBuildInformation().splitlines())
    }
    yield Finding("OpenCV", "OK", f"{cv2.__version__}, FFmpeg {built.get('FFMPEG', 'NO')}")
    gui = built.get("GUI", "NONE")
    if gui == "NONE":
        yield Finding("windows", "warning", "this OpenCV has no windows", "run `pip install opencv-python`")
    else:
        yield Finding("windows", "OK", f"{gui}, if there is a display")
    from ..io.capture import has_gstreamer  # needs further packages, and the lines above must not

    if has_gstreamer():
        yield Finding("GStreamer", "OK", "in OpenCV, so csi:// cameras work")
    else:
        jetson = l4t_release() is not None
        yield Finding(
            "GStreamer",
            "warning" if jetson else "OK",
            "not in this OpenCV, so csi:// cameras do not work; USB cameras, RTSP and HTTP do",
            "use the system's OpenCV: run `apt install python3-opencv` and make a venv with --system-site-packages"
            if jetson
            else "",
        )


def check_av() -> Iterator[Finding]:
    """Check PyAV and its H.264 encoder.

    Examples
    --------
    >>> [finding.name for finding in check_av()]
    ['PyAV']
    """
    import av

    text = f"{av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"
    if "libx264" in av.codecs_available:
        yield Finding("PyAV", "OK", f"{text}, H.264 encoder")
    else:
        yield Finding(
            "PyAV",
            "warning",
            f"{text}, no H.264 encoder, so no overlay video",
            "run `pip install --force-reinstall av`",
        )


def check_onnxruntime() -> Iterator[Finding]:
    """Check onnxruntime: duplicate packages, and a session on each of its providers.

    Examples
    --------
    >>> "onnxruntime" in {finding.name for finding in check_onnxruntime()}
    True
    """
    found = _packages(ORT_DISTRIBUTIONS)
    if not found:
        yield Finding("onnxruntime", "problem", "not installed", "run `pip install onnxruntime`")
        return
    yield from _conflict("onnxruntime", found)
    import onnxruntime

    yield Finding("onnxruntime", "OK", f"{onnxruntime.__version__} ({', '.join(found)})")
    for provider in onnxruntime.get_available_providers():
        if provider != "AzureExecutionProvider":  # a client of servers, never used here
            yield _try_provider(onnxruntime, provider)


def check_model() -> Iterator[Finding]:
    """Check that the shipped embedding can be opened.

    Examples
    --------
    >>> [finding.text for finding in check_model()]
    ['shls-edge, fp32, 864x480']
    """
    from ..backends.base import open_session
    from ..backends.pretrained import SHIPPED_MODEL

    contract = open_session(SHIPPED_MODEL, threads=1).contract
    text = f"{contract.network}, {contract.precision}, {contract.width}x{contract.height}"
    yield Finding("shipped model", "OK", text)


def _packages(family: frozenset[str]) -> list[str]:
    """List the installed packages of a family, sorted."""
    names = {str(one.metadata["Name"]).lower() for one in distributions() if one.metadata["Name"]}
    return sorted(names & family)


def _conflict(name: str, packages: list[str]) -> Iterator[Finding]:
    """Report two or more packages that write into one folder."""
    if len(packages) > 1:
        text = f"{' and '.join(packages)} are installed over each other"
        yield Finding(name, "problem", text, f"run `pip uninstall -y {' '.join(packages)}`, then install one of them")


def _try_provider(onnxruntime: Any, provider: str) -> Finding:
    """Start a session on a provider, because a listed provider may fail to start."""
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
        "listed but does not start, so the networks would run on the CPU",
        "install the versions of CUDA, cuDNN and TensorRT that this onnxruntime needs, or use --device cpu",
    )
