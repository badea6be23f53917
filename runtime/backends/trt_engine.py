"""Engines under TensorRT 10.3 to 11: named tensors, own stream, CUDA graphs.

No GPU was at hand when this was written: nothing here has run on one yet. The tests run it against stand-ins
for libcudart and TensorRT that record the calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import ContractMismatch, DeviceUnavailable
from ..models.contract import AnyContract, Contract
from ..models.engine_info import check_engine
from .cudart import TO_DEVICE, TO_HOST, Cuda
from .trt_api import TensorRT, load_tensorrt, make_logger, this_machine

if TYPE_CHECKING:
    import tensorrt

KIND = np.dtype(np.float32)


class Shapes(NamedTuple):
    """Of a network's tensors, by name, without their first axis: frames or objects."""

    inputs: Mapping[str, tuple[int, ...]]
    output: Mapping[str, tuple[int, ...]]


def shapes_of(contract: AnyContract) -> Shapes:
    """What a contract says of the tensors."""
    if isinstance(contract, Contract):
        cells = contract.height // contract.stride, contract.width // contract.stride
        return Shapes(contract.inputs, {contract.output: (contract.channels, *cells)})
    return Shapes(contract.inputs, {contract.output: (contract.size, contract.size)})


class _Buffer(NamedTuple):
    """A tensor's memory: the host's array and its address, and the address that the engine uses."""

    array: np.ndarray
    host: int
    device: int


class _Captured(NamedTuple):
    """A batch's work as a graph, and the context that it must not outlive."""

    graph: int
    context: tensorrt.IExecutionContext


