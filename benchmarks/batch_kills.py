"""Batches that are killed with signal 9 and resumed: is each video done once, with the masks of an undisturbed run?

Cuts of annotated sequences are encoded as mp4, some with sound, some upright. One batch runs undisturbed, one is killed
several times. With `--engine ray` a cluster of two nodes runs the second batch, and a node of it is killed, too.
`--rounds` also measures the throughput of two workers against one.

    python benchmarks/batch_kills.py --root DAVIS --videos 60 --frames 4 --height 120
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from common import at_least, described, plainly
from shls.runtime._support.extras import require
from shls.runtime.backends.pretrained import shipped_model, shipped_refiner
from shls.runtime.errors import BadInput
from shls.runtime.io.image_files import IMAGE_SUFFIXES, read_image
from shls.runtime.io.masks import read_mask, write_mask
from shls.runtime.models.onnx_reader import read_contract

COMMAND = [sys.executable, "-c", "from shls.runtime.cli.main import main; main()", "batch"]
RATE = 48_000
"""Samples per second of the sound."""
SOUND_EVERY, UPRIGHT_EVERY = 5, 6
"""Every fifth video has sound, every sixth is upright."""


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="data set in the layout of DAVIS")
    parser.add_argument("--videos", type=at_least(2), default=60)
    parser.add_argument("--frames", type=at_least(2), default=4, help="per video")
    parser.add_argument("--height", type=at_least(32), default=120, help="of the videos, pixels")
    parser.add_argument("--kills", type=at_least(0), default=3)
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="of the batch that is killed")
    parser.add_argument("--rounds", type=at_least(0), default=0, help="of one and two workers in turn")
    options = parser.parse_args()
    if options.engine == "ray":
        require("ray", "ray")
    with tempfile.TemporaryDirectory(prefix="shls-kills-") as folder:
        videos, here = Path(folder, "videos"), Path(folder)
        encode(options, videos)
        COMMAND.extend(copied_networks(here))
        if options.rounds:
            measure(options.rounds, videos, here)
        print("undisturbed:", flush=True)
        run([str(videos), "--out", str(here / "whole"), "--jobs", "1", "--threads", "1"])
        rounds = killed_on_ray if options.engine == "ray" else killed
        rounds(options, videos, here / "killed")
        compare(results(here / "whole"), results(here / "killed"), options.videos)


def copied_networks(here: Path) -> list[str]:
    """Copy the shipped networks, so that all rounds have the same ones; return the options that name them."""
    network = shipped_model("cpu")
    refiner = shipped_refiner(read_contract(network), "cpu")
    words = ["--model", shutil.copy(network, here / "model.onnx"), "--device", "cpu"]
    words += ["--refiner", shutil.copy(refiner, here / "refiner.onnx")] if refiner else ["--unrefined"]
    return list(map(str, words))


def encode(options: Namespace, videos: Path) -> None:
    """Cut and encode the videos, each with the mask of its first frame beside it."""
    folders = [one for one in sorted(options.root.glob("JPEGImages/*/*")) if one.is_dir()]
    if not folders:
        raise BadInput(f"{options.root}: no sequences; expected JPEGImages/RESOLUTION/SEQUENCE")
    videos.mkdir()
    number = round_ = 0
    while number < options.videos:
        begun = number
        for folder in folders:
            images = sorted(one for one in folder.iterdir() if one.suffix.lower() in IMAGE_SUFFIXES)
            images = images[round_ * options.frames : (round_ + 1) * options.frames]
            if len(images) < options.frames or number == options.videos:
                continue
            mask = options.root / "Annotations" / folder.parent.name / folder.name / f"{images[0].stem}.png"
            with suppress(BadInput):  # this frame has no annotation, or no object
                write_clip(videos / f"{number:03d}-{folder.name}", images, mask, options.height, number)
                number += 1
        round_ += 1
        if number == begun and round_ > 100:
            raise BadInput(f"{options.root}: too short; {number} cuts were found, expected {options.videos}")


def write_clip(path: Path, images: list[Path], mask: Path, height: int, number: int) -> None:
    """Encode one cut."""
    frames = [read_image(image) for image in images]
    labels = read_mask(mask, (frames[0].shape[0], frames[0].shape[1]))
    size = round(height * frames[0].shape[1] / frames[0].shape[0] / 2) * 2, height
    frames = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
    labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    if not labels.any():
        raise BadInput(f"{mask}: nothing is left of the object")
    if number % UPRIGHT_EVERY == 0:
        frames, labels = [np.rot90(frame) for frame in frames], np.rot90(labels)
    write_mask(path.with_suffix(".png"), labels)
    with av.open(str(path.with_suffix(".mp4")), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "18"})
        video.height, video.width, video.pix_fmt = *labels.shape, "yuv420p"
        sound = container.add_stream("aac", rate=RATE, layout="mono") if number % SOUND_EVERY == 0 else None
        for frame in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(video.encode(None))
        if sound is not None:
            write_tone(container, sound, len(frames) / 25)


def write_tone(container: Any, sound: Any, seconds: float) -> None:
    wave = np.sin(np.arange(int(RATE * seconds)) / 20).astype(np.float32)
    for begin in range(0, wave.size, 1024):
        part = av.AudioFrame.from_ndarray(wave[None, begin : begin + 1024], format="fltp", layout="mono")
        part.sample_rate, part.pts, part.time_base = RATE, begin, Fraction(1, RATE)
        container.mux(sound.encode(part))
    container.mux(sound.encode(None))


def run(words: list[str]) -> float:
    """Run a batch to its end; return its seconds."""
    begun = time.perf_counter()
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadInput(f"batch: ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    print("  " + done.stdout.strip().splitlines()[-2], f"({time.perf_counter() - begun:.0f} s)", flush=True)
    return time.perf_counter() - begun


def measure(rounds: int, videos: Path, here: Path) -> None:
    """Print the throughput of two workers against one, in turn, each with one thread."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for jobs in (1, 2):
            shutil.rmtree(here / "timed", ignore_errors=True)
            seconds[jobs].append(
                run([str(videos), "--out", str(here / "timed"), "--jobs", str(jobs), "--threads", "1"])
            )
    ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    print(f"two workers against one: {statistics.median(ratios):.2f} times the throughput (median of {rounds})")


