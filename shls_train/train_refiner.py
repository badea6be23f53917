"""Stage 2: with the embedding frozen, the refiner learns to decide pixels on synthetic clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shls.runtime.contract import Contract, SuperpixelSettings
from shls.runtime.crops import PRIOR, Crops
from shls.runtime.errors import BadInput
from shls.runtime.metrics import jaccard
from shls.runtime.stills import Stills
from shls_train.checkpoint import load_checkpoint, restore_network
from shls_train.clips import Clip, ClipSize
from shls_train.config import RefinerConfig
from shls_train.distributed import training_device
from shls_train.folding import fold_batch_norm, weights_digest
from shls_train.loop import Losses, Progress, fit
from shls_train.network import EdgeNet
from shls_train.pseudo_masks import PseudoMasks
from shls_train.refiner import EdgeRefiner
from shls_train.rollout import Sample, TorchRefiner, follow, refiner_contract, roll_out
from shls_train.scenes import HELD_OUT, Scenes
from shls_train.train import normalise

VALIDATION_CLIPS = 16

LAST = PRIOR + 3
"""The channel of the last mask."""

FORGOTTEN = 0.15
"""How often the last mask is withheld: what it says must not be believed blindly. Tried and dropped: to withhold the
memory's attention, too; masks got no better."""


class FeaturedClip(NamedTuple):
    """A clip and its feature maps, (T, D, h, w) float32."""

    clip: Clip
    features: np.ndarray


class Batch(NamedTuple):
    """The clips of a step, and its number."""

    clips: list[FeaturedClip]
    step: int


def train_refiner(
    data: Path,
    embedding: Path,
    out: Path,
    config: RefinerConfig,
    report: Callable[[Progress], None],
    masks: PseudoMasks | None,
) -> Path:
    """Train, or go on with, the refiner whose run lives in `out`; returns its last checkpoint.

    Parameters
    ----------
    data : stills
    embedding : checkpoint or training folder of the first stage
    masks : of the things on the stills; without one, a blob is cut out

    Raises
    ------
    BadInput
        If stills or embedding cannot be read, or if `out` holds a run with another recipe.
    TrainingFailed
        If the loss stops being finite; the last checkpoint stays.
    """
    return fit(RefinerTask(Stills(data), embedding, config, masks), out, config, report)


class RefinerTask:
    """See `shls_train.loop.Task`."""

    def __init__(self, stills: Stills, embedding: Path, config: RefinerConfig, masks: PseudoMasks | None) -> None:
        if len(stills) < HELD_OUT:
            raise BadInput(f"{len(stills)} stills, at least {HELD_OUT} needed: some are kept for validation")
        self._config = config
        self._scenes = Scenes(stills, masks, ClipSize(config.frames, config.height, config.width))
        self._device = training_device()
        loaded = load_checkpoint(embedding)
        self._embedding = restore_network(loaded, EdgeNet).to(self._device)
        dim = self._embedding.head.out_channels
        # The other core draws the next clips; kernels that wait for each other's threads are slow beside that.
        numba.set_num_threads(1)
        torch.manual_seed(config.seed)
        self.network = EdgeRefiner(dim).to(self._device)
        self.inputs = {"stills": len(stills), "embedding": weights_digest(fold_batch_norm(self._embedding))}
        self._contract = Contract(
            "shls-edge", config.height, config.width, dim, "", superpixels=SuperpixelSettings(config.superpixels)
        )
        self._refiner_contract = refiner_contract(config.crop, dim)

    def batch(self, step: int) -> Batch:
        """Draw the clips of a step."""
        seeds = [[self._config.seed, 1, step, i] for i in range(self._config.batch)]
        return Batch([self._draw(seed, held_out=False) for seed in seeds], step)

    def loss(self, batch: Batch) -> Losses:
        """Roll the clips out with the network as it is, then correct it on all crops together."""
        refiner = TorchRefiner(self.network, self._refiner_contract)
        samples = [
            sample
            for clip, features in batch.clips
            for sample in roll_out(clip.frames, clip.labels, features, self._contract, refiner)
        ]
        self.network.train()
        images = torch.from_numpy(np.concatenate([sample.crops.images for sample in samples])).to(self._device)
        features = torch.from_numpy(np.concatenate([sample.crops.features for sample in samples])).to(self._device)
        chance = torch.rand(len(images), 1, 1, generator=torch.Generator().manual_seed(batch.step))
        images[:, LAST] *= (chance >= FORGOTTEN).to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16):
            logits = self.network(images, features).float()
        parts = logits.split([len(sample.crops.objects) for sample in samples])
        losses = [frame_loss(sample, part) for sample, part in zip(samples, parts, strict=True)]
        return Losses(torch.stack(losses).mean(), {"crops": float(len(images))}, len(images))

    def validate(self) -> dict[str, float]:
        """Mean J over held-out clips: of the memory alone, and refined."""
        refiner = TorchRefiner(self.network, self._refiner_contract)
        plain: list[float] = []
        refined: list[float] = []
        for i in range(VALIDATION_CLIPS):
            clip, features = self._draw([self._config.seed, 2, i], held_out=True)
            for used, scores in ((None, plain), (refiner, refined)):
                found = follow(clip.frames, clip.labels, features, self._contract, used)
                scores.append(_clip_jaccard(found, clip.labels))
        return {"J memory": float(np.mean(plain)), "J refined": float(np.mean(refined))}

    def _draw(self, seed: list[int], held_out: bool) -> FeaturedClip:
        clip = self._scenes.draw(np.random.default_rng(seed), held_out)
        return FeaturedClip(clip, self._describe(clip.frames))

    def _describe(self, frames: np.ndarray) -> np.ndarray:
        """Feature maps of frames, (T, D, h, w) float32."""
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16):
            images = normalise(torch.from_numpy(frames)).to(self._device, memory_format=torch.channels_last)
            features: Tensor = self._embedding(images)
        return features.float().cpu().contiguous().numpy()


