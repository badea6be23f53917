"""The pipeline: order, errors from every side, live sources, and the same masks however it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import pytest

from shls.runtime import pipeline
from shls.runtime._support.stopwatch import Stopwatch
from shls.runtime.errors import BadInput
from shls.runtime.io.base import Sink, Source
from shls.runtime.io.recorded import RecordedSource
from shls.runtime.pipeline import Summary, follow, warm_up
from shls.runtime.segmenter import VideoSegmenter
from shls.runtime.types import Frame, Mask


class Counts:
    """A segmenter whose masks depend on every frame before."""

    def __init__(self) -> None:
        self.stopwatch = Stopwatch()
        self.sum = np.zeros((4, 6), np.uint8)

    def start(self, image: np.ndarray, mask: np.ndarray) -> None:
        self.sum = mask + image[..., 0]

    def step(self, image: np.ndarray) -> Mask:
        self.sum = self.sum * 3 + image[..., 0]
        return Mask(self.sum.copy(), {1: 0.5})


class Keeps(Sink):
    """Keeps the results; fails at one of them, if asked to."""

    def __init__(self, fail_at: int = -1) -> None:
        self.results: list[tuple[int, np.ndarray]] = []
        self.fail_at = fail_at

    def write(self, frame: Frame, mask: Mask) -> None:
        if frame.index == self.fail_at:
            raise BadInput("disk full")
        self.results.append((frame.index, mask.labels))


def frames(count: int, fail_at: int = -1) -> Iterator[Frame]:
    for at in range(count):
        if at == fail_at:
            raise BadInput("truncated")
        yield Frame(np.full((4, 6, 3), at + 1, np.uint8), at, at / 10, f"{at:05d}")


class Camera(RecordedSource):
    """A live source that gives a frame whenever it is asked; each is as old as its index says."""

    live, dropped = True, 7
    name, fps, count = "camera", 10.0, None

    def _read(self, start: int) -> Iterator[Frame]:
        return frames(6, start - 1)

    def age(self, frame: Frame) -> float:
        return frame.index / 10


def run(source: Source | Iterator[Frame], sink: Sink, segmenter: Counts | None = None, **options: object) -> Summary:
    follower = cast(VideoSegmenter, segmenter or Counts())
    return follow(source, follower, lambda image: (image[..., 0] > 0).astype(np.uint8), sink, **options)  # type: ignore[arg-type]


def test_all_frames_in_order_with_the_mark_first() -> None:
    sink, told = Keeps(), list[int]()
    done = run(frames(20), sink, progress=told.append)
    assert (done.frames, [index for index, _ in sink.results]) == (20, list(range(20)))
    assert sink.results[0][1].tolist() == np.ones((4, 6)).tolist()
    assert told == list(range(2, 21))
    assert (done.dropped, done.late) == (0, 0)


def test_masks_are_the_same_without_overlap() -> None:
    beside, after = Keeps(), Keeps()
    run(frames(30), beside, overlap=True)
    run(frames(30), after, overlap=False)
    assert [at for at, _ in beside.results] == [at for at, _ in after.results]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(beside.results, after.results, strict=True))


def test_stages_are_counted() -> None:
    segmenter = Counts()
    run(frames(5), Keeps(), segmenter)
    counts = {stage: len(values) for stage, values in segmenter.stopwatch.seconds.items()}
    assert counts == {"decode": 5, "segment": 4, "write": 5, "frame": 4}


def test_no_frame() -> None:
    with pytest.raises(BadInput, match="no frame"):
        run(frames(0), Keeps())


@pytest.mark.parametrize("overlap", [True, False])
def test_a_source_that_fails_leaves_what_was_written(overlap: bool) -> None:
    sink = Keeps()
    with pytest.raises(BadInput, match="truncated"):
        run(frames(20, fail_at=12), sink, overlap=overlap)
    assert len(sink.results) == 12


@pytest.mark.parametrize("overlap", [True, False])
def test_a_sink_that_fails_ends_the_run(overlap: bool) -> None:
    sink = Keeps(fail_at=3)
    with pytest.raises(BadInput, match="disk full"):
        run(frames(1000), sink, overlap=overlap)
    assert len(sink.results) == 3


def test_a_live_source_is_not_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_ReadAhead", None)
    segmenter, sink = Counts(), Keeps()
    done = run(Camera(0), sink, segmenter)
    assert (done.frames, done.dropped, done.late, len(sink.results)) == (6, 7, 0, 6)
    assert list(segmenter.stopwatch.seconds["age"]) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_late_results_of_a_live_source_are_not_written() -> None:
    sink = Keeps()
    done = run(Camera(0), sink, max_age=0.25)
    assert (done.frames, done.late, [index for index, _ in sink.results]) == (6, 3, [0, 1, 2])


def test_damaged_frames_are_in_the_summary() -> None:
    class Scratched(Camera):
        live, damaged = False, 3

    assert run(Scratched(0), Keeps()).damaged == 3
    assert run(Camera(0), Keeps()).damaged == 0
    assert run(frames(3), Keeps()).damaged == 0


def test_warm_up_leaves_no_times() -> None:
    segmenter = Counts()
    segmenter.stopwatch.add("network", 9.0)
    assert warm_up(cast(VideoSegmenter, segmenter), np.zeros((4, 6, 3), np.uint8)) > 0
    assert not segmenter.stopwatch.seconds


def test_what_is_followed_may_be_revised() -> None:
    sink, seen = Keeps(), list[int]()

    def revise(frame: Frame, mask: Mask) -> Mask:
        seen.append(frame.index)
        return Mask(mask.labels * 0, {}) if frame.index == 2 else mask

    run(frames(4), sink, revise=revise)
    assert seen == [1, 2, 3], "the first is marked"
    assert [bool(labels.any()) for _, labels in sink.results] == [True, True, False, True]
