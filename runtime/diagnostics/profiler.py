"""How long frames take: `shls run`'s own pipeline with a stopwatch and a sink that keeps nothing.

The profile is a dictionary that goes to JSON as it is (`shls profile --json`), times in milliseconds:

schema : 3
setup : what was run. `source`, `frame_size` and `network_size` [width, height], `objects`, `overlap`,
    `network`, `precision`, `checkpoint_sha256`, `backend` (what really ran), `refiner` (in words, null without one),
    `threads`, `includes` (what a latency is made of)
machine : `name`, `processor`, `cores`, `system`, `versions` of the packages
warm_up_s, frames, seconds, fps : of the run; marked frame and warm-up are not in the times below
stages : name -> `count`, `min`, `mean`, `p50`, `p90`, `p95`, `p99`, `max`, `std`. `segment` is one frame from
    image to mask, `frame` from result to result; the others are parts, which overlap where `setup.overlap`
    is true
parts : how much of `frame` its parts explain: `mean_ms`, the sum of their means, and `of_frame`, that over the mean
    of `frame`; above 1 where they overlap
stopwatch : what measuring costs: `us_a_stage`, `stages_a_frame`, and `of_frame`, its share of a frame
drift : `first_minute`, `last_minute` (mean of `frame`) and their `ratio`; null under two minutes
variation : standard deviation of `frame` over its mean
peak_rss_mb : memory of the process at its largest
peak_device_mb : device -> memory in use there at its largest, by all programs; `shared` is a Jetson's, of CPU and GPU
    together; empty where the system does not tell
device : `samples`, one a second (`time`, `clocks` MHz, `temperatures` C, `power` W, `throttling`, `memory` MB), `watts`
    (mean), `joules_per_frame`, `throttled_seconds`; null where the system does not tell
layers : of the network, heaviest first, in the shape of trtexec's `--exportProfile`
export_times : the network frame by frame, in the shape of trtexec's `--exportTimes`
frame_ms : each frame's `frame`, in order
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate
from typing import Any

import numpy as np

from .._support.stopwatch import Stopwatch
from ..backends.base import Session
from ..errors import BadInput
from ..hardware.jetson import Tegrastats
from ..hardware.nvml import open_nvml
from ..hardware.rapl import Powercap
from ..hardware.sampler import Sampler
from ..hardware.sensors import Sample, read_sysfs
from ..io.base import Source
from ..io.sinks import NullSink
from ..io.synthetic import centre_mask, noise
from ..pipeline import follow, warm_up
from ..segmenter import VideoSegmenter

SCHEMA = 3
MINUTE = 60.0
UNSTEADY = 0.1
"""Coefficient of variation above which a profile is called unsteady."""
FEW = 30
"""Frames below which percentiles mean little."""
WHOLES = ("segment", "frame", "age")
"""Stages that hold others, or are no work."""
ROUNDS = 10_000
"""Empty stages that are timed, to know what timing costs."""
SEGMENT_INCLUDES = "segment: all from the RGB image to the full-size mask"
CPU_INCLUDES = "network: scaling and normalising the frame, and running; no copies, no CUDA graph, no spin-wait"
GPU_INCLUDES = "network: scaling and normalising the frame, copies to and from the GPU, running"
ENGINE_INCLUDES = (
    "network: scaling and normalising the frame, copies to and from the GPU where memory is not shared, one CUDA "
    "graph, waiting for its stream as the driver sees fit, without a spin-wait of ours"
)
PACKAGES = ("shls", "numpy", "numba", "opencv-python", "av", "onnxruntime", "onnxruntime-gpu", "tensorrt")

Profile = dict[str, Any]


def profile(
    source: Source,
    segmenter: VideoSegmenter,
    threads: int,
    progress: Callable[[int], None] | None = None,
    *,
    overlap: bool = True,
    readers: list[Callable[[], Sample]] | None = None,
) -> Profile:
    """Follow an object in the middle of the picture through a source, and tell how long everything took.

    Parameters
    ----------
    source : frames, limited in number or time
    segmenter : VideoSegmenter
    threads : of the network as asked for, 0 for all cores
    progress : called with the number of frames done
    overlap : as in `follow`; the segmenter has its own
    readers : of the device; sysfs and NVML by default

    Raises
    ------
    BadInput
        If there are fewer than two frames.
    """
    warm = warm_up(segmenter, noise(source.size))
    segmenter.stopwatch.restart(keep=None)
    with device_readers() if readers is None else nullcontext(readers) as found, Sampler(found) as sampler:
        begun = time.perf_counter()
        done = follow(source, segmenter, centre_mask, NullSink(), progress, overlap=overlap)
        seconds = time.perf_counter() - begun
    if done.frames < 2:
        raise BadInput(f"{source.name}: has 1 frame; expected at least 2, and {FEW} for percentiles that mean much")
    stages = {
        stage: [1000 * value for value in list(values)[-(done.frames - 1) :]]  # without the marked frame's
        for stage, values in segmenter.stopwatch.seconds.items()
    }
    frame = stages["frame"]
    return {
        "schema": SCHEMA,
        "setup": _setup(source, segmenter, threads, overlap),
        "machine": _machine(),
        "warm_up_s": round(warm, 3),
        "frames": len(frame),
        "seconds": round(done.seconds, 3),
        "fps": round(done.fps, 3),
        "stages": {stage: statistics(values) for stage, values in stages.items()},
        "parts": parts_of(stages),
        "stopwatch": _stopwatch_cost(stages),
        "drift": drift(frame),
        "variation": round(float(np.std(frame) / np.mean(frame)), 4),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "peak_device_mb": _peaks(sampler.samples),
        "device": _device(sampler.samples, seconds, done.frames),
        "layers": [],
        "export_times": _export_times(stages["network"], frame),
        "frame_ms": [round(value, 3) for value in frame],
    }


@contextmanager
def device_readers() -> Iterator[list[Callable[[], Sample]]]:
    """Readers for all that this machine tells."""
    gpu = open_nvml()
    readers: list[Callable[[], Sample]] = [read_sysfs, Powercap().read]
    if gpu is not None:
        readers.append(gpu.read)
    if read_sysfs().power:
        yield readers
        return
    with Tegrastats() as monitor:
        yield [monitor.read, *readers]


def statistics(milliseconds: list[float]) -> dict[str, float]:
    """Describe durations; see the module's `stages`."""
    values = np.asarray(milliseconds)
    p50, p90, p95, p99 = np.percentile(values, [50, 90, 95, 99])
    found = {"min": values.min(), "mean": values.mean(), "p50": p50, "p90": p90, "p95": p95, "p99": p99}
    found |= {"max": values.max(), "std": values.std()}
    return {"count": len(values)} | {name: round(float(value), 3) for name, value in found.items()}


