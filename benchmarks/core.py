"""The runtime's core, stage by stage: ours, the peers in the same run, and the machine's floor.

    python benchmarks/core.py [--json FILE] [--source VIDEO --mask FILE] [--rounds 20]

Medians in milliseconds over frames of the clip (the shipped one: 854x480, N as the model's contract says), on one
thread and on all; ratio is the fastest peer over ours, on all threads. The floor is what the stage cannot go below
here: the bytes that it must touch over the bandwidth of a large copy, or its multiplications over the rate of a large
matrix product, whichever is longer.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numba
import numpy as np

from shls.runtime.masks import overlay, read_mask
from shls.runtime.memory import Memory
from shls.runtime.motion import MotionTracker
from shls.runtime.pooling import pool
from shls.runtime.preprocess import to_input
from shls.runtime.refine import decide, spread
from shls.runtime.segmenter import SHIPPED_MODEL, open_segmenter
from shls.runtime.session import open_session
from shls.runtime.sources import open_source
from shls.runtime.superpixels import SuperpixelTracker, slic


@dataclass
class Stage:
    """A stage: what runs, its peers, and what it must at least do."""

    ours: Callable[[], object]
    megabytes: float
    megaops: float = 0.0
    peers: dict[str, Callable[[], object]] = field(default_factory=dict)


def main() -> None:
    """Measure and print."""
    assets = SHIPPED_MODEL.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--source", default=str(assets / "bunny.mp4"))
    parser.add_argument("--mask", type=Path, default=assets / "bunny_mask.png")
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()

    stages, context = _stages(args.source, args.mask)
    bandwidth, rate = _bandwidth(), _product_rate()
    print(f"{context}; copy {bandwidth:.1f} GB/s, float32 product {rate:.0f} GFLOP/s")
    print(f"{'stage':<22}{'1 thread':>10}{'all':>9}{'floor':>9}{'ratio':>8}   peers (ms)")
    results = {}
    for name, stage in stages.items():
        results[name] = _measure(name, stage, args.rounds, bandwidth, rate)
    _print_overlap(args.source, args.mask)
    if args.json:
        args.json.write_text(json.dumps({"context": context, "stages": results}, indent=2) + "\n")


def _measure(name: str, stage: Stage, rounds: int, bandwidth: float, rate: float) -> dict[str, object]:
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    single = _median_ms(stage.ours, rounds)
    numba.set_num_threads(threads)
    ours = _median_ms(stage.ours, rounds)
    floor = max(stage.megabytes / bandwidth, stage.megaops * 2 / rate)
    peers = {peer: _median_ms(run, max(3, rounds // 4)) for peer, run in stage.peers.items()}
    ratio = f"{min(peers.values()) / ours:.1f}" if peers else "-"
    shown = ", ".join(f"{peer} {ms:.1f}" for peer, ms in peers.items())
    print(f"{name:<22}{single:>10.2f}{ours:>9.2f}{floor:>9.2f}{ratio:>8}   {shown}", flush=True)
    return {"ours_ms": ours, "ours_1_thread_ms": single, "floor_ms": floor, "peers": peers}


def _stages(source: str, mask_file: Path) -> tuple[dict[str, Stage], str]:
    with open_source(source) as frames:
        images = [frame.image for frame in itertools.islice(frames, 12)]
    session = open_session(SHIPPED_MODEL)
    contract = session.contract
    features = session.run(to_input(images[-1], contract))
    H, W = images[0].shape[:2]
    mask = read_mask(mask_file, (H, W))
    superpixels = slic(images[-1], contract.superpixels)
    pooled = pool(features, superpixels)
    N, D = pooled.shape
    tracker = SuperpixelTracker(contract.superpixels)
    tracker.step(images[0])
    turning = itertools.cycle(images + images[::-1])
    motion = MotionTracker(contract.memory.recent)
    probabilities = _memory_probabilities(1, mask, superpixels.labels)
    stages = {
        "superpixels, cold": Stage(
            lambda: slic(images[-1], contract.superpixels),
            H * W * (3 + 4) / 1e6,
            peers={"skimage.slic": _scikit_slic(images[-1], N)},
        ),
        "superpixels, warm": Stage(
            lambda: tracker.step(next(turning)),
            H * W * (3 + 4) / 1e6,
            peers={"skimage.slic": _scikit_slic(images[-1], N)},
        ),
        "flow": Stage(lambda: motion.step(next(turning)), H * W * 3 / 1e6),
        "pooling": Stage(
            lambda: pool(features, superpixels),
            (features.nbytes + superpixels.labels.nbytes) / 1e6,
            peers={"numpy.bincount": lambda: _numpy_pool(features, superpixels.labels, N)},
        ),
    }
    for K in (1, 10):
        memory = _full_memory(contract, (H, W), pooled, superpixels.centres, K, mask, superpixels.labels)
        stages[f"memory, {K} object{'s' if K > 1 else ''}"] = Stage(
            lambda memory=memory: memory.read(pooled, superpixels.centres[None]),  # type: ignore[misc]
            memory.nbytes / 1e6,
            peers={"numpy, all pairs": lambda K=K: _numpy_read(pooled, contract.memory, K)},  # type: ignore[misc]
        )
        print(f"state of the memory, {K} objects: {memory.nbytes / K / 1e6:.2f} MB per object")
    stages["painting"] = Stage(
        lambda: decide(spread(probabilities, superpixels, images[-1]), (H, W)), H * W * (3 + 4 + 1) / 1e6
    )
    stages["overlay"] = Stage(lambda: overlay(images[-1], mask), H * W * (3 + 3 + 1) / 1e6)
    return stages, f"{W}x{H}, N = {N}, D = {D}, {numba.get_num_threads()} threads"


def _full_memory(contract, size, pooled, centres, objects, mask, labels) -> Memory:  # type: ignore[no-untyped-def]
    memory = Memory(contract.memory, size, contract.dim, objects)
    for _ in range(contract.memory.recent + 2):
        memory.write(pooled, centres, _memory_probabilities(objects, mask, labels))
    return memory


def _memory_probabilities(objects: int, mask: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The marked object, cut into as many vertical stripes as objects are wanted; (N, K + 1)."""
    share = np.bincount(labels.ravel(), mask.ravel() > 0) / np.maximum(1, np.bincount(labels.ravel()))
    owner = 1 + np.arange(len(share)) % objects
    probabilities = np.zeros((len(share), objects + 1), np.float32)
    probabilities[:, 0] = 1 - share
    probabilities[np.arange(len(share)), owner] = share
    return probabilities


