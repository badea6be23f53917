"""Follow one object in a camera or a stream, and print where the object is.

python examples/camera.py 0 380,120,90,200
python examples/camera.py rtsp://user:password@host/path 380,120,90,200
"""

from __future__ import annotations

import argparse
from itertools import islice

import numpy as np

import shls


def mask_of_box(box: str, size: tuple[int, int]) -> np.ndarray:
    """Return a mask of object 1, given its box "x,y,width,height" in pixels."""
    x, y, width, height = map(int, box.split(","))
    mask = np.zeros(size, np.uint8)
    mask[y : y + height, x : x + width] = 1
    return mask


def main() -> None:
    parser = argparse.ArgumentParser(description="Follow one object in a camera, a stream or a file.")
    parser.add_argument("uri", help="camera (0, /dev/video0, csi://0), URL (rtsp://...) or video file")
    parser.add_argument("box", help="box around the object in the first frame: x,y,width,height in pixels")
    parser.add_argument("--frames", type=int, help="number of frames; default: until Ctrl-C")
    args = parser.parse_args()

    with shls.open_source(args.uri) as source, shls.open_segmenter() as segmenter:
        first = next(source)
        segmenter.start(first.image, mask_of_box(args.box, source.size))
        for frame in islice(source, args.frames and args.frames - 1):  # a live source gives its newest frame
            mask = segmenter.step(frame.image)
            age = 1000 * source.age(frame)
            y, x = np.nonzero(mask.labels == 1)
            where = f"x {x.mean():.0f}, y {y.mean():.0f}, {x.size} pixels" if x.size else "not visible"
            print(f"{frame.time:.2f} s: {where}; {age:.0f} ms after capture, {source.dropped} frames dropped")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped")