def killed(options: Namespace, videos: Path, out: Path) -> None:
    """Run a batch on this machine that is killed several times, and print a line per round."""
    print("| round | ended by | finished before | finished in it | seconds |\n|---|---|---|---|---|")
    words = [str(videos), "--out", str(out), "--jobs", "2", "--threads", "1"]
    for at in range(options.kills + 1):
        one_round(options, words, out, at, lambda: None)


def killed_on_ray(options: Namespace, videos: Path, out: Path) -> None:
    """Run a batch on a cluster of two nodes; a node is killed in the last round but one."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        nodes = [cluster.add_node(num_cpus=1)]
        cluster.wait_for_nodes()
        words = [str(videos), "--out", str(out), "--threads", "1", "--engine", "ray", "--ray-address", cluster.address]
        print("| round | ended by | finished before | finished in it | seconds |\n|---|---|---|---|---|")

        def kill_node() -> None:
            cluster.remove_node(nodes.pop(), allow_graceful=False)

        for at in range(options.kills + 1):
            one_round(options, words, out, at, kill_node if at == options.kills else lambda: None)
    finally:
        cluster.shutdown()


def one_round(options: Namespace, words: list[str], out: Path, at: int, disturb: Callable[[], None]) -> None:
    """Run until a share of the videos is finished, then kill; the last round runs to its end."""
    before = results(out)
    last = at == options.kills
    goal = (at + 1) * options.videos // (options.kills + 1)
    begun = time.perf_counter()
    process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    disturbed = False
    while process.poll() is None:
        count = len(results(out))
        if not last and count >= goal:
            os.kill(process.pid, signal.SIGKILL)
        if last and not disturbed and count > len(before):
            disturb()
            disturbed = True
        time.sleep(0.2)
    said = (process.stderr.read() if process.stderr else "").strip().splitlines()
    if process.returncode not in (0, -signal.SIGKILL):
        raise BadInput(f"batch: ended with {process.returncode}: {said[-1:]}")
    time.sleep(1)  # the kernel ends the workers with their parent
    after = results(out)
    if changed := [name for name, one in before.items() if after[name]["written"] != one["written"]]:
        raise BadInput(f"done twice: {', '.join(changed)}")
    ended = "itself" if process.returncode == 0 else "signal 9"
    ended += ", a node killed" if last and options.engine == "ray" else ""
    seconds = time.perf_counter() - begun
    print(f"| {at + 1} | {ended} | {len(before)} | {len(after) - len(before)} | {seconds:.0f} |", flush=True)


def results(out: Path) -> dict[str, dict[str, Any]]:
    """Read the records of the finished videos: digest, key and time of writing, by name."""
    found = {}
    for file in out.glob("*/result.json"):
        values = json.loads(file.read_text())
        found[file.parent.name] = {"digest": values["digest"], "written": file.stat().st_mtime_ns}
    return found


def compare(whole: dict[str, dict[str, Any]], killed: dict[str, dict[str, Any]], count: int) -> None:
    same = [name for name, one in whole.items() if killed.get(name, {}).get("digest") == one["digest"]]
    print(f"{len(whole)} and {len(killed)} of {count} videos; {len(same)} with the same digest; none done twice")
    if not len(same) == len(whole) == len(killed) == count:
        raise BadInput(f"batch: different results: {sorted(set(whole) ^ set(same))}")


if __name__ == "__main__":
    plainly(main)
