"""Synthetic clips of held-out stills: what is measured and drawn on them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from shls_train.data.clips import Clip, ClipSize
from shls_train.data.image_stream import Still
from shls_train.models.edge import EdgeNet, Embedding
from shls_train.models.r18 import R18Net
from shls_train.validation import synthetic as validation
from shls_train.validation.plots import RIGHT, WRONG, draw_clusters, draw_matches, write_picture
from shls_train.validation.synthetic import NetworkSession, follow_clips, held_out_clips

SMALL = ClipSize(frames=4, height=64, width=96)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "SIZE", SMALL)
    monkeypatch.setattr("shls_train.validation.plots.SIZE", SMALL)


def still(seed: int) -> Still:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return Still(str(seed), cv2.resize(coarse, (120, 90), interpolation=cv2.INTER_CUBIC))


def clips() -> list[Clip]:
    return held_out_clips([still(seed) for seed in range(11)], None, 0)


class Colours(Embedding):
    """Not trained, yet it sees: a cell's colour is its feature."""

    stride, size_multiple = 4, 4

    def __init__(self) -> None:
        super().__init__()
        self.dim = 4
        self.one = torch.nn.Parameter(torch.ones(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        small = torch.nn.functional.avg_pool2d(image, 4)
        whole = torch.cat([small, self.one.expand(len(image), 1, *small.shape[2:])], dim=1)
        return torch.nn.functional.normalize(whole, dim=1)


def test_clips_are_always_the_same_and_have_objects() -> None:
    one, two = clips(), clips()
    assert len(one) == len(validation.OBJECTS)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.frames, b.frames)
        assert a.labels[0].any()


def test_colours_follow_better_than_nothing_does() -> None:
    seen = follow_clips(Colours(), clips())
    blind = Colours()
    blind.one.data.fill_(1e9)  # every feature the same
    assert set(seen) == {"J", "F", "J&F"}
    assert seen["J&F"] == pytest.approx((seen["J"] + seen["F"]) / 2)
    assert seen["J"] > 0.3
    assert seen["J"] > follow_clips(blind, clips())["J"] + 0.1


@pytest.mark.parametrize("kind", [EdgeNet, R18Net])
def test_measuring_leaves_the_network_as_it_is(kind: type[Embedding]) -> None:
    network = kind()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    NetworkSession(network, 64, 96).run(np.zeros((1, 3, 64, 96), np.float32))
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_matches_in_a_scene_that_stands_still() -> None:
    frames = np.repeat(clips()[0].frames[:1], 2, axis=0)

    class Standing(Clip):
        def correspondence(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
            assert (source, target) == (0, 1)
            y, x = np.mgrid[:64, :96]
            return np.stack([x, y], axis=2).astype(np.float32), np.ones((64, 96), bool)

    standing = Standing(frames, np.zeros((2, 64, 96), np.uint8), [])
    picture = draw_matches(Colours(), standing)
    assert picture.shape == (64, 192, 3)
    assert (picture == RIGHT).all(2).any()
    assert not (picture == WRONG).all(2).any(), "each finds itself"


def test_clusters_have_colours_and_are_written(tmp_path: Path) -> None:
    picture = draw_clusters(Colours(), clips()[0])
    assert picture.shape == (128, 192, 3)
    np.testing.assert_array_equal(picture[:64, :96], clips()[0].frames[0])
    assert len(np.unique(picture[:, 96:].reshape(-1, 3), axis=0)) > 12
    write_picture(tmp_path / "deep" / "picture.png", picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "deep" / "picture.png"))[..., ::-1], picture)
