"""Figures of a profile, computed from durations and samples."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict
from itertools import accumulate
from typing import Any

import numpy as np

from .._support.stopwatch import Stopwatch
from ..hardware.sensors import Sample

MINUTE = 60.0
UNSTEADY = 0.1
"""Coefficient of variation of frame times above which a profile gets a warning."""
FEW = 30
"""Number of frames below which a profile gets a warning, because percentiles are then inexact."""
WHOLES = ("segment", "frame", "age")
"""Stages that contain other stages or are no work."""
ROUNDS = 10_000
"""Number of empty stages that are timed to measure the cost of timing."""

Profile = dict[str, Any]
"""A profile in the format that `shls.runtime.diagnostics.profiler` documents."""


def statistics(milliseconds: list[float]) -> dict[str, float]:
    """Return count, extremes, mean, percentiles and standard deviation of durations.

    Parameters
    ----------
    milliseconds : durations, at least one

    Examples
    --------
    >>> statistics([1.0, 2.0, 3.0])["p50"]
    2.0
    """
    values = np.asarray(milliseconds)
    p50, p90, p95, p99 = np.percentile(values, [50, 90, 95, 99])
    found = {"min": values.min(), "mean": values.mean(), "p50": p50, "p90": p90, "p95": p95, "p99": p99}
    found |= {"max": values.max(), "std": values.std()}
    return {"count": len(values)} | {name: round(float(value), 3) for name, value in found.items()}


def parts_of(stages: dict[str, list[float]]) -> dict[str, float]:
    """Compare the sum of a frame's parts with the whole frame.

    Parameters
    ----------
    stages : stage -> durations in milliseconds, "frame" among them

    Returns
    -------
    `mean_ms`, sum of the parts' means, and `of_frame`, that sum over the mean of "frame".

    Examples
    --------
    >>> parts_of({"frame": [10.0], "network": [6.0], "memory": [3.0]})
    {'mean_ms': 9.0, 'of_frame': 0.9}
    """
    total = sum(float(np.mean(values)) for stage, values in stages.items() if stage not in WHOLES)
    return {"mean_ms": round(total, 3), "of_frame": round(total / float(np.mean(stages["frame"])), 4)}


def stopwatch_cost(stages: dict[str, list[float]]) -> dict[str, float]:
    """Measure the cost of timing by timing empty stages.

    Parameters
    ----------
    stages : stage -> durations in milliseconds, "frame" among them

    Returns
    -------
    `us_a_stage` in microseconds, `stages_a_frame`, and `of_frame`, the share of a frame.

    Examples
    --------
    >>> stopwatch_cost({"frame": [10.0, 10.0], "network": [9.0, 9.0]})["stages_a_frame"]
    2.0
    """
    watch = Stopwatch(keep=None)
    begun = time.perf_counter()
    for _ in range(ROUNDS):
        with watch.time("nothing"):
            pass
    seconds = (time.perf_counter() - begun) / ROUNDS
    count = sum(map(len, stages.values())) / len(stages["frame"])
    share = 1000 * seconds * count / float(np.mean(stages["frame"]))
    return {"us_a_stage": round(1e6 * seconds, 3), "stages_a_frame": round(count, 2), "of_frame": round(share, 6)}


def drift(frame: list[float]) -> dict[str, float] | None:
    """Compare the frames of the first minute with the frames of the last minute.

    Parameters
    ----------
    frame : durations of all frames in milliseconds

    Returns
    -------
    `first_minute` and `last_minute`, mean milliseconds, and their `ratio`; None for less than two minutes.

    Examples
    --------
    >>> drift([1000.0] * 60 + [1500.0] * 60)["ratio"]
    1.5
    """
    ends = np.cumsum(frame) / 1000
    if ends[-1] < 2 * MINUTE:
        return None
    values = np.asarray(frame)
    first, last = values[ends <= MINUTE].mean(), values[ends > ends[-1] - MINUTE].mean()
    return {
        "first_minute": round(float(first), 3),
        "last_minute": round(float(last), 3),
        "ratio": round(float(last / first), 4),
    }


def peak_memory(samples: list[Sample]) -> dict[str, float]:
    """Return device -> highest MB in use.

    Examples
    --------
    >>> peak_memory([Sample(memory={"gpu": 300.0}), Sample(memory={"gpu": 900.0})])
    {'gpu': 900.0}
    """
    peaks: dict[str, float] = {}
    for sample in samples:
        peaks |= {name: max(value, peaks.get(name, 0.0)) for name, value in sample.memory.items()}
    return {name: round(value, 1) for name, value in peaks.items()}


def device_figures(samples: list[Sample], seconds: float, frames: int) -> dict[str, Any]:
    """Return samples, mean watts, joules per frame and seconds of throttling.

    Parameters
    ----------
    samples : readings, one per second
    seconds : duration of the run
    frames : number of frames in it

    Examples
    --------
    >>> device_figures([Sample(power={"VDD_IN": 10.0})], seconds=2.0, frames=40)["joules_per_frame"]
    0.5
    """
    watts = [sample.watts for sample in samples if sample.watts is not None]
    mean = float(np.mean(watts)) if watts else None
    filled = [sample for sample in samples if sample != Sample(sample.time)]
    return {
        "samples": [asdict(sample) for sample in filled],
        "watts": None if mean is None else round(mean, 3),
        "joules_per_frame": None if mean is None else round(mean * seconds / frames, 4),
        "throttled_seconds": sum(bool(sample.throttling) for sample in filled) if filled else None,
    }


def export_times(network: Iterable[float], frame: list[float]) -> list[dict[str, float]]:
    """Return the network's times in the format of trtexec's `--exportTimes`, with all time under compute.

    Parameters
    ----------
    network : duration of the network in each frame, milliseconds
    frame : duration of each frame, milliseconds

    Examples
    --------
    >>> export_times([3.0, 4.0], [10.0, 11.0])[1]["startEnqMs"]
    10.0
    """
    starts = [0.0, *accumulate(frame)]
    rows = []
    for start, took in zip(starts, network, strict=False):
        begun, ended = round(start, 3), round(start + took, 3)
        rows.append(
            {"startEnqMs": begun, "endEnqMs": begun, "startH2dMs": begun, "endH2dMs": begun}
            | {"startComputeMs": begun, "endComputeMs": ended, "startD2hMs": ended, "endD2hMs": ended}
            | {"h2dMs": 0.0, "computeMs": round(took, 3), "d2hMs": 0.0, "latencyMs": round(took, 3)}
        )
    return rows


def warnings_of(found: Profile) -> list[str]:
    """Return warnings for the reader of a profile.

    Examples
    --------
    >>> warnings_of({"frames": 3, "variation": 0.0, "drift": None, "device": {"throttled_seconds": None}})
    ['only 3 frames were measured, so percentiles are inexact: measure 30 or more']
    """
    warnings = []
    if found["frames"] < FEW:
        warnings.append(
            f"only {found['frames']} frames were measured, so percentiles are inexact: measure {FEW} or more"
        )
    if found["variation"] > UNSTEADY:
        warnings.append(
            f"frame times vary by {found['variation']:.0%} of their mean: stop other programs, fix the "
            "clocks, or measure longer before comparing"
        )
    if found["drift"] and found["drift"]["ratio"] > 1 + UNSTEADY:
        warnings.append(
            f"the last minute's frames took {found['drift']['ratio']:.2f} times as long as the first minute's: "
            "the device gets hot"
        )
    if found["device"]["throttled_seconds"]:
        warnings.append(f"the device reduced its clocks in {found['device']['throttled_seconds']} samples")
    return warnings