def parts_of(stages: dict[str, list[float]]) -> dict[str, float]:
    """Compare the sum of a frame's parts with the frame; durations in ms."""
    total = sum(float(np.mean(values)) for stage, values in stages.items() if stage not in WHOLES)
    return {"mean_ms": round(total, 3), "of_frame": round(total / float(np.mean(stages["frame"])), 4)}


def _stopwatch_cost(stages: dict[str, list[float]]) -> dict[str, float]:
    """Time empty stages, as many as a frame has."""
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
    """Compare the first minute's frames with the last minute's, durations in ms; None under two minutes."""
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


def warnings_of(found: Profile) -> list[str]:
    """List what a reader of the figures should know."""
    warnings = []
    if found["frames"] < FEW:
        warnings.append(f"few frames were measured, {found['frames']}: percentiles mean little; take {FEW} or more")
    if found["variation"] > UNSTEADY:
        warnings.append(
            f"frame times vary by {found['variation']:.0%} of their mean: stop other programs, fix the "
            "clocks, or measure longer before comparing"
        )
    if found["drift"] and found["drift"]["ratio"] > 1 + UNSTEADY:
        warnings.append(f"the last minute was {found['drift']['ratio']:.2f} times as slow as the first: it gets hot")
    if found["device"]["throttled_seconds"]:
        warnings.append(f"slowed down by the device in {found['device']['throttled_seconds']} samples")
    return warnings


def _setup(source: Source, segmenter: VideoSegmenter, threads: int, overlap: bool) -> dict[str, Any]:
    contract = segmenter.session.contract
    return {
        "source": source.name,
        "frame_size": [source.size[1], source.size[0]],
        "network_size": [contract.width, contract.height],
        "objects": 1,
        "overlap": overlap,
        "network": contract.network,
        "precision": contract.precision,
        "checkpoint_sha256": contract.checkpoint_sha256,
        "backend": segmenter.session.backend,
        "refiner": _refiner_of(segmenter),
        "threads": threads or os.cpu_count(),
        "includes": f"{_network_includes(segmenter.session)}. {SEGMENT_INCLUDES}",
    }


def _refiner_of(segmenter: VideoSegmenter) -> str | None:
    if segmenter.refiner is None:
        return None
    contract = segmenter.refiner.contract
    return f"{contract.network} {contract.precision} on {segmenter.refiner.backend}"


def _machine() -> dict[str, Any]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "name": platform.node(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": versions,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def _network_includes(session: Session) -> str:
    """Say what the network's latency is made of, in the words that trtexec's users know."""
    if not session.on_gpu:
        return CPU_INCLUDES
    return ENGINE_INCLUDES if session.backend.startswith("TensorRT") else GPU_INCLUDES


def _peaks(samples: list[Sample]) -> dict[str, float]:
    peaks: dict[str, float] = {}
    for sample in samples:
        peaks |= {name: max(value, peaks.get(name, 0.0)) for name, value in sample.memory.items()}
    return {name: round(value, 1) for name, value in peaks.items()}


def _device(samples: list[Sample], seconds: float, frames: int) -> dict[str, Any]:
    watts = [sample.watts for sample in samples if sample.watts is not None]
    mean = float(np.mean(watts)) if watts else None
    told = [sample for sample in samples if sample != Sample(sample.time)]
    return {
        "samples": [asdict(sample) for sample in told],
        "watts": None if mean is None else round(mean, 3),
        "joules_per_frame": None if mean is None else round(mean * seconds / frames, 4),
        "throttled_seconds": sum(bool(sample.throttling) for sample in told) if told else None,
    }


def _export_times(network: Iterable[float], frame: list[float]) -> list[dict[str, float]]:
    """Give trtexec's keys; on the CPU nothing is copied, and compute is all there is."""
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
