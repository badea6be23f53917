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


@pytest.mark.parametrize(
    ("l4t", "running", "module", "status", "words"),
    [
        ("36.4.3", (3, 10), "10.3.0", "OK", "10.3.0"),
        ("36.4.3", (3, 12), "10.3.0", "warning", "is for Python 3.10, this is Python 3.12"),
        ("36.4.3", (3, 10), "11.4.1", "warning", "JetPack's is 10.3"),
        ("38.4.0", (3, 12), "10.13.3", "OK", "10.13.3"),
        ("38.4.0", (3, 12), "10.1.3", "warning", "JetPack's is 10.13"),
        ("99.9.9", (3, 13), "12.0", "OK", "12.0"),
        (None, (3, 13), "11.4.1", "OK", "11.4.1"),
    ],
)
def test_the_module_is_the_one_of_jetpack(
    l4t: str | None,
    running: tuple[int, int],
    module: str,
    status: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = ModuleType("tensorrt")
    found.__version__ = module
    found.Logger = object
    monkeypatch.setitem(sys.modules, "tensorrt", found)
    monkeypatch.setattr(sys, "version_info", running)
    (finding,) = gpus.check_tensorrt(True, l4t)
    assert finding.status == status
    assert words in finding.text
    assert bool(finding.fix) is (status == "warning")


def test_a_gpu_without_readings() -> None:
    (finding,) = gpus.check_gpu(None, present=True)
    assert (finding.status, "nvidia-ml-py" in finding.fix) == ("warning", True)
