"""The published segmenter, row by row of what is known of it, and through the same commands as ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from shls.calib.crops import CropSamples
from shls.calib.placement import tensorrt_faults
from shls.calib.quantize import quantize
from shls.calib.ranges import collect_ranges
from shls.export.refiner_to_onnx import export_refiner, is_refiner
from shls.export.to_onnx import export_onnx
from shls.export.torch_session import TorchRefiner
from shls.runtime.backends.base import open_session
from shls.runtime.backends.ort import OrtRefiner
from shls.runtime.errors import BadInput, ContractMismatch
from shls.runtime.segmenter import VideoSegmenter, open_segmenter
from shls.runtime.types import Crops
from shls_train.config import RefinerConfig
from shls_train.engine.checkpoint import load_network, save_checkpoint
from shls_train.models.r18 import R18Net
from shls_train.models.r18_segmenter import ATTENTION, LAST, R18Segmenter, mix
from shls_train.stages.refiner import train_refiner

WIDTH, HEIGHT, SIZE = 96, 64, 32
CONFIG = RefinerConfig(steps=2, batch=2, frames=3, height=HEIGHT, width=WIDTH, crop=SIZE, superpixels=60)


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder with random weights, and statistics that are not the initial ones."""
    torch.manual_seed(0)
    network, folder = R18Net(), tmp_path_factory.mktemp("r18")
    with torch.no_grad():
        maps = network(torch.randn(2, 3, HEIGHT, WIDTH))
        network.superfeatures(maps, torch.randint(0, 9, (2, HEIGHT, WIDTH)), 9)
    save_checkpoint(folder, network, torch.optim.AdamW(network.parameters()), {"step": 1})
    return folder


