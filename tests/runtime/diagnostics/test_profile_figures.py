"""Figures of a profile, from durations made up by hand."""

from __future__ import annotations

import time

import pytest

from shls.runtime.diagnostics.profile_figures import FEW, drift, statistics, stopwatch_cost, warnings_of
from tests.runtime.diagnostics.test_profiler import Clock


def test_by_hand_statistics() -> None:
    found = statistics([1.0, 2.0, 3.0, 4.0])
    assert found["count"] == 4
    assert (found["min"], found["mean"], found["p50"], found["max"]) == (1.0, 2.5, 2.5, 4.0)
    assert found["p90"] == pytest.approx(3.7)
    assert found["std"] == pytest.approx(1.118)


def test_what_the_stopwatch_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()

    def tick() -> float:
        clock.goes_on(0.001)
        return clock()

    monkeypatch.setattr(time, "perf_counter", tick)
    cost = stopwatch_cost({"network": [9.0, 11.0], "frame": [10.0, 10.0], "write": [0.1, 0.1]})
    assert cost["stages_a_frame"] == 3
    assert cost["us_a_stage"] == pytest.approx(2, abs=0.01), "it looks at the clock twice"
    assert cost["of_frame"] == pytest.approx(3 * 2e-6 / 0.01, rel=0.01)


def test_drift_needs_two_minutes() -> None:
    assert drift([1000.0] * 119) is None
    assert drift([1000.0] * 60 + [2000.0] * 60) == {
        "first_minute": 1000.0,
        "last_minute": 2000.0,
        "ratio": 2.0,
    }


def test_warnings() -> None:
    quiet = {"frames": FEW, "variation": 0.01, "drift": None, "device": {"throttled_seconds": None}}
    assert warnings_of(quiet) == []
    loud = {
        "frames": 3,
        "variation": 0.5,
        "drift": {"ratio": 1.5},
        "device": {"throttled_seconds": 4},
    }
    for words in ("only 3 frames were measured", "vary by 50%", "1.50 times as long", "in 4 samples"):
        assert sum(words in warning for warning in warnings_of(loud)) == 1
