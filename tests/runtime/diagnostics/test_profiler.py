"""Profiles of a run: which frames and stages are counted, and readings of the device."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest

from shls.runtime._support.stopwatch import Stopwatch
from shls.runtime.backends.base import Session
from shls.runtime.diagnostics.profile_figures import peak_memory
from shls.runtime.diagnostics.profiler import _network_includes, profile
from shls.runtime.errors import BadInput
from shls.runtime.hardware.sensors import Sample
from shls.runtime.io.recorded import RecordedSource
from shls.runtime.io.synthetic import SyntheticSource
from shls.runtime.models.contract import Contract
from shls.runtime.segmenter import VideoSegmenter
from shls.runtime.types import Frame, Mask
from tests.conftest import scene


class Plays:
    """A segmenter of one stage, the network."""

    def __init__(self) -> None:
        self.stopwatch = Stopwatch()
        contract = Contract(network="played", height=16, width=32, dim=4, checkpoint_sha256="00")
        self.session = SimpleNamespace(contract=contract, backend="played backend", on_gpu=False)
        refines = SimpleNamespace(network="played-refiner", precision="fp16")
        self.refiner = SimpleNamespace(contract=refines, backend="another")

    def start(self, image: np.ndarray, mask: np.ndarray) -> None:  # noqa: ARG002
        self.step(image)

    def step(self, image: np.ndarray) -> Mask:
        with self.stopwatch.time("network"):
            time.sleep(0.002)
        return Mask(np.zeros(image.shape[:2], np.uint8), {1: 0.0})


def measure(frames: int = 5, readers: list[Callable[[], Sample]] | None = None, overlap: bool = True) -> dict[str, Any]:
    with SyntheticSource(frames, (24, 32)) as source:
        follower = cast(VideoSegmenter, Plays())
        return profile(source, follower, threads=1, readers=readers or [], overlap=overlap)


def test_the_marked_frame_and_the_warm_up_are_not_counted() -> None:
    found = measure(5)
    assert found["frames"] == 4
    counts = {stage: row["count"] for stage, row in found["stages"].items()}
    assert counts == dict.fromkeys(("decode", "network", "segment", "write", "frame"), 4)
    assert len(found["frame_ms"]) == len(found["export_times"]) == 4
    assert found["warm_up_s"] > 0


class Clock:
    """Time that goes on only where it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def goes_on(self, milliseconds: float) -> None:
        self.now += milliseconds / 1000


class Decodes(RecordedSource):
    """Frames that take 5 ms to decode."""

    name, fps = "clip", 25.0

    def __init__(self, clock: Clock, count: int) -> None:
        self.count, self._clock = count, clock
        super().__init__(0)

    def _read(self, start: int) -> Iterator[Frame]:
        for at in range(start, self.count or 0):
            self._clock.goes_on(5)
            yield Frame(scene(at, 64, 48), at, at / 25, str(at))


class Runs:
    """A network that takes 30 ms."""

    backend, on_gpu = "played", False
    contract = Contract(network="played", height=48, width=64, dim=4, checkpoint_sha256="00")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def run(self, tensor: np.ndarray) -> np.ndarray:
        self._clock.goes_on(30)
        features = cv2.resize(tensor[0].transpose(1, 2, 0), (16, 12)).transpose(2, 0, 1)
        features = np.concatenate([features, np.ones((1, 12, 16), np.float32)])
        return features / np.linalg.norm(features, axis=0)


@pytest.mark.parametrize(("between", "explained"), [(0, 1.0), (5, 35 / 39)])  # nothing is done before the first of five
def test_parts_sum_to_the_whole_of_the_real_segmenter(
    between: float, explained: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    segmenter = VideoSegmenter(Runs(clock), overlap=False)
    with Decodes(clock, 6) as source:
        found = profile(source, segmenter, 1, lambda _: clock.goes_on(between), overlap=False, readers=[])
    assert found["stages"]["frame"]["p50"] == 35 + between, "what is done between stages is no stage"
    assert found["stages"]["network"]["mean"] == 30
    assert found["parts"] == {"mean_ms": 35.0, "of_frame": pytest.approx(explained, abs=1e-4)}
    assert set(found["stages"]) >= {
        "decode",
        "superpixels",
        "flow",
        "pool",
        "memory",
        "spread",
        "remember",
        "decide",
        "write",
    }


def test_a_latency_of_a_gpu_says_what_is_in_it() -> None:
    for backend, words in (("TensorRT 10.3 on Orin", "one CUDA graph"), ("onnxruntime", "copies to and from the GPU,")):
        played = SimpleNamespace(backend=backend, on_gpu=True)
        assert words in _network_includes(cast(Session, played))


def test_memory_of_devices_at_its_largest() -> None:
    samples = [Sample(memory={"gpu": value}) for value in (300.0, 900.0, 500.0)] + [Sample()]
    assert peak_memory(samples) == {"gpu": 900.0}
    assert measure(readers=[lambda: Sample(memory={"shared": 800.0})])["peak_device_mb"] == {"shared": 800.0}


def test_the_setup_says_what_ran() -> None:
    setup = measure()["setup"]
    assert setup["backend"] == "played backend"
    assert (setup["frame_size"], setup["network_size"], setup["threads"]) == ([32, 24], [32, 16], 1)
    assert setup["source"] == "synthetic"
    assert setup["refiner"] == "played-refiner fp16 on another"


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


def test_one_frame() -> None:
    with pytest.raises(BadInput, match="got 1 frame, expected 2 or more"):
        measure(1)
