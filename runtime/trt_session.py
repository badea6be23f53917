"""Engines under TensorRT 10.3 to 11: named tensors, own stream, CUDA graph.

No GPU was at hand when this was written: nothing here has run on one yet. The tests run it against stand-ins
for libcudart and TensorRT that record the calls.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shls.runtime.contract import Contract
from shls.runtime.cuda import TO_DEVICE, TO_HOST, Cuda
from shls.runtime.errors import ContractMismatch, DeviceUnavailable
from shls.runtime.sidecar import check_engine
from shls.runtime.tensorrt_api import TensorRT, load_tensorrt, make_logger, this_machine

if TYPE_CHECKING:
    import tensorrt


class TrtSession:
    """An engine on the GPU; see `shls.runtime.session.Session`.

    It owns its stream, its buffers and its graph until `close`. Where GPU and CPU share memory, as on a
    Jetson, the engine reads and writes the mapped host buffers and nothing is copied.

    Parameters
    ----------
    engine : path of an engine with its description beside it
    trt : TensorRT's module, where it is not the installed one
    cuda : the CUDA runtime, where it is not the installed one

    Raises
    ------
    ContractMismatch, BadInput
        If the engine does not belong to this machine or is damaged; before it is deserialised.
    DeviceUnavailable
        If there is no GPU, or it fails.
    MissingDependency
        If TensorRT or the CUDA runtime is not installed.
    """

    def __init__(self, engine: Path, trt: TensorRT | None = None, cuda: Cuda | None = None) -> None:
        self._trt = trt or load_tensorrt()
        self._cuda = cuda or Cuda()
        machine = this_machine(self._trt, self._cuda)
        self.contract = check_engine(engine, machine).contract
        self.backend = f"TensorRT {machine.tensorrt} on {machine.gpu}"
        self.on_gpu = True
        self._messages: list[str] = []
        self._logger = make_logger(self._trt, self._messages)  # TensorRT keeps no reference of its own
        self._runtime = self._trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine.read_bytes())
        if self._engine is None:
            raise DeviceUnavailable(
                f"{engine}: TensorRT cannot load it ({self._last()}); build it again with `shls export`"
            )
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise DeviceUnavailable(f"{engine}: no room for it on the GPU ({self._last()}); free some memory")
        _check_tensors(engine, self._trt, self._engine, self.contract)
        self._prepare()

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """(1, 3, height, width) float32 -> (D, h, w) float32, unit length along D."""
        np.copyto(self._input, tensor)
        self._cuda.record(self._begin, self._stream)
        self._cuda.launch(self._graph, self._stream)
        self._cuda.record(self._end, self._stream)
        self._cuda.synchronize(self._stream)
        return np.array(self._output[0])  # a copy: the next run writes over the buffer

    @property
    def gpu_milliseconds(self) -> float:
        """Time of the last run on the GPU, with copies both ways where memory is not shared."""
        return self._cuda.elapsed(self._begin, self._end)

    def close(self) -> None:
        """Free everything; the session is of no use afterwards."""
        cuda = self._cuda
        cuda.synchronize(self._stream)
        cuda.destroy_graph(self._graph)
        cuda.destroy_event(self._begin)
        cuda.destroy_event(self._end)
        cuda.destroy_stream(self._stream)
        # The context first, then the memory that it reads; the runtime last.
        del self._context, self._engine, self._runtime
        for address in self._device_memory:
            cuda.free(address)
        del self._input, self._output
        for address in self._host_memory:
            cuda.free_host(address)

    def _prepare(self) -> None:
        """Allocate, hand over the addresses, run once to let TensorRT allocate, and capture the graph."""
        contract, cuda = self.contract, self._cuda
        self._stream, self._begin, self._end = cuda.stream(), cuda.event(), cuda.event()
        cells = contract.height // contract.stride, contract.width // contract.stride
        kind = np.dtype(np.float32)
        self._input, source = cuda.host_array((1, 3, contract.height, contract.width), kind)
        self._output, target = cuda.host_array((1, contract.channels, *cells), kind)
        self._host_memory = [source, target]
        self._device_memory: list[int] = []
        if cuda.integrated:
            self._addresses = [cuda.device_pointer(source), cuda.device_pointer(target)]
        else:
            self._addresses = [cuda.malloc(self._input.nbytes), cuda.malloc(self._output.nbytes)]
            self._device_memory = list(self._addresses)
        for name, address in zip((contract.input, contract.output), self._addresses, strict=True):
            self._context.set_tensor_address(name, address)
        self._enqueue()
        cuda.synchronize(self._stream)
        cuda.begin_capture(self._stream)
        self._enqueue()
        self._graph = cuda.end_capture(self._stream)

    def _enqueue(self) -> None:
        source, target = self._host_memory
        if self._device_memory:
            self._cuda.copy(self._addresses[0], source, self._input.nbytes, TO_DEVICE, self._stream)
        if not self._context.execute_async_v3(self._stream):
            raise DeviceUnavailable(f"TensorRT could not run the engine ({self._last()}); build it again")
        if self._device_memory:
            self._cuda.copy(target, self._addresses[1], self._output.nbytes, TO_HOST, self._stream)

    def _last(self) -> str:
        return self._messages[-1] if self._messages else "it gave no reason"


def _check_tensors(path: Path, trt: TensorRT, engine: tensorrt.ICudaEngine, contract: Contract) -> None:
    """Compare the engine's inputs and outputs with the contract; raises ContractMismatch."""
    cells = contract.height // contract.stride, contract.width // contract.stride
    expected = {
        contract.input: ("INPUT", (1, 3, contract.height, contract.width)),
        contract.output: ("OUTPUT", (1, contract.channels, *cells)),
    }
    names = [engine.get_tensor_name(at) for at in range(engine.num_io_tensors)]
    actual = {name: (engine.get_tensor_mode(name).name, engine.get_tensor_shape(name)[:]) for name in names}
    if actual != expected or any(engine.get_tensor_dtype(name) != trt.float32 for name in names):
        raise ContractMismatch(f"{path}: has tensors {actual}, its contract says {expected} in float32; build it again")
