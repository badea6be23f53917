"""The CUDA calls: against a stand-in, and against the real library where there is one."""

from __future__ import annotations

import numpy as np
import pytest

from shls.runtime.backends import cudart as cuda_module
from shls.runtime.backends.cudart import SIGNATURES, TO_DEVICE, TO_HOST, Cuda, load_cudart
from shls.runtime.errors import DeviceUnavailable, MissingDependency
from tests.fake_gpu import FakeCudart


def test_what_the_device_is() -> None:
    gpu = Cuda(FakeCudart())
    assert (gpu.name, gpu.compute_capability, gpu.integrated) == ("Orin", "8.7", False)
    assert Cuda(FakeCudart(integrated=True)).integrated


def test_there_and_back() -> None:
    library = FakeCudart()
    gpu = Cuda(library)
    stream = gpu.stream()
    source, source_at = gpu.host_array((2, 3), np.dtype(np.float32))
    target, target_at = gpu.host_array((2, 3), np.dtype(np.float32))
    device = gpu.malloc(source.nbytes)
    source[...] = np.arange(6).reshape(2, 3)
    gpu.copy(device, source_at, source.nbytes, TO_DEVICE, stream)
    gpu.copy(target_at, device, target.nbytes, TO_HOST, stream)
    gpu.synchronize(stream)
    np.testing.assert_array_equal(target, source)
    gpu.free(device)
    gpu.free_host(source_at)
    gpu.free_host(target_at)
    assert library.memory == {}


def test_a_failure_names_the_call_and_the_reason() -> None:
    library = FakeCudart()
    gpu = Cuda(library)
    library.fails["cudaStreamSynchronize"] = 700
    with pytest.raises(DeviceUnavailable, match=r"cudaStreamSynchronize failed: an illegal memory.*error 700"):
        gpu.synchronize(1)


def test_no_device() -> None:
    with pytest.raises(DeviceUnavailable, match="CUDA finds 0"):
        Cuda(FakeCudart(devices=0))


def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_module, "NAMES", ("libcudart-that-is-not-there.so",))
    monkeypatch.setattr(cuda_module.sys, "path", [])
    with pytest.raises(MissingDependency, match=r"is not installed\. A Jetson has it from JetPack"):
        load_cudart()


def test_the_real_library_has_every_function() -> None:
    try:
        library = load_cudart()
    except MissingDependency as error:
        pytest.skip(str(error))
    for name in [*SIGNATURES, "cudaGetErrorString", "cudaGetDeviceProperties"]:
        assert hasattr(library, name), name
    try:
        gpu = Cuda(library)
    except DeviceUnavailable as error:
        pytest.skip(f"no GPU to go on with: {error}")
    else:
        assert gpu.name
