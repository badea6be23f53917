"""Stage 1: the embedding network learns from unlabelled stills what belongs together."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shls.runtime.contract import PIXEL_MEAN, PIXEL_STD
from shls.runtime.errors import BadInput
from shls.runtime.stills import Stills
from shls_train.augment import Pair, blob, make_pair
from shls_train.checkpoint import EMBEDDINGS
from shls_train.clips import MOST_OBJECTS, Clip, ClipSize, Piece, make_clip
from shls_train.config import TrainConfig
from shls_train.loop import Losses, Progress, fit, training_device
from shls_train.losses import Matching, dense_correspondence
from shls_train.losses_nt_xent import nt_xent
from shls_train.network import Embedding
from shls_train.objects import Objects, find_objects

CLIPS = 1
"""Tells the random numbers of clips from those of pairs."""


class Batch(NamedTuple):
    """What the losses of a step see; what a loss that is off would see is None.

    images : (2B + F, 3, S, S) float32 normalised: the first views of B pairs, their second ones, the clips' frames
    points : (2B, P, 2) pixels
    objects : in the F frames
    """

    images: Tensor
    points: Tensor | None
    objects: Objects | None


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
    """See `shls_train.loop.Task`; raises BadInput where recipe or stills do not fit."""

    def __init__(self, stills: Stills, config: TrainConfig) -> None:
        if config.network == "shls-r18" and config.loss != "nt-xent":
            raise BadInput("shls-r18 describes superpixels, not points; train it with --loss nt-xent")
        needed = stills_per_step(config)
        if len(stills) < needed:
            raise BadInput(f"{len(stills)} stills, at least {needed} needed for a step of this recipe")
        self._stills, self._config = stills, config
        self._device = training_device()
        torch.manual_seed(config.seed)
        network = EMBEDDINGS[config.network]().to(self._device)
        self.network: Embedding = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.inputs = {"stills": len(stills)}

    def batch(self, step: int) -> Batch:
        """Draw the views and clips of a step."""
        return make_batch(self._stills, self._config, step)

    def loss(self, batch: Batch) -> Losses:
        """One pass over all images, then the losses that are on."""
        images = batch.images.to(self._device, memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16):
            features = self.network(images)
        features = features.float()  # (2B + F, D, h, w)
        views = 0 if batch.points is None else len(batch.points)
        losses, scalars = [], {}
        if batch.points is not None:
            dense = self._match_points(features[:views], batch.points.to(self._device))
            losses.append(dense.loss)
            scalars["accuracy"] = dense.accuracy.item()
        if batch.objects is not None:
            objects = self._match_objects(features[views:], batch.objects)
            losses.append(objects.loss)
            scalars["objects"] = objects.accuracy.item()
        return Losses(sum(losses[1:], losses[0]), scalars)

    def _match_points(self, features: Tensor, points: Tensor) -> Matching:
        config = self._config
        first, second = sample_points(features, points, config.crop).chunk(2)
        return dense_correspondence(first, second, points.chunk(2)[1], config.temperature, config.margin)

    def _match_objects(self, features: Tensor, objects: Objects) -> Matching:
        superfeatures = self.network.superfeatures(features, objects.labels.to(self._device), objects.number)
        return nt_xent(superfeatures.flatten(0, 1), objects.triplets.to(self._device), self._config.temperature)


def stills_per_step(config: TrainConfig) -> int:
    """Different stills that the views and clips of one step may show."""
    pairs = 0 if config.loss == "nt-xent" else config.batch
    clips = 0 if config.loss == "dense" else config.clips
    return max(2 * pairs, (1 + MOST_OBJECTS) * clips)


def make_batch(stills: Stills, config: TrainConfig, step: int) -> Batch:
    """The batch of one step."""
    images, points, objects = [], None, None
    if config.loss != "nt-xent":
        pairs = [_pair(stills, config, step, i) for i in range(config.batch)]
        images += [p.first for p in pairs] + [p.second for p in pairs]
        points = torch.from_numpy(np.stack([p.points_first for p in pairs] + [p.points_second for p in pairs]))
    if config.loss != "dense":
        clips = [_clip(stills, config, step, i) for i in range(config.clips)]
        images += [frame for clip in clips for frame in clip.frames]
        rng = np.random.default_rng([config.seed, step, config.clips, CLIPS])
        objects = find_objects(clips, config.superpixels, config.triplets, rng)
    return Batch(normalise(torch.from_numpy(np.stack(images))), points, objects)


def normalise(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 RGB -> (B, 3, H, W) float32, as the runtime's preprocessing does it."""
    mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
    return images.float().sub_(mean).div_(std).permute(0, 3, 1, 2)


def sample_points(features: Tensor, points: Tensor, crop: int) -> Tensor:
    """Read a feature map at points of the view: (B, D, h, w), (B, P, 2) -> (B, P, D), unit length."""
    grid = (points + 0.5) / crop * 2 - 1
    sampled = F.grid_sample(features, grid[:, :, None], padding_mode="border", align_corners=False)  # (B, D, P, 1)
    return F.normalize(sampled[..., 0].transpose(1, 2), dim=2)


def _pair(stills: Stills, config: TrainConfig, step: int, i: int) -> Pair:
    still, other = _draw(len(stills), config.seed, step * config.batch + i, 2)
    rng = np.random.default_rng([config.seed, step, i])
    return make_pair(stills[still], stills[other], rng, config.crop, config.points)


def _clip(stills: Stills, config: TrainConfig, step: int, i: int) -> Clip:
    rng = np.random.default_rng([config.seed, step, i, CLIPS])
    chosen = _draw(len(stills), config.seed, step * config.clips + i, 2 + int(rng.integers(MOST_OBJECTS)))
    background, *others = (stills[still] for still in chosen)
    pieces = [Piece(other, blob(other.shape[:2], rng)) for other in others]
    return make_clip(background, pieces, rng, ClipSize(config.frames, config.crop, config.crop))


def _draw(count: int, seed: int, position: int, many: int) -> list[int]:
    """The still at a position and those before it: each epoch comes to every still once, in its own order."""
    epoch, index = divmod(position, count)
    order = _order(count, seed, epoch)
    return [int(order[index - back]) for back in range(many)]


@lru_cache(2)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)
