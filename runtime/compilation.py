"""Compile all kernels ahead of time, in several processes.

numba compiles one kernel at a time, so threads do not help. Each part below calls the stages of a frame on tiny inputs
of the types that a real frame has. The parts are independent of each other and share the cache on the disk.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from selectors import EVENT_READ, DefaultSelector
from typing import IO, Any

import numba
import numpy as np

from ._support.numba_cache import cache_folder, is_compiled, mark_compiled
from .features.context import with_context
from .features.superfeatures import superfeatures
from .hardware.cpu import usable_cores
from .io.masks import overlay
from .io.rle import decode_rle, encode_rle
from .memory.bank import MemoryBank
from .memory.visibility import ObjectVisibility
from .models.settings import ContextSettings, MemorySettings
from .refinement.crops import Scene, average, cut_out, put_back
from .refinement.pixel_filter import decide, spread
from .superpixels.compiling import compile_regions, compile_tracker
from .types import Readout, Superpixels

SIZE = 96, 160
"""Height and width of the frame that is compiled for, pixels."""
SIDE = 16
"""Side of its superpixels, pixels."""
WORKER = "import sys; sys.path[:] = {path!r}; from shls.runtime.compilation import work; work()"

Worker = subprocess.Popen[str]
Progress = Callable[[int, int], None]
"""Function called with the number of finished parts and the number of all parts."""

log = logging.getLogger("shls")


def compile_kernels(progress: Progress | None = None) -> float:
    """Compile the kernels of this processor, unless an earlier run has compiled them.

    A second process that starts meanwhile waits for the first. Where no process can be started, or where the cache
    cannot be written, each kernel is compiled at its first call.

    Parameters
    ----------
    progress : callable, optional
        See `Progress`.

    Returns
    -------
    float
        Duration, seconds.

    Examples
    --------
    >>> compile_kernels() >= 0
    True
    """
    begun = time.perf_counter()
    config: Any = numba.config
    if not config.DISABLE_JIT and not is_compiled():
        log.warning("kernels: compiling for this processor, once per version of shls")
        with _alone():
            if not is_compiled() and _compile(progress or (lambda _done, _all: None)):
                mark_compiled()
    return time.perf_counter() - begun


def work() -> None:
    """Compile the parts whose names come from standard input, and print each name when it is done."""
    for name in map(str.strip, sys.stdin):
        PARTS[name]()
        print(name, flush=True)


def _compile(progress: Progress) -> bool:
    """Compile all parts; return False if a part could not be compiled in advance."""
    waiting, done, workers = list(PARTS), 0, list[Worker]()
    progress(done, len(PARTS))
    try:
        with DefaultSelector() as ready:
            for _ in range(min(usable_cores(), len(PARTS))):
                workers.append(_start(waiting.pop(0)))
                ready.register(_pipe(workers[-1].stdout), EVENT_READ, workers[-1])
            while done < len(PARTS):
                for key, _ in ready.select():
                    worker: Worker = key.data
                    if not _pipe(worker.stdout).readline():
                        raise OSError(f"a process ended with code {worker.wait()}")
                    done += 1
                    progress(done, len(PARTS))
                    if waiting:
                        _hand(worker, waiting.pop(0))
    except OSError as error:
        log.info("kernels: not compiled in advance (%s), so each is compiled at its first call", error)
        return False
    finally:
        for worker in workers:
            worker.kill()
            with worker:  # closes the pipes and waits
                pass
    return True


def _start(part: str) -> Worker:
    """Start a process that runs `work`, and give it its first part."""
    command = [sys.executable, "-c", WORKER.format(path=sys.path)]
    worker = Worker(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    _hand(worker, part)
    return worker


def _hand(worker: Worker, part: str) -> None:
    pipe = _pipe(worker.stdin)
    pipe.write(f"{part}\n")
    pipe.flush()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other process compiles for the same folder."""
    import fcntl

    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "compiling.lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError:  # a folder that cannot be written: the kernels are compiled in memory
        yield
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def _grid() -> Superpixels:
    """Squares, in the arrays that SLIC returns."""
    height, width = SIZE
    rows, columns = np.mgrid[:height, :width] // SIDE
    labels = (rows * (width // SIDE) + columns).astype(np.int32)
    count = int(labels.max()) + 1
    places = np.arange(count)[:, None]
    centres = np.hstack([places % (width // SIDE), places // (width // SIDE)]) * SIDE + SIDE / 2
    return Superpixels(labels, centres.astype(np.float32), np.full(count, SIDE**2, np.int32))


def _features(count: int) -> np.ndarray:
    features = np.random.default_rng(1).normal(size=(count, 64)).astype(np.float32)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def _object(superpixels: Superpixels) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of an object on the left, (N, 2) float32, and its mask on the half-resolution grid, uint8."""
    own = superpixels.centres[:, :1] < SIZE[1] / 2
    mask = np.zeros((SIZE[0] // 2, SIZE[1] // 2), np.uint8)
    mask[:, : SIZE[1] // 4] = 1
    return np.hstack([~own, own]).astype(np.float32) * np.float32(0.9) + np.float32(0.05), mask


def _pixels() -> None:
    superpixels, image = _grid(), _image()
    probabilities, _ = _object(superpixels)
    planes = spread(probabilities, superpixels, image)
    decide(planes, SIZE)
    average(planes, superpixels, probabilities)


def _crops() -> None:
    superpixels, image = _grid(), _image()
    probabilities, last = _object(superpixels)
    planes = np.repeat(np.repeat(probabilities.reshape(SIZE[0] // SIDE, -1, 2), SIDE // 2, 0), SIDE // 2, 1)
    features = np.zeros((4, SIZE[0] // 4, SIZE[1] // 4), np.float32)
    attention = np.zeros((len(probabilities), 1, 4), np.float32)
    crops = cut_out(Scene(image, superpixels, features, probabilities, attention, planes, last), 32)
    put_back(crops, np.zeros((len(crops.objects), 32, 32), np.float32))


def _memory() -> None:
    superpixels = _grid()
    bank = MemoryBank(MemorySettings(recent=1), SIZE, 64, 1)
    features = _features(len(superpixels.areas))
    probabilities, _ = _object(superpixels)
    for _ in range(3):
        bank.write(features, superpixels.centres, probabilities)
    bank.read(features, superpixels.centres[None])


def _rest() -> None:
    superpixels, image = _grid(), _image()
    probabilities, last = _object(superpixels)
    pooled = superfeatures(np.ones((64, SIZE[0] // 4, SIZE[1] // 4), np.float32), superpixels, None)
    with_context(pooled, superpixels, ContextSettings(weight=0.5))
    visibility, ids = ObjectVisibility(), np.arange(2, dtype=np.uint8)
    features = _features(len(superpixels.areas))
    visibility.mark(features, superpixels, probabilities.round(), ids[1:])
    readout = Readout(probabilities, np.zeros((len(probabilities), 1, 4), np.float32))
    visibility.judge(readout, features, superpixels, last, ids)
    overlay(image, np.zeros(SIZE, np.uint8))
    decode_rle(encode_rle(last))


PARTS: dict[str, Callable[[], None]] = {
    "superpixels": lambda: compile_tracker(_image()),
    "regions": lambda: compile_regions(_image()),
    "pixels": _pixels,
    "memory": _memory,
    "crops": _crops,
    "rest": _rest,
}
"""Parts that may run in any order, the longest first; `superpixels` needs the kernels of `regions` at its end."""
