"""Memory of the process while a clip is followed in a loop: it must not depend on the length of the video.

    python benchmarks/endurance.py [--source VIDEO --mask FILE] [--frames 2000]

Prints the resident memory every 100 frames and its growth after the first 100; exits with 1 if that exceeds 5 MB.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

from shls.runtime.masks import read_mask
from shls.runtime.segmenter import SHIPPED_MODEL, open_segmenter
from shls.runtime.sources import open_source

ALLOWED_MB = 5.0


def main() -> None:
    """Run it."""
    assets = SHIPPED_MODEL.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default=str(assets / "bunny.mp4"))
    parser.add_argument("--mask", type=Path, default=assets / "bunny_mask.png")
    parser.add_argument("--frames", type=int, default=2000)
    args = parser.parse_args()

    segmenter = open_segmenter()
    with open_source(args.source) as source:
        images = [frame.image for frame in source]
    segmenter.start(images[0], read_mask(args.mask, (images[0].shape[0], images[0].shape[1])))
    readings = []
    for count, image in enumerate(itertools.islice(itertools.cycle(images), 1, args.frames), 2):
        segmenter.step(image)
        if count % 100 == 0:
            readings.append(_resident_mb())
            print(f"{count:6d} frames  {readings[-1]:8.1f} MB", flush=True)
    growth = max(readings) - readings[0]
    print(f"growth after the first 100 frames: {growth:.1f} MB (allowed {ALLOWED_MB:.0f})")
    raise SystemExit(growth > ALLOWED_MB)


def _resident_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise OSError("no VmRSS in /proc/self/status")


if __name__ == "__main__":
    main()
