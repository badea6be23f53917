"""Self-training of the saliency network: no labels but fused cues, then its own smoothed predictions.

The idea is DeepUSPS's (Nguyen et al., 2019): a network of limited capacity cannot learn the noise of single masks, only
what they have in common; so its predictions, averaged over the epochs per still, are better targets than what it began
with. What differs: one network for the fused mask in place of one per cue and one for their sum, and no pretrained
weights.

Tried in short runs and dropped, none was better: learning from all stills, weighted by confidence; fewer epochs on the
fused masks before the average takes over; pasting confident objects into other stills; a guided filter (He et al.,
2010) on the network's map in place of the superpixels; windows of the stills in place of whole ones (much worse: what
stands out is a matter of the whole picture).
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
from shls.runtime.io.image_collection import Stills

from ..config import Schedule
from ..engine.checkpoint import load_checkpoint, load_weights
from ..engine.distributed import training_device
from ..engine.loop import Losses, fit
from ..engine.run_log import Progress
from ..models.saliency_net import MAP, SIDE, SaliencyNet, normalise, squash
from .masks import PseudoMasks

MOST = 10_000  # stills that are held in memory and learned from; what was learned serves all others
LEAST = 0.5  # confidence of the fused masks that are learned from
TRUSTED = 8  # epochs that learn from the fused masks; later ones learn from the average
INERTIA = 0.7  # share of the average that stays when a prediction is added
MARGIN = 0.15  # pixels whose target is nearer to a half are not learned from
EXPOSURE = 0.15  # spread of the views' contrast and brightness


@dataclass(frozen=True, kw_only=True)
class SaliencyConfig(Schedule):
    """The recipe of the self-training.

    Attributes
    ----------
    batch : stills per step
    """

    steps: int = 1600
    lr: float = 2e-3
    batch: int = 32


class Lessons(NamedTuple):
    """What is learned from, M stills.

    images : (M, SIDE, SIDE, 3) uint8 RGB
    fused : (M, MAP, MAP) uint8, fused masks
    """

    images: Tensor
    fused: Tensor


class Views(NamedTuple):
    """One step's stills.

    numbers : (B,) of the lessons
    images : (B, 3, SIDE, SIDE) float32 normalised
    mirrored : (B,) whether the view is the still's mirror image
    epoch : how often all of the stills were visited before
    """

    numbers: Tensor
    images: Tensor
    mirrored: Tensor
    epoch: int


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
    """Read what is learned from: the stills with a confident mask, or as many of them as fit."""
    chosen = np.array(masks.confident(LEAST), int)
    if len(chosen) > MOST:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, MOST, replace=False))
    images = np.empty((len(chosen), SIDE, SIDE, 3), np.uint8)
    fused = np.empty((len(chosen), MAP, MAP), np.uint8)
    for place, still in enumerate(chosen):
        images[place] = squash(stills[still])
        fused[place] = cv2.resize(masks[still][0], (MAP, MAP), interpolation=cv2.INTER_AREA)
    return Lessons(torch.from_numpy(images), torch.from_numpy(fused))


class SaliencyTask:
    """See `shls_train.engine.loop.Task`; raises BadInput where the stills are too few for a batch."""

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
        images = torch.einsum("bij,bjyx->biyx", torch.from_numpy(colour_changes(rng, len(numbers))), images)
        images = images + torch.from_numpy(rng.normal(0, EXPOSURE, (len(numbers), 1, 1, 1)).astype(np.float32))
        mirrored = torch.from_numpy(rng.random(len(numbers)) < 0.5)
        return Views(numbers, torch.where(mirrored[:, None, None, None], images.flip(3), images), mirrored, epoch)

    def loss(self, views: Views) -> Losses:
        """Learn from the fused masks, later from the average; after the first epoch, add what is found to it."""
        images = views.images.to(self._device, memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16):
            logits = self.network(images)
        logits = _mirror(logits.float(), views.mirrored.to(self._device))
        numbers = views.numbers.to(self._device)
        average = self.network.average[numbers].float() / 255
        fused = self._lessons.fused[views.numbers].to(self._device).float() / 255
        target = fused if views.epoch < TRUSTED else average
        loss = saliency_loss(logits, target)
        found = torch.sigmoid(logits.detach())
        if views.epoch > 0:
            kept = INERTIA * average + (1 - INERTIA) * found
            self.network.average[numbers] = (255 * kept).round().to(torch.uint8)
        return Losses(loss, {"change": (found - target).abs().mean().item()}, len(found))


def saliency_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy plus one minus the soft intersection over union, on pixels whose target is sure.

    Parameters
    ----------
    logits : (B, h, w)
    truth : (B, h, w) in 0..1, sure where it is not near a half
    """
    target = (truth > 0.5).float()
    sure = ((truth - 0.5).abs() > MARGIN).float()
    entropy = (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * sure).mean((1, 2))
    found = torch.sigmoid(logits) * sure
    both = (found * target).sum((1, 2))
    either = (found + target * sure).sum((1, 2)) - both
    return (entropy + 1 - (both + 1) / (either + 1)).mean()


def _mirror(maps: Tensor, mirrored: Tensor) -> Tensor:
    return torch.where(mirrored[:, None, None], maps.flip(2), maps)


def colour_changes(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3, 3) float32 matrices that turn the hue by any angle, take 0 to all of the saturation, change contrast.

    An object is not what has the strongest colour: without colour to rely on, shape and texture must be learned.
    """
    angles = rng.uniform(0, 2 * np.pi, count)
    cosine, sine = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None] / np.sqrt(3)
    grey = np.full((3, 3), 1 / 3)
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    turned = (np.eye(3) - grey) * cosine + across * sine  # rotation about the grey axis, without its grey part
    changed = grey + rng.uniform(0, 1, (count, 1, 1)) * turned
    return (changed * np.exp(rng.normal(0, EXPOSURE, (count, 1, 1)))).astype(np.float32)
