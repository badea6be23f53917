"""Reading any frame of a recording: what is cached, read on to, or opened anew."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.base import Source
from shls.runtime.server import readers
from shls.runtime.server.readers import open_reader
from tests.fake_server import SIZE, Drawn, drawn


class Counted(Drawn):
    """Counts what is opened and read."""

    log: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, start: int = 0) -> None:
        self.log.append(("open", start))
        super().__init__(400, start)


@pytest.fixture(autouse=True)
def nothing_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counted, "log", [])
    monkeypatch.setattr(readers, "CACHE_BYTES", 20 * 3 * SIZE[0] * SIZE[1])
    monkeypatch.setattr(readers, "NEAR", 30)


def test_any_frame_in_any_order() -> None:
    reader = open_reader(Counted)
    for index in (0, 1, 25, 3, 399, 0, 200):
        frame = reader.at(index)
        assert frame is not None
        assert frame.index == index
        assert np.array_equal(frame.image, drawn(index))
    assert reader.at(400) is None
    assert reader.count == 400
    reader.close()


def test_what_was_read_lately_is_not_read_again() -> None:
    reader = open_reader(Counted)
    for index in range(30):
        reader.at(index)
    reader.at(15)
    assert Counted.log == [("open", 0)]
    reader.at(2)
    assert Counted.log == [("open", 0), ("open", 2)]
    reader.close()


def test_a_frame_far_ahead_is_read_on_to_unless_it_can_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = open_reader(Counted)
    reader.at(300)
    assert Counted.log == [("open", 0)]

    def reopened(_: Source, index: int, time: float | None = None) -> Source | None:
        return Counted(index) if time is not None else None

    monkeypatch.setattr(Counted, "reopened", reopened)
    reader.at(5)
    assert Counted.log[-1] == ("open", 5)
    reader.at(250)
    assert Counted.log[-1] == ("open", 250), "its time is known from the first pass"
    reader.close()


def test_the_first_frame_may_be_a_later_one() -> None:
    reader = open_reader(Counted, 7)
    assert (reader.first, reader.count) == (7, 400)
    frame = reader.at(7)
    assert frame is not None
    assert [one.index for one, _ in zip(reader.again(), range(2), strict=False)] == [7, 8]
    reader.close()


def test_an_error_in_the_middle_is_raised_once_and_earlier_frames_stay() -> None:
    reader = open_reader(lambda start: Drawn(9, start, fails_at=4))
    assert reader.at(3) is not None
    with pytest.raises(BadInput, match="truncated after 4 frames"):
        reader.at(4)
    assert reader.at(2) is not None
    assert reader.at(4) is None
    reader.close()
