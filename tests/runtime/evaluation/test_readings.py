"""Readings of drawn sequences: order, rate, size and content of frames and annotations."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.evaluation.davis import SequenceFiles
from shls.runtime.evaluation.readings import FORWARD, READINGS, read_as
from shls.runtime.io.masks import write_mask

SIZE = (40, 60)


def draw(folder: Path, areas: list[list[int]], annotated: list[int] | None = None) -> SequenceFiles:
    """Draw one frame per list of areas: the area of each object in pixels, each object in rows of its own."""
    rng = np.random.default_rng(0)
    files, truths = [], {}
    for index, frame in enumerate(areas):
        files.append(folder / f"{index:05d}.png")
        image = cv2.resize(rng.integers(0, 256, (5, 6, 3), np.uint8), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(files[-1]), image)
        labels = np.zeros(SIZE, np.uint8)
        for k, area in enumerate(frame):
            labels[10 * k : 10 * k + 10].ravel()[:area] = k + 1
        if annotated is None or index in annotated:
            truths[index] = folder / f"{index:05d}_truth.png"
            write_mask(truths[index], labels)
    return SequenceFiles("drawn", folder, truths, files)


def names(sequence: SequenceFiles, reading: str) -> list[str]:
    return [frame.name for frame in read_as(sequence, reading).frames()]


def numbered(numbers: list[int]) -> list[str]:
    return [f"{number:05d}" for number in numbers]


def test_order(tmp_path: Path) -> None:
    sequence = draw(tmp_path, [[100]] * 7, [1, 2, 3, 4, 5, 6])
    assert names(sequence, "forward") == numbered([1, 2, 3, 4, 5, 6])
    assert names(sequence, "every2") == numbered([1, 3, 5])
    assert names(sequence, "reversed") == numbered([6, 5, 4, 3, 2, 1])
    clip = read_as(sequence, "every2")
    assert {at: path.name for at, path in clip.truths.items()} == {
        0: "00001_truth.png", 1: "00003_truth.png", 2: "00005_truth.png"
    }  # fmt: skip


def test_reversed_begins_where_the_object_has_half_its_median_area(tmp_path: Path) -> None:
    # the median of the frames with the object is 100
    sequence = draw(tmp_path, [[120], [100], [100], [50], [49], [0], [0]])
    assert names(sequence, "reversed") == numbered([3, 2, 1, 0])


def test_reversed_begins_with_as_many_objects_as_possible(tmp_path: Path) -> None:
    sequence = draw(tmp_path, [[100, 0], [100, 80], [100, 80], [100, 10], [100, 0]])
    assert names(sequence, "reversed") == numbered([2, 1, 0])


@pytest.mark.parametrize("reading", ["forward", "every2", "reversed"])
def test_readings_begin_or_end_at_the_first_object(tmp_path: Path, reading: str) -> None:
    sequence = draw(tmp_path, [[0], [0], [100], [100], [100], [100]])
    clip = read_as(sequence, reading)
    expected = {"forward": [2, 3, 4, 5], "every2": [2, 4], "reversed": [5, 4, 3, 2]}
    assert [path.stem for path in clip.files] == numbered(expected[reading])
    assert clip.notes == ("2 annotations before the first object are skipped",)


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="got every4, expected one of forward, reversed"):
        read_as(draw(tmp_path, [[100]] * 3), "every4")


@pytest.mark.parametrize("name", READINGS)
def test_content(tmp_path: Path, name: str) -> None:
    sequence = draw(tmp_path, [[240, 360]] * 7)
    plain, clip = read_as(sequence, FORWARD), read_as(sequence, name)
    original, truth = next(plain.frames()).image, plain.truth(0)
    if name == "reversed":
        original = list(plain.frames())[-1].image
    image, labels = next(clip.frames()).image, clip.truth(0)
    assert image.shape[:2] == labels.shape
    if name == "mirrored":
        assert (image == original[:, ::-1]).all()
        assert (labels == truth[:, ::-1]).all()
    elif name == "half":
        assert labels.shape == (20, 30)
        blocks = original.reshape(20, 2, 30, 2, 3).mean((1, 3))
        assert np.abs(image - blocks).max() <= 1
        assert set(np.unique(labels)) == {0, 1, 2}
        assert np.bincount(labels.ravel())[1:].tolist() == [60, 90]
    else:
        assert (labels == truth).all()
        difference = np.abs(image.astype(int) - original).mean()
        assert 0.5 < difference < 10 if name == "jpeg40" else difference == 0
