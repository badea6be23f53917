"""Memory of the process while a clip is followed in a loop: it must not depend on the length of the video.

    python benchmarks/endurance.py [--source VIDEO --mask FILE] [--frames 2000]

Prints the resident memory every 100 frames and its growth after the first 100; exits with 1 if that exceeds 5 MB.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from common import add_clip, at_least, described, plainly, read_clip
from shls.runtime.segmenter import open_segmenter

ALLOWED_MB = 5.0


def main() -> None:
    """Run it."""
    parser = described(__doc__)
    add_clip(parser)
    parser.add_argument("--frames", type=at_least(100), default=2000)
    args = parser.parse_args()

    segmenter = open_segmenter()
    images, mask = read_clip(args)
    segmenter.start(images[0], mask)
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
    plainly(main)
