"""Stand-ins for libcudart and TensorRT that compute on the CPU and note the calls."""

# ruff: noqa: N802, N815, ARG005  # the names and the arguments are CUDA's and TensorRT's

from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np


class Function:
    """A C function: has argtypes and restype, returns an error code."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self.argtypes: list[Any] = []
        self.restype: Any = None

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)


class FakeCudart:
    """Memory is the process's own; what a stream is given is done at once, or kept while it is captured."""

    def __init__(self, devices: int = 1, integrated: bool = False) -> None:
        self.calls: list[str] = []
        self.driver = 12060
        self.memory: dict[int, Any] = {}
        self.fails: dict[str, int] = {}
        self.captured: list[Callable[[], None]] | None = None
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self._devices, self._attributes = devices, {75: 8, 76: 7, 18: int(integrated)}
        self._next = 1000

    def __getattr__(self, name: str) -> Function:
        if not name.startswith("cuda") or name == "cudaGetDeviceProperties_v2":
            raise AttributeError(name)
        function = Function(lambda *arguments: self._checked(name, *arguments))
        setattr(self, name, function)
        return function

    def enqueue(self, work: Callable[[], None]) -> None:
        """Do what comes on a stream."""
        if self.captured is None:
            work()
        else:
            self.captured.append(work)

    def _checked(self, name: str, *arguments: Any) -> Any:
        if name == "cudaGetErrorString":
            return b"an illegal memory access was encountered"
        self.calls.append(name)
        if name in self.fails:
            return self.fails[name]
        handler = getattr(self, f"_{name}", None)
        if handler is not None:
            handler(*arguments)
        elif name.endswith(("Create", "CreateWithFlags")):
            arguments[0]._obj.value = self._handle()
        return 0

    def _handle(self) -> int:
        self._next += 1
        return self._next

    def _cudaGetDeviceCount(self, count: Any) -> None:
        count._obj.value = self._devices

    def _cudaDriverGetVersion(self, value: Any) -> None:
        value._obj.value = self.driver

    def _cudaDeviceGetAttribute(self, value: Any, attribute: int, device: int) -> None:  # noqa: ARG002
        value._obj.value = self._attributes[attribute]

    def _cudaGetDeviceProperties(self, address: int, device: int) -> None:  # noqa: ARG002
        ctypes.memmove(address, b"Orin\0rest of the struct", 24)

    def _cudaMalloc(self, pointer: Any, size: int) -> None:
        memory = (ctypes.c_char * size)()
        pointer._obj.value = ctypes.addressof(memory)
        self.memory[ctypes.addressof(memory)] = memory

    def _cudaHostAlloc(self, pointer: Any, size: int, flags: int) -> None:
        assert flags == 2
        self._cudaMalloc(pointer, size)

    def _cudaHostGetDevicePointer(self, pointer: Any, host: int, flags: int) -> None:  # noqa: ARG002
        pointer._obj.value = host

    def _cudaFree(self, address: int) -> None:
        del self.memory[address]

    _cudaFreeHost = _cudaFree

    def _cudaMemcpyAsync(self, target: int, source: int, size: int, kind: int, stream: int) -> None:  # noqa: ARG002
        self.enqueue(lambda: ctypes.memmove(target, source, size))

    def _cudaEventElapsedTime(self, value: Any, begin: int, end: int) -> None:
        value._obj.value = float(end - begin)

    def _cudaStreamBeginCapture(self, stream: int, mode: int) -> None:  # noqa: ARG002
        self.captured = []

    def _cudaStreamEndCapture(self, stream: int, graph: Any) -> None:  # noqa: ARG002
        graph._obj.value = self._handle()
        self.graphs[graph._obj.value], self.captured = self.captured or [], None

    def _cudaGraphInstantiateWithFlags(self, executable: Any, graph: Any, flags: int) -> None:  # noqa: ARG002
        executable._obj.value = self._handle()
        self.graphs[executable._obj.value] = self.graphs[graph.value]

    def _cudaGraphLaunch(self, executable: int, stream: int) -> None:  # noqa: ARG002
        for work in self.graphs[executable]:
            work()


