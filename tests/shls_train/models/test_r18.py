"""The published network, row by row of what is known of it, and through the same commands as ours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F

from shls.export.comparison import count_macs
from shls.export.to_onnx import export_onnx
from shls.export.torch_session import TorchSession
from shls.runtime.backends.base import open_session
from shls.runtime.errors import ContractMismatch
from shls.runtime.features.preprocess import to_input
from shls.runtime.features.superfeatures import superfeatures
from shls.runtime.models.contract import Contract
from shls.runtime.segmenter import VideoSegmenter
from shls.runtime.superpixels.slic import slic
from shls_train.engine.checkpoint import load_network, save_checkpoint
from shls_train.models.pooling import describe
from shls_train.models.r18 import R18Net

WIDTH, HEIGHT = 96, 64


def picture(seed: int) -> np.ndarray:
    """Smooth random colours, (H, W, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, with statistics that are not the initial ones."""
    torch.manual_seed(0)
    network = R18Net()
    with torch.no_grad():
        for norm in (network.norm2, network.norm4):
            norm.weight.fill_(1.3)
            norm.bias.fill_(0.2)
        maps = network(torch.randn(2, 3, 64, 96))
        network.superfeatures(maps, torch.randint(0, 9, (2, 64, 96)), 9)
    folder = tmp_path_factory.mktemp("r18")
    save_checkpoint(folder, network, torch.optim.AdamW(network.parameters()), {"step": 1})
    return folder


@pytest.fixture(scope="module")
def model(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(checkpoint, tmp_path_factory.mktemp("onnx") / "r18.onnx", HEIGHT, WIDTH, [picture(0)]).path


def test_backbone_has_the_published_size_and_shapes(model: Path) -> None:
    network = R18Net().eval()
    backbone = [network.stem, network.stage64, network.stage128, network.stage256, network.last]
    assert sum(p.numel() for part in backbone for p in part.parameters()) == pytest.approx(5.1e6, rel=0.02)
    published = 145e9 * (WIDTH * HEIGHT) / (854 * 480)  # the cost goes with the area
    assert count_macs(onnx.load(model)) == pytest.approx(published, rel=0.03)
    at2 = network.stage64(network.stem(torch.zeros(1, 3, 64, 96)))
    assert at2.shape == (1, 64, 32, 48), "L2: 64 channels at 1/2"
    at4 = network.last(network.stage256(network.stage128(at2)))
    assert at4.shape == (1, 256, 16, 24), "L4: 256 channels at 1/4"
    assert not any(isinstance(module, torch.nn.MaxPool2d) for module in network.modules())


def test_superfeatures_are_the_published_arithmetic(checkpoint: Path) -> None:
    """Means of features with area, row and column appended, Linear, scalar normalisation, ReLU, fusion."""
    network = load_network(checkpoint, R18Net)
    image = torch.randn(1, 3, 64, 96)
    labels = torch.from_numpy(slic(picture(1), Contract("", 1, 1, 1, "").settings.superpixels).labels.astype(np.int64))
    number = int(labels.max()) + 1
    members = F.one_hot(labels.flatten(), number).float()  # (HW, N)
    areas = members.sum(0)
    y, x = np.mgrid[:64, :96]
    place = torch.tensor(np.stack([y / 64, x / 96]), dtype=torch.float32).flatten(1)  # (2, HW)
    info = torch.cat([(areas / (64 * 96))[:, None], (place @ members / areas).T], dim=1)  # (N, 3)
    with torch.inference_mode():
        at2 = network.stage64(network.stem(image))
        at4 = network.last(network.stage256(network.stage128(at2)))
        halves = []
        for at, head, linear, norm in (
            (at2, network.head2, network.info2, network.norm2),
            (at4, network.head4, network.info4, network.norm4),
        ):
            painted = F.interpolate(at, (64, 96), mode="nearest")[0].flatten(1)  # (C, HW)
            mean = (painted @ members / areas).T  # (N, C)
            weight = torch.cat([head.weight[:, :, 0, 0], linear.weight], dim=1)  # Linear(C + 3 -> 32)
            z = torch.cat([mean, info], dim=1) @ weight.T + linear.bias
            z = (z - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
            assert z.shape == (number, 32)
            halves.append(F.relu(z))
        expected = F.normalize(network.fusion(torch.cat(halves, dim=1)), dim=1)  # (N, 32)
        actual = network.superfeatures(network(image), labels[None], number)[0]
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_normalisation_is_scalar_and_leaves_absent_superpixels_out() -> None:
    network = R18Net()
    assert network.norm2.num_features == network.norm4.num_features == 1
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    labels[:, 4:] = 3
    maps = torch.randn(1, 64, 4, 4)
    described = network.superfeatures(maps, labels, 5)
    assert described[0, [1, 2, 4]].abs().max() == 0
    torch.testing.assert_close(described[0, [0, 3]].norm(dim=1), torch.ones(2))
    torch.testing.assert_close(described[0, [0, 3]], network.superfeatures(maps, labels.clamp(max=1), 2)[0])


def test_area_row_and_column() -> None:
    labels = torch.tensor([[[0, 0, 1, 1], [0, 0, 2, 1]]])
    expected = [[4 / 8, 0.25, 0.125], [3 / 8, 1 / 6, (2 + 3 + 3) / 12], [1 / 8, 0.5, 0.5], [0, 0, 0]]
    torch.testing.assert_close(describe(labels, 4)[0], torch.tensor(expected))


def test_the_runtime_computes_what_training_does(checkpoint: Path, model: Path) -> None:
    session, image = open_session(model, threads=1), picture(2)
    superpixels = slic(image, session.contract.settings.superpixels)
    tensor = to_input(image, session.contract)
    features = session.run(tensor)
    assert features.shape == (64, 32, 48)
    actual = superfeatures(features, superpixels, session.contract.head)
    network = load_network(checkpoint, R18Net)
    labels = torch.from_numpy(superpixels.labels.astype(np.int64))[None]
    with torch.inference_mode():
        expected = network.superfeatures(network(torch.from_numpy(tensor)), labels, len(superpixels.areas))[0]
    assert actual.shape == (len(superpixels.areas), 32)
    np.testing.assert_allclose(actual, expected.numpy(), atol=1e-4)


def test_folding_the_head_changes_nothing(checkpoint: Path) -> None:
    network = load_network(checkpoint, R18Net)
    labels = torch.randint(0, 9, (1, 64, 96))
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        before = network.superfeatures(network(image), labels, 9)
        network.fold_head()
        torch.testing.assert_close(network.superfeatures(network(image), labels, 9), before, atol=1e-5, rtol=1e-4)


def test_the_contract_carries_head_and_memory(model: Path) -> None:
    contract = open_session(model, threads=1).contract
    assert (contract.network, contract.dim, contract.channels, contract.stride) == ("shls-r18", 32, 64, 2)
    assert Contract.from_json(contract.to_json()) == contract
    assert contract.settings.memory == R18Net.memory
    assert (contract.settings.memory.neighbours, contract.settings.memory.clusters) == (2, 2)
    assert contract.settings.memory.recent + 1 == 10, "the bank holds ten frames, the first among them"
    with pytest.raises(ContractMismatch, match="incomplete"):
        Contract.from_json(contract.to_json().replace('"fusion"', '"fission"'))


def test_it_follows_an_object(model: Path, checkpoint: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:44, 30:66] = 1
    image = picture(3)
    masks = []
    for session in (open_session(model, threads=1), TorchSession(checkpoint, HEIGHT, WIDTH)):
        segmenter = VideoSegmenter(session)
        segmenter.start(image, mask)
        masks.append(segmenter.step(image).labels)
    assert ((masks[0] > 0) & (mask > 0)).sum() / ((masks[0] > 0) | (mask > 0)).sum() > 0.8
    assert (masks[0] != masks[1]).mean() < 0.01