def _scikit_slic(image: np.ndarray, count: int) -> Callable[[], object]:
    from skimage.segmentation import slic as scikit

    return lambda: scikit(image, n_segments=count, compactness=10, start_label=0)


def _numpy_pool(features: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    size = labels.shape[::-1]
    painted = (cv2.resize(channel, size, interpolation=cv2.INTER_NEAREST) for channel in features)
    sums = np.stack([np.bincount(labels.ravel(), channel.ravel(), count) for channel in painted], axis=1)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def _numpy_read(pooled: np.ndarray, settings, objects: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    """kNN over the same number of entries without regard to place: one matrix product, one partition, one softmax."""
    stored = np.tile(pooled, (settings.recent + 1, 1))
    classes = np.ones((len(stored), objects + 1), np.float32)
    cosine = pooled @ stored.T
    best = np.argpartition(cosine, -settings.neighbours, axis=1)[:, -settings.neighbours :]
    vote = np.exp(np.take_along_axis(cosine, best, axis=1) / settings.temperature)
    return np.einsum("nk,nkc->nc", vote / vote.sum(1, keepdims=True), classes[best])


def _print_overlap(source: str, mask_file: Path) -> None:
    """Sum of the stages against the whole, with superpixels beside the network and without."""
    with open_source(source) as frames:
        images = [frame.image for frame in itertools.islice(frames, 24)]
    mask = read_mask(mask_file, (images[0].shape[0], images[0].shape[1]))
    whole = {}
    for overlap in (False, True, False, True):  # twice: the first round compiles and warms
        segmenter = open_segmenter(overlap=overlap)
        segmenter.start(images[0], mask)
        times = []
        for image in images[1:]:
            begun = time.perf_counter()
            segmenter.step(image)
            times.append(1000 * (time.perf_counter() - begun))
        whole[overlap] = statistics.median(times)
    parts = ", ".join(f"{stage} {ms:.1f}" for stage, ms in segmenter.stopwatch.medians().items())
    print(f"frame, stages one after the other {whole[False]:.1f} ms, overlapping {whole[True]:.1f} ms ({parts})")


def _median_ms(run: Callable[[], object], rounds: int) -> float:
    run()
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)


def _bandwidth() -> float:
    """GB/s of a copy larger than the caches, bytes read and written."""
    source, target = np.ones(1 << 26, np.uint8), np.empty(1 << 26, np.uint8)
    return 2 * source.nbytes / 1e6 / _median_ms(lambda: np.copyto(target, source), 7)


def _product_rate() -> float:
    """GFLOP/s of a float32 matrix product."""
    a = np.ones((1024, 1024), np.float32)
    return 2 * 1024**3 / 1e6 / _median_ms(lambda: a @ a, 7)


if __name__ == "__main__":
    main()
