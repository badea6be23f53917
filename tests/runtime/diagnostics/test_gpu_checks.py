"""Checks of the GPU and of TensorRT's module."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from shls.runtime.diagnostics import gpu_checks as gpus


@pytest.mark.parametrize(("wanted", "status"), [(True, "warning"), (False, "OK")])
def test_no_tensorrt_module(wanted: bool, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    (finding,) = gpus.check_tensorrt(wanted)
    assert finding.status == status
    assert bool(finding.fix) is wanted


def test_the_tensorrt_module_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("tensorrt")
    module.__version__ = "10.3.0"
    module.Logger = object
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    assert [finding.text for finding in gpus.check_tensorrt(True)] == ["10.3.0"]

    def broken() -> None:
        raise RuntimeError("libnvinfer.so.10: cannot open shared object file")

    module.Logger = broken
    (finding,) = gpus.check_tensorrt(False)
    assert finding.status == "warning"
    assert "libnvinfer.so.10" in finding.text


def test_a_gpu_without_readings() -> None:
    (finding,) = gpus.check_gpu(None, present=True)
    assert (finding.status, "nvidia-ml-py" in finding.fix) == ("warning", True)
