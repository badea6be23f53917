"""Times per stage of this version against an earlier commit, in alternating turns of the same run.

    python benchmarks/against.py --base b7ecfe4 [--threads 1 2] [--turns 6] [--frames 4] [--json FILE]

The base is checked out beside the caches of this user as a git worktree. Its packages become importable by a folder of
links, so it runs with the packages that are installed here; its kernels are compiled and kept apart. One worker process
per version follows the same frames, a few at a time, while the other waits. CPU time counts all threads of a worker.
It is steadier than wall time where other work shares the cores.

The roofline compares CPU time with two limits of this machine: the bytes that a stage must move over the bandwidth of
a large copy, and its multiplications over the rate of a large float32 product, four times that rate for INT8.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from common import add_clip, at_least, described, new_file, plainly, read_clip
from shls.runtime._support.files import write_json
from shls.runtime._support.folders import private_temporary_folder, user_cache
from shls.runtime.errors import BadInput

ROOT = Path(__file__).parents[1]
ELLIPSE = 120, 160
"""Width and height of each of ten objects, pixels."""
RENAMED = {"presence": "visibility"}
"""Stages that had another name in the base."""
NETWORK = "network"
INT8 = NETWORK, "refine", "memory"
"""Stages that multiply 8-bit numbers, four per lane of a SIMD register."""

Times = dict[str, list[tuple[float, float]]]
"""Wall and CPU seconds of each frame, by stage."""


def main() -> None:
    """Measure and print."""
    parser = described(__doc__)
    add_clip(parser)
    parser.add_argument("--base", default="b7ecfe4", help="commit to compare with")
    parser.add_argument("--threads", type=at_least(1), nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=at_least(2), default=6, help="turns of each version")
    parser.add_argument("--frames", type=at_least(1), default=4, help="frames a turn")
    parser.add_argument("--json", type=new_file)
    options = parser.parse_args()
    images, mask = read_clip(options, 24)
    base = checked_out(options.base)
    print(f"base {options.base} in {base}, with the packages of {sys.prefix}")
    machine = {"copy, GB/s": copy_rate(), "float32 product, GMAC/s": product_rate()}
    print(", ".join(f"{name} {value:.0f}" for name, value in machine.items()), "on one thread\n")
    results: dict[str, Any] = {"base": options.base, "machine": machine}
    for threads in options.threads:
        for name, objects in (("one object", mask), ("ten objects", ten_objects(*images[0].shape[:2]))):
            title = f"{name}, {threads} thread{'s' * (threads > 1)}"
            now, before = alternate(images, objects, threads, options, base)
            results[title] = compared(title, now, before)
            if threads == 1:
                results[title]["roofline"] = roofline(images[0].shape[:2], objects, now, machine)
    if options.json:
        write_json(options.json, results)


def ten_objects(height: int, width: int) -> np.ndarray:
    """Mask of ten ellipses in two rows, (H, W) uint8."""
    mask = np.zeros((height, width), np.uint8)
    axes = ELLIPSE[0] // 2, ELLIPSE[1] // 2
    for i in range(10):
        centre = int(width * (i % 5 + 0.5) / 5), int(height * (i // 5 + 0.5) / 2)
        cv2.ellipse(mask, centre, axes, 0, 0, 360, i + 1, -1)
    return mask


def checked_out(commit: str) -> Path:
    """Check a commit out and return the folder from which `shls` of that commit can be imported."""
    folder = (user_cache() or private_temporary_folder()) / "against" / commit
    if not (folder / "tree").exists():
        folder.mkdir(parents=True, exist_ok=True)
        git("worktree", "prune")
        git("worktree", "add", "--detach", str(folder / "tree"), commit)
    if not (folder / "tree" / "shls").exists():  # before `shls/` had links, setuptools mapped its packages to folders
        (folder / "links" / "shls").mkdir(parents=True, exist_ok=True)
        (folder / "links" / "shls" / "__init__.py").touch()
        for name in ("runtime", "calib", "export"):
            link = folder / "links" / "shls" / name
            link.unlink(missing_ok=True)
            link.symlink_to(folder / "tree" / name)
        return folder / "links"
    return folder / "tree"


def git(*words: str) -> None:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadInput(f"git {words[0]}: failed ({done.stderr.strip().splitlines()[-1]}). Give a commit of this clone")


class Worker:
    """Process that follows a clip with one version of the software."""

    def __init__(self, path: Path, files: list[str], threads: int) -> None:
        environment = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, str(ROOT / "benchmarks" / "_turns.py"), *files, str(threads)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, **pipes, text=True, env=environment, cwd=path)  # type: ignore[call-overload]
        self._input: IO[str] = self._process.stdin
        self._output: IO[str] = self._process.stdout

    def turn(self, frames: int) -> Times:
        """Follow some frames."""
        self._input.write(f"{frames}\n")
        self._input.flush()
        line = self._output.readline()
        if not line:
            raise BadInput("worker: ended early. Its message is above")
        return {RENAMED.get(stage, stage): times for stage, times in json.loads(line).items()}

    def close(self) -> None:
        """End the process."""
        self._input.close()
        self._process.wait()
        self._output.close()


def alternate(
    images: list[np.ndarray], mask: np.ndarray, threads: int, options: Any, base: Path
) -> tuple[Times, Times]:
    """Let both versions take turns; return the times of this version and of the base."""
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/frames.npy", f"{folder}/mask.npy"]
        for file, array in zip(files, (np.stack(images), mask), strict=True):
            np.save(file, array)
        workers = [Worker(path, files, threads) for path in (ROOT, base)]
        found: list[Times] = [{}, {}]
        try:
            for turn in range(options.turns + 1):
                for worker, times in zip(workers, found, strict=True):
                    for stage, values in worker.turn(options.frames).items():
                        if turn:  # the first turn compiles and allocates
                            times.setdefault(stage, []).extend(values)
        finally:
            for worker in workers:
                worker.close()
    return found[0], found[1]


def compared(title: str, now: Times, before: Times) -> dict[str, Any]:
    """Print medians of both versions; return them, (wall, CPU) milliseconds by stage."""
    print(f"{title:<24}{'wall ms':>9}{'base':>9}{'ratio':>7}{'CPU ms':>10}{'base':>9}{'ratio':>7}")
    for times in (now, before):
        times["beside the network"] = [
            (frame[0] - network[0], frame[1] - network[1])
            for frame, network in zip(times["frame"], times[NETWORK], strict=True)
        ]
    rows = {}
    for stage in now:
        ours = [1000 * statistics.median(value[i] for value in now[stage]) for i in (0, 1)]
        theirs = [1000 * statistics.median(value[i] for value in before.get(stage, [(0, 0)])) for i in (0, 1)]
        ratios = [a / b if b else float("nan") for a, b in zip(ours, theirs, strict=True)]
        print(
            f"  {stage:<22}{ours[0]:>9.2f}{theirs[0]:>9.2f}{ratios[0]:>7.2f}"
            f"{ours[1]:>10.2f}{theirs[1]:>9.2f}{ratios[1]:>7.2f}"
        )
        rows[stage] = {"now": ours, "base": theirs}
    print(flush=True)
    return {"stages": rows}


def roofline(size: tuple[int, int], mask: np.ndarray, now: Times, machine: dict[str, float]) -> dict[str, list[float]]:
    """Print what each stage must at least move and multiply, and its share of the machine's rates."""
    copy, product = machine.values()
    print(f"{'roofline, one thread':<24}{'MB':>8}{'MMAC':>9}{'limit ms':>10}{'CPU ms':>9}{'share':>8}")
    rows = {}
    for stage, (megabytes, megamacs) in work(size, len(np.unique(mask)) - 1).items():
        limit = max(megabytes / copy, megamacs / (product * (4 if stage in INT8 else 1)))
        cpu = 1000 * min(value[1] for value in now[stage])
        print(f"  {stage:<22}{megabytes:>8.1f}{megamacs:>9.1f}{limit:>10.2f}{cpu:>9.2f}{limit / cpu:>8.0%}")
        rows[stage] = [megabytes, megamacs, limit, cpu]
    print(flush=True)
    return rows


