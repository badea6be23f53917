"""Fixtures that several test files share: the network with random weights, exported once."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
for name in ("runtime", "export", "calib") if (ROOT / "PKG-INFO").exists() else ():
    # A source distribution has these packages below shls/; tests also read them by the names of their folders.
    if not (ROOT / name / "__init__.py").exists():
        shutil.rmtree(ROOT / name, ignore_errors=True)  # a second copy of the licence notice
        (ROOT / name).symlink_to(Path("shls", name))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts background jobs so; tests of Ctrl-C need it
    signal.signal(signal.SIGINT, signal.default_int_handler)

collect_ignore = ["rtsp_server.py"]  # a program for the system's Python, which has GStreamer's bindings

SIZE = (96, 64)  # width, height of the small model's input


def scene(seed: int, width: int = 120, height: int = 80) -> np.ndarray:
    """Draw a frame: smooth colour and some boxes."""
    rng = np.random.default_rng(seed)
    image = np.linspace(30, 180, width)[None, :, None] * np.ones((height, 1, 3)) * rng.uniform(0.5, 1.2, 3)
    for _ in range(6):
        x, y = int(rng.integers(width - 20)), int(rng.integers(height - 20))
        image[y : y + 20, x : x + 20] = rng.integers(0, 256, 3)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As few as a refiner is trained on."""
    folder = tmp_path_factory.mktemp("stills")
    rng = np.random.default_rng(0)
    for index in range(50):
        coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"{index:03d}.png"), cv2.resize(coarse, (120, 90), interpolation=cv2.INTER_CUBIC))
    return folder


@pytest.fixture(scope="session")
def frames_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of eight small PNGs."""
    import cv2

    folder = tmp_path_factory.mktemp("frames")
    for index in range(8):
        cv2.imwrite(str(folder / f"{index:05d}.png"), scene(index))
    return folder


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder with one checkpoint of random weights."""
    import torch

    from shls_train.engine.checkpoint import save_checkpoint
    from shls_train.models.edge import EdgeNet

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoint")
    network = EdgeNet()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):  # they start as zeros, which an export drops
                parameter.normal_(0, 0.1)
        network(torch.randn(2, 3, 64, 96))  # statistics for the batch normalisation
    save_checkpoint(folder, network, torch.optim.AdamW(network.parameters()), {"step": 1})
    return folder


@pytest.fixture(scope="session")
def small_model(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That checkpoint as ONNX, 96x64."""
    from shls.export.to_onnx import export_onnx

    path = tmp_path_factory.mktemp("model") / "small.onnx"
    export_onnx(small_checkpoint, path, SIZE[1], SIZE[0], [scene(0)])
    return path


@pytest.fixture(scope="session")
def small_refiner_checkpoint(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder with one checkpoint of a refiner of random weights, for crops of 32 pixels."""
    import torch

    from shls.runtime.models.onnx_reader import read_contract
    from shls_train.engine.checkpoint import save_checkpoint
    from shls_train.models.edge_refiner import EdgeRefiner

    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("refiner")
    network = EdgeRefiner()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias") or name.startswith("head"):  # they start as zeros
                parameter.normal_(0, 0.1)
        network(torch.randn(2, 11, 32, 32), torch.randn(2, 64, 8, 8))
    inputs = {"embedding": read_contract(small_model).checkpoint_sha256}
    meta = {"step": 1, "config": {"crop": 32}, "inputs": inputs}
    save_checkpoint(folder, network, torch.optim.AdamW(network.parameters()), meta)
    return folder


@pytest.fixture(scope="session")
def small_refiner(small_refiner_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That checkpoint as ONNX, for any number of objects."""
    from shls.export.refiner_to_onnx import export_refiner

    path = tmp_path_factory.mktemp("refiner_model") / "refiner.onnx"
    export_refiner(small_refiner_checkpoint, path, dynamic_batch=True)
    return path


@pytest.fixture(scope="session")
def small_prompter_checkpoint(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder with one checkpoint of a prompter of random weights, for crops of 64 pixels."""
    import torch

    from shls.runtime.models.onnx_reader import read_contract
    from shls_train.engine.checkpoint import save_checkpoint
    from shls_train.models.prompter import PrompterNetwork

    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("prompter")
    network = PrompterNetwork()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias") or name.startswith("head"):  # they start small
                parameter.normal_(0, 0.1)
    inputs = {"embedding": read_contract(small_model).checkpoint_sha256}
    meta = {"step": 1, "config": {"crop": 64}, "inputs": inputs}
    save_checkpoint(folder, network, torch.optim.AdamW(network.parameters()), meta)
    return folder


@pytest.fixture(scope="session")
def small_prompter(small_prompter_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That checkpoint as ONNX."""
    from shls.export.refiner_to_onnx import export_refiner

    path = tmp_path_factory.mktemp("prompter_model") / "prompter.onnx"
    export_refiner(small_prompter_checkpoint, path, dynamic_batch=False)
    return path
