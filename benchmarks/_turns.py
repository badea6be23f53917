"""Worker of `against.py`: follow a clip in turns and report times per stage; runs under the base's sources as well.

    python benchmarks/_turns.py FRAMES.npy MASK.npy THREADS

The worker reads a number of frames per line from standard input. It follows as many frames, forwards and backwards
through the clip, and answers with one line of JSON: wall and CPU seconds of each frame and of each stage. Only names
that exist since commit b7ecfe4 are imported.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, cycle, islice
from typing import Any

import cv2
import numba
import numpy as np

from shls.runtime.segmenter import open_segmenter


class Times:
    """Stopwatch that measures CPU time of the whole process besides wall time."""

    def __init__(self) -> None:
        self.stages: dict[str, list[tuple[float, float]]] = defaultdict(list)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Time the block as one run of a stage."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.stages[stage].append((time.perf_counter() - wall, time.process_time() - cpu))

    def take(self) -> dict[str, list[tuple[float, float]]]:
        """Return the measured times and forget them."""
        taken, self.stages = dict(self.stages), defaultdict(list)
        return taken


def main() -> None:
    """Answer each line of standard input with a line of JSON."""
    frames, mask, threads = np.load(sys.argv[1], mmap_mode="r"), np.load(sys.argv[2]), int(sys.argv[3])
    cv2.setNumThreads(threads)
    numba.set_num_threads(threads)
    segmenter: Any = open_segmenter(threads=threads, device="cpu")
    times = Times()
    _replace_stopwatch(segmenter, times)
    images = [np.array(frame) for frame in frames]
    segmenter.start(images[0], mask)
    order = cycle(chain(range(1, len(images)), range(len(images) - 2, -1, -1)))
    for line in sys.stdin:
        for at in islice(order, int(line)):
            with times.time("frame"):
                segmenter.step(images[at])
        print(json.dumps(times.take()), flush=True)


def _replace_stopwatch(segmenter: Any, times: Times) -> None:
    """Let the segmenter and its encoder, called sight in the base, measure with `times`."""
    segmenter.stopwatch = times
    encoder = getattr(segmenter, "_encoder", None) or segmenter._sight
    encoder._stopwatch = times


if __name__ == "__main__":
    main()
