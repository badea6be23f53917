"""Times of the runtime's core, stage by stage, beside peers in the same run and the machine's floor.

    python benchmarks/core.py [--json FILE | --profile] [--counts 1000 1500] [--source VIDEO --mask FILE] [--rounds 20]

Medians in milliseconds over frames of the clip (the shipped one: 854x480), on one thread and on all; ratio is the
fastest peer over ours, on all threads. The floor is the longer of two times: the bytes that a stage must touch
over the bandwidth of a large copy, and its multiplications over the rate of a large matrix product.
With --profile the time of each stage is split instead into compiled code and the interpreter.
"""

from __future__ import annotations

import cProfile
import itertools
import pstats
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numba
import numpy as np

from common import add_clip, at_least, described, new_file, plainly, read_clip, with_settings
from shls.runtime._support.files import write_json
from shls.runtime.backends.base import open_session
from shls.runtime.backends.pretrained import SHIPPED_MODEL
from shls.runtime.features.optical_flow import MotionTracker
from shls.runtime.features.pooling import pool
from shls.runtime.features.preprocess import to_input
from shls.runtime.io.masks import overlay
from shls.runtime.memory.bank import MemoryBank
from shls.runtime.models.contract import Contract
from shls.runtime.refinement.pixel_filter import decide, spread
from shls.runtime.superpixels.isec import isec
from shls.runtime.superpixels.slic import SuperpixelTracker, slic


@dataclass
class Stage:
    """A stage: what runs, its peers, and what it must at least do."""

    ours: Callable[[], object]
    megabytes: float
    megaops: float = 0.0
    peers: dict[str, Callable[[], object]] = field(default_factory=dict)


def main() -> None:
    """Measure and print."""
    parser = described(__doc__)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--json", type=new_file)
    kind.add_argument("--profile", action="store_true", help="share of each stage in compiled code")
    add_clip(parser)
    parser.add_argument("--rounds", type=at_least(1), default=20)
    parser.add_argument("--counts", type=at_least(1), nargs="+", default=[1000, 1500], help="superpixels, N")
    args = parser.parse_args()
    images, mask = read_clip(args, 12)
    if args.profile:
        _print_profile(_stages(images, mask, args.counts[-1])[0], args.rounds)
        return
    bandwidth, rate = _bandwidth(), _product_rate()
    print(f"copy {bandwidth:.1f} GB/s, float32 product {rate:.0f} GFLOP/s, {numba.get_num_threads()} threads")
    results: dict[str, dict[str, object]] = {}
    for count in args.counts:
        stages, context = _stages(images, mask, count)
        print(f"\n{context:<32}{'1 thread':>10}{'all':>9}{'floor':>9}{'ratio':>8}   peers (ms)")
        results[context] = {name: _measure(name, stage, args.rounds, bandwidth, rate) for name, stage in stages.items()}
    if args.json:
        counted = {context: {"stages": stages} for context, stages in results.items()}
        write_json(args.json, {"stages": results[context], "counts": counted})


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
    print(f"{name:<32}{single:>10.2f}{ours:>9.2f}{floor:>9.2f}{ratio:>8}   {shown}", flush=True)
    return {"ours_ms": ours, "ours_1_thread_ms": single, "floor_ms": floor, "peers": peers}