@pytest.fixture(scope="module")
def run(stills: Path, embedding: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder after two steps."""
    out = tmp_path_factory.mktemp("segmenter")
    train_refiner(stills, load_network(embedding, R18Net), out, CONFIG, lambda _: None, None)
    return out


@pytest.fixture(scope="module")
def network() -> R18Segmenter:
    torch.manual_seed(1)
    return R18Segmenter().eval()


def inputs(seed: int, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 12, SIZE, SIZE, generator=generator), torch.randn(count, 192, 16, 16, generator=generator)


def test_one_logit_map_per_object_from_skips_at_three_scales(network: R18Segmenter) -> None:
    seen: dict[str, tuple[int, ...]] = {}
    for name in ("merge4", "merge2", "merge1"):
        getattr(network, name).register_forward_hook(
            lambda _, given, __, name=name: seen.__setitem__(name, tuple(given[0].shape[1:]))
        )
    with torch.inference_mode():
        assert network(*inputs(0)).shape == (2, SIZE, SIZE)
    masks_and_attention = 1 + 1 + 4
    assert seen == {
        "merge4": (32 + 32 + masks_and_attention, SIZE // 4, SIZE // 4),
        "merge2": (64 + 32 + 32 + masks_and_attention, SIZE // 2, SIZE // 2),
        "merge1": (32 + masks_and_attention, SIZE, SIZE),
    }


def test_it_reads_what_the_published_one_reads(network: R18Segmenter) -> None:
    """First mask, last mask, attention and three frames' features; neither colours nor what colours decided."""
    crops, features = inputs(1)
    with torch.inference_mode():
        before = network(crops, features)
        for channel in range(12):
            changed = crops.clone()
            changed[:, channel] = 1 - changed[:, channel]
            same = torch.equal(network(changed, features), before)
            assert same == (channel not in (LAST, *range(ATTENTION.start, ATTENTION.stop), 11)), channel
        for frame in range(3):
            for half in (0, 32):
                changed = features.clone()
                changed[:, 64 * frame + half : 64 * frame + half + 32] += 1
                assert not torch.equal(network(crops, changed), before)


def test_the_gate_by_hand() -> None:
    now, last = torch.tensor([4.0, 4.0, 4.0]), torch.tensor([8.0, 8.0, 8.0])
    assert mix(torch.tensor([1.0, 0.0, 0.25]), now, last).tolist() == [4.0, 8.0, 7.0]


@pytest.mark.parametrize(("bias", "closed"), [(-1e4, 0), (1e4, 1)])
def test_attention_decides_which_frame_is_read(bias: float, closed: int) -> None:
    """A gate that is shut reads the last frame alone, one that is open this frame alone."""
    torch.manual_seed(2)
    network = R18Segmenter().eval()
    for gate in (network.gate2, network.gate4):
        convolution = gate[1]
        assert isinstance(convolution, nn.Conv2d)
        nn.init.zeros_(convolution.weight)
        nn.init.constant_(convolution.bias, bias)  # type: ignore[arg-type]
    crops, features = inputs(3)
    with torch.inference_mode():
        before = network(crops, features)
        for frame in (0, 1):
            changed = features.clone()
            changed[:, 64 * frame : 64 * (frame + 1)] += 1
            assert torch.equal(network(crops, changed), before) == (frame == closed)


def test_objects_do_not_look_at_each_other(network: R18Segmenter) -> None:
    crops, features = inputs(4)
    with torch.inference_mode():
        together = network(crops, features)
        alone = torch.cat([network(crops[v : v + 1], features[v : v + 1]) for v in range(2)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_it_learns_on_what_the_runtime_gives(stills: Path, embedding: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    config = RefinerConfig(
        steps=12, batch=2, clips=12, frames=3, height=HEIGHT, width=WIDTH, crop=SIZE, superpixels=60, lr=1e-3
    )
    train_refiner(stills, load_network(embedding, R18Net), tmp_path, config, lambda at: losses.append(at.loss), None)
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


def test_exported_it_computes_the_same_and_says_what_it_reads(run: Path, tmp_path: Path) -> None:
    report = export_refiner(run, tmp_path / "refiner.onnx", dynamic_batch=True)
    contract = report.contract
    assert report.near.difference <= 1e-4
    assert is_refiner(run)
    assert (contract.network, contract.past, contract.stride) == ("shls-r18-refiner", True, 2)
    assert contract == OrtRefiner(tmp_path / "refiner.onnx", 1, "cpu").contract
    assert contract.inputs == TorchRefiner(run).contract.inputs
    assert contract.inputs == {"crops": (12, SIZE, SIZE), "features": (192, SIZE // 2, SIZE // 2)}


@pytest.mark.parametrize("target", ["cpu", "tensorrt"])
def test_it_is_quantised_like_any_other(run: Path, tmp_path: Path, target: str) -> None:
    model, quantized = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    export_refiner(run, model, dynamic_batch=True)
    crops, features = (part.numpy() for part in inputs(5, count=4))
    samples = CropSamples(crops, features, len(crops), "of these")
    quantize(model, collect_ranges(model, samples, "minmax"), target, quantized)
    assert tensorrt_faults(onnx.load(quantized)) == [] or target == "cpu"
    nothing = np.zeros(0, np.float32)
    objects = Crops(nothing, np.arange(4), np.zeros((4, 4), np.int64), crops, features)
    exact, rounded = (OrtRefiner(path, 1, "cpu").run(objects).ravel() for path in (model, quantized))
    assert exact @ rounded / (np.linalg.norm(exact) * np.linalg.norm(rounded)) > 0.98


def test_it_follows_with_its_embedding_only(
    run: Path, embedding: Path, small_model: Path, small_refiner: Path, tmp_path: Path
) -> None:
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    image[20:44, 30:66] = (200, 60, 60)
    mask = (image[..., 0] > 100).astype(np.uint8)
    model, refiner = tmp_path / "r18.onnx", tmp_path / "refiner.onnx"
    export_onnx(embedding, model, HEIGHT, WIDTH, [image])
    export_refiner(run, refiner, dynamic_batch=True)
    segmenter = open_segmenter(model, threads=1, refiner=refiner)
    segmenter.start(image, mask)
    assert segmenter.step(image).labels.shape == mask.shape
    assert segmenter.refiner is not None
    assert "refine" in segmenter.stopwatch.medians()
    for other_model, other_refiner in ((small_model, refiner), (model, small_refiner)):
        with pytest.raises(ContractMismatch, match="belong together"):
            VideoSegmenter(open_session(other_model), OrtRefiner(other_refiner, 1, "cpu"))


@pytest.mark.parametrize(("name", "side"), [("crop", 30), ("height", 66), ("width", 98)])
def test_sides_that_do_not_fit(stills: Path, embedding: Path, tmp_path: Path, name: str, side: int) -> None:
    config = RefinerConfig(**{"steps": 1, "height": HEIGHT, "width": WIDTH, name: side})
    with pytest.raises(BadInput, match=rf"--{name}: invalid size \(got {side}, expected a multiple of 4\)"):
        train_refiner(stills, load_network(embedding, R18Net), tmp_path / "run", config, lambda _: None, None)
