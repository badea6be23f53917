"""Self-training of the saliency network: no labels but fused cues, then its own smoothed predictions.

The idea is DeepUSPS's (Nguyen et al., 2019): a network of limited capacity cannot learn the noise of single masks, only
what they have in common; so its predictions, averaged over the epochs per still, are better targets than what it began
with. What differs: one network for the fused mask in place of one per cue and one for their sum, and no pretrained
weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shls.runtime.errors import BadInput
from shls.runtime.stills import Stills
from shls_train.checkpoint import load_checkpoint, load_weights
from shls_train.config import Schedule
from shls_train.distributed import training_device
from shls_train.loop import Losses, Progress, fit
from shls_train.pseudo_masks import PseudoMasks
from shls_train.saliency_network import MAP, SIDE, SaliencyNet, normalise, squash

MOST = 10_000  # stills that are held in memory and learned from; what was learned serves all others
INERTIA = 0.7  # share of the average that stays when a prediction is added
MARGIN = 0.15  # pixels whose target is nearer to a half are not learned from
CHANGES = 0.15  # spread of exposure and, a third of it, of colour in the views


@dataclass(frozen=True, kw_only=True)
class SaliencyConfig(Schedule):
    """The recipe of the self-training.

    Attributes
    ----------
    batch : stills per step
    """

    steps: int = 3000
    lr: float = 2e-3
    batch: int = 32


class Lessons(NamedTuple):
    """What is learned from, M stills.

    images : (M, SIDE, SIDE, 3) uint8 RGB
    fused : (M, MAP, MAP) uint8, fused masks
    worth : (M,) float32, their confidence, over its mean
    """

    images: Tensor
    fused: Tensor
    worth: Tensor


class Views(NamedTuple):
    """One step's stills.

    numbers : (B,) of the lessons
    images : (B, 3, SIDE, SIDE) float32 normalised
    mirrored : (B,) whether the view is the still's mirror image
    again : whether all of the stills were visited before
    """

    numbers: Tensor
    images: Tensor
    mirrored: Tensor
    again: bool


def self_train(
    stills: Stills, masks: PseudoMasks, out: Path, config: SaliencyConfig, report: Callable[[Progress], None]
) -> SaliencyNet:
    """Train, or go on with, the saliency network whose run lives in `out`, from stills and their fused masks.

    Raises
    ------
    BadInput
        If too few masks are confident, or `out` holds another run.
    TrainingFailed
        If the loss stops being finite.
    """
    fit(SaliencyTask(gather(stills, masks, config.seed), config), out, config, report)
    return load_network(out)


def load_network(run: Path) -> SaliencyNet:
    """The network of a run, in evaluation mode; raises BadInput if there is none."""
    checkpoint = load_checkpoint(run)
    average = checkpoint.tensors.get("model.average")
    network = SaliencyNet(0 if average is None else len(average))
    load_weights(network, checkpoint)
    return network.eval()


def gather(stills: Stills, masks: PseudoMasks, seed: int) -> Lessons:
    """Read what is learned from: all stills with a confident mask, or as many of them as fit."""
    chosen = np.array(masks.confident(0.0))
    if len(chosen) > MOST:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, MOST, replace=False))
    images = np.empty((len(chosen), SIDE, SIDE, 3), np.uint8)
    fused = np.empty((len(chosen), MAP, MAP), np.uint8)
    worth = np.empty(len(chosen), np.float32)
    for place, still in enumerate(chosen):
        images[place] = squash(stills[still])
        mask, worth[place] = masks[still]
        fused[place] = cv2.resize(mask, (MAP, MAP), interpolation=cv2.INTER_AREA)
    return Lessons(torch.from_numpy(images), torch.from_numpy(fused), torch.from_numpy(worth / worth.mean()))


class SaliencyTask:
    """See `shls_train.loop.Task`; raises BadInput where the stills are too few for a batch."""

    def __init__(self, lessons: Lessons, config: SaliencyConfig) -> None:
        if len(lessons.images) < config.batch:
            raise BadInput(
                f"{len(lessons.images)} stills have a confident mask, at least {config.batch} needed; give more stills"
            )
        self._lessons, self._config = lessons, config
        self._device = training_device()
        torch.manual_seed(config.seed)
        self.network = SaliencyNet(len(lessons.fused)).to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.average.copy_(lessons.fused)
        self.inputs: dict[str, Any] = {"lessons": len(lessons.images)}

    def batch(self, step: int) -> Views:
        """Draw a step's stills, with exposure and colour changed, half of them mirrored."""
        rng = np.random.default_rng([self._config.seed, step])
        epoch, first = divmod(step, len(self._lessons.images) // self._config.batch)
        order = np.random.default_rng([self._config.seed, epoch]).permutation(len(self._lessons.images))
        numbers = torch.from_numpy(order[first * self._config.batch :][: self._config.batch])
        images = normalise(self._lessons.images[numbers])
        gain = np.exp(rng.normal(0, CHANGES, (len(numbers), 1)) + rng.normal(0, CHANGES / 3, (len(numbers), 3)))
        shift = rng.normal(0, CHANGES, (len(numbers), 1))
        images = images * _per_colour(gain) + _per_colour(shift)
        mirrored = torch.from_numpy(rng.random(len(numbers)) < 0.5)
        return Views(numbers, torch.where(mirrored[:, None, None, None], images.flip(3), images), mirrored, epoch > 0)

    def loss(self, views: Views) -> Losses:
        """Learn from the confident pixels of the average, then, after the first epoch, add the prediction to it."""
        images = views.images.to(self._device, memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16):
            logits = self.network(images)
        logits = _mirror(logits.float(), views.mirrored.to(self._device))
        numbers = views.numbers.to(self._device)
        average = self.network.average[numbers].float() / 255
        losses = saliency_loss(logits, average, self._lessons.worth[views.numbers].to(self._device))
        found = torch.sigmoid(logits.detach())
        if views.again:
            kept = INERTIA * average + (1 - INERTIA) * found
            self.network.average[numbers] = (255 * kept).round().to(torch.uint8)
        return Losses(losses, {"change": (found - average).abs().mean().item()}, len(found))


def saliency_loss(logits: Tensor, average: Tensor, worth: Tensor) -> Tensor:
    """Cross-entropy plus one minus the soft intersection over union, on pixels that the average is sure of.

    Parameters
    ----------
    logits : (B, h, w)
    average : (B, h, w) in 0..1, what is true
    worth : (B,) weight of each still
    """
    target = (average > 0.5).float()
    sure = ((average - 0.5).abs() > MARGIN).float()
    entropy = (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * sure).mean((1, 2))
    found = torch.sigmoid(logits) * sure
    both = (found * target).sum((1, 2))
    either = (found + target * sure).sum((1, 2)) - both
    return ((entropy + 1 - (both + 1) / (either + 1)) * worth).mean()


def _mirror(maps: Tensor, mirrored: Tensor) -> Tensor:
    return torch.where(mirrored[:, None, None], maps.flip(2), maps)


def _per_colour(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))[:, :, None, None]