class Severity(IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class FakeTensorrt:
    """TensorRT's module for one network, of one of two kinds.

    An embedding's features are sums of the input's cells of 4 by 4, plus the channel. A refiner's logits are sums of
    the crop's channels, plus the first number of its features; one run takes up to three objects.

    weak : what a version 10 has besides, flags for precision
    parses, builds : what comes of the next network; builds may depend on whether it is strongly typed
    """

    def __init__(self, cudart: FakeCudart, weak: bool = False, refiner: bool = False) -> None:
        self.__version__ = "10.3.0" if weak else "11.4.1"
        self.cudart, self.log, self.timings = cudart, [], b"timings"
        self.parses, self.builds = True, {True: True, False: True}
        self.float32 = "float32"
        self.shapes = {"image": (1, 3, 64, 96), "features": (1, 8, 16, 24)}
        if refiner:
            self.shapes = {"crops": (-1, 11, 32, 32), "features": (-1, 8, 8, 8), "logits": (-1, 32, 32)}
        self.inputs = list(self.shapes)[:-1]
        self.ILogger = type("ILogger", (), {"Severity": Severity, "__init__": lambda self: None})
        self.IProgressMonitor = type("IProgressMonitor", (), {"__init__": lambda self: None})
        names = {"FP16": 0, "INT8": 1, "TF32": 7} if weak else {"TF32": 7}
        self.BuilderFlag = IntEnum("BuilderFlag", names)
        self.NetworkDefinitionCreationFlag = IntEnum("NetworkDefinitionCreationFlag", {"STRONGLY_TYPED": 1})
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
        self.ProfilingVerbosity = SimpleNamespace(DETAILED="detailed")
        self.deserialized: list[bytes] = []
        self.profile: dict[str, tuple[Any, ...]] = {}

    def Builder(self, logger: Any) -> Any:
        return FakeBuilder(self, logger)

    def OnnxParser(self, network: Any, logger: Any) -> Any:  # noqa: ARG002
        return SimpleNamespace(
            parse_from_file=lambda _: self.parses, num_errors=1, get_error=lambda _: "In node 3: unsupported\n  type"
        )

    def Runtime(self, logger: Any) -> Any:
        def deserialize(plan: bytes) -> Any:
            self.deserialized.append(plan)
            if plan != b"plan":
                logger.log(Severity.ERROR, "magic tag does not match")
                return None
            return FakeEngine(self)

        return SimpleNamespace(deserialize_cuda_engine=deserialize)


class FakeBuilder:
    def __init__(self, trt: FakeTensorrt, logger: Any) -> None:
        self._trt, self._logger = trt, logger

    def create_network(self, flags: int) -> Any:
        self._trt.log.append(f"network typed={bool(flags & 2)}")
        inputs = [SimpleNamespace(name=name, shape=self._trt.shapes[name]) for name in self._trt.inputs]
        return SimpleNamespace(typed=bool(flags & 2), num_inputs=len(inputs), get_input=inputs.__getitem__)

    def create_optimization_profile(self) -> Any:
        return SimpleNamespace(set_shape=lambda name, *shapes: self._trt.profile.__setitem__(name, shapes))

    def create_builder_config(self) -> Any:
        log = self._trt.log
        return SimpleNamespace(
            set_memory_pool_limit=lambda pool, size: log.append(f"{pool} {size >> 20} MB"),
            set_flag=lambda flag: log.append(flag.name),
            add_optimization_profile=lambda profile: log.append("profile"),
            create_timing_cache=lambda data: SimpleNamespace(data=data, serialize=lambda: self._trt.timings),
            set_timing_cache=lambda cache, ignore_mismatch: not cache.data.startswith(b"other"),
        )

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        monitor = getattr(config, "progress_monitor", None)
        if monitor is not None:
            monitor.phase_start("Building", None, 2)
            assert monitor.step_complete("Building", 0)
            assert monitor.step_complete("Building", 1)
            monitor.phase_finish("Building")
        if self._trt.builds[network.typed]:
            return b"plan"
        self._logger.log(Severity.ERROR, "no implementation for node_conv2d")
        self._logger.log(Severity.INFO, "not to be repeated")
        return None


class FakeEngine:
    def __init__(self, trt: FakeTensorrt) -> None:
        self._trt, self.num_io_tensors = trt, len(trt.shapes)

    def get_tensor_name(self, at: int) -> str:
        return list(self._trt.shapes)[at]

    def get_tensor_mode(self, name: str) -> Any:
        return SimpleNamespace(name="INPUT" if name in self._trt.inputs else "OUTPUT")

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        assert profile == 0
        return [(count, *self._trt.shapes[name][1:]) for count in (1, 2, 3)]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._trt.shapes[name]

    def get_tensor_dtype(self, name: str) -> str:  # noqa: ARG002
        return "float32"

    def create_execution_context(self) -> Any:
        addresses: dict[str, int] = {}
        counts = {name: shape[0] for name, shape in self._trt.shapes.items()}

        def view(name: str) -> np.ndarray:
            shape = (max(counts.values()), *self._trt.shapes[name][1:])
            assert shape[0] > 0, "the input's shape was set"
            memory = (ctypes.c_float * int(np.prod(shape))).from_address(addresses[name])
            return np.frombuffer(memory, np.float32).reshape(shape)

        def compute() -> None:
            if "logits" in addresses:
                view("logits")[:] = view("crops").sum(1) + view("features")[:, 0, :1, :1]
                return
            cells = view("image")[0].sum(0).reshape(16, 4, 24, 4).sum((1, 3))
            view("features")[0] = cells + np.arange(8, dtype=np.float32)[:, None, None]

        def execute(stream: int) -> bool:  # noqa: ARG001
            self._trt.cudart.enqueue(compute)
            return True

        return SimpleNamespace(
            set_tensor_address=addresses.__setitem__,
            set_input_shape=lambda name, shape: counts.__setitem__(name, shape[0]),
            execute_async_v3=execute,
        )
