"""Checks of installed packages: duplicates, and providers that do not start."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from shls.runtime.diagnostics import package_checks as installed


def test_two_onnxruntimes(monkeypatch: pytest.MonkeyPatch) -> None:
    two = [SimpleNamespace(metadata={"Name": name}) for name in ("onnxruntime", "onnxruntime-gpu", "numpy")]
    monkeypatch.setattr(installed, "distributions", lambda: two)
    first = next(installed.check_onnxruntime())
    assert first.status == "problem"
    assert "onnxruntime and onnxruntime-gpu" in first.text
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in first.fix


def test_two_opencvs(monkeypatch: pytest.MonkeyPatch) -> None:
    two = [SimpleNamespace(metadata={"Name": name}) for name in ("opencv-python-headless", "opencv-python")]
    monkeypatch.setattr(installed, "distributions", lambda: two)
    first = next(installed.check_opencv())
    assert (first.name, first.status) == ("OpenCV", "problem")
    assert "opencv-python and opencv-python-headless are installed over each other" in first.text
    assert "pip uninstall -y opencv-python opencv-python-headless" in first.fix


def test_a_provider_that_is_listed_and_does_not_start() -> None:
    def session(model: bytes, options: object, providers: list[str]) -> SimpleNamespace:  # noqa: ARG001
        return SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])

    library = SimpleNamespace(SessionOptions=SimpleNamespace, InferenceSession=session)
    assert installed._try_provider(library, "CUDAExecutionProvider").status == "warning"
    assert installed._try_provider(library, "CPUExecutionProvider").status == "OK"


def test_the_smallest_model_is_what_onnx_writes() -> None:
    onnx = pytest.importorskip("onnx", reason="only the exporter's packages can write models")
    model = onnx.load_from_string(installed.IDENTITY)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["Identity"]
