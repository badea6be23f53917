"""A camera for half an hour: memory, breaks, age.

    PYTHONPATH=. python benchmarks/soak.py --seconds 1800

Serves RTSP on loopback, follows two objects with the shipped model, kills the server three times, and prints
what became of memory, age and objects. Needs GStreamer's RTSP server (see tests/live_servers.py).
"""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

import numpy as np

from shls.runtime.pipeline import follow, warm_up
from shls.runtime.playback import Playback
from shls.runtime.segmenter import open_segmenter
from shls.runtime.sinks import Sink
from shls.runtime.sources import open_source
from shls.runtime.synthetic import noise
from shls.runtime.types import Frame, Mask
from tests.live_servers import free_port, rtsp

SIZE = (640, 480)
BREAKS = 3
DOWN = 3.0  # seconds without a server


class LastMask(Sink):
    mask: Mask | None = None

    def write(self, frame: Frame, mask: Mask) -> None:  # noqa: ARG002
        self.mask = mask


def resident() -> float:
    """Megabytes of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def serve(port: int, seconds: float, ready: threading.Event, over: threading.Event) -> None:
    for _ in range(BREAKS + 1):
        with rtsp(port, *SIZE):
            ready.set()
            over.wait(seconds / (BREAKS + 1))
        over.wait(DOWN)


def two_objects(image: np.ndarray) -> np.ndarray:
    mask = np.zeros(image.shape[:2], np.uint8)
    rows, columns = np.nonzero(image.sum(axis=2) > 384)  # the white ball
    mask[rows, columns] = 1
    mask[:60, :80] = 2
    return mask


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1800)
    seconds = parser.parse_args().seconds
    port, ready, over = free_port(), threading.Event(), threading.Event()
    server = threading.Thread(target=serve, args=(port, seconds, ready, over))
    server.start()
    ready.wait(10)
    sizes: list[tuple[float, float]] = []
    try:
        segmenter = open_segmenter()
        uri = f"rtsp://127.0.0.1:{port}/test"
        with Playback(lambda: open_source(uri), duration=seconds - 1) as source:
            warm_up(segmenter, noise(source.size))
            begun, sink = time.perf_counter(), LastMask()
            done = follow(
                source,
                segmenter,
                two_objects,
                sink,
                lambda _: sizes.append((time.perf_counter() - begun, resident())),
            )
            breaks = source.breaks
    finally:
        over.set()
        server.join()
    early = [size for at, size in sizes if at <= 60]
    late = [size for at, size in sizes if at > max(60, sizes[-1][0] - 60)] or early
    age = 1000 * np.percentile(segmenter.stopwatch.seconds["age"], [50, 95])
    frame = 1000 * np.median(segmenter.stopwatch.seconds["frame"])
    print(f"{done.frames} frames in {sizes[-1][0]:.0f} s, {done.dropped} dropped, {breaks} breaks")
    print(f"memory at the end of the first minute {early[-1]:.1f} MB, at the end {late[-1]:.1f} MB")
    print(f"age median {age[0]:.0f} ms, 95 % within {age[1]:.0f} ms; a frame takes {frame:.0f} ms")
    print(f"objects in the last mask: {sorted(sink.mask.scores.items()) if sink.mask else None}")


if __name__ == "__main__":
    main()
