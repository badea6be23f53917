"""The few calls of the CUDA runtime that a session needs, by ctypes.

cuda-python changed its module names between CUDA 12 and 13, and PyCUDA is gone from the vendor's samples;
libcudart's C interface has kept the functions below from 11.4 to 13.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from ctypes import POINTER, byref, c_char, c_float, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DeviceUnavailable, MissingDependency

NAMES = ("libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")
MAPPED = 2  # cudaHostAllocMapped
TO_DEVICE, TO_HOST = 1, 2  # cudaMemcpyKind
CAPTURE_THREAD_LOCAL = 1  # cudaStreamCaptureModeThreadLocal: other threads may go on allocating
NON_BLOCKING = 1  # cudaStreamNonBlocking: does not wait for the default stream
MAJOR, MINOR, INTEGRATED = 75, 76, 18  # cudaDeviceAttr
PROPERTIES_BYTES = 8192  # more than cudaDeviceProp of any version; the name is its first field in all of them

SIGNATURES: dict[str, list[Any]] = {
    "cudaGetDeviceCount": [POINTER(c_int)],
    "cudaDeviceGetAttribute": [POINTER(c_int), c_int, c_int],
    "cudaMalloc": [POINTER(c_void_p), c_size_t],
    "cudaFree": [c_void_p],
    "cudaHostAlloc": [POINTER(c_void_p), c_size_t, c_uint],
    "cudaFreeHost": [c_void_p],
    "cudaHostGetDevicePointer": [POINTER(c_void_p), c_void_p, c_uint],
    "cudaMemcpyAsync": [c_void_p, c_void_p, c_size_t, c_int, c_void_p],
    "cudaStreamCreateWithFlags": [POINTER(c_void_p), c_uint],
    "cudaStreamSynchronize": [c_void_p],
    "cudaStreamDestroy": [c_void_p],
    "cudaEventCreate": [POINTER(c_void_p)],
    "cudaEventRecord": [c_void_p, c_void_p],
    "cudaEventElapsedTime": [POINTER(c_float), c_void_p, c_void_p],
    "cudaEventDestroy": [c_void_p],
    "cudaStreamBeginCapture": [c_void_p, c_int],
    "cudaStreamEndCapture": [c_void_p, POINTER(c_void_p)],
    "cudaGraphInstantiateWithFlags": [POINTER(c_void_p), c_void_p, c_ulonglong],
    "cudaGraphLaunch": [c_void_p, c_void_p],
    "cudaGraphExecDestroy": [c_void_p],
    "cudaGraphDestroy": [c_void_p],
}


def load_cudart() -> ctypes.CDLL:
    """Load libcudart: the system's, or that of NVIDIA's wheels.

    Raises
    ------
    MissingDependency
        If there is none.
    """
    folders = [Path(entry) / "nvidia" for entry in sys.path]
    wheels = [
        str(file)
        for folder in folders
        for pattern in ("cuda_runtime/lib/libcudart.so.*", "cu1[0-9]/lib/libcudart.so.*")
        for file in sorted(folder.glob(pattern))
    ]
    for name in (*NAMES, *wheels):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise MissingDependency(
        f"the CUDA runtime ({NAMES[0]}) is not installed; on a Jetson it comes with JetPack, elsewhere "
        "run `pip install nvidia-cuda-runtime-cu12`"
    )


class Cuda:
    """The calls, checked: a failure is a DeviceUnavailable that names the call and CUDA's reason.

    Parameters
    ----------
    library : libcudart; found by itself where it is left out
    device : index of the GPU
    """

    def __init__(self, library: Any = None, device: int = 0) -> None:
        self._library = load_cudart() if library is None else library
        self._device = device
        for name, arguments in SIGNATURES.items():
            function = getattr(self._library, name)
            function.argtypes, function.restype = arguments, c_int
        self._library.cudaGetErrorString.argtypes = [c_int]
        self._library.cudaGetErrorString.restype = ctypes.c_char_p
        count = c_int()
        self._call("cudaGetDeviceCount", byref(count))
        if count.value <= device:
            raise DeviceUnavailable(f"GPU {device} was asked for, CUDA finds {count.value}; check the driver")

    @property
    def name(self) -> str:
        """The GPU's, as the driver says it."""
        properties = (c_char * PROPERTIES_BYTES)()
        # The function with _v2 came with CUDA 12 and went with 13; the plain one fills the first field alike.
        suffix = "_v2" if hasattr(self._library, "cudaGetDeviceProperties_v2") else ""
        function = f"cudaGetDeviceProperties{suffix}"
        getattr(self._library, function).argtypes = [c_void_p, c_int]
        self._call(function, ctypes.addressof(properties), self._device)
        return properties.value.decode()

    @property
    def compute_capability(self) -> str:
        return f"{self._attribute(MAJOR)}.{self._attribute(MINOR)}"

    @property
    def integrated(self) -> bool:
        """Whether GPU and CPU share one memory, as on a Jetson."""
        return bool(self._attribute(INTEGRATED))

    def malloc(self, size: int) -> int:
        """Bytes on the device; returns the address."""
        return self._new("cudaMalloc", size)

    def free(self, address: int) -> None:
        self._call("cudaFree", address)

    def host_array(self, shape: tuple[int, ...], dtype: np.dtype) -> tuple[np.ndarray, int]:
        """An array in pinned host memory that the device can map, and its address; zeroed."""
        size = int(np.prod(shape)) * dtype.itemsize
        address = self._new("cudaHostAlloc", size, MAPPED)
        memory = (c_char * size).from_address(address)
        array: np.ndarray = np.frombuffer(memoryview(memory), dtype).reshape(shape)
        array[...] = 0
        return array, address

    def free_host(self, address: int) -> None:
        self._call("cudaFreeHost", address)

    def device_pointer(self, host: int) -> int:
        """Where the device sees mapped host memory."""
        return self._new("cudaHostGetDevicePointer", host, 0)

    def copy(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        """Copy bytes in the stream's order; `kind` is TO_DEVICE or TO_HOST."""
        self._call("cudaMemcpyAsync", target, source, size, kind, stream)

    def stream(self) -> int:
        return self._new("cudaStreamCreateWithFlags", NON_BLOCKING)

    def synchronize(self, stream: int) -> None:
        """Wait for a stream; what failed in it is raised here."""
        self._call("cudaStreamSynchronize", stream)

    def destroy_stream(self, stream: int) -> None:
        self._call("cudaStreamDestroy", stream)

    def event(self) -> int:
        return self._new("cudaEventCreate")

    def record(self, event: int, stream: int) -> None:
        self._call("cudaEventRecord", event, stream)

    def elapsed(self, begin: int, end: int) -> float:
        """Milliseconds between two events that were recorded and have passed."""
        milliseconds = c_float()
        self._call("cudaEventElapsedTime", byref(milliseconds), begin, end)
        return milliseconds.value

    def destroy_event(self, event: int) -> None:
        self._call("cudaEventDestroy", event)

    def begin_capture(self, stream: int) -> None:
        self._call("cudaStreamBeginCapture", stream, CAPTURE_THREAD_LOCAL)

    def end_capture(self, stream: int) -> int:
        """Turn what was captured into an executable graph."""
        graph = c_void_p()
        self._call("cudaStreamEndCapture", stream, byref(graph))
        executable = self._new("cudaGraphInstantiateWithFlags", graph, 0)
        self._call("cudaGraphDestroy", graph)
        return executable

    def launch(self, executable: int, stream: int) -> None:
        self._call("cudaGraphLaunch", executable, stream)

    def destroy_graph(self, executable: int) -> None:
        self._call("cudaGraphExecDestroy", executable)

    def _attribute(self, attribute: int) -> int:
        value = c_int()
        self._call("cudaDeviceGetAttribute", byref(value), attribute, self._device)
        return value.value

    def _new(self, function: str, *arguments: Any) -> int:
        """Call what hands out a pointer by its first argument."""
        pointer = c_void_p()
        self._call(function, byref(pointer), *arguments)
        return pointer.value or 0

    def _call(self, function: str, *arguments: Any) -> None:
        code = getattr(self._library, function)(*arguments)
        if code != 0:
            reason = self._library.cudaGetErrorString(code).decode()
            raise DeviceUnavailable(f"CUDA: {function} failed: {reason} (error {code}); run `shls doctor`")
