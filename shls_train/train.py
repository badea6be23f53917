"""Stage 1: the embedding network learns dense correspondence from unlabelled stills."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shls.runtime.contract import PIXEL_MEAN, PIXEL_STD
from shls.runtime.errors import BadInput
from shls.runtime.stills import Stills
from shls_train.augment import make_pair
from shls_train.config import TrainConfig
from shls_train.loop import Losses, Progress, fit, training_device
from shls_train.losses import dense_correspondence
from shls_train.network import EdgeNet


class Batch(NamedTuple):
    """B pairs of views: images (2B, 3, S, S) float32 normalised, first views first; points (2B, P, 2) pixels."""

    images: Tensor
    points: Tensor


def train(data: Path, out: Path, config: TrainConfig, report: Callable[[Progress], None]) -> Path:
    """Train, or go on with, the embedding network whose run lives in `out`; returns its last checkpoint.

    Raises
    ------
    BadInput
        If the stills cannot be read or are too few, or if `out` holds a run with another recipe.
    TrainingFailed
        If the loss stops being finite; the last checkpoint stays.
    """
    return fit(EmbeddingTask(Stills(data), config), out, config, report)


class EmbeddingTask:
    """See `shls_train.loop.Task`; raises BadInput where the stills are too few for a batch."""

    def __init__(self, stills: Stills, config: TrainConfig) -> None:
        if len(stills) < 2 * config.batch:
            raise BadInput(
                f"{len(stills)} stills, at least {2 * config.batch} needed for a batch of {config.batch} pairs"
            )
        self._stills, self._config = stills, config
        self._device = training_device()
        torch.manual_seed(config.seed)
        self.network = EdgeNet().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.inputs = {"stills": len(stills)}

    def batch(self, step: int) -> Batch:
        """Draw the pairs of a step."""
        return make_batch(self._stills, self._config, step)

    def loss(self, batch: Batch) -> Losses:
        """Match points of the first views with those of the second."""
        images = batch.images.to(self._device, memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16):
            features = self.network(images)
        config, points = self._config, batch.points.to(self._device)
        first, second = sample_points(features.float(), points, config.crop).chunk(2)
        matching = dense_correspondence(first, second, points.chunk(2)[1], config.temperature, config.margin)
        return Losses(matching.loss, {"accuracy": matching.accuracy.item()})


def make_batch(stills: Stills, config: TrainConfig, step: int) -> Batch:
    """The batch of one step."""
    order = _epoch_order(len(stills), config, step)
    pairs = []
    for i, (still, other) in enumerate(order):
        rng = np.random.default_rng([config.seed, step, i])
        pairs.append(make_pair(stills[still], stills[other], rng, config.crop, config.points))
    images = np.stack([p.first for p in pairs] + [p.second for p in pairs])  # (2B, S, S, 3)
    points = np.stack([p.points_first for p in pairs] + [p.points_second for p in pairs])  # (2B, P, 2)
    return Batch(normalise(torch.from_numpy(images)), torch.from_numpy(points))


def normalise(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 RGB -> (B, 3, H, W) float32, as the runtime's preprocessing does it."""
    mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
    return images.float().sub_(mean).div_(std).permute(0, 3, 1, 2)


def sample_points(features: Tensor, points: Tensor, crop: int) -> Tensor:
    """Read a feature map at points of the view: (B, D, h, w), (B, P, 2) -> (B, P, D), unit length."""
    grid = (points + 0.5) / crop * 2 - 1
    sampled = F.grid_sample(features, grid[:, :, None], padding_mode="border", align_corners=False)  # (B, D, P, 1)
    return F.normalize(sampled[..., 0].transpose(1, 2), dim=2)


def _epoch_order(count: int, config: TrainConfig, step: int) -> list[tuple[int, int]]:
    """The stills of one step: each epoch visits every still once, as the subject, in its own order."""
    chosen = []
    for position in range(step * config.batch, (step + 1) * config.batch):
        epoch, index = divmod(position, count)
        order = np.random.default_rng([config.seed, epoch]).permutation(count)
        chosen.append((int(order[index]), int(order[index - 1])))
    return chosen