def _stages(images: list[np.ndarray], mask: np.ndarray, count: int) -> tuple[dict[str, Stage], str]:
    session = open_session(SHIPPED_MODEL)
    contract = with_settings(session.contract, superpixels={"count": count})
    H, W = images[0].shape[:2]
    maps = [session.run(to_input(image, contract)) for image in images]
    cold = [slic(image, contract.settings.superpixels) for image in images]
    seen = [(pool(*pair), pair[1].centres) for pair in zip(maps, cold, strict=True)]
    features, superpixels, (pooled, centres) = maps[-1], cold[-1], seen[-1]
    tracker, fresh = SuperpixelTracker(contract.settings.superpixels), SuperpixelTracker(contract.settings.superpixels)
    tracker.step(images[0])
    turning = itertools.cycle(images + images[::-1])
    motion = MotionTracker(contract.settings.memory.recent)
    shares = _shares(1, mask, superpixels.labels)
    planes = spread(shares, superpixels, images[-1])
    labels = decide(planes, (H, W)).labels

    def start() -> object:
        fresh.restart()
        return fresh.step(images[-1])

    stages = {
        "superpixels, cold": Stage(
            start, H * W * (3 + 4) / 1e6, peers={"skimage.slic": _scikit_slic(images[-1], count)}
        ),
        "superpixels, warm": Stage(
            lambda: tracker.step(next(turning)),
            H * W * (3 + 4) / 1e6,
            peers={"skimage.slic": _scikit_slic(images[-1], count), "ours, cold": start},
        ),
        "superpixels, ISEC": Stage(lambda: isec(images[-1], contract.settings.superpixels), H * W * (3 + 4) / 1e6),
        "optical flow": Stage(lambda: motion.step(next(turning)), H * W * 3 / 1e6),
        "pooling": Stage(
            lambda: pool(features, superpixels),
            (features.nbytes + superpixels.labels.nbytes) / 1e6,
            peers={"numpy.bincount": lambda: _numpy_pool(features, superpixels.labels, len(pooled))},
        ),
    }
    for K in (1, 10):
        objects = f"{K} object{'s' if K > 1 else ''}"
        memory = _full_memory(contract, (H, W), seen, K, mask, cold)
        last = _shares(K, mask, superpixels.labels)
        stages[f"memory read, {objects}"] = Stage(
            lambda memory=memory: memory.read(pooled, centres[None]),  # type: ignore[misc]
            memory.nbytes / 1e6,
            peers={"numpy, all pairs": lambda K=K: _numpy_read(pooled, contract.settings.memory, K)},  # type: ignore[misc]
        )
        stages[f"memory write, {objects}"] = Stage(
            lambda memory=memory, last=last: memory.write(pooled, centres, last),  # type: ignore[misc]
            2 * (pooled.nbytes + last.nbytes) / 1e6,
        )
        print(f"state of the memory, {objects}: {memory.nbytes / K / 1e6:.2f} MB per object")
    grid = planes.nbytes / 1e6
    stages["refinement by colour"] = Stage(
        lambda: spread(shares, superpixels, images[-1]), H * W * (3 + 4) / 1e6 + grid
    )
    stages["painting: mask"] = Stage(lambda: decide(planes, (H, W)), H * W / 1e6 + grid)
    stages["painting: overlay"] = Stage(lambda: overlay(images[-1], labels), H * W * (3 + 3 + 1) / 1e6)
    return stages, f"{W}x{H}, N = {len(pooled)}, D = {pooled.shape[1]}"


def _full_memory(  # type: ignore[no-untyped-def]
    contract: Contract, size, seen, objects: int, mask: np.ndarray, superpixels
) -> MemoryBank:
    """A memory of the frames before the last, the first one marked."""
    memory = MemoryBank(contract.settings.memory, size, contract.dim, objects)
    for (pooled, centres), (labels, *_) in zip(seen[:-1], superpixels[:-1], strict=True):
        memory.write(pooled, centres, _shares(objects, mask, labels))
    return memory


def _shares(objects: int, mask: np.ndarray, labels: np.ndarray) -> np.ndarray:
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


def _print_profile(stages: dict[str, Stage], rounds: int) -> None:
    """Print the ratio of a stage's time in our kernels, in NumPy and OpenCV, and in Python, measured by cProfile.

    Times are processor times of one thread. The profiler slows every Python call, so the ratio of Python is an upper
    bound.
    """
    numba.set_num_threads(1)
    cv2.setNumThreads(1)
    compiled = _kernel_places()
    print(f"{'stage':<32}{'ms':>8}{'kernels':>9}{'library':>9}{'Python':>8}   heaviest")
    for name, stage in stages.items():
        stage.ours()
        profiler = cProfile.Profile(time.thread_time)
        profiler.enable()
        for _ in range(rounds):
            stage.ours()
        profiler.disable()
        spent = {"kernels": 0.0, "library": 0.0, "Python": 0.0}
        heavy: list[tuple[float, str]] = []
        for (file, line, function), (_, _, own, _, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
            kind = "kernels" if (file, line) in compiled else "library" if file == "~" else "Python"
            spent[kind] += own
            heavy.append((own, function if kind != "library" else function.split()[-1].strip(">'")))
        total = sum(spent.values())
        shares = "".join(f"{100 * spent[kind] / total:>{9 if kind != 'Python' else 8}.0f}" for kind in spent)
        top = ", ".join(f"{function} {100 * own / total:.0f}" for own, function in sorted(heavy, reverse=True)[:6])
        print(f"{name:<32}{1000 * total / rounds:>8.2f}{shares}   {top}")


def _kernel_places() -> set[tuple[str, int]]:
    """File and first line of every function of ours that numba compiles."""
    places = set()
    for name, module in list(sys.modules.items()):
        if name.startswith("shls.runtime"):
            for value in vars(module).values():
                if hasattr(value, "py_func"):
                    places.add((value.py_func.__code__.co_filename, value.py_func.__code__.co_firstlineno))
    return places


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
    plainly(main)
