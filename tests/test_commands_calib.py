"""`shls calibrate` and `shls sensitivity` from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shls.runtime.cli import app
from shls.runtime.errors import BadInput, ContractMismatch
from shls.runtime.session import open_session


def shls(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("target", ["tensorrt", "cpu"])
def test_calibrate(small_model: Path, frames_folder: Path, tmp_path: Path, target: str) -> None:
    out, ranges = tmp_path / "int8.onnx", tmp_path / "ranges.json"
    arguments = ["calibrate", small_model, "--frames", frames_folder, "--count", 3, "--target", target]
    first = shls(*arguments, "--out", out, "--ranges", ranges)
    assert first.exit_code == 0, first.output
    assert f"int8-{target}" in first.output
    assert "percentile over 3 of 8 frames, seed 0" in first.output
    assert open_session(out).contract.precision == f"int8-{target}"
    whole, written = out.read_bytes(), ranges.stat().st_mtime_ns
    assert shls(*arguments, "--out", out, "--ranges", ranges).exit_code == 0
    assert out.read_bytes() == whole, "kept ranges give the same model"
    assert ranges.stat().st_mtime_ns == written
    other = shls(*arguments, "--out", out, "--ranges", ranges, "--seed", 1)
    assert isinstance(other.exception, ContractMismatch)
    assert "another frames" in str(other.exception)


def test_sensitivity(small_model: Path, frames_folder: Path, tmp_path: Path) -> None:
    chart = tmp_path / "chart.png"
    arguments = ["sensitivity", small_model, "--frames", frames_folder, "--on", frames_folder]
    shown = shls(*arguments, "--count", 2, "--chart", chart)
    assert shown.exit_code == 0, shown.output
    assert "stem.0.weight" in shown.output
    assert chart.exists()
    refused = shls(*arguments, "--max-drop", 0.005)
    assert isinstance(refused.exception, BadInput)
    assert "--root FOLDER and --set FILE" in str(refused.exception)
