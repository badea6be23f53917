"""Finding TensorRT, and hearing what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..errors import MissingDependency
from ..models.engine_info import Machine
from .cudart import Cuda

if TYPE_CHECKING:
    import tensorrt


class TensorRT(Protocol):
    """What is used of TensorRT's module; that of TensorRT for RTX has the same names.

    The types are those of the package `tensorrt-stubs`, of version 10.13: what came later or went earlier is asked
    for by name.
    """

    Builder: type[tensorrt.Builder]
    BuilderFlag: type[tensorrt.BuilderFlag]
    ILogger: type[tensorrt.ILogger]
    IProgressMonitor: type[tensorrt.IProgressMonitor]
    MemoryPoolType: type[tensorrt.MemoryPoolType]
    NetworkDefinitionCreationFlag: type[tensorrt.NetworkDefinitionCreationFlag]
    OnnxParser: type[tensorrt.OnnxParser]
    ProfilingVerbosity: type[tensorrt.ProfilingVerbosity]
    Runtime: type[tensorrt.Runtime]
    float32: tensorrt.DataType


def load_tensorrt() -> TensorRT:
    """Import TensorRT's Python module; raises MissingDependency where it is not installed."""
    try:
        import tensorrt

        return tensorrt
    except ImportError as error:
        raise MissingDependency(
            f"TensorRT is not installed ({error}); on a Jetson it comes with JetPack (make the environment "
            "with --system-site-packages), elsewhere run `pip install 'shls[trt]'`"
        ) from error


def this_machine(trt: TensorRT, cuda: Cuda) -> Machine:
    """What an engine built here is tied to."""
    return Machine(cuda.name, cuda.compute_capability, str(vars(trt)["__version__"]))  # it has one, its stubs do not


def make_logger(trt: TensorRT, lines: list[str], verbose: bool = False) -> tensorrt.ILogger:
    """Make a logger that keeps warnings and errors, or everything, as lines `SEVERITY: message`."""
    least = trt.ILogger.Severity.VERBOSE if verbose else trt.ILogger.Severity.WARNING

    class Logger(trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: tensorrt.ILogger.Severity, message: str) -> None:
            if int(severity) <= int(least):  # the graver, the smaller
                lines.append(f"{severity.name}: {message}")

    return Logger()
