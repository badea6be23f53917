"""Commands that are killed, or meet a full disk: is what they wrote whole?

Each command works on tiny inputs that are made here. Signal 9 comes at a random moment of the command. Afterwards every
file under its final name must be readable, and the command must succeed when it is run again in the same place.
With `--full` (root only) each command also writes into small file systems of memory: it has to end with one line and
exit code 2.

    python benchmarks/faults.py --kills 20 --full
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import cv2
import numpy as np

from common import at_least, described, plainly
from shls.runtime.backends.pretrained import ASSETS
from shls.runtime.errors import BadInput, ShlsError
from shls.runtime.io.masks import write_mask
from shls.runtime.models.onnx_reader import read_any_contract

SHLS = [sys.executable, "-c", "from shls.runtime.cli.main import main; main()"]
SIZES = (16, 64, 256)
"""Sizes of the full file systems, KiB."""
FRAMES = 6


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--kills", type=at_least(0), default=20, help="kills per command, default 20")
    parser.add_argument("--seed", type=at_least(0), default=0, help="random seed of the moments, default 0")
    parser.add_argument("--only", choices=("run", "eval", "calibrate", "train", "export"), help="one command")
    parser.add_argument("--full", action="store_true", help="also fill disks; needs root")
    options = parser.parse_args()
    faults = 0
    with tempfile.TemporaryDirectory(prefix="shls-faults-") as folder:
        inputs = Path(folder, "inputs")
        _make_inputs(inputs)
        names = [options.only] if options.only else list(_commands(inputs, inputs))
        for name in names:
            chance = random.Random(f"{options.seed} {name}")
            faults += _kill(name, options.kills, inputs, Path(folder, name), chance)
            if options.full:
                faults += _fill(name, inputs, Path(folder, f"{name}-full"))
    sys.exit(1 if faults else 0)


def _commands(inputs: Path, out: Path) -> dict[str, list[str]]:
    """Return the arguments of each command."""
    video, mask, frames = str(inputs / "a.mp4"), str(inputs / "mask.png"), str(inputs / "JPEGImages/480p/cup")
    train = ["train", frames, "--out", str(out / "train"), "--steps", "2", "--crop", "32", "--batch", "2"]
    model = str(ASSETS / "shls-edge.onnx")
    return {
        "run": ["run", video, "--mask", mask, "--out", str(out / "o.mp4"), "--masks", str(out / "masks"),
                "--json", str(out / "o.jsonl")],
        "eval": ["eval", "--root", str(inputs), "--set", str(inputs / "set.txt"), "--out", str(out / "predicted"),
                 "--json", str(out / "scores.json")],
        "calibrate": ["calibrate", model, "--frames", frames, "--count", "2", "--out", str(out / "int8.onnx")],
        "train": train,
        "export": ["export", model, "--size", "96x64", "--out", str(out / "small.onnx")],
    }  # fmt: skip


def _run(words: list[str], seconds: float | None = None) -> tuple[int, str, float]:
    """Run a command, killed after some seconds; return exit code, standard error and duration."""
    begin = time.monotonic()
    process = subprocess.Popen([*SHLS, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        _, said = process.communicate()
    return process.returncode, said, time.monotonic() - begin


def _kill(name: str, kills: int, inputs: Path, out: Path, chance: random.Random) -> int:
    """Kill a command at random moments and run it again at the end; print and count the faults."""
    out.mkdir()
    code, said, seconds = _run(_commands(inputs, out)[name])
    if code:
        raise BadInput(f"{name}: fails without a fault: {said.strip()[-300:]}")
    faults: list[str] = []
    killed = 0
    for index in range(kills):
        place = out / f"kill{index}"
        place.mkdir()
        code, _, _ = _run(_commands(inputs, place)[name], chance.uniform(0, seconds))
        killed += code == -9
        faults += list(_damaged(place))
        code, said, _ = _run(_commands(inputs, place)[name])
        faults += [f"again: exit code {code}: {said.strip()[-300:]}"] if code else list(_damaged(place))
    print(f"{name}: {killed} of {kills} killed, {len(faults)} faults", *faults, sep="\n  ", flush=True)
    return len(faults)


def _damaged(folder: Path) -> Iterator[str]:
    """Name the files under final names that cannot be read; temporary names begin with a dot."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        try:
            _read(path)
        except (ShlsError, OSError, ValueError, av.FFmpegError) as error:
            yield f"{path.name}: {error!s:.200}"


def _read(path: Path) -> None:
    """Read a file that a command wrote."""
    if path.suffix == ".mp4":
        with av.open(str(path)) as video:
            if not any(True for _ in video.decode(video=0)):
                raise ValueError("no frame")
    elif path.suffix in (".png", ".jpg"):
        if cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is None:
            raise ValueError("not a picture")
    elif path.suffix == ".onnx":
        read_any_contract(path)
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".jsonl":
        for line in path.read_text().splitlines():
            json.loads(line)


def _fill(name: str, inputs: Path, out: Path) -> int:
    """Run a command on full disks; print and count the faults."""
    if os.geteuid():
        print(f"{name}: full disks are skipped (only root mounts file systems)")
        return 0
    faults: list[str] = []
    refused = 0
    for size in SIZES:
        with _small_disk(out, size) as mounted:
            if not mounted:
                print(f"{name}: full disks are skipped (this machine does not allow mounts)")
                return 0
            code, said, _ = _run(_commands(inputs, out)[name])
            refused += code == 2
            if code not in (0, 2) or "Traceback" in said:
                faults.append(f"{size} KiB: exit code {code}: {said.strip()[-300:]}")
            faults += [f"{size} KiB: {damage}" for damage in _damaged(out)]
    print(f"{name}: {refused} of {len(SIZES)} disks full, {len(faults)} faults", *faults, sep="\n  ", flush=True)
    return len(faults)


@contextmanager
def _small_disk(folder: Path, size: int) -> Iterator[bool]:
    """Mount a file system of memory, in KiB; yield whether the machine allows it."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def _make_inputs(folder: Path) -> None:
    """Draw a video, its mask, and a data set of one sequence."""
    images, truths = folder / "JPEGImages/480p/cup", folder / "Annotations/480p/cup"
    for path in (images, truths):
        path.mkdir(parents=True)
    (folder / "set.txt").write_text("cup\n")
    noise = np.random.default_rng(0).integers(0, 80, (64, 96, 3), np.uint8)
    with av.open(str(folder / "a.mp4"), "w") as video:
        stream = video.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 96, 64
        for index in range(FRAMES):
            frame, mask = noise.copy(), np.zeros((64, 96), np.uint8)
            frame[16:48, 20 + 2 * index : 60 + 2 * index] = (30, 60, 220)
            mask[16:48, 20 + 2 * index : 60 + 2 * index] = 1
            cv2.imwrite(str(images / f"{index:05d}.jpg"), frame)
            write_mask(truths / f"{index:05d}.png", mask)
            if index == 0:
                write_mask(folder / "mask.png", mask)
            video.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        video.mux(stream.encode())


if __name__ == "__main__":
    plainly(main)
