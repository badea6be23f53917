"""Optional packages: the extras of shls, and the sentence that says how to install one."""

from __future__ import annotations

import importlib.util
import shlex

from ..errors import MissingDependency

OPENCV = "opencv-python>=4.7"
ONNXRUNTIME = "onnxruntime>=1.18"
NVML = "nvidia-ml-py>=12.535"
EXTRAS = {
    "cpu": (ONNXRUNTIME, OPENCV),
    "gpu": ("onnxruntime-gpu>=1.18", OPENCV, NVML),
    "trt": ("tensorrt>=10.3,<12", NVML),
    "train": ("torch>=2.6", "safetensors>=0.4", "tensorboard>=2.18", ONNXRUNTIME, OPENCV),
    "report": ("jinja2>=3.1",),
    "serve": ("starlette>=0.40", "uvicorn>=0.35", "websockets>=13"),
    "ray": ("ray>=2.40",),
    "remote": ("fsspec>=2023.1",),
    "supervision": ("supervision>=0.27",),
    "cvat": ("cvat-sdk>=2.31",),
    "export": ("torch>=2.6", "safetensors>=0.4", "onnx>=1.17", "onnxscript>=0.6.2", ONNXRUNTIME, OPENCV),
}
"""Packages of each extra that commands ask for, as in pyproject.toml."""
IMPORTED = {
    "cv2": "cpu",
    "onnxruntime": "cpu",
    "onnx": "export",
    "onnxscript": "export",
    "torch": "train",
    "starlette": "serve",
    "uvicorn": "serve",
    "websockets": "serve",
}
"""Name of a module -> the extra that brings the module."""


def install_hint(extra: str) -> str:
    """Return the sentence that says how to install an extra; it is true for a checkout and for a wheel.

    Parameters
    ----------
    extra
        A key of `EXTRAS`.

    Examples
    --------
    >>> install_hint("trt")
    "Install the extra 'trt' of shls: `pip install 'tensorrt>=10.3,<12' 'nvidia-ml-py>=12.535'`"
    """
    return f"Install the extra {extra!r} of shls: `pip install {shlex.join(EXTRAS[extra])}`"


def require(module: str, extra: str) -> None:
    """Raise MissingDependency if a module is not installed; the module is not imported.

    Examples
    --------
    >>> require("numpy", "cpu")
    """
    if importlib.util.find_spec(module) is None:
        raise MissingDependency(f"{module}: not installed. {install_hint(extra)}")


def missing(error: ModuleNotFoundError) -> MissingDependency | None:
    """Return the error that says how to install a module; None for a module that no extra brings.

    Examples
    --------
    >>> str(missing(ModuleNotFoundError(name="cv2"))).split(". ")[0]
    'cv2: not installed'
    """
    module = (error.name or "").partition(".")[0]
    if module not in IMPORTED:
        return None
    hint = install_hint(IMPORTED[module])
    if module == "cv2":
        hint += ", or the system's OpenCV with GStreamer for csi:// cameras: `apt install python3-opencv`"
    return MissingDependency(f"{module}: not installed. {hint}")
