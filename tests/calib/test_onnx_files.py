"""ONNX files with external data: read by path, refused in one line where the data is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from shls.calib.onnx_files import read_model
from shls.calib.ranges import collect_ranges
from shls.calib.samples import sample_frames
from shls.runtime.backends.base import open_session
from shls.runtime.cli.main import app
from shls.runtime.errors import BadInput
from shls.runtime.features.preprocess import to_input
from tests.conftest import scene


@pytest.fixture
def external(small_model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "external.onnx"
    onnx.save(
        onnx.load(small_model), path, save_as_external_data=True, location="weights.bin", size_threshold=1024
    )  # small shapes stay inside
    assert (tmp_path / "weights.bin").stat().st_size > 100_000
    assert path.stat().st_size < 0.2 * small_model.stat().st_size
    return path


def test_external_data_beside_the_file_is_read(small_model: Path, external: Path, frames_folder: Path) -> None:
    expected, actual = read_model(small_model)[0], read_model(external)[0]
    for one, other in zip(expected.graph.initializer, actual.graph.initializer, strict=True):
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(one), onnx.numpy_helper.to_array(other))
    samples = sample_frames(str(frames_folder), 2, 0)
    ranges = [collect_ranges(path, samples, "minmax").tensors for path in (small_model, external)]
    assert ranges[0] == ranges[1]
    sessions = [open_session(path, threads=1) for path in (small_model, external)]
    maps = [session.run(to_input(scene(1), session.contract)) for session in sessions]
    np.testing.assert_array_equal(maps[0], maps[1])


def test_missing_external_data_is_one_line(external: Path, frames_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(
        BadInput, match=r"external\.onnx: cannot be read .*Put the files of its external data beside it"
    ):
        read_model(external)
    out = tmp_path / "out.onnx"
    for arguments in (
        ["export", external, "--precision", "fp16", "--out", out],
        ["export", external, "--size", "64x96", "--out", out],
        ["calibrate", external, "--frames", frames_folder, "--out", out],
        ["sensitivity", external, "--frames", frames_folder],
        ["verify", external, external],
    ):
        refused = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert isinstance(refused.exception, BadInput), (arguments, refused.exception)
        assert "\n" not in str(refused.exception)
    assert not out.exists()
