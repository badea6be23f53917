"""Playing a source: rounds, gaps, limits, and signals that end it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from shls.runtime.io.base import Source
from shls.runtime.io.playback import Playback, stopping
from shls.runtime.io.sources import open_source
from shls.runtime.io.synthetic import SyntheticSource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven images named a0 .. a6, each of its number's grey."""
    for at in range(7):
        cv2.imwrite(str(tmp_path / f"a{at}.png"), np.full((8, 8, 3), at, np.uint8))
    return tmp_path


def play(folder: Path, start: int = 0, **options: object) -> list[tuple[int, str, int]]:
    """Return index, name and grey of each frame."""
    with Playback(lambda: open_source(str(folder), start), **options) as source:  # type: ignore[arg-type]
        frames = list(source)
        assert source.count in (None, len(frames))
    assert [frame.time for frame in frames] == pytest.approx([frame.index / 24 for frame in frames])
    return [(frame.index, frame.name, int(frame.image[0, 0, 0])) for frame in frames]


def test_once_as_it_is(folder: Path) -> None:
    assert play(folder) == [(at, f"a{at}", at) for at in range(7)]


def test_every_third(folder: Path) -> None:
    assert [at for at, *_ in play(folder, every=3)] == [0, 3, 6]
    with Playback(lambda: open_source(str(folder)), every=3) as source:
        assert source.fps == 8, "so that the video that is written plays at the same speed"


def test_rounds_go_on_counting(folder: Path) -> None:
    assert play(folder, loop=True, limit=10)[6:] == [
        (6, "a6", 6),
        (7, "00007", 0),
        (8, "00008", 1),
        (9, "00009", 2),
    ]


def test_every_second_over_the_end_of_a_round(folder: Path) -> None:
    assert [(at, grey) for at, _, grey in play(folder, loop=True, every=2, limit=6)] == [
        (0, 0),
        (2, 2),
        (4, 4),
        (6, 6),
        (8, 1),
        (10, 3),
    ]


def test_no_time(folder: Path) -> None:
    with Playback(lambda: open_source(str(folder)), duration=0) as source:
        assert list(source) == []


def test_a_stop_ends_it(folder: Path) -> None:
    with Playback(lambda: open_source(str(folder)), loop=True) as source:
        next(source)
        source.stop()
        assert next(source, None) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_a_second_one_means_it(folder: Path, number: int) -> None:
    def second(number: int, frame: object) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    before = signal.signal(number, second)
    try:
        with open_source(str(folder)) as source, stopping(source) as came:
            _signal_between_frames(source, number)
            assert came == [number]
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) is second
    finally:
        signal.signal(number, before)


def _signal_between_frames(source: Source, number: int) -> None:
    next(source)
    os.kill(os.getpid(), number)
    assert list(source) == []


def test_damaged_frames_of_all_rounds_are_counted() -> None:
    class Scratched(SyntheticSource):
        damaged = 2

    with Playback(lambda: Scratched(3, (24, 32)), loop=True, limit=7) as source:
        assert len(list(source)) == 7
        assert source.damaged == 6
