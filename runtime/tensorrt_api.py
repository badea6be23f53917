"""Finding TensorRT, and hearing what it says."""

from __future__ import annotations

import importlib
from typing import Any

from shls.runtime.cuda import Cuda
from shls.runtime.errors import MissingDependency
from shls.runtime.sidecar import Machine


def load_tensorrt() -> Any:
    """Import TensorRT's Python module; raises MissingDependency where it is not installed."""
    try:
        return importlib.import_module("tensorrt")
    except ImportError as error:
        raise MissingDependency(
            f"TensorRT is not installed ({error}); on a Jetson it comes with JetPack (make the environment "
            "with --system-site-packages), elsewhere run `pip install 'shls[trt]'`"
        ) from error


def this_machine(trt: Any, cuda: Cuda) -> Machine:
    """What an engine built here is tied to."""
    return Machine(cuda.name, cuda.compute_capability, str(trt.__version__))


def make_logger(trt: Any, lines: list[str], verbose: bool = False) -> Any:
    """Make a logger that keeps warnings and errors, or everything, as lines `SEVERITY: message`."""
    least = trt.ILogger.Severity.VERBOSE if verbose else trt.ILogger.Severity.WARNING

    class Logger(trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(least):  # the graver, the smaller
                lines.append(f"{severity.name}: {message}")

    return Logger()
