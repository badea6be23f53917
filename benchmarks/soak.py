"""Endurance test with a camera stream: memory, breaks, age, and whether all objects are still followed.

    PYTHONPATH=. python benchmarks/soak.py --seconds 1800 --rate 4

The benchmark serves the shipped clip forwards and backwards in a loop over RTSP on loopback, follows the rabbit and a
stone, and kills the server three times. The masks are compared with those of the clip as a file. Exits with 1 if
memory grew by more than 5 MB after the first minute, or an object was lost. Needs GStreamer's RTSP server (see
tests/live_servers.py).
"""

from __future__ import annotations

import tempfile
import threading
import time
from array import array
from pathlib import Path

import cv2
import numpy as np

from common import above_zero, described, plainly
from shls.runtime.backends.pretrained import SHIPPED_MODEL
from shls.runtime.errors import MissingDependency
from shls.runtime.evaluation.metrics import jaccard
from shls.runtime.io.base import Sink
from shls.runtime.io.masks import read_mask
from shls.runtime.io.playback import Playback
from shls.runtime.io.sources import open_source
from shls.runtime.io.synthetic import noise
from shls.runtime.pipeline import follow, warm_up
from shls.runtime.prompts.grab_cut import mask_from_prompt
from shls.runtime.prompts.prompt import Prompt
from shls.runtime.segmenter import open_segmenter
from shls.runtime.types import Frame, Mask
from tests.live_servers import free_port, looped, rtsp, why_no_rtsp

SIZE = (640, 360)  # multiples of 8, as JPEG over RTP wants them
STONE = (530, 175, 320, 130)  # x, y, width, height in the clip's own pixels
BREAKS = 3
DOWN = 3.0  # seconds without a server
MINUTE = 60.0
ALLOWED_MB = 5.0
FOLLOWED = 0.8  # IoU with the file's mask, mean of the last minute


class Clip:
    """The shipped clip there and back, with the masks of its rabbit (1) and its stone (2)."""

    def __init__(self) -> None:
        assets = SHIPPED_MODEL.parent
        with open_source(str(assets / "bunny.mp4")) as source:
            there = [frame.image for frame in source]
        rabbit = read_mask(assets / "bunny_mask.png", (there[0].shape[0], there[0].shape[1]))
        stone = mask_from_prompt(there[0], Prompt(boxes=(STONE,)))
        mask = np.where(rabbit > 0, np.uint8(1), stone * np.uint8(2))
        mask = cv2.resize(mask, SIZE, interpolation=cv2.INTER_NEAREST)
        self.images = [cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA) for image in there + there[-2:0:-1]]
        self._thumbnails = np.stack([thumbnail(image) for image in self.images])
        segmenter = open_segmenter()
        segmenter.start(self.images[0], mask)
        self.masks = [mask, *(segmenter.step(image).labels for image in self.images[1:])]

    def write(self, folder: Path) -> None:
        for at, image in enumerate(self.images):
            cv2.imwrite(str(folder / f"{at:05d}.jpg"), image[..., ::-1])

    def mask_of(self, image: np.ndarray) -> np.ndarray:
        """The mask of the picture of the clip that is most like an image."""
        return self.masks[int(np.abs(self._thumbnails - thumbnail(image)).sum(axis=(1, 2)).argmin())]


class Compares(Sink):
    """Keeps the time, each object's IoU with the clip's mask, and the process's memory."""

    def __init__(self, clip: Clip) -> None:
        self._clip, self._begun = clip, time.perf_counter()
        self._rows = array("f")

    def write(self, frame: Frame, mask: Mask) -> None:
        expected = self._clip.mask_of(frame.image)
        overlaps = [jaccard(mask.labels == at, expected == at) for at in (1, 2)]
        self._rows.extend([time.perf_counter() - self._begun, *overlaps, resident()])

    @property
    def rows(self) -> np.ndarray:
        """(frames, 4): seconds, IoU of the rabbit and of the stone, MB."""
        return np.asarray(self._rows).reshape(-1, 4)


def thumbnail(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (32, 18), interpolation=cv2.INTER_AREA).mean(axis=2)


def resident() -> float:
    """Megabytes of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def serve(port: int, launch: str, seconds: float, ready: threading.Event, over: threading.Event) -> None:
    for _ in range(BREAKS + 1):
        with rtsp(port, launch):
            ready.set()
            over.wait(seconds / (BREAKS + 1))
        over.wait(DOWN)


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--seconds", type=above_zero, default=1800)
    parser.add_argument("--rate", type=above_zero, default=10, help="frames a second of the stream")
    args = parser.parse_args()
    if reason := why_no_rtsp():
        raise MissingDependency(reason)
    clip, port, ready, over = Clip(), free_port(), threading.Event(), threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        clip.write(Path(folder))
        launch = looped(Path(folder), *SIZE, args.rate)
        server = threading.Thread(target=serve, args=(port, launch, args.seconds, ready, over))
        server.start()
        ready.wait(10)
        try:
            segmenter, uri = open_segmenter(), f"rtsp://127.0.0.1:{port}/test"
            with Playback(lambda: open_source(uri), duration=args.seconds - 1) as source:
                warm_up(segmenter, noise(source.size))
                sink = Compares(clip)
                done = follow(source, segmenter, clip.mask_of, sink)
                breaks = source.breaks
        finally:
            over.set()
            server.join()
    seconds, overlaps, memory = sink.rows[:, 0], sink.rows[:, 1:3], sink.rows[:, 3]
    early, last = seconds <= MINUTE, seconds > seconds[-1] - MINUTE
    growth = float(memory[last].max() - memory[early][-1])
    followed = overlaps[last].mean(axis=0)
    age = 1000 * np.percentile(segmenter.stopwatch.seconds["age"], [50, 95])
    segment = 1000 * np.median(segmenter.stopwatch.seconds["segment"])
    print(f"{done.frames} frames in {seconds[-1]:.0f} s at {args.rate:g} a second, {done.dropped} dropped")
    print(f"{breaks} breaks of {BREAKS}")
    print(f"memory {memory[early][-1]:.1f} MB after the first minute, {memory[last].max():.1f} MB in the last")
    print(f"growth {growth:.1f} MB, allowed {ALLOWED_MB:.0f}")
    print(f"capture to result: median {age[0]:.0f} ms, 95 % within {age[1]:.0f} ms; segmenting takes {segment:.0f} ms")
    print(f"a frame time is {1000 / args.rate:.0f} ms: the median age is {age[0] * args.rate / 1000:.2f} of it")
    print(f"IoU with the file's masks, last minute: rabbit {followed[0]:.3f}, stone {followed[1]:.3f}")
    raise SystemExit(growth > ALLOWED_MB or breaks < BREAKS or bool(followed.min() < FOLLOWED))


if __name__ == "__main__":
    plainly(main)
