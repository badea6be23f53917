"""Engines under TensorRT 10.3 to 11: named tensors, a stream of their own, CUDA graphs.

The tests run this module against stand-ins for libcudart and TensorRT; it has not yet run on a GPU. Tests with the
marker `gpu` run where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import ContractMismatch, DeviceUnavailable
from ..models.contract import AnyContract, Contract
from ..models.engine_info import check_engine
from ._outputs import check_finite
from .cudart import TO_DEVICE, TO_HOST, Cuda
from .trt_api import TensorRT, load_tensorrt, make_logger, this_machine

if TYPE_CHECKING:
    import tensorrt

KIND = np.dtype(np.float32)


class Shapes(NamedTuple):
    """Shapes of a network's tensors by name, without their first axis (frames or objects).

    Attributes
    ----------
    inputs : name -> shape
    output : name -> shape, one entry

    Examples
    --------
    >>> Shapes({"image": (3, 480, 864)}, {"features": (64, 120, 216)}).inputs["image"]
    (3, 480, 864)
    """

    inputs: Mapping[str, tuple[int, ...]]
    output: Mapping[str, tuple[int, ...]]


def shapes_of(contract: AnyContract) -> Shapes:
    """Return the shapes of the tensors in a contract.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> from shls.runtime.models.onnx_reader import read_contract
    >>> dict(shapes_of(read_contract(SHIPPED_MODEL)).output)
    {'features': (64, 120, 216)}
    """
    if isinstance(contract, Contract):
        cells = contract.height // contract.stride, contract.width // contract.stride
        return Shapes(contract.inputs, {contract.output: (contract.channels, *cells)})
    return Shapes(contract.inputs, {contract.output: (contract.size, contract.size)})


class _Buffer(NamedTuple):
    """Memory of one tensor: the host's array, its address, and the address that the engine uses."""

    array: np.ndarray
    host: int
    device: int


class _Captured(NamedTuple):
    """CUDA graph of one batch size, and the context that the graph must not outlive."""

    graph: int
    context: tensorrt.IExecutionContext


class TrtEngine:
    """An engine with its buffers, its stream and its CUDA graphs, until `close`.

    Where GPU and CPU share memory, as on a Jetson, the engine reads and writes the mapped host buffers without copies.
    Each number of frames or objects has its own context and graph, made when that number first occurs.

    Attributes
    ----------
    contract : contract of the network
    backend : description of TensorRT and the GPU
    most : number of frames or objects that one run takes at most

    Parameters
    ----------
    engine : path of an engine; its description `NAME.engine.json` is in the same folder
    trt, cuda : TensorRT's module and the CUDA runtime; the installed ones by default

    Raises
    ------
    ContractMismatch, BadInput
        If the engine was built for another machine or is damaged; raised before it is deserialised.
    DeviceUnavailable
        If there is no GPU, or the GPU fails.
    MissingDependency
        If TensorRT or the CUDA runtime is not installed.

    Examples
    --------
    >>> engine = TrtEngine(Path("shls-edge.engine"))  # doctest: +SKIP
    >>> engine.run({"image": np.zeros((1, 3, 480, 864), np.float32)}).shape  # doctest: +SKIP
    (1, 64, 120, 216)
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
                f"{engine}: TensorRT cannot load the engine ({self._last()}). Build it again with `shls export`."
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
        """Run the network once.

        Parameters
        ----------
        inputs : name -> (n, ...) float32, with n frames or objects, 1 to `most`

        Returns
        -------
        (n, ...) float32.

        Raises
        ------
        BadInput
            If the output holds NaN or infinity.
        DeviceUnavailable
            If the GPU fails.
        """
        count = len(next(iter(inputs.values())))
        for name, values in inputs.items():
            np.copyto(self._inputs[name].array[:count], values)
        graph = self._graph(count)
        self._cuda.record(self._begin, self._stream)
        self._cuda.launch(graph, self._stream)
        self._cuda.record(self._end, self._stream)
        self._cuda.synchronize(self._stream)
        output = np.array(self._output.array[:count])  # a copy, because the next run overwrites the buffer
        check_finite(output, self.contract, self._path)
        return output

    @property
    def gpu_milliseconds(self) -> float:
        """Milliseconds of the last run on the GPU, with the copies to and from it where memory is not shared."""
        return self._cuda.elapsed(self._begin, self._end)

    def close(self) -> None:
        """Free the engine and its buffers; the object must not be used afterwards."""
        cuda = self._cuda
        cuda.synchronize(self._stream)
        for captured in self._captured.values():
            cuda.destroy_graph(captured.graph)
        cuda.destroy_event(self._begin)
        cuda.destroy_event(self._end)
        cuda.destroy_stream(self._stream)
        # The contexts go before the memory that they read, and the runtime goes last.
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
        """Return the graph for a number of frames or objects; a first run before its capture lets TensorRT allocate."""
        if count not in self._captured:
            context = self._context(count)
            self._enqueue(context, count)
            self._cuda.synchronize(self._stream)
            self._cuda.begin_capture(self._stream)
            self._enqueue(context, count)
            self._captured[count] = _Captured(self._cuda.end_capture(self._stream), context)
        return self._captured[count].graph

    def _context(self, count: int) -> tensorrt.IExecutionContext:
        """Make a context for one graph, because other shapes in a context invalidate its graph."""
        context = self._engine.create_execution_context()
        if context is None:
            raise DeviceUnavailable(
                f"{self._path}: the GPU's memory is too small ({self._last()}). Close other programs."
            )
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
            raise DeviceUnavailable(
                f"{self._path}: TensorRT cannot run the engine ({self._last()}). Build it again with `shls export`."
            )
        if copies:
            size = self._output.array[:count].nbytes
            self._cuda.copy(self._output.host, self._output.device, size, TO_HOST, self._stream)

    def _last(self) -> str:
        return self._messages[-1] if self._messages else "no reason given"


def _check_tensors(path: Path, trt: TensorRT, engine: tensorrt.ICudaEngine, shapes: Shapes) -> tuple[int, bool]:
    """Compare the engine's tensors with the contract; raises ContractMismatch.

    Returns
    -------
    Number of frames or objects that one run takes at most, and True if every run takes that number.
    """
    expected = {name: ("INPUT", shape) for name, shape in shapes.inputs.items()}
    expected |= {name: ("OUTPUT", shape) for name, shape in shapes.output.items()}
    names = [engine.get_tensor_name(at) for at in range(engine.num_io_tensors)]
    whole = {name: engine.get_tensor_shape(name)[:] for name in names}
    actual = {name: (engine.get_tensor_mode(name).name, whole[name][1:]) for name in names}
    if actual != expected or any(engine.get_tensor_dtype(name) != trt.float32 for name in names):
        raise ContractMismatch(
            f"{path}: tensors differ from the contract (got {actual}, expected {expected} in float32). "
            "Build it again with `shls export`."
        )
    first = next(iter(shapes.inputs))
    if whole[first][0] >= 0:
        return int(whole[first][0]), True
    return int(engine.get_tensor_profile_shape(first, 0)[2][0]), False
