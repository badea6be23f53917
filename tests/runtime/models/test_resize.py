"""Embeddings rewritten for another input size: the same weights, exact shapes, every precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from shls.runtime.backends import choice
from shls.runtime.backends.choice import fitting_model
from shls.runtime.backends.ort import OrtSession
from shls.runtime.backends.pretrained import ASSETS, EXACT, EXACT_REFINER, INT8_CPU
from shls.runtime.errors import BadInput, ContractMismatch
from shls.runtime.models.onnx_reader import read_contract
from shls.runtime.models.resize import resized, size_for

MODELS = (EXACT, INT8_CPU, "shls-edge.int8-tensorrt.onnx")


@pytest.mark.parametrize("name", MODELS)
def test_only_shapes_and_contract_change(name: str, tmp_path: Path) -> None:
    path = tmp_path / "portrait.onnx"
    path.write_bytes(resized(ASSETS / name, 160, 96))
    before, after = onnx.load(ASSETS / name), onnx.load(path)
    onnx.checker.check_model(after, full_check=True)  # infers all shapes
    assert list(after.graph.node) == list(before.graph.node)
    changed = [
        new.name for old, new in zip(before.graph.initializer, after.graph.initializer, strict=True) if old != new
    ]
    assert len(changed) == 1, "the constant of the output's shape"
    old, new = read_contract(ASSETS / name), read_contract(path)
    assert (new.height, new.width) == (160, 96)
    assert {**vars(old), "height": 160, "width": 96} == vars(new)


def test_features_are_those_of_the_same_weights_under_torch(tmp_path: Path) -> None:
    import torch

    from shls.export.from_onnx import read_embedding

    path = tmp_path / "square.onnx"
    path.write_bytes(resized(ASSETS / EXACT, 96, 96))
    tensor = np.random.default_rng(0).normal(size=(1, 3, 96, 96)).astype(np.float32)
    with torch.inference_mode():
        expected = read_embedding(ASSETS / EXACT)(torch.from_numpy(tensor)).numpy()[0]
    np.testing.assert_allclose(OrtSession(path, 1, "cpu").run(tensor), expected, atol=1e-4)


def test_quantised_features_keep_unit_length(tmp_path: Path) -> None:
    path = tmp_path / "square.onnx"
    path.write_bytes(resized(ASSETS / INT8_CPU, 96, 64))
    features = OrtSession(path, 1, "cpu").run(np.ones((1, 3, 96, 64), np.float32))
    assert features.shape == (64, 24, 16)
    np.testing.assert_allclose(np.linalg.norm(features, axis=0), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((480, 854), (480, 864)), ((1080, 1920), (480, 864)), ((854, 480), (864, 480)), ((1000, 1000), (640, 640))],
)
def test_the_area_stays(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    assert size_for(read_contract(ASSETS / EXACT), shape) == expected


def test_what_cannot_be_resized() -> None:
    with pytest.raises(BadInput, match=r"size: does not fit the network \(got 100x96, expected multiples of 32\)"):
        resized(ASSETS / EXACT, 96, 100)
    with pytest.raises(ContractMismatch):
        resized(ASSETS / EXACT_REFINER, 96, 96)


def test_frames_of_another_shape_get_a_model_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = ASSETS / EXACT
    for usual in ((480, 854), (480, 640), (1080, 2400)):
        assert fitting_model(model, usual) == model
    portrait = fitting_model(model, (1920, 1080))
    assert (read_contract(portrait).height, read_contract(portrait).width) == (864, 480)
    written = portrait.stat().st_mtime_ns
    assert fitting_model(model, (1280, 720)) == portrait
    assert portrait.stat().st_mtime_ns == written
    portrait.write_bytes(portrait.read_bytes()[:1000])
    assert read_contract(fitting_model(model, (1280, 720))).height == 864, "a damaged file is written again"


def test_a_cache_that_cannot_be_written_leaves_the_shipped_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "models").touch()
    monkeypatch.setattr(choice, "user_cache", lambda: tmp_path)
    assert fitting_model(ASSETS / EXACT, (1920, 1080)) == ASSETS / EXACT
    assert "cannot be written" in caplog.text
    assert "stretched" in caplog.text
