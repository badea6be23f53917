"""The number of threads is limited to the usable cores."""

from __future__ import annotations

import os

import pytest

from shls.runtime.errors import BadInput
from shls.runtime.hardware.cpu import clamp_threads, usable_cores


def test_threads_are_limited_to_the_usable_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5})
    assert usable_cores() == 3
    assert [clamp_threads(threads) for threads in (0, 1, 3, 4, 9999)] == [0, 1, 3, 3, 3]


def test_negative_threads_are_refused() -> None:
    with pytest.raises(BadInput, match=r"threads: not a number of threads \(got -1"):
        clamp_threads(-1)
