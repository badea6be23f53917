"""Embeddings of ONNX files at another input size: same weights, same settings, compared at both sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from shls.calib.graph import load_float_model, save_model
from shls.export import to_onnx
from shls.export.comparison import Closeness
from shls.runtime.backends.base import open_session
from shls.runtime.cli.main import app
from shls.runtime.errors import BadInput, ExportFailed
from shls.runtime.features.preprocess import to_input
from shls.runtime.models.onnx_reader import read_contract
from tests.conftest import scene


def shls(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def initializers(path: Path) -> dict[str, bytes]:
    """Return the float weights of a file; shapes and scales are int64 or depend on the size."""
    return {
        tensor.name: onnx.numpy_helper.to_array(tensor).tobytes()
        for tensor in onnx.load(path).graph.initializer
        if tensor.name.endswith(("weight", "bias"))
    }


@pytest.mark.parametrize(("width", "height"), [(64, 96), (80, 80), (96, 64)])
def test_another_size_has_the_same_weights(small_model: Path, tmp_path: Path, width: int, height: int) -> None:
    out = tmp_path / "resized.onnx"
    told = shls("export", small_model, "--size", f"{width}x{height}", "--out", out)
    assert told.exit_code == 0, told.output
    assert f"input {width}x{height}" in told.output
    assert "original    to the same weights at its own size" in told.output
    before, after = read_contract(small_model), read_contract(out)
    assert (after.width, after.height) == (width, height)
    assert after.checkpoint_sha256 == before.checkpoint_sha256
    assert after.settings == before.settings
    assert initializers(out) == initializers(small_model)
    assert len(initializers(out)) > 30
    features = open_session(out).run(to_input(scene(3), after))
    assert features.shape == (64, height // 4, width // 4)
    np.testing.assert_allclose(np.linalg.norm(features, axis=0), 1, atol=1e-4)


def test_features_of_a_common_part_are_the_same(small_model: Path, tmp_path: Path) -> None:
    """Far from the borders that the sizes do not share, only the image decides."""
    wide, tall = tmp_path / "wide.onnx", tmp_path / "tall.onnx"
    for path, size in ((wide, "512x320"), (tall, "320x512")):
        assert shls("export", small_model, "--size", size, "--out", path).exit_code == 0
    rng = np.random.default_rng(0)
    common = rng.normal(0, 1, (1, 3, 320, 320)).astype(np.float32)
    right, below = np.zeros((1, 3, 320, 192), np.float32), np.zeros((1, 3, 192, 320), np.float32)
    a = open_session(wide).run(np.concatenate([common, right], axis=3))
    b = open_session(tall).run(np.concatenate([common, below], axis=2))
    cells = (320 - 120) // 4  # an output cell depends on at most 120 pixels to each side
    np.testing.assert_allclose(a[:, :cells, :cells], b[:, :cells, :cells], atol=1e-4)
    assert np.abs(a[:, :80, :80] - b[:, :80, :80]).max() > 1e-3, "near those borders they differ"


def test_other_precisions_at_another_size(small_model: Path, frames_folder: Path, tmp_path: Path) -> None:
    for precision, more in (("fp16", []), ("int8", ["--frames", frames_folder, "--target", "cpu"])):
        out = tmp_path / f"{precision}.onnx"
        told = shls("export", small_model, "--size", "64x96", "--precision", precision, *more, "--out", out)
        assert told.exit_code == 0, told.output
        assert read_contract(out).precision.startswith(precision)
        assert read_contract(out).height == 96


def test_tools_and_settings_of_the_file_are_kept(small_model: Path, tmp_path: Path) -> None:
    save_model(*load_float_model(small_model), "fp32", {"mine": "7"}, tmp_path / "mine.onnx")
    shls("export", tmp_path / "mine.onnx", "--size", "64x96", "--out", tmp_path / "out.onnx")
    assert read_contract(tmp_path / "out.onnx").tools["mine"] == "7"


def test_a_file_that_differs_from_its_weights_is_refused(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_onnx, "_compare", lambda *_: Closeness(0.5, 0.9, 1))
    with pytest.raises(ExportFailed, match=r"small\.onnx: its outputs differ"):
        to_onnx.resize_onnx(small_model, tmp_path / "out.onnx", 96, 64, [scene(0)])
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_resized(small_model: Path, small_refiner: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    shls("export", small_model, "--precision", "fp16", "--out", tmp_path / "half.onnx")
    for arguments, words in (
        ([small_refiner, "--size", "64x96"], "--size: has no meaning for a refiner"),
        ([small_model, "--size", "60x96"], "expected multiples of 16"),
        ([small_model, "--size", "0x96"], "expected multiples of 16"),
        ([small_model, "--size", "tall"], "expected WIDTHxHEIGHT"),
        ([tmp_path / "half.onnx", "--size", "64x96"], "(got fp16, expected fp32)"),
        ([tmp_path / "none.onnx", "--size", "64x96"], "none.onnx"),
    ):
        refused = shls("export", *arguments, "--out", out)
        assert isinstance(refused.exception, BadInput), refused.output
        assert words in str(refused.exception)
        assert not out.exists()
