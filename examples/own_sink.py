"""Write results in a format of your own: a CSV table of positions. Reading and writing run on their own threads.

python examples/own_sink.py video.mp4 first_mask.png positions.csv
"""

from __future__ import annotations

import argparse
import csv
from itertools import islice
from pathlib import Path

import numpy as np

import shls
from shls.runtime.backends.pretrained import ASSETS
from shls.runtime.io.base import Sink
from shls.runtime.io.masks import read_mask
from shls.runtime.pipeline import follow


class PositionSink(Sink):
    """Table with one row per visible object and frame: time in seconds, object id, centre and area in pixels."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="")
        self._table = csv.writer(self._file)
        self._table.writerow(["time", "object", "x", "y", "area"])

    def write(self, frame: shls.Frame, mask: shls.Mask) -> None:
        for object_id in mask.scores:
            y, x = np.nonzero(mask.labels == object_id)
            if x.size:
                self._table.writerow([f"{frame.time:.3f}", object_id, round(x.mean()), round(y.mean()), x.size])

    def close(self) -> None:
        self._file.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the position of each object in each frame as CSV.")
    parser.add_argument("video", nargs="?", default=ASSETS / "bunny.mp4", help="video file; default: the shipped clip")
    parser.add_argument("mask", nargs="?", type=Path, default=ASSETS / "bunny_mask.png", help="objects of frame 0")
    parser.add_argument("out", nargs="?", type=Path, default=Path("positions.csv"), help="default: positions.csv")
    parser.add_argument("--frames", type=int, help="number of frames; default: all")
    args = parser.parse_args()

    with (
        shls.open_source(args.video) as source,
        shls.open_segmenter() as segmenter,
        PositionSink(args.out) as sink,
    ):
        marked = read_mask(args.mask, source.size)
        done = follow(islice(source, args.frames), segmenter, lambda _: marked, sink)
    print(f"{done.frames} frames, {done.fps:.1f} frames per second: {args.out}")


if __name__ == "__main__":
    main()
