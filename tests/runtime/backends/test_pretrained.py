"""The choice of the shipped model for a device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shls.runtime.backends import pretrained as shipped
from shls.runtime.backends.pretrained import (
    ASSETS,
    EXACT,
    EXACT_PROMPTER,
    EXACT_REFINER,
    INT8_CPU,
    INT8_CPU_PROMPTER,
    INT8_CPU_REFINER,
    shipped_model,
    shipped_prompter,
    shipped_refiner,
)
from shls.runtime.hardware.cpu import has_vnni, is_x86
from shls.runtime.models.onnx_reader import read_any_contract, read_contract


@pytest.mark.parametrize(
    ("device", "vnni", "gpu", "name"),
    [
        ("auto", True, False, INT8_CPU),
        ("auto", True, True, EXACT),
        ("auto", False, False, EXACT),
        ("cpu", True, True, INT8_CPU),
        ("cuda", True, True, EXACT),
        ("tensorrt", True, True, EXACT),
    ],
)
def test_the_fastest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, vnni: bool, gpu: bool, name: str
) -> None:
    monkeypatch.setattr(shipped, "has_vnni", lambda: vnni)
    monkeypatch.setattr(shipped, "_gpu_provider", lambda: gpu)
    (tmp_path / INT8_CPU).touch()
    assert shipped_model(device, tmp_path).name == name


def test_fp32_where_int8_was_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "has_vnni", lambda: True)
    assert shipped_model("cpu", tmp_path).name == EXACT


def test_what_the_cpu_can_do(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("flags : fpu avx2\n")
    assert not has_vnni(info)
    info.write_text("flags : fpu avx512_vnni avx2\n")
    assert has_vnni(info)
    assert not has_vnni(tmp_path / "none")
    assert [is_x86(name) for name in ("x86_64", "AMD64", "aarch64")] == [True, True, False]


@pytest.mark.parametrize("model", sorted(ASSETS.glob("*.int8-*.onnx")), ids=lambda path: path.name)
def test_shipped_int8_is_of_the_shipped_weights(model: Path) -> None:
    quantized, exact = read_any_contract(model), read_any_contract(ASSETS / f"{model.name.split('.')[0]}.onnx")
    assert quantized.precision == model.name.split(".")[1]
    assert replace(quantized, precision="fp32", tools=exact.tools) == exact


def test_the_refiner_goes_with_its_embedding_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shipped, "has_vnni", lambda: True)
    embedding = read_contract(ASSETS / EXACT)
    assert shipped_refiner(embedding, "cpu") == ASSETS / INT8_CPU_REFINER
    assert shipped_refiner(embedding, "cuda") == ASSETS / EXACT_REFINER
    assert not caplog.records
    assert shipped_refiner(replace(embedding, checkpoint_sha256="of another"), "cpu") is None
    assert "trained with another embedding" in caplog.text


def test_the_prompter_goes_with_its_embedding_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shipped, "has_vnni", lambda: True)
    embedding = read_contract(ASSETS / EXACT)
    assert shipped_prompter(embedding, "cpu") == ASSETS / INT8_CPU_PROMPTER
    assert shipped_prompter(embedding, "cuda") == ASSETS / EXACT_PROMPTER
    assert shipped_prompter(replace(embedding, checkpoint_sha256="of another"), "cpu") is None
    assert shipped_prompter(embedding, "cpu", tmp_path) is None, "no prompter is installed"
