"""Checks of the GPU, its libraries and TensorRT's Python module for `shls doctor`."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator

from ..hardware.jetson import system_of
from ..hardware.nvml import Nvml
from .finding import Finding

LIBRARIES = (
    (
        "CUDA",
        ("libcudart.so.13", "libcudart.so.12", "libcudart.so"),
        "cudaRuntimeGetVersion",
        "install CUDA, on a Jetson with `apt install nvidia-jetpack`",
    ),
    ("cuDNN", ("libcudnn.so.9", "libcudnn.so.8", "libcudnn.so"), "cudnnGetVersion", "install cuDNN 9"),
    (
        "TensorRT",
        ("libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so.8", "libnvinfer.so"),
        "getInferLibVersion",
        "run `pip install 'tensorrt<12'`, on a Jetson `apt install nvidia-jetpack`",
    ),
)
"""Name, file names from new to old, function that returns the version, fix."""
NOT_NEEDED = "not needed without an NVIDIA GPU"


def check_gpu(gpu: Nvml | None, present: bool) -> Iterator[Finding]:
    """Check the first NVIDIA GPU.

    Parameters
    ----------
    gpu : first GPU, None if NVML gives no readings
    present : True if an NVIDIA driver runs

    Examples
    --------
    >>> [finding.status for finding in check_gpu(None, present=True)]
    ['warning']
    """
    if gpu is not None:
        total, free = gpu.memory
        memory = f", {free / 2**30:.1f} of {total / 2**30:.1f} GiB free" if total else ""
        yield Finding("GPU", "OK", f"{gpu.name}, driver {gpu.driver}{memory}")
    elif present:
        text = "an NVIDIA driver runs, but NVML gives no readings, so profiles have no clocks of the GPU"
        yield Finding("GPU", "warning", text, "run `pip install nvidia-ml-py`; JetPack before 7 has no NVML")
    else:
        yield Finding("GPU", "OK", "no NVIDIA driver; the networks run on the CPU")


def check_cuda(wanted: bool) -> Iterator[Finding]:
    """Check the shared libraries of CUDA, cuDNN and TensorRT.

    Parameters
    ----------
    wanted : True if a GPU is present, so that a missing library is a warning

    Examples
    --------
    >>> [finding.name for finding in check_cuda(wanted=False)]
    ['CUDA', 'cuDNN', 'TensorRT']
    """
    for name, files, function, fix in LIBRARIES:
        version = _library_version(files, function)
        if version is None and wanted:
            yield Finding(name, "warning", "library not found, so the GPU is not used", fix)
        else:
            yield Finding(name, "OK", version or f"library not found, and {NOT_NEEDED}")


def check_tensorrt(wanted: bool, l4t: str | None = None) -> Iterator[Finding]:
    """Check TensorRT's Python module, which loads engines and builds them; on a Jetson also that it is JetPack's.

    Parameters
    ----------
    wanted : True if a GPU is present, so that a missing module is a warning
    l4t : L4T's version, on a Jetson

    Examples
    --------
    >>> [finding.name for finding in check_tensorrt(wanted=True)]
    ['TensorRT module']
    """
    name = "TensorRT module"
    fix = (
        "run `pip install 'tensorrt<12'`; on a Jetson make the environment with --system-site-packages, "
        "so that it has the module of JetPack"
    )
    system, running = system_of(l4t) if l4t else None, ".".join(map(str, sys.version_info[:2]))
    if system and system[0] != running:
        text = f"JetPack's module is for Python {system[0]}, this is Python {running}"
        fix = f"make the environment with `python{system[0]} -m venv --system-site-packages`"
        yield Finding(name, "warning", f"{text}, so engines cannot be built or run", fix)
        return
    try:
        import tensorrt

        tensorrt.Logger()
        version = str(vars(tensorrt)["__version__"])
        if system and not f"{version}.".startswith(f"{system[1]}."):
            text = f"{version}, but JetPack's is {system[1]}, so the module belongs to another TensorRT"
            yield Finding(name, "warning", text, "run `pip uninstall tensorrt`, so that JetPack's module is found")
        else:
            yield Finding(name, "OK", version)
    except ImportError as error:
        if wanted:
            yield Finding(name, "warning", f"cannot be imported ({error}), so engines cannot be built or run", fix)
        else:
            yield Finding(name, "OK", f"not installed, and {NOT_NEEDED}")
    except Exception as error:  # a module without its libraries fails in many ways
        yield Finding(name, "warning", f"cannot be used ({error}), so engines cannot be built or run", fix)


def _library_version(files: tuple[str, ...], function: str) -> str | None:
    """Load the first library that is found and return its version, or None."""
    for file in files:
        try:
            library = ctypes.CDLL(file)
            if function == "cudaRuntimeGetVersion":  # writes the version; the other functions return it
                number = ctypes.c_int()
                library.cudaRuntimeGetVersion(ctypes.byref(number))
                return f"{number.value // 1000}.{number.value % 1000 // 10}"
            return f"{file}, version number {getattr(library, function)()}"
        except (OSError, AttributeError):
            continue
    return None
