"""Engines on a real GPU: built, loaded, run, and compared with onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shls.export.tensorrt_builder import to_engine
from shls.export.to_fp16 import to_fp16
from shls.runtime.backends.base import open_session
from shls.runtime.backends.cudart import Cuda
from shls.runtime.backends.trt import TrtSession
from shls.runtime.backends.trt_api import load_tensorrt
from shls.runtime.errors import DeviceUnavailable, MissingDependency

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def cuda() -> Cuda:
    try:
        return Cuda()
    except (DeviceUnavailable, MissingDependency) as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def trt(cuda: Cuda) -> Any:  # noqa: ARG001  # TensorRT without a GPU does not count
    try:
        return load_tensorrt()
    except MissingDependency as error:
        pytest.importorskip("onnxruntime_ep_nv_tensorrt_rtx", reason=str(error))
        return pytest.importorskip("tensorrt_rtx_bindings", reason=str(error))


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("fp16", 0.999)])
def test_the_engine_computes_what_the_model_does(
    small_model: Path, tmp_path: Path, trt: Any, cuda: Cuda, precision: str, least: float
) -> None:
    model = small_model
    if precision == "fp16":
        model = tmp_path / "half.onnx"
        to_fp16(small_model, model)
    to_engine(model, tmp_path / "x.engine", trt=trt, cuda=cuda)
    session, exact = TrtSession(tmp_path / "x.engine", trt, cuda), open_session(small_model, device="cpu")
    rng = np.random.default_rng(0)
    for _ in range(3):
        tensor = rng.normal(size=(1, 3, 64, 96)).astype(np.float32)
        cosines = (session.run(tensor) * exact.run(tensor)).sum(axis=0)
        assert cosines.min() > least
    assert session.gpu_milliseconds > 0
    session.close()


def test_there_and_back(cuda: Cuda) -> None:
    from shls.runtime.backends.cudart import TO_DEVICE, TO_HOST

    stream = cuda.stream()
    source, source_at = cuda.host_array((1000,), np.dtype(np.float32))
    target, target_at = cuda.host_array((1000,), np.dtype(np.float32))
    device = cuda.malloc(source.nbytes)
    source[:] = np.arange(1000)
    cuda.copy(device, source_at, source.nbytes, TO_DEVICE, stream)
    cuda.copy(target_at, device, source.nbytes, TO_HOST, stream)
    cuda.synchronize(stream)
    np.testing.assert_array_equal(source, target)
    cuda.free(device)
