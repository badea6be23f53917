"""Write the description of an engine that another tool built, such as trtexec."""

from __future__ import annotations

from pathlib import Path

from shls.runtime._support.files import check_writable, replace_file, sha256_of
from shls.runtime.backends.cudart import Cuda
from shls.runtime.backends.trt_api import TensorRT, load_tensorrt, this_machine
from shls.runtime.backends.trt_engine import TrtEngine
from shls.runtime.errors import BadInput
from shls.runtime.models.engine_info import Sidecar, sidecar_path, write_sidecar

from .tensorrt_builder import contract_for_tensorrt


def adopt_engine(engine: Path, onnx: Path, *, trt: TensorRT | None = None, cuda: Cuda | None = None) -> Sidecar:
    """Describe an engine that was built on this machine from an ONNX file, so that the runtime loads the engine.

    The engine is loaded once, and its tensors are compared with the contract of the ONNX file. The description is
    kept only if both match. The weights are not compared: `shls verify ONNX ENGINE` does that.

    Parameters
    ----------
    engine
        Engine file, for example of the command that `shls export --via trtexec` prints.
    onnx
        The ONNX file that the engine was built from.
    trt, cuda
        TensorRT's module and the CUDA runtime; the installed ones by default.

    Returns
    -------
    The description as written beside the engine.

    Raises
    ------
    BadInput
        If a file cannot be read, or the description cannot be written.
    ContractMismatch
        If the engine's tensors are not the tensors of the ONNX file.
    DeviceUnavailable, MissingDependency
        If the engine cannot be loaded on this machine, or if there is no GPU, no TensorRT or no CUDA runtime.

    Examples
    --------
    >>> adopt_engine(Path("edge.engine"), Path("edge.onnx")).onnx  # doctest: +SKIP
    'edge.onnx'
    """
    if engine.suffix != ".engine":
        raise BadInput(f"{engine}: wrong suffix (expected NAME.engine). Rename the engine")
    contract, place = contract_for_tensorrt(onnx), sidecar_path(engine)
    digests = sha256_of(onnx), sha256_of(engine)
    check_writable(place)
    trt, cuda = trt or load_tensorrt(), cuda or Cuda()
    sidecar = Sidecar(contract, this_machine(trt, cuda), onnx.name, *digests)
    before = place.read_bytes() if place.exists() else None
    write_sidecar(sidecar, engine)
    try:
        TrtEngine(engine, trt, cuda).close()
    except BaseException:
        if before is None:
            place.unlink()
        else:
            replace_file(place, before)
        raise
    return sidecar
