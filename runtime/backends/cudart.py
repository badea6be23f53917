"""The calls of the CUDA runtime that an engine needs, by ctypes.

libcudart's C interface has kept the functions below from CUDA 11.4 to 13; `docs/decisions.md` has the alternatives.
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
    "cudaDriverGetVersion": [POINTER(c_int)],
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
    """Load libcudart, of the system or of NVIDIA's wheels.

    Raises
    ------
    MissingDependency
        If neither has the library.

    Examples
    --------
    >>> load_cudart()  # doctest: +SKIP
    <CDLL 'libcudart.so.12', handle 55d0c8a3c2f0 at 0x7f2a4c1d5f90>
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
        f"CUDA runtime: {NAMES[0]} is not installed. A Jetson has it from JetPack; elsewhere run "
        "`pip install nvidia-cuda-runtime-cu12`."
    )


class Cuda:
    """Checked calls of the CUDA runtime; addresses, streams, events and graphs are integers.

    A call that fails raises DeviceUnavailable with the call's name and CUDA's reason.

    Parameters
    ----------
    library : libcudart; `load_cudart` finds it by default
    device : index of the GPU

    Raises
    ------
    DeviceUnavailable
        If there is no such GPU.
    MissingDependency
        If libcudart is not installed.

    Examples
    --------
    >>> gpu = Cuda()  # doctest: +SKIP
    >>> gpu.name, gpu.compute_capability, gpu.integrated  # doctest: +SKIP
    ('Orin', '8.7', True)
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
            raise DeviceUnavailable(
                f"GPU {device}: not found (CUDA finds {count.value} GPUs). Check the driver with `nvidia-smi`."
            )

    @property
    def name(self) -> str:
        """Name of the GPU from its driver."""
        properties = (c_char * PROPERTIES_BYTES)()
        # Only CUDA 12 has the function with _v2. The plain function fills the first field alike.
        suffix = "_v2" if hasattr(self._library, "cudaGetDeviceProperties_v2") else ""
        function = f"cudaGetDeviceProperties{suffix}"
        getattr(self._library, function).argtypes = [c_void_p, c_int]
        self._call(function, ctypes.addressof(properties), self._device)
        return properties.value.decode()

    @property
    def compute_capability(self) -> str:
        """Compute capability of the GPU, such as "8.7"."""
        return f"{self._attribute(MAJOR)}.{self._attribute(MINOR)}"

    @property
    def driver(self) -> str:
        """Newest version of CUDA that the driver knows, such as "12060"; changes with the driver."""
        value = c_int()
        self._call("cudaDriverGetVersion", byref(value))
        return str(value.value)

    @property
    def integrated(self) -> bool:
        """True if GPU and CPU share one memory, as on a Jetson."""
        return bool(self._attribute(INTEGRATED))

    def malloc(self, size: int) -> int:
        """Allocate bytes on the device and return their address."""
        return self._new("cudaMalloc", size)

    def free(self, address: int) -> None:
        """Free memory of `malloc`."""
        self._call("cudaFree", address)

    def host_array(self, shape: tuple[int, ...], dtype: np.dtype) -> tuple[np.ndarray, int]:
        """Allocate a zeroed array in pinned host memory that the device can map; return it and its address."""
        size = int(np.prod(shape)) * dtype.itemsize
        address = self._new("cudaHostAlloc", size, MAPPED)
        memory = (c_char * size).from_address(address)
        array: np.ndarray = np.frombuffer(memoryview(memory), dtype).reshape(shape)
        array[...] = 0
        return array, address

    def free_host(self, address: int) -> None:
        """Free memory of `host_array`; the array must not be used afterwards."""
        self._call("cudaFreeHost", address)

    def device_pointer(self, host: int) -> int:
        """Return the device's address of mapped host memory."""
        return self._new("cudaHostGetDevicePointer", host, 0)

    def copy(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        """Enqueue a copy of `size` bytes on a stream; `kind` is TO_DEVICE or TO_HOST."""
        self._call("cudaMemcpyAsync", target, source, size, kind, stream)

    def stream(self) -> int:
        """Create a stream that does not wait for the default stream."""
        return self._new("cudaStreamCreateWithFlags", NON_BLOCKING)

    def synchronize(self, stream: int) -> None:
        """Wait for a stream; a failure of its work raises here."""
        self._call("cudaStreamSynchronize", stream)

    def destroy_stream(self, stream: int) -> None:
        """Free a stream."""
        self._call("cudaStreamDestroy", stream)

    def event(self) -> int:
        """Create an event."""
        return self._new("cudaEventCreate")

    def record(self, event: int, stream: int) -> None:
        """Enqueue an event on a stream."""
        self._call("cudaEventRecord", event, stream)

    def elapsed(self, begin: int, end: int) -> float:
        """Return the milliseconds between two recorded events that have passed."""
        milliseconds = c_float()
        self._call("cudaEventElapsedTime", byref(milliseconds), begin, end)
        return milliseconds.value

    def destroy_event(self, event: int) -> None:
        """Free an event."""
        self._call("cudaEventDestroy", event)

    def begin_capture(self, stream: int) -> None:
        """Record the stream's next calls into a graph instead of running them."""
        self._call("cudaStreamBeginCapture", stream, CAPTURE_THREAD_LOCAL)

    def end_capture(self, stream: int) -> int:
        """End the capture and return an executable graph."""
        graph = c_void_p()
        self._call("cudaStreamEndCapture", stream, byref(graph))
        executable = self._new("cudaGraphInstantiateWithFlags", graph, 0)
        self._call("cudaGraphDestroy", graph)
        return executable

    def launch(self, executable: int, stream: int) -> None:
        """Enqueue an executable graph on a stream."""
        self._call("cudaGraphLaunch", executable, stream)

    def destroy_graph(self, executable: int) -> None:
        """Free an executable graph."""
        self._call("cudaGraphExecDestroy", executable)

    def _attribute(self, attribute: int) -> int:
        value = c_int()
        self._call("cudaDeviceGetAttribute", byref(value), attribute, self._device)
        return value.value

    def _new(self, function: str, *arguments: Any) -> int:
        """Call a function that returns a pointer through its first argument."""
        pointer = c_void_p()
        self._call(function, byref(pointer), *arguments)
        return pointer.value or 0

    def _call(self, function: str, *arguments: Any) -> None:
        code = getattr(self._library, function)(*arguments)
        if code != 0:
            reason = self._library.cudaGetErrorString(code).decode()
            raise DeviceUnavailable(f"CUDA: {function} failed: {reason} (error {code}). Run `shls doctor`.")