def work(size: tuple[int, int], objects: int) -> dict[str, tuple[float, float]]:
    """Return the least (MB read and written, 10^6 multiplications) of each stage, for the shipped networks.

    Letters: P pixels, G cells of the half-resolution grid, M numbers of the feature map, N = 1,500 superpixels, K
    classes with the background. A stage reads its inputs and writes its outputs once.
    """
    P, N, K = size[0] * size[1], 1500, objects + 1
    G, M = P // 4, 64 * P // 16
    crop = 160 if objects == 1 else 112  # pixels, of one large object or of small ones
    inputs = 4 * (11 * crop**2 + 64 * (crop // 4) ** 2)
    return {
        "superpixels": (1e-6 * P * (3 + 3 + 2 + 4), 1e-6 * P * 9),
        "flow": (1e-6 * P * 3, 1e-6 * P / 16 * 8 * 16),
        NETWORK: (1e-6 * (P * 3 + 4 * P * 3 + 4 * M), 7200.0),
        "pool": (1e-6 * (4 * M + 4 * P + 4 * N * 64), 1e-6 * 2 * M),
        "memory": (1e-6 * 8 * N * (64 + 2 * K), 1e-6 * 64 * N * (9 * N * 0.3 + 32 * K)),
        "visibility": (1e-6 * (5 * G + 4 * N * K), 1e-6 * N * 64),
        "spread": (1e-6 * G * (3 + 4 + 4 * K), 1e-6 * G * 0.3 * 20 * (8 + 3)),
        "refine": (1e-6 * (objects * 2 * inputs + 2 * 4 * G * K), objects * 408.0 * (crop / 224) ** 2),
        "remember": (1e-6 * (4 * G + 4 * G + 4 * N * 64), 1e-6 * 32 * K * N * 64),
        "decide": (1e-6 * (4 * G * K + P), 1e-6 * G * K),
    }


def copy_rate() -> float:
    """Bandwidth of a large copy, bytes read and written, MB per ms (GB/s)."""
    source = np.ones(1 << 25, np.uint8)
    target = np.empty_like(source)
    return 2 * source.nbytes / 1e6 / least_ms(lambda: np.copyto(target, source))


def product_rate() -> float:
    """Rate of a large float32 matrix product on one thread, 10^6 multiplications per ms of CPU time (GMAC/s)."""
    one = np.ones((1024, 1024), np.float32)
    return 1024**3 / 1e6 / least_ms(lambda: one @ one)


def least_ms(run: Callable[[], object]) -> float:
    """Least CPU time of several runs, milliseconds."""
    found = []
    for _ in range(7):
        begun = time.process_time()
        run()
        found.append(time.process_time() - begun)
    return 1000 * min(found)


if __name__ == "__main__":
    plainly(main)