class TrtEngine:
    """An engine, its buffers, its stream and its graphs, until `close`.

    Where GPU and CPU share memory, as on a Jetson, the engine reads and writes the mapped host buffers and nothing is
    copied. Each number of frames or objects has a context and a graph of its own, made when it first comes.

    Attributes
    ----------
    contract : of the network
    backend : what runs it, in words
    most : frames or objects that one run takes

    Parameters
    ----------
    engine : path of an engine with its description beside it
    trt, cuda : TensorRT's module and the CUDA runtime, where they are not the installed ones

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
        self._path = engine
        trt, self._cuda = trt or load_tensorrt(), cuda or Cuda()
        machine = this_machine(trt, self._cuda)
        self.contract = check_engine(engine, machine).contract
        self.backend = f"TensorRT {machine.tensorrt} on {machine.gpu}"
        self._messages: list[str] = []
        self._logger = make_logger(trt, self._messages)  # TensorRT keeps no reference of its own
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine.read_bytes())
        if self._engine is None:
            raise DeviceUnavailable(
                f"{engine}: TensorRT cannot load it ({self._last()}); build it again with `shls export`"
            )
        shapes = shapes_of(self.contract)
        self.most, self._fixed = _check_tensors(engine, trt, self._engine, shapes)
        self._stream, self._begin, self._end = self._cuda.stream(), self._cuda.event(), self._cuda.event()
        self._inputs = {name: self._allocate(shape) for name, shape in shapes.inputs.items()}
        ((self._output_name, output),) = shapes.output.items()
        self._output = self._allocate(output)
        self._captured: dict[int, _Captured] = {}
        self._graph(1)

    def run(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Run at most `most` frames or objects, float32, the first axis of each input; the output, likewise."""
        count = len(next(iter(inputs.values())))
        for name, values in inputs.items():
            np.copyto(self._inputs[name].array[:count], values)
        graph = self._graph(count)
        self._cuda.record(self._begin, self._stream)
        self._cuda.launch(graph, self._stream)
        self._cuda.record(self._end, self._stream)
        self._cuda.synchronize(self._stream)
        return np.array(self._output.array[:count])  # a copy: the next run writes over the buffer

    @property
    def gpu_milliseconds(self) -> float:
        """Time of the last run on the GPU, with copies both ways where memory is not shared."""
        return self._cuda.elapsed(self._begin, self._end)

    def close(self) -> None:
        """Free everything; the engine is of no use afterwards."""
        cuda = self._cuda
        cuda.synchronize(self._stream)
        for captured in self._captured.values():
            cuda.destroy_graph(captured.graph)
        cuda.destroy_event(self._begin)
        cuda.destroy_event(self._end)
        cuda.destroy_stream(self._stream)
        # The contexts first, then the memory that they read; the runtime last.
        self._captured.clear()
        del self._engine, self._runtime
        for buffer in (*self._inputs.values(), self._output):
            if not cuda.integrated:
                cuda.free(buffer.device)
        hosts = [buffer.host for buffer in (*self._inputs.values(), self._output)]
        del self._inputs, self._output
        for host in hosts:
            cuda.free_host(host)

    def _allocate(self, shape: tuple[int, ...]) -> _Buffer:
        array, host = self._cuda.host_array((self.most, *shape), KIND)
        integrated = self._cuda.integrated
        return _Buffer(array, host, self._cuda.device_pointer(host) if integrated else self._cuda.malloc(array.nbytes))

    def _graph(self, count: int) -> int:
        """The graph for a number of frames or objects; run once before its capture, to let TensorRT allocate."""
        if count not in self._captured:
            context = self._context(count)
            self._enqueue(context, count)
            self._cuda.synchronize(self._stream)
            self._cuda.begin_capture(self._stream)
            self._enqueue(context, count)
            self._captured[count] = _Captured(self._cuda.end_capture(self._stream), context)
        return self._captured[count].graph

    def _context(self, count: int) -> tensorrt.IExecutionContext:
        """A context of its own: a graph is of no use once its context has seen other shapes."""
        context = self._engine.create_execution_context()
        if context is None:
            raise DeviceUnavailable(f"{self._path}: no room for it on the GPU ({self._last()}); free some memory")
        for name, buffer in self._inputs.items():
            context.set_tensor_address(name, buffer.device)
            if not self._fixed:
                context.set_input_shape(name, (count, *buffer.array.shape[1:]))
        context.set_tensor_address(self._output_name, self._output.device)
        return context

    def _enqueue(self, context: tensorrt.IExecutionContext, count: int) -> None:
        copies = not self._cuda.integrated
        for buffer in self._inputs.values() if copies else ():
            self._cuda.copy(buffer.device, buffer.host, buffer.array[:count].nbytes, TO_DEVICE, self._stream)
        if not context.execute_async_v3(self._stream):
            raise DeviceUnavailable(f"TensorRT could not run the engine ({self._last()}); build it again")
        if copies:
            size = self._output.array[:count].nbytes
            self._cuda.copy(self._output.host, self._output.device, size, TO_HOST, self._stream)

    def _last(self) -> str:
        return self._messages[-1] if self._messages else "it gave no reason"


def _check_tensors(path: Path, trt: TensorRT, engine: tensorrt.ICudaEngine, shapes: Shapes) -> tuple[int, bool]:
    """Compare the engine's tensors with the contract; raises ContractMismatch.

    Returns
    -------
    The most that one run takes, and whether it takes just that.
    """
    expected = {name: ("INPUT", shape) for name, shape in shapes.inputs.items()}
    expected |= {name: ("OUTPUT", shape) for name, shape in shapes.output.items()}
    names = [engine.get_tensor_name(at) for at in range(engine.num_io_tensors)]
    whole = {name: engine.get_tensor_shape(name)[:] for name in names}
    actual = {name: (engine.get_tensor_mode(name).name, whole[name][1:]) for name in names}
    if actual != expected or any(engine.get_tensor_dtype(name) != trt.float32 for name in names):
        raise ContractMismatch(f"{path}: has tensors {actual}, its contract says {expected} in float32; build it again")
    first = next(iter(shapes.inputs))
    if whole[first][0] >= 0:
        return int(whole[first][0]), True
    return int(engine.get_tensor_profile_shape(first, 0)[2][0]), False
