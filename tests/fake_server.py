"""A session without a model: small drawn frames, a segmenter that shifts masks, a solver that draws squares."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from shls.runtime.errors import BadInput
from shls.runtime.io.base import Source
from shls.runtime.io.recorded import RecordedSource
from shls.runtime.prompts.prompt import Prompt
from shls.runtime.server.access import Rules
from shls.runtime.server.readers import open_reader
from shls.runtime.server.running import open_socket, run_server
from shls.runtime.server.session import Session
from shls.runtime.types import Frame, Mask
from tests.fake_segmenters import Follows

SIZE = (64, 96)
SHIFT = 2
"""Pixels by which masks and the drawn square move per frame."""


class Shifts(Follows):
    """Moves each mask to the right, and out of the frame; `log` has what was called."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[int] = []
        self.log: list[tuple[Any, ...]] = []

    def solve(self, image: np.ndarray, prompt: Prompt) -> np.ndarray:
        return squares(image, prompt)

    def start(self, image: np.ndarray, mask: np.ndarray) -> None:
        self.labels, self.ids = mask.copy(), [int(one) for one in np.unique(mask) if one]
        self.log.append(("start", number_of(image), *self.ids))

    def add(self, mask: np.ndarray) -> Mask:
        new = [int(one) for one in np.unique(mask) if one]
        self.ids = sorted({*self.ids, *new})
        kept = np.where(np.isin(self.labels, new), np.uint8(0), self.labels)
        self.labels = np.where(mask > 0, mask, kept)
        self.log.append(("add", *new))
        return self._result()

    def remove(self, object_id: int) -> Mask:
        self.ids.remove(object_id)
        self.labels = np.where(self.labels == object_id, np.uint8(0), self.labels)
        self.log.append(("remove", object_id))
        return self._result()

    def step(self, image: np.ndarray) -> Mask:
        moved = np.zeros_like(self.labels)
        moved[:, SHIFT:] = self.labels[:, :-SHIFT]
        self.labels = moved
        self.log.append(("step", number_of(image)))
        return self._result()

    def _result(self) -> Mask:
        return Mask(self.labels.copy(), {one: 0.9 if (self.labels == one).any() else 0.0 for one in self.ids})


class Drawn(RecordedSource):
    """Frames with a bright square that moves to the right; the first pixel is the number of the frame."""

    name, fps = "drawn", 200.0

    def __init__(self, count: int, start: int = 0, fails_at: int | None = None) -> None:
        self._total, self.count, self._fails_at = count, count - start, fails_at
        super().__init__(start)

    def _read(self, start: int) -> Iterator[Frame]:
        for index in range(start, self._total):
            if index == self._fails_at:
                raise BadInput(f"drawn: truncated after {index} frames. Copy the file again")
            yield Frame(drawn(index), index, index / self.fps, f"{index:05d}")


class Camera(Source):
    """Live source of drawn frames; it stalls, breaks and ends as a test says."""

    name, size, fps, count, live = "camera", SIZE, 100.0, None, True

    def __init__(self) -> None:
        self.stalled, self.ended = threading.Event(), threading.Event()
        self.index = 0

    def __next__(self) -> Frame:
        while not self.ended.wait(0.01):
            if not self.stalled.is_set():
                self.index += 1
                return Frame(drawn(self.index), self.index - 1, self.index / 100, f"{self.index:05d}")
        raise StopIteration

    def stop(self) -> None:
        self.ended.set()

    def close(self) -> None:
        self.ended.set()


def drawn(index: int) -> np.ndarray:
    image = np.full((*SIZE, 3), 60, np.uint8)
    left = 10 + SHIFT * index % 60
    image[20:40, left : left + 20] = 220, 180, 90
    image[0, 0] = index % 256
    return image


def number_of(image: np.ndarray) -> int:
    return int(image[0, 0, 0])


def squares(image: np.ndarray, prompt: Prompt) -> np.ndarray:
    """Give boxes, and a square of 9 pixels around each point, without those around negative points."""
    size = (image.shape[0], image.shape[1])
    prompt.check(size)
    drawn_mask = prompt.drawn(size)
    found = np.zeros(size, bool) if drawn_mask is None else drawn_mask.copy()
    for x, y, width, height in prompt.boxes:
        found[round(y) : round(y + height), round(x) : round(x + width)] = True
    for points, value in ((prompt.points, True), (prompt.negative_points, False)):
        for x, y in points:
            found[max(0, int(y) - 4) : int(y) + 5, max(0, int(x) - 4) : int(x) + 5] = value
    return found


def open_session(count: int = 12, source: Source | None = None, **options: Any) -> Session:
    """Open a session on drawn frames, or on a source."""
    fails_at, start = options.pop("fails_at", None), options.pop("start", 0)

    def opener(at: int) -> Source:
        if source is not None:
            return source
        return Drawn(count, at, fails_at)

    options.setdefault("solve", squares)
    return Session(open_reader(opener, start), options.pop("segmenter", None) or Shifts(), **options)


@contextmanager
def serving(session: Session, rules: Rules | None = None) -> Iterator[str]:
    """Serve a session on a free port of loopback by a thread; yields the address without a slash."""
    opened = open_socket("127.0.0.1", 0)
    port = opened.getsockname()[1]
    ready, stop = threading.Event(), threading.Event()
    arguments = {"started": ready.set, "stop": stop}
    thread = threading.Thread(
        target=run_server, args=(session, rules or Rules("127.0.0.1"), opened), kwargs=arguments, daemon=True
    )
    thread.start()
    assert ready.wait(20)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()
