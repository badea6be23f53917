"""Follow the objects of a mask through a video file, and write an overlay video.

python examples/file.py video.mp4 first_mask.png --out overlay.mp4
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import shls
from shls.runtime.backends.pretrained import ASSETS
from shls.runtime.io.masks import read_mask
from shls.runtime.io.video_sink import VideoSink


def main() -> None:
    parser = argparse.ArgumentParser(description="Follow the objects of a mask through a video file.")
    parser.add_argument("video", nargs="?", default=ASSETS / "bunny.mp4", help="video file; default: the shipped clip")
    parser.add_argument("mask", nargs="?", type=Path, default=ASSETS / "bunny_mask.png", help="objects of frame 0")
    parser.add_argument("--out", type=Path, default=Path("overlay.mp4"), help="overlay video; default: overlay.mp4")
    parser.add_argument("--frames", type=int, help="number of frames; default: all")
    args = parser.parse_args()

    with (
        shls.open_source(args.video) as source,
        shls.open_segmenter() as segmenter,
        VideoSink(args.out, source.info) as sink,
    ):
        first = next(source)
        marked = read_mask(args.mask, source.size)
        segmenter.start(first.image, marked)
        sink.write(first, shls.Mask(marked, {}))
        for frame in islice(source, args.frames and args.frames - 1):
            mask = segmenter.step(frame.image)
            sink.write(frame, mask)
            print(frame.index, {object_id: round(score, 2) for object_id, score in mask.scores.items()})
    print(args.out)


if __name__ == "__main__":
    main()
