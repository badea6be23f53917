"""Import TensorRT and collect its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .._support.extras import install_hint
from ..errors import MissingDependency
from ..models.engine_info import Machine
from .cudart import Cuda

if TYPE_CHECKING:
    import tensorrt


class TensorRT(Protocol):
    """The parts of TensorRT's module that are used; TensorRT for RTX has the same names.

    The types are those of the package `tensorrt-stubs` 10.13. A member that not every version has is looked up by name.

    Examples
    --------
    >>> trt: TensorRT = load_tensorrt()  # doctest: +SKIP
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
    """Import TensorRT's Python module.

    Raises
    ------
    MissingDependency
        If the module is not installed.

    Examples
    --------
    >>> load_tensorrt().__version__  # doctest: +SKIP
    '10.3.0'
    """
    try:
        import tensorrt

        return tensorrt
    except ImportError as error:
        raise MissingDependency(
            f"TensorRT: its Python module cannot be imported ({error}). A Jetson has it from JetPack: make the "
            f"environment with --system-site-packages. Elsewhere: {install_hint('trt')}."
        ) from error


def this_machine(trt: TensorRT, cuda: Cuda) -> Machine:
    """Return the GPU and the version of TensorRT that an engine built here is tied to.

    Parameters
    ----------
    trt : TensorRT's module
    cuda : CUDA runtime

    Examples
    --------
    >>> this_machine(load_tensorrt(), Cuda()).gpu  # doctest: +SKIP
    'Orin'
    """
    version = vars(trt)["__version__"]  # missing in the stubs
    return Machine(cuda.name, cuda.compute_capability, str(version))


def make_logger(trt: TensorRT, lines: list[str], verbose: bool = False) -> tensorrt.ILogger:
    """Make a logger that appends TensorRT's messages to a list.

    Parameters
    ----------
    trt : TensorRT's module
    lines : list that receives lines `SEVERITY: message`
    verbose : True for all messages, False for warnings and errors

    Examples
    --------
    >>> lines: list[str] = []
    >>> runtime = load_tensorrt().Runtime(make_logger(load_tensorrt(), lines))  # doctest: +SKIP
    """
    least = trt.ILogger.Severity.VERBOSE if verbose else trt.ILogger.Severity.WARNING

    class Logger(trt.ILogger):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: tensorrt.ILogger.Severity, message: str) -> None:
            if int(severity) <= int(least):  # a graver severity has a smaller number
                lines.append(f"{severity.name}: {message}")

    return Logger()
