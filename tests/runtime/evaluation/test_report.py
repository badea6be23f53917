"""Tables and JSON of results."""

from __future__ import annotations

import json

import pytest

from shls.runtime.evaluation.metrics import Score
from shls.runtime.evaluation.report import Report, Result, readings_table
from shls.runtime.evaluation.scoring import Presence

REPORT = Report(
    [
        Result(
            "a",
            {1: Score(1.0, 0.8), 2: Score(0.5, 0.5), 3: Score(0.0, 0.2)},
            {1: Presence(1, 8), 2: Presence(3, 8, 1, 2), 3: Presence()},
            10.0,
        ),
        Result("b", {1: Score(0.9, 0.7)}, {1: Presence(0, 4, 2, 10)}, 20.0),
    ]
)


def test_mean_is_over_objects_and_presence_is_a_sum() -> None:
    assert REPORT.mean() == pytest.approx((0.6, 0.55))
    assert REPORT.total == Presence(4, 20, 3, 12)


def test_json() -> None:
    values = REPORT.to_dict()
    assert values["mean"] == {
        "J": 0.6,
        "F": 0.55,
        "J&F": 0.575,
        "false_loss": {"frames": 4, "of": 20, "share": 0.2},
        "false_alarm": {"frames": 3, "of": 12, "share": 0.25},
    }
    of_a = values["sequences"]["a"]  # type: ignore[index]
    assert of_a["fps"] == 10.0
    assert of_a["J&F"] == 0.5
    assert of_a["false_loss"] == {"frames": 4, "of": 16, "share": 0.25}
    assert of_a["objects"]["2"] == {
        "J": 0.5,
        "F": 0.5,
        "J&F": 0.5,
        "false_loss": {"frames": 3, "of": 8, "share": 0.375},
        "false_alarm": {"frames": 1, "of": 2, "share": 0.5},
    }
    assert json.loads(json.dumps(values)) == values


def test_table() -> None:
    assert REPORT.table().splitlines() == [
        "sequence  objects      J      F    J&F      false loss     false alarm  frames/s",
        "a               3  0.500  0.500  0.500      4/16 25.0%       1/2 50.0%      10.0",
        "b               1  0.900  0.700  0.800       0/4  0.0%      2/10 20.0%      20.0",
        "mean            4  0.600  0.550  0.575      4/20 20.0%      3/12 25.0%      15.0",
    ]


def test_table_of_readings() -> None:
    assert readings_table({"forward": REPORT, "every2": REPORT}).splitlines() == [
        "reading  objects      J      F    J&F      false loss     false alarm  frames/s",
        "forward        4  0.600  0.550  0.575      4/20 20.0%      3/12 25.0%      15.0",
        "every2         4  0.600  0.550  0.575      4/20 20.0%      3/12 25.0%      15.0",
    ]
