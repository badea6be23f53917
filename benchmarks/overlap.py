"""Gain of overlap: superpixels beside the network, and decoding beside segmenting and writing.

    python benchmarks/overlap.py [--source VIDEO --mask FILE] [--frames 40] [--gpu-ms 10]

Medians in milliseconds per frame of the parts and of the whole, without overlap and with it, and whether the masks are
the same. The network runs on the CPU, where it competes with the superpixels for the cores; then a stand-in takes its
place that only waits, as long as a GPU would take (`--gpu-ms`), and gives a recorded feature map: a CPU that waits for
a GPU is free, which is what overlap is for.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from common import above_zero, add_clip, at_least, described, plainly, read_clip
from shls.runtime.backends.base import Session, open_session
from shls.runtime.backends.pretrained import shipped_model
from shls.runtime.features.preprocess import to_input
from shls.runtime.io.masks import read_mask
from shls.runtime.io.sources import open_source
from shls.runtime.io.video_sink import VideoSink
from shls.runtime.pipeline import follow
from shls.runtime.segmenter import VideoSegmenter, open_segmenter


class Waiting:
    """Stands in for a network on a GPU: waits, then gives the feature map of one frame."""

    def __init__(self, session: Session, image: np.ndarray, seconds: float) -> None:
        self.contract, self.backend, self.on_gpu = session.contract, "a stand-in that waits", True
        self._map, self._seconds = session.run(to_input(image, session.contract)).copy(), seconds

    def run(self, _: np.ndarray) -> np.ndarray:
        time.sleep(self._seconds)
        return self._map


def main() -> None:
    """Measure and print."""
    parser = described(__doc__)
    add_clip(parser)
    parser.add_argument("--frames", type=at_least(2), default=40)
    parser.add_argument("--gpu-ms", type=above_zero, default=10.0)
    args = parser.parse_args()
    images, mask = read_clip(args, args.frames)
    session = open_session(shipped_model("auto"))
    waiting = Waiting(session, images[0], args.gpu_ms / 1000)
    for name, network in ((f"network on {session.backend}", session), (f"{waiting.backend} {args.gpu_ms} ms", waiting)):
        _print_beside(name, network, images, mask)
    _print_pipeline(args.source, args.mask)


def _print_beside(name: str, network: object, images: list[np.ndarray], mask: np.ndarray) -> None:
    """Superpixels and flow before the network, and beside it, frame by frame in turn."""
    both = {overlap: VideoSegmenter(network, overlap=overlap) for overlap in (False, True)}  # type: ignore[arg-type]
    times: dict[bool, list[float]] = {False: [], True: []}
    same = True
    for segmenter in both.values():
        segmenter.start(images[0], mask)
        segmenter.step(images[0])  # compiles
        segmenter.start(images[0], mask)
        segmenter.stopwatch.restart()
    for image in images[1:]:
        masks = []
        for overlap, segmenter in both.items():
            begun = time.perf_counter()
            masks.append(segmenter.step(image).labels)
            times[overlap].append(1000 * (time.perf_counter() - begun))
        same &= np.array_equal(*masks)
    whole = {overlap: statistics.median(taken) for overlap, taken in times.items()}
    print(
        f"{name}, without refiner: one after the other {whole[False]:.1f} ms, superpixels beside it {whole[True]:.1f}"
    )
    print(f"    {_shown(both[False])}; masks {'the same' if same else 'DIFFER'}", flush=True)


def _shown(segmenter: VideoSegmenter, *only: str) -> str:
    parts = {part: ms for part, ms in segmenter.stopwatch.medians().items() if not only or part in only}
    return ", ".join(f"{part} {ms:.1f}" for part, ms in parts.items()) + f"; sum {sum(parts.values()):.1f}"


def _print_pipeline(source: str, mask_file: Path) -> None:
    """Decoding, segmenting and writing the overlay video: time of the parts, and of the whole with and without."""
    for overlap in (False, True):
        segmenter = open_segmenter()
        with (
            tempfile.TemporaryDirectory() as folder,
            open_source(source) as frames,
            VideoSink(Path(folder) / "overlay.mp4", frames.info) as sink,
        ):
            follow(frames, segmenter, lambda image: read_mask(mask_file, image.shape[:2]), sink, overlap=overlap)
        frame = segmenter.stopwatch.medians()["frame"]
        beside = "beside" if overlap else "off"
        print(f"file to file, threads {beside}: {frame:.1f} ms a frame", end=" ")
        print(f"({_shown(segmenter, 'decode', 'segment', 'write')})", flush=True)


if __name__ == "__main__":
    plainly(main)