def frame_loss(sample: Sample, logits: Tensor) -> Tensor:
    """Cross-entropy of a frame's objects inside their boxes, plus what each lacks of a soft IoU of 1.

    Parameters
    ----------
    sample : V objects
    logits : (V, S, S)
    """
    probabilities = aggregate(sample.crops, logits)  # (K + 1, h, w)
    truth = torch.from_numpy(sample.truth).to(logits.device)
    inside = torch.zeros(truth.shape, dtype=torch.bool)
    for left, top, right, bottom in sample.crops.boxes:
        inside[top:bottom, left:right] = True
    inside = inside.to(logits.device)
    entropy = F.nll_loss(probabilities.log()[None], truth[None], reduction="none")[0][inside].mean()
    right_ones = F.one_hot(truth, len(probabilities)).permute(2, 0, 1)[1:]
    both = (probabilities[1:] * right_ones).sum((1, 2))
    either = (probabilities[1:] + right_ones).sum((1, 2)) - both
    return entropy + 0.5 * (1 - (both + 1) / (either + 1)).mean()


def aggregate(crops: Crops, logits: Tensor) -> Tensor:
    """The torch twin of `shls.runtime.crops.put_back`, (K + 1, h, w)."""
    planes = list(torch.from_numpy(crops.planes).to(logits.device).permute(2, 0, 1))
    inside = torch.zeros(planes[0].shape, dtype=torch.bool)
    for k, (left, top, right, bottom), logit in zip(crops.objects, crops.boxes, logits, strict=True):
        grown = F.interpolate(logit[None, None], size=(bottom - top, right - left), mode="bilinear")[0, 0]
        plane = planes[k].clone()
        plane[top:bottom, left:right] = grown.sigmoid()
        planes[k] = plane
        inside[top:bottom, left:right] = True
    objects = torch.stack(planes[1:])
    together = torch.cat([(1 - objects).prod(0, keepdim=True), objects]).clamp(1e-3, 1 - 1e-3)
    odds = together / (1 - together)
    before = torch.stack([torch.from_numpy(crops.planes[..., 0]).to(logits.device), *planes[1:]])
    return torch.where(inside.to(logits.device), odds / odds.sum(0), before).clamp_min(1e-6)


def _clip_jaccard(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the marked objects and the frames after the first."""
    ids = np.unique(truth[0][truth[0] > 0])
    return float(np.mean([jaccard(f == k, t == k) for f, t in zip(found[1:], truth[1:], strict=True) for k in ids]))
