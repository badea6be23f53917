"""One convolution quantised at a time: a spoilt one is found, the table and the chart show it."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from shls.calib.ranges import Ranges, collect_ranges
from shls.calib.samples import Samples, sample_frames
from shls.calib.sensitivity import Loss, draw_chart, sensitivity, table
from shls.runtime.errors import BadInput


@pytest.fixture(scope="module")
def ranges(small_model: Path, frames_folder: Path) -> Ranges:
    return collect_ranges(small_model, sample_frames(str(frames_folder), 4, 0), "minmax")


def test_a_range_that_is_much_too_wide_is_found(small_model: Path, ranges: Ranges, frames_folder: Path) -> None:
    samples = sample_frames(str(frames_folder), 2, 1)
    done: list[int] = []
    losses = sensitivity(small_model, ranges, "tensorrt", samples, done.append)
    assert done == list(range(1, 21))
    assert {loss.weight for loss in losses} >= {"stem.0.weight", "head.weight"}
    assert [loss.alone for loss in losses] == sorted((loss.alone for loss in losses), reverse=True)
    assert losses[0].alone < 0.01
    assert all(loss.others > losses[-1].alone for loss in losses), "nineteen in INT8 lose more than the best one"

    low, high = ranges.tensors["relu_15"]
    wide = Ranges(ranges.key, ranges.tensors | {"relu_15": (low, 200 * high)})
    spoilt = sensitivity(small_model, wide, "tensorrt", samples)[0]
    assert spoilt.weight == "head.weight"
    assert spoilt.alone > 0.02
    assert spoilt.others < 0.01, "all is well without it"


def test_table_and_chart(tmp_path: Path) -> None:
    losses = [
        Loss("node_a", "stem.weight", 4e-3, 2e-3),
        Loss("node_bb", "head.weight", 1e-3, 5e-3),
        Loss("c", "d", -1e-9, 8e-3),
    ]
    lines = table(losses).splitlines()
    assert lines[1].split() == ["node_a", "stem.weight", "4.00e-03", "2.00e-03"]
    assert len({len(line) for line in lines}) == 1
    draw_chart(losses, tmp_path / "chart.png")
    chart = cv2.imread(str(tmp_path / "chart.png"))
    blue, grey = ((chart == colour).all(axis=2).sum(axis=1) for colour in ((180, 110, 40), (170, 170, 170)))
    assert blue[26:52].max() == pytest.approx(4 * blue[52:78].max(), abs=4)
    assert grey[26:52].max() == pytest.approx(grey[78:].max() / 4, abs=4)


def test_no_frames(small_model: Path, ranges: Ranges) -> None:
    with pytest.raises(BadInput, match="no frames to compare on"):
        sensitivity(small_model, ranges, "cpu", Samples([], 0, ""))
