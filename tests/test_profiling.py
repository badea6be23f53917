"""Profiles: what is counted, what is warned of, and what is said where the system tells nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from shls.runtime.contract import Contract
from shls.runtime.devices import Sample
from shls.runtime.errors import BadInput
from shls.runtime.profiling import FEW, drift, profile, statistics, warnings_of
from shls.runtime.segmenter import VideoSegmenter
from shls.runtime.stopwatch import Stopwatch
from shls.runtime.synthetic import SyntheticSource
from shls.runtime.types import Mask


class Plays:
    """A segmenter of one stage, the network."""

    def __init__(self) -> None:
        self.stopwatch = Stopwatch()
        contract = Contract(network="played", height=16, width=32, dim=4, checkpoint_sha256="00")
        self.session = SimpleNamespace(contract=contract, backend="played backend")

    def start(self, image: np.ndarray, mask: np.ndarray) -> None:  # noqa: ARG002
        self.step(image)

    def step(self, image: np.ndarray) -> Mask:
        with self.stopwatch.time("network"):
            time.sleep(0.002)
        return Mask(np.zeros(image.shape[:2], np.uint8), {1: 0.0})


def measure(frames: int = 5, readers: list[Callable[[], Sample]] | None = None, overlap: bool = True) -> dict[str, Any]:
    with SyntheticSource(frames, (24, 32)) as source:
        follower = cast(VideoSegmenter, Plays())
        return profile(source, follower, threads=3, readers=readers or [], overlap=overlap)


def test_by_hand_statistics() -> None:
    found = statistics([1.0, 2.0, 3.0, 4.0])
    assert found["count"] == 4
    assert (found["min"], found["mean"], found["p50"], found["max"]) == (1.0, 2.5, 2.5, 4.0)
    assert found["p90"] == pytest.approx(3.7)
    assert found["std"] == pytest.approx(1.118)


def test_the_marked_frame_and_the_warm_up_are_not_counted() -> None:
    found = measure(5)
    assert found["frames"] == 4
    counts = {stage: row["count"] for stage, row in found["stages"].items()}
    assert counts == dict.fromkeys(("decode", "network", "segment", "write", "frame"), 4)
    assert len(found["frame_ms"]) == len(found["export_times"]) == 4
    assert found["warm_up_s"] > 0


def test_parts_sum_to_the_whole_without_overlap() -> None:
    stages = measure(20, overlap=False)["stages"]
    parts = stages["decode"]["mean"] + stages["segment"]["mean"] + stages["write"]["mean"]
    assert parts <= stages["frame"]["mean"] + 0.01
    assert stages["network"]["mean"] <= stages["segment"]["mean"] + 0.01


def test_the_setup_says_what_ran() -> None:
    setup = measure()["setup"]
    assert setup["backend"] == "played backend"
    assert (setup["frame_size"], setup["network_size"], setup["threads"]) == ([32, 24], [32, 16], 3)
    assert setup["source"] == "synthetic"


def test_it_is_json() -> None:
    found = measure(readers=[lambda: Sample(temperatures={"cpu": 50.0})])
    assert json.loads(json.dumps(found)) == found | {"device": json.loads(json.dumps(found["device"]))}


def test_export_times_have_trtexec_s_keys() -> None:
    first, second = measure(3)["export_times"]
    assert {"startEnqMs", "h2dMs", "computeMs", "d2hMs", "latencyMs"} <= set(first)
    assert first["computeMs"] == first["latencyMs"] >= 2.0
    assert second["startEnqMs"] > first["startEnqMs"]


def test_energy_is_power_times_time_per_frame() -> None:
    device = measure(5, [lambda: Sample(power={"VDD_IN": 10.0}, throttling=("gpu",))])["device"]
    assert device["watts"] == 10.0
    assert device["joules_per_frame"] > 10 * 0.002
    assert device["throttled_seconds"] == len(device["samples"]) >= 1


def test_a_system_that_tells_nothing() -> None:
    device = measure(readers=[Sample])["device"]
    assert device == {"samples": [], "watts": None, "joules_per_frame": None, "throttled_seconds": None}


def test_drift_needs_two_minutes() -> None:
    assert drift([1000.0] * 119) is None
    assert drift([1000.0] * 60 + [2000.0] * 60) == {
        "first_minute": 1000.0,
        "last_minute": 2000.0,
        "ratio": 2.0,
    }


def test_one_frame() -> None:
    with pytest.raises(BadInput, match="has 1 frame; expected at least 2"):
        measure(1)


def test_warnings() -> None:
    quiet = {"frames": FEW, "variation": 0.01, "drift": None, "device": {"throttled_seconds": None}}
    assert warnings_of(quiet) == []
    loud = {
        "frames": 3,
        "variation": 0.5,
        "drift": {"ratio": 1.5},
        "device": {"throttled_seconds": 4},
    }
    for words in ("3 frames are few", "vary by 50%", "1.50 times as slow", "in 4 samples"):
        assert sum(words in warning for warning in warnings_of(loud)) == 1
