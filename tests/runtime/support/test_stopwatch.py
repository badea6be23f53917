"""The stopwatch counts finished stages and keeps a limited number of durations."""

from __future__ import annotations

import pytest

from shls.runtime._support.stopwatch import KEEP, Stopwatch


def test_stages_are_timed_and_failures_are_not() -> None:
    watch = Stopwatch()
    with watch.time("good"):
        pass
    with pytest.raises(ZeroDivisionError), watch.time("bad"):
        raise ZeroDivisionError
    assert list(watch.seconds) == ["good"]
    assert watch.seconds["good"][0] >= 0


def test_medians_are_milliseconds() -> None:
    watch = Stopwatch()
    for seconds in (0.001, 0.005, 0.002):
        watch.add("stage", seconds)
    assert watch.medians() == {"stage": pytest.approx(2.0)}


def test_only_the_newest_are_kept_unless_all_are_wanted() -> None:
    some, all_of_them = Stopwatch(), Stopwatch(keep=None)
    for at in range(KEEP + 5):
        some.add("stage", at)
        all_of_them.add("stage", at)
    assert len(some.seconds["stage"]) == KEEP
    assert some.seconds["stage"][0] == 5
    assert len(all_of_them.seconds["stage"]) == KEEP + 5


def test_a_new_start_forgets_and_keeps_as_many_as_it_is_told() -> None:
    watch = Stopwatch()
    watch.add("stage", 1.0)
    watch.restart(keep=2)
    assert not watch.seconds
    for at in range(3):
        watch.add("stage", at)
    assert list(watch.seconds["stage"]) == [1, 2]
