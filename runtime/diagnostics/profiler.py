"""Profile `shls run`: its own pipeline with a stopwatch and a sink that discards the masks.

The profile is a dictionary that `shls profile --json` writes as it is. Times are in milliseconds.

schema : 3
setup : `source`, `frame_size` and `network_size` [width, height], `objects`, `overlap`, `network`, `precision`,
    `checkpoint_sha256`, `backend` (what really ran), `refiner` (description, null without one), `threads`,
    `includes` (the parts of a latency)
machine : `name`, `processor`, `cores`, `system`, `versions` of the packages
warm_up_s, frames, seconds, fps : figures of the run. The times below exclude the first frame and the warm-up
stages : name -> `count`, `min`, `mean`, `p50`, `p90`, `p95`, `p99`, `max`, `std`. `segment` is one frame from
    image to mask, `frame` from result to result. The other stages are parts, which overlap if `setup.overlap` is true
parts : `mean_ms`, sum of the parts' means, and `of_frame`, that sum over the mean of `frame`; above 1 if they overlap
stopwatch : cost of timing: `us_a_stage`, `stages_a_frame`, and `of_frame`, its share of a frame
drift : `first_minute`, `last_minute` (mean of `frame`) and their `ratio`; null for less than two minutes
variation : standard deviation of `frame` over its mean
peak_rss_mb : highest memory of the process
peak_device_mb : device -> highest memory in use, by all programs. `shared` is the memory of CPU and GPU on a Jetson.
    Empty without readings
device : `samples`, one per second (`time`, `clocks` MHz, `temperatures` C, `power` W, `throttling`, `memory` MB),
    `watts` (mean), `joules_per_frame`, `throttled_seconds`; null without readings
layers : layers of the network, slowest first, in the format of trtexec's `--exportProfile`
export_times : the network frame by frame, in the format of trtexec's `--exportTimes`
frame_ms : `frame` of each frame, in order
"""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from ..backends.base import Session
from ..errors import BadInput
from ..hardware.cpu import clamp_threads, usable_cores
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
from .profile_figures import (
    FEW,
    Profile,
    device_figures,
    drift,
    export_times,
    parts_of,
    peak_memory,
    statistics,
    stopwatch_cost,
)

SCHEMA = 3
"""Version of the profile's format."""
SEGMENT_INCLUDES = "segment: everything from the RGB image to the full-size mask"
CPU_INCLUDES = "network: scaling and normalising the frame, and running; no copies, no CUDA graph, no spin-wait"
GPU_INCLUDES = "network: scaling and normalising the frame, copies to and from the GPU, running"
ENGINE_INCLUDES = (
    "network: scaling and normalising the frame, copies to and from the GPU where memory is not shared, one CUDA "
    "graph, and waiting for its stream without a spin-wait of shls"
)
PACKAGES = ("shls", "numpy", "numba", "opencv-python", "av", "onnxruntime", "onnxruntime-gpu", "tensorrt")


def profile(
    source: Source,
    segmenter: VideoSegmenter,
    threads: int,
    progress: Callable[[int], None] | None = None,
    *,
    overlap: bool = True,
    readers: list[Callable[[], Sample]] | None = None,
    running: AbstractContextManager[object] | None = None,
) -> Profile:
    """Follow an object in the middle of the picture through a source, and measure each stage.

    Parameters
    ----------
    source : frames, limited in number or time
    segmenter : VideoSegmenter
    threads : requested number of the network's threads, 0 for all cores
    progress : function that is called with the number of finished frames
    overlap : as in `shls.runtime.pipeline.follow`; the segmenter has its own
    readers : functions that read the device; by default sysfs, energy counters, NVML and tegrastats

    running : context in which the frames are followed, entered after the warm-up

    Raises
    ------
    BadInput
        If the source has fewer than two frames.

    Examples
    --------
    >>> from shls.runtime.io.synthetic import SyntheticSource
    >>> from shls.runtime.segmenter import open_segmenter
    >>> with SyntheticSource(40, (480, 854)) as source:  # doctest: +SKIP
    ...     found = profile(source, open_segmenter(), threads=0)
    >>> found["stages"]["frame"]["p50"]  # doctest: +SKIP
    71.4
    """
    warm = warm_up(segmenter, noise(source.size))
    segmenter.stopwatch.restart(keep=None)
    with (
        device_readers() if readers is None else nullcontext(readers) as found,
        Sampler(found) as sampler,
        running or nullcontext(),
    ):
        begun = time.perf_counter()
        done = follow(source, segmenter, centre_mask, NullSink(), progress, overlap=overlap)
        seconds = time.perf_counter() - begun
    if done.frames < 2:
        raise BadInput(
            f"{source.name}: too short (got 1 frame, expected 2 or more, {FEW} for exact percentiles). "
            "Use a longer source."
        )
    stages = {
        stage: [1000 * value for value in list(values)[-(done.frames - 1) :]]  # without the first frame
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
        "stopwatch": stopwatch_cost(stages),
        "drift": drift(frame),
        "variation": round(float(np.std(frame) / np.mean(frame)), 4),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "peak_device_mb": peak_memory(sampler.samples),
        "device": device_figures(sampler.samples, seconds, done.frames),
        "layers": [],
        "export_times": export_times(stages["network"], frame),
        "frame_ms": [round(value, 3) for value in frame],
    }


@contextmanager
def device_readers() -> Iterator[list[Callable[[], Sample]]]:
    """Give the functions that read this machine's sensors; tegrastats runs only where /sys has no power.

    Examples
    --------
    >>> with device_readers() as readers:
    ...     isinstance(readers[0](), Sample)
    True
    """
    gpu = open_nvml()
    readers: list[Callable[[], Sample]] = [read_sysfs, Powercap().read]
    if gpu is not None:
        readers.append(gpu.read)
    if read_sysfs().power:
        yield readers
        return
    with Tegrastats() as monitor:
        yield [monitor.read, *readers]


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
        "threads": clamp_threads(threads) or usable_cores(),
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
    """Describe the parts of the network's latency in trtexec's terms."""
    if not session.on_gpu:
        return CPU_INCLUDES
    return ENGINE_INCLUDES if session.backend.startswith("TensorRT") else GPU_INCLUDES
