"""Ranges: values by hand, and the file that remembers whose they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from shls.calib.ranges import Ranges, collect_ranges, load_ranges, ranges_key, save_ranges
from shls.calib.samples import Samples, sample_frames
from shls.calib.thresholds import BINS, entropy_threshold, percentile_threshold
from shls.runtime.errors import BadInput, ContractMismatch
from shls.runtime.features.preprocess import to_input
from shls.runtime.models.contract import Contract


@pytest.fixture(scope="module")
def samples(frames_folder: Path) -> Samples:
    return sample_frames(str(frames_folder), 3, 0)


@pytest.fixture(scope="module")
def ranges(small_model: Path, samples: Samples) -> Ranges:
    return collect_ranges(small_model, samples, "minmax")


def test_minmax_is_the_least_and_the_largest(small_model: Path, samples: Samples, ranges: Ranges) -> None:
    session = onnxruntime.InferenceSession(small_model, providers=["CPUExecutionProvider"])
    contract = Contract.from_metadata(session.get_modelmeta().custom_metadata_map, small_model)
    inputs = [to_input(image, contract) for image in samples.images]
    low, high = ranges.tensors["image"]
    assert low == min(tensor.min() for tensor in inputs)
    assert high == max(tensor.max() for tensor in inputs)
    after_relu = [bounds for name, bounds in ranges.tensors.items() if name.startswith("relu")]
    assert len(after_relu) >= 10
    assert all(low == 0 for low, _ in after_relu)


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_cut_ranges_lie_within(small_model: Path, samples: Samples, ranges: Ranges, method: str) -> None:
    runs: list[int] = []
    cut = collect_ranges(small_model, samples, method, runs.append)
    assert runs == [1, 2, 3, 4, 5, 6]
    assert cut.tensors.keys() == ranges.tensors.keys()
    for name, (low, high) in cut.tensors.items():
        assert ranges.tensors[name][0] <= low < high <= ranges.tensors[name][1]
    assert cut.tensors != ranges.tensors


def test_percentile_by_hand() -> None:
    histogram = np.zeros(BINS)
    histogram[9], histogram[-1] = 99_990, 10
    assert percentile_threshold(histogram) == 10
    histogram[-1] = 11
    assert percentile_threshold(histogram) == BINS


def test_entropy_cuts_a_lone_outlier_and_keeps_a_flat_tail() -> None:
    magnitudes = np.abs(np.random.default_rng(0).normal(0, 0.05, 200_000))
    lone = np.histogram(np.append(magnitudes, 1.0), BINS, (0, 1))[0].astype(float)
    assert 0.1 < entropy_threshold(lone) / BINS < 0.4
    assert entropy_threshold(np.full(BINS, 50.0)) > 0.9 * BINS


def test_the_file_gives_back_what_was_saved(
    tmp_path: Path, small_model: Path, samples: Samples, ranges: Ranges
) -> None:
    path = tmp_path / "new folder" / "ranges.json"
    save_ranges(ranges, path)
    assert load_ranges(path, ranges_key(small_model, samples, "minmax")) == ranges
    assert [file.name for file in path.parent.iterdir()] == ["ranges.json"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "f" * 64),
        ("frames", "0" * 64),
        ("method", "entropy"),
        ("tools", {"onnxruntime": "1.2.3"}),
    ],
)
def test_ranges_of_another_are_refused(tmp_path: Path, ranges: Ranges, field: str, value: object) -> None:
    path = tmp_path / "ranges.json"
    save_ranges(ranges, path)
    theirs = getattr(ranges.key, field)
    with pytest.raises(ContractMismatch, match=f"another {field}") as caught:
        load_ranges(path, replace(ranges.key, **{field: value}))
    for side in (theirs, value):
        assert (side[:12] if isinstance(side, str) else str(side)) in str(caught.value)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"key": {}, "tensors": {}}', '{"key": 1, "tensors": 2}'])
def test_what_is_no_ranges_file_is_refused(tmp_path: Path, ranges: Ranges, content: str) -> None:
    path = tmp_path / "ranges.json"
    path.write_text(content)
    with pytest.raises(BadInput, match="cannot be read as ranges"):
        load_ranges(path, ranges.key)


def test_bad_input_is_named(small_model: Path, samples: Samples, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected one of minmax, entropy, percentile"):
        collect_ranges(small_model, samples, "median")
    black = Samples([np.zeros((8, 8, 3), np.uint8)], 1, "")
    with pytest.raises(BadInput, match="black or blank"):
        collect_ranges(small_model, black, "minmax")
    other = tmp_path / "other.onnx"
    other.write_bytes(b"no model")
    with pytest.raises(BadInput, match="not a whole ONNX file"):
        collect_ranges(other, samples, "minmax")


def test_the_file_is_plain_json(tmp_path: Path, ranges: Ranges) -> None:
    save_ranges(ranges, tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["key"]["method"] == "minmax"
