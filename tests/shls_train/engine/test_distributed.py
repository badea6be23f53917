"""Two processes that talk by gloo do what one does with the whole batch."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from shls.runtime.errors import BadInput
from shls_train.engine import distributed

# Without rounding to bfloat16, so that what differs is the order of sums alone.
SCRIPT = """
import contextlib, sys
from pathlib import Path
from shls_train.stages import embedding as train
from shls_train.config import TrainConfig
train.mixed_precision = lambda _: contextlib.nullcontext()
config = TrainConfig(network=sys.argv[3], loss=sys.argv[4], steps=3, batch=4, points=16, crop=64, clips=2, frames=2,
                     superpixels=20, lr=1e-4)
train.train(Path(sys.argv[1]), Path(sys.argv[2]), config, lambda at: print(at.step))
"""

REFINER_SCRIPT = """
import contextlib, sys
from pathlib import Path
from shls_train.stages import refiner as train_refiner
from shls_train.engine.checkpoint import load_network
from shls_train.config import RefinerConfig
from shls_train.models.edge import Embedding
train_refiner.mixed_precision = lambda _: contextlib.nullcontext()
config = RefinerConfig(steps=3, batch=3, clips=2, frames=3, height=64, width=96, crop=32, superpixels=60, lr=1e-4)
train_refiner.VALIDATION_CLIPS = 1
train_refiner.train_refiner(Path(sys.argv[1]), load_network(Path(sys.argv[3]), Embedding), Path(sys.argv[2]), config,
                            lambda at: print(at.step), None)
"""


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stills")
    for i in range(50):
        coarse = np.random.default_rng(i).integers(0, 255, (12, 16, 3), np.uint8)
        cv2.imwrite(str(folder / f"{i:02}.png"), cv2.resize(coarse, (128, 96), interpolation=cv2.INTER_CUBIC))
    return folder


def run(processes: int, script: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "--no-python", sys.executable, "-c", script, *arguments],
        env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip


def run_whole(processes: int, out: Path, *arguments: str) -> tuple[list[dict[str, str]], dict[str, torch.Tensor]]:
    """The log and the last checkpoint of three steps."""
    done = run(processes, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "2", "3"], "one of them reports"
    return list(csv.DictReader((out / "log.csv").open())), load_file(out / "step-000003.safetensors")


@pytest.mark.parametrize(("network", "loss"), [("shls-edge", "both"), ("shls-r18", "nt-xent")])
def test_two_processes_train_as_one(stills: Path, tmp_path: Path, network: str, loss: str) -> None:
    logs, weights = [], []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        log, tensors = run_whole(processes, out, SCRIPT, str(stills), str(out), network, loss)
        logs.append(log)
        weights.append(tensors)
    for one, two in zip(*logs, strict=True):
        assert float(two["loss"]) == pytest.approx(float(one["loss"]), rel=1e-3)
        for name in {"accuracy", "objects"} & one.keys():  # rounding may turn the nearest of two over
            assert float(two[name]) == pytest.approx(float(one[name]), abs=0.04)
    assert weights[0].keys() == weights[1].keys()
    for name, first in weights[0].items():
        if "running" in name:  # statistics count over both; Adam turns rounding into steps of up to lr
            torch.testing.assert_close(weights[1][name], first, rtol=1e-2, atol=3e-3)


def test_two_processes_train_a_refiner_as_one(stills: Path, small_checkpoint: Path, tmp_path: Path) -> None:
    logs, weights = [], []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        arguments = (REFINER_SCRIPT, str(stills), str(out), str(small_checkpoint))
        log, tensors = run_whole(processes, out, *arguments)
        logs.append(log)
        weights.append(tensors)
    for one, two in zip(*logs, strict=True):
        assert float(two["loss"]) == pytest.approx(float(one["loss"]), rel=1e-3)
        assert float(two["unrefined"]) == pytest.approx(float(one["unrefined"]), rel=1e-3)
    for name, first in weights[0].items():  # Adam turns rounding into steps of up to lr, here and there
        assert (weights[1][name] - first).abs().mean() < 3e-5, name


def test_a_process_that_sees_nothing_goes_along(stills: Path, small_checkpoint: Path, tmp_path: Path) -> None:
    blind = "import os\nfrom shls_train.stages import refiner as train_refiner\n"
    blind += "from shls_train.validation import rollout\nrollout.FOLLOWED = 0.0\n"
    blind += "if os.environ['RANK'] == '1':\n"
    blind += "    train_refiner.roll_out = lambda *_: []\n"
    log, weights = run_whole(2, tmp_path, blind + REFINER_SCRIPT, str(stills), str(tmp_path), str(small_checkpoint))
    assert all(float(row["loss"]) > 0 for row in log)
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())


THREADS_SCRIPT = """
import glob, torch
from pathlib import Path
from shls_train.engine import distributed
def threads():
    return sorted({Path(task, "comm").read_text().strip() for task in glob.glob("/proc/self/task/*")})
with distributed.process_group():
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    distributed.gather(network(torch.ones(1, 2))).sum().backward()
    distributed.average_gradients(network)
    optimizer.step()
    distributed.wait()
    during = threads()
assert any("gloo" in name for name in during), during
assert not any("gloo" in name for name in threads()), threads()
print("ended")
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no list of threads")
def test_no_thread_of_the_group_is_left_at_the_end() -> None:
    done = run(2, THREADS_SCRIPT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ended") == 2, done.stdout


def test_batches_that_cannot_be_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(distributed.share(6)) == [0, 1, 2, 3, 4, 5]
    monkeypatch.setattr(distributed, "processes", lambda: 4)
    monkeypatch.setattr(distributed, "rank", lambda: 2)
    assert list(distributed.share(8)) == [4, 5]
    with pytest.raises(BadInput, match=r"got 6 pairs or clips per step, expected a multiple of 4 processes\)\. Change"):
        distributed.share(6)


def test_alone_nothing_changes() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    norm = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    assert distributed.gather(x) is x
    assert distributed.total(x) is x
    assert type(distributed.synchronise_norms(norm)[0]) is torch.nn.BatchNorm2d
    assert distributed.average([1.5, 2.0]) == [1.5, 2.0]
