"""Self-training of the saliency network on fused cues, then on its own averaged predictions.

Source: DeepUSPS (Nguyen et al., 2019). A small network cannot fit the noise of single masks. Its predictions, averaged
over epochs for each still, are therefore better targets than the fused masks. DeepUSPS trains one network per cue
with pretrained weights; here one network without pretrained weights learns from the fused masks.
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

MOST = 10_000  # largest number of training stills, which are held in memory
LEAST = 0.5  # least confidence of a fused mask that is a training target
TRUSTED = 8  # epochs with the fused masks as targets; later epochs use the running average
INERTIA = 0.7  # weight of the old value when a prediction is added to the running average
MARGIN = 0.15  # pixels with a target within this distance of 0.5 are ignored
EXPOSURE = 0.15  # standard deviation of the random contrast and brightness


@dataclass(frozen=True, kw_only=True)
class SaliencyConfig(Schedule):
    """Recipe of the self-training.

    Attributes
    ----------
    batch : int
        Stills per step.

    Examples
    --------
    >>> SaliencyConfig(steps=100).batch
    32
    """

    steps: int = 1600
    lr: float = 2e-3
    batch: int = 32


class Lessons(NamedTuple):
    """Training set of M stills.

    Attributes
    ----------
    images : (M, SIDE, SIDE, 3) uint8 Tensor
        RGB images.
    fused : (M, MAP, MAP) uint8 Tensor
        Fused masks.

    Examples
    --------
    >>> Lessons(torch.zeros(0, SIDE, SIDE, 3), torch.zeros(0, MAP, MAP)).fused.shape
    torch.Size([0, 64, 64])
    """

    images: Tensor
    fused: Tensor


class Views(NamedTuple):
    """Augmented stills of one step.

    Attributes
    ----------
    numbers : (B,) int64 Tensor
        Indices of the stills in the training set.
    images : (B, 3, SIDE, SIDE) float32 Tensor
        Normalised images.
    mirrored : (B,) bool Tensor
        True for mirrored images.
    epoch : int
        Number of completed passes over the training set.

    Examples
    --------
    >>> Views(torch.arange(2), torch.zeros(2, 3, SIDE, SIDE), torch.zeros(2, dtype=torch.bool), 0).epoch
    0
    """

    numbers: Tensor
    images: Tensor
    mirrored: Tensor
    epoch: int


def self_train(
    stills: Stills, masks: PseudoMasks, out: Path, config: SaliencyConfig, report: Callable[[Progress], None]
) -> SaliencyNet:
    """Train the saliency network from stills and fused masks, or resume its run.

    Parameters
    ----------
    stills : Stills
        Collection of images.
    masks : PseudoMasks
        Fused masks of the stills.
    out : Path
        Training folder. A run in it is resumed.
    config : SaliencyConfig
        Recipe.
    report : callable
        Function that receives a `Progress` after each step.

    Returns
    -------
    SaliencyNet
        Trained network in evaluation mode.

    Raises
    ------
    BadInput
        If too few masks are confident, or `out` contains a run with other settings.
    TrainingFailed
        If the loss is not finite. The last good checkpoint remains.

    Examples
    --------
    >>> network = self_train(stills, masks, Path("runs/saliency"), SaliencyConfig(), print)  # doctest: +SKIP
    """
    fit(SaliencyTask(gather(stills, masks, config.seed), config), out, config, report)
    return load_network(out)


def load_network(run: Path) -> SaliencyNet:
    """Load the saliency network of a training folder, in evaluation mode.

    Parameters
    ----------
    run : Path
        Training folder of `self_train`.

    Returns
    -------
    SaliencyNet
        Network with its running averages.

    Raises
    ------
    BadInput
        If the folder has no checkpoint of a saliency network.

    Examples
    --------
    >>> network = load_network(Path("runs/saliency"))  # doctest: +SKIP
    """
    checkpoint = load_checkpoint(run)
    average = checkpoint.tensors.get("model.average")
    network = SaliencyNet(0 if average is None else len(average))
    load_weights(network, checkpoint)
    return network.eval()


def gather(stills: Stills, masks: PseudoMasks, seed: int) -> Lessons:
    """Read the training set: the stills with a confident mask, at most `MOST` of them.

    Parameters
    ----------
    stills : Stills
        Collection of images.
    masks : PseudoMasks
        Fused masks of the stills.
    seed : int
        Random seed of the selection.

    Returns
    -------
    Lessons
        Resized images and masks.

    Examples
    --------
    >>> lessons = gather(stills, masks, seed=0)  # doctest: +SKIP
    """
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
    """Task of the self-training; see `shls_train.engine.loop.Task`.

    Parameters
    ----------
    lessons : Lessons
        Training set.
    config : SaliencyConfig
        Recipe.

    Raises
    ------
    BadInput
        If the training set is smaller than a batch.

    Examples
    --------
    >>> images, masks = torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8), torch.zeros(2, MAP, MAP, dtype=torch.uint8)
    >>> task = SaliencyTask(Lessons(images, masks), SaliencyConfig(batch=2))
    >>> task.batch(0).images.shape
    torch.Size([2, 3, 128, 128])
    """

    def __init__(self, lessons: Lessons, config: SaliencyConfig) -> None:
        if len(lessons.images) < config.batch:
            raise BadInput(
                f"stills: too few with a confident mask (got {len(lessons.images)}, expected at least {config.batch}). "
                "Add stills or reduce --batch."
            )
        self._lessons, self._config = lessons, config
        self._device = training_device()
        torch.manual_seed(config.seed)
        self.network = SaliencyNet(len(lessons.fused)).to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.average.copy_(lessons.fused)
        self.inputs: dict[str, Any] = {"lessons": len(lessons.images)}

    def batch(self, step: int) -> Views:
        """Draw the stills of a step, with random exposure and colours; half of the stills are mirrored."""
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
        """Compute the loss to the fused masks or, in later epochs, to the running average; update the average."""
        images = views.images.to(self._device, memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16):
            logits = self.network(images)
        logits = _mirror(logits.float(), views.mirrored.to(self._device))
        numbers = views.numbers.to(self._device)
        average = self.network.average[numbers].float() / 255
        fused = self._lessons.fused[views.numbers].to(self._device).float() / 255
        target = fused if views.epoch < TRUSTED else average
        loss = saliency_loss(logits, target)
        predicted = torch.sigmoid(logits.detach())
        if views.epoch > 0:
            updated = INERTIA * average + (1 - INERTIA) * predicted
            self.network.average[numbers] = (255 * updated).round().to(torch.uint8)
        return Losses(loss, {"change": (predicted - target).abs().mean().item()}, len(predicted))


def saliency_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy plus soft IoU loss on pixels with a decided target.

    Parameters
    ----------
    logits : (B, h, w) float32
        Output of the network.
    truth : (B, h, w) float32
        Target, 0 to 1. Pixels within `MARGIN` of 0.5 are ignored.

    Returns
    -------
    Tensor
        Scalar: mean cross-entropy plus ``1 - IoU``.

    Examples
    --------
    >>> truth = torch.tensor([[[0.0, 1.0]]])
    >>> round(float(saliency_loss(100 * (truth - 0.5), truth)), 3)
    0.0
    """
    target = (truth > 0.5).float()
    decided = ((truth - 0.5).abs() > MARGIN).float()
    entropy = (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * decided).mean((1, 2))
    predicted = torch.sigmoid(logits) * decided
    intersection = (predicted * target).sum((1, 2))
    union = (predicted + target * decided).sum((1, 2)) - intersection
    return (entropy + 1 - (intersection + 1) / (union + 1)).mean()


def _mirror(maps: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror the selected maps of a batch, (B, h, w)."""
    return torch.where(mirrored[:, None, None], maps.flip(2), maps)


def colour_changes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw colour matrices with a random hue rotation, saturation (0 to 1) and contrast.

    Random colours keep the network from relying on colour, so that it learns shape and texture.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of random numbers.
    count : int
        Number of matrices.

    Returns
    -------
    (count, 3, 3) float32 array
        Matrices for RGB columns. Grey remains grey.

    Examples
    --------
    >>> red, green, blue = colour_changes(np.random.default_rng(0), 1)[0] @ np.ones(3)
    >>> bool(np.allclose(red, green) and np.allclose(red, blue))
    True
    """
    angles = rng.uniform(0, 2 * np.pi, count)
    cosine, sine = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None] / np.sqrt(3)
    grey = np.full((3, 3), 1 / 3)
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    turned = (np.eye(3) - grey) * cosine + across * sine  # rotation about the grey axis, without the grey component
    changed = grey + rng.uniform(0, 1, (count, 1, 1)) * turned
    return (changed * np.exp(rng.normal(0, EXPOSURE, (count, 1, 1)))).astype(np.float32)
