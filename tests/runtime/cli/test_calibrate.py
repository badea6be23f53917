"""`shls calibrate` and `shls sensitivity` from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from shls.calib.samples import sample_frames
from shls.runtime.backends.base import open_session
from shls.runtime.cli.main import app
from shls.runtime.errors import BadInput, ContractMismatch
from shls.runtime.features.preprocess import to_input


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


@pytest.mark.parametrize("target", ["tensorrt", "cpu"])
def test_export_in_int8_is_export_and_calibrate(
    small_checkpoint: Path, small_model: Path, frames_folder: Path, tmp_path: Path, target: str
) -> None:
    arguments = ["--frames", frames_folder, "--target", target]
    at_once = shls(
        "export", small_checkpoint, "--precision", "int8", "--size", "96x64", *arguments, "--out", tmp_path / "a.onnx"
    )
    assert at_once.exit_code == 0, at_once.output
    assert f"int8-{target}" in at_once.output
    assert shls("calibrate", small_model, *arguments, "--out", tmp_path / "b.onnx").exit_code == 0
    image = sample_frames(str(frames_folder), 1, 1).images[0]
    a, b = open_session(tmp_path / "a.onnx"), open_session(tmp_path / "b.onnx")
    np.testing.assert_array_equal(*(session.run(to_input(image, session.contract)) for session in (a, b)))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.onnx", "b.onnx"]


def test_sensitivity(small_model: Path, frames_folder: Path, tmp_path: Path) -> None:
    chart = tmp_path / "chart.png"
    arguments = ["sensitivity", small_model, "--frames", frames_folder, "--on", frames_folder]
    shown = shls(*arguments, "--count", 2, "--chart", chart)
    assert shown.exit_code == 0, shown.output
    assert "stem.0.weight" in shown.output
    assert chart.exists()
    refused = shls(*arguments, "--max-drop", 0.005)
    assert isinstance(refused.exception, BadInput)
    assert "--max-drop, --root and --set: only some are given" in str(refused.exception)
    refused = shls(*arguments, "--chart", tmp_path / "chart.jpg")
    assert "expected NAME.png" in str(refused.exception)
    refused = shls(*arguments, "--max-drop", 0.005, "--root", tmp_path, "--set", tmp_path / "none.txt")
    assert isinstance(refused.exception, BadInput)
    assert "none.txt" in str(refused.exception)


def test_places_are_refused_before_the_work(small_model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out, words in (
        (tmp_path / "int8.bin", "got .bin, expected .onnx"),
        (tmp_path / "file" / "int8.onnx", "cannot be written"),
        (small_model, "would replace the file that the model is made of"),
    ):
        before = small_model.read_bytes()
        refused = shls("calibrate", small_model, "--frames", tmp_path / "not looked at yet", "--out", out)
        assert isinstance(refused.exception, BadInput)
        assert words in str(refused.exception)
        assert small_model.read_bytes() == before
    given = ["--frames", tmp_path / "not looked at yet", "--ranges", tmp_path / "file" / "ranges.json"]
    refused = shls("calibrate", small_model, *given, "--out", tmp_path / "int8.onnx")
    assert "ranges.json: cannot be written" in str(refused.exception)


def test_black_frames_teach_no_refiner(small_refiner: Path, small_model: Path, tmp_path: Path) -> None:
    for at in range(3):
        cv2.imwrite(str(tmp_path / f"{at}.png"), np.zeros((80, 120, 3), np.uint8))
    mask = np.zeros((80, 120), np.uint8)
    mask[20:60, 30:80] = 1
    cv2.imwrite(str(tmp_path / "mask.PNG"), mask)
    for given in ([], ["--mask", tmp_path / "mask.PNG"]):
        frames = tmp_path / "%d.png" if given else tmp_path
        arguments = ["--frames", frames, *given, "--embedding", small_model, "--out", tmp_path / "int8.onnx"]
        refused = shls("calibrate", small_refiner, *arguments)
        assert isinstance(refused.exception, BadInput), refused.output
        assert "calibration frames: black or blank (got pixels between" in str(refused.exception)
