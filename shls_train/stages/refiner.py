"""Stage 2: with the embedding frozen, the refiner learns to decide pixels on synthetic clips."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shls.runtime.errors import BadInput
from shls.runtime.evaluation.metrics import jaccard
from shls.runtime.models.contract import Contract
from shls.runtime.models.settings import Settings, SuperpixelSettings
from shls.runtime.refinement.crops import PRIOR, PRIOR_SCALE, put_back
from shls.runtime.types import Crops

from ..config import RefinerConfig
from ..data.clips import Clip, ClipSize
from ..data.scene_stream import SceneStream
from ..engine.checkpoint import REFINER_OF, REFINERS, network_name
from ..engine.distributed import gather, process_group, processes, rank, share, training_device
from ..engine.loop import Losses, fit, mixed_precision
from ..engine.run_log import Progress
from ..models.edge import Embedding
from ..models.edge_refiner import RefinerNetwork, contract_of
from ..models.folding import embedding_digest
from ..pseudo_labels.masks import PseudoMasks
from ..validation.rollout import Sample, TorchRefiner, follow, followed, mirrored, roll_out
from .embedding import normalise

ROUND = 200
"""Steps that learn on the frames of the same clips, rolled out with the network as it was before them. A checkpoint
falls on the end of a round. Tried and dropped: rounds of 40 steps and 12 clips (batches are alike: after 2,000 steps no
better than after 200 on many clips); to spoil what the memory says of some superpixels, as holes in things and leaks
beside them: real ones were mended no better."""

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
    """A step's number, and some of the next round's clips: each step draws its part of them."""

    step: int
    clips: list[FeaturedClip]


def train_refiner(
    data: Path,
    embedding: Embedding,
    out: Path,
    config: RefinerConfig,
    report: Callable[[Progress], None],
    masks: PseudoMasks | None,
) -> Path:
    """Train, or go on with, the refiner whose run lives in `out`; returns its last checkpoint.

    Parameters
    ----------
    data : stills
    embedding : what the first stage made, in evaluation mode; it stays as it is
    masks : of the things on the stills; without one, a blob is cut out. A still that cannot be read has none, and
        the next one takes its place

    Raises
    ------
    BadInput
        If stills cannot be read, if masks are of other stills, or if `out` holds a run with another recipe.
    TrainingFailed
        If the loss stops being finite; the last checkpoint stays.
    """
    with process_group():
        scenes = SceneStream(data, masks, ClipSize(config.frames, config.height, config.width))
        return fit(RefinerTask(scenes, embedding, config), out, config, report)


class RefinerTask:
    """See `shls_train.engine.loop.Task`; raises BadInput where recipe and embedding do not fit."""

    def __init__(self, scenes: SceneStream, embedding: Embedding, config: RefinerConfig) -> None:
        self._config, self._scenes = config, scenes
        self._device = training_device()
        self._embedding = copy.deepcopy(embedding).to(self._device)  # its head will be folded
        self.inputs = scenes.inputs | {"embedding": embedding_digest(self._embedding)}
        name = network_name(embedding)
        self._contract = Contract(
            name,
            config.height,
            config.width,
            self._embedding.dim,
            "",
            self._embedding.stride,
            settings=Settings(superpixels=SuperpixelSettings(config.superpixels), memory=self._embedding.memory),
            head=self._embedding.fold_head(),
        )
        # The other core draws the next clips; kernels that wait for each other's threads are slow beside that.
        numba.set_num_threads(1)
        torch.manual_seed(config.seed)
        network = REFINERS[REFINER_OF[name]](self._contract.channels)  # type: ignore[call-arg]  # of each kind
        _check_sizes(config, self._embedding, network)
        self.network = network.to(self._device)
        self._refiner_contract = contract_of(network, REFINER_OF[name], config.crop)
        self._clips = share(config.clips)
        self._coming: list[FeaturedClip] = []

    def batch(self, step: int) -> Batch:
        """Draw those of this process's clips of the next round, if there is one, whose turn it is."""
        round_, at = divmod(step, ROUND)
        due = [i for i in self._clips if i * ROUND // self._config.clips == at]
        return Batch(step, [self._clip(round_ + 1, i) for i in due if (round_ + 1) * ROUND < self._config.steps])

    def loss(self, batch: Batch) -> Losses:
        """Correct the network on some frames of its own roll-outs."""
        if batch.step % ROUND == 0:
            self._begin_round(batch.step // ROUND)
        self._coming += batch.clips
        samples = self._pick(batch.step)
        self.network.train()
        shapes = self._refiner_contract.inputs.values()
        images, features = (
            self._join([getattr(sample.crops, name) for sample in samples], shape)
            for name, shape in zip(("images", "features"), shapes, strict=True)
        )
        frames, crops = self._counts(len(samples), len(images))
        if not frames.sum():  # nothing was seen of anything: nothing is learned
            return Losses(sum(p.sum() for p in self.network.parameters()) * torch.zeros(()), {"unrefined": 0.0}, 0)
        images[:, LAST] *= self._remembered(batch.step, crops)
        with mixed_precision(self._device):
            logits = self.network(images, features).float()
        # Processes have more or fewer frames; each of those counts the same.
        weight = processes() / frames.sum()
        unrefined = _sum_of_losses(samples, images[:, PRIOR] * PRIOR_SCALE) * weight
        return Losses(_sum_of_losses(samples, logits) * weight, {"unrefined": unrefined.item()}, len(images))

    def validate(self) -> dict[str, float]:
        """Mean J over held-out clips: of the memory alone, and refined; and over frames, before and after the pixels.

        The first two are of whole roll-outs, in which most of what differs is what was lost or swapped. The others
        are of the same frames of the refined one, without what is lost: they tell what the pixels are worth.
        """
        refiner = TorchRefiner(self.network, self._refiner_contract)
        frames = [pixels_worth(sample, refiner) for sample in self._samples(self._held_out, refiner)]
        before, after = np.mean(frames or [(0.0, 0.0)], axis=0)
        refined = self._held_out_jaccard(refiner)
        return {"J memory": self._plain, "J refined": refined, "J before": float(before), "J after": float(after)}

    @cached_property
    def _held_out(self) -> list[FeaturedClip]:
        return [self._draw([self._config.seed, 2, i], held_out=True) for i in range(VALIDATION_CLIPS)]

    @cached_property
    def _plain(self) -> float:
        return self._held_out_jaccard(None)

    def _held_out_jaccard(self, refiner: TorchRefiner | None) -> float:
        scores = [
            _clip_jaccard(follow(clip.frames, clip.labels, features, self._contract, refiner), clip.labels)
            for clip, features in self._held_out
        ]
        return float(np.mean(scores))

    def _begin_round(self, number: int) -> None:
        """Roll out its clips: those that came with the last one, or, in a run that begins or is resumed, drawn now."""
        clips = self._coming or [self._clip(number, i) for i in self._clips]
        self._coming = []
        self._frame = self._samples(clips, TorchRefiner(self.network, self._refiner_contract))
        self._all_seen = self._counts(len(self._frame), 0)[0]

    def _clip(self, round_: int, i: int) -> FeaturedClip:
        return self._draw([self._config.seed, 1, round_, i], held_out=False)

    def _samples(self, clips: list[FeaturedClip], refiner: TorchRefiner) -> list[Sample]:
        """Frames of roll-outs with what is followed in them, where something is."""
        rolled = (roll_out(clip.frames, clip.labels, features, self._contract, refiner) for clip, features in clips)
        kept = (followed(sample) for samples in rolled for sample in samples)
        return [sample for sample in kept if len(sample.crops.objects)]

    def _pick(self, step: int) -> list[Sample]:
        """This process's part of some frames of the round, others at each step, half of them mirrored."""
        rng = np.random.default_rng([self._config.seed, 3, step])
        total, begin = int(self._all_seen.sum()), int(self._all_seen[: rank()].sum())
        chosen = np.sort(rng.choice(total, min(self._config.batch, total), replace=False)) - begin
        turned = rng.random(len(chosen)) < 0.5
        mine = [(self._frame[i], turn) for i, turn in zip(chosen, turned, strict=True) if 0 <= i < len(self._frame)]
        return [mirrored(sample) if turn else sample for sample, turn in mine]

    def _join(self, parts: list[np.ndarray], shape: tuple[int, ...]) -> Tensor:
        """What was cut out in each frame as one tensor on the device; there may be none."""
        return torch.from_numpy(np.concatenate([np.zeros((0, *shape), np.float32), *parts])).to(self._device)

    def _counts(self, frames: int, crops: int) -> Tensor:
        """(2, P): both numbers, of all processes."""
        return gather(torch.tensor([[frames, crops]], device=self._device)).T

    def _remembered(self, step: int, crops: Tensor) -> Tensor:
        """Which of this process's crops keep their last mask: (V, 1, 1) bool."""
        chance = torch.rand(int(crops.sum()), 1, 1, generator=torch.Generator().manual_seed(step))
        return (chance >= FORGOTTEN).split(crops.tolist())[rank()].to(self._device)

    def _draw(self, seed: list[int], held_out: bool) -> FeaturedClip:
        clip = self._scenes.draw(np.random.default_rng(seed), held_out)
        return FeaturedClip(clip, self._describe(clip.frames))

    def _describe(self, frames: np.ndarray) -> np.ndarray:
        """Feature maps of frames, (T, D, h, w) float32."""
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16):
            images = normalise(torch.from_numpy(frames)).to(self._device, memory_format=torch.channels_last)
            features: Tensor = self._embedding(images)
        return features.float().cpu().contiguous().numpy()


def _check_sizes(config: RefinerConfig, embedding: Embedding, network: RefinerNetwork) -> None:
    """Raise BadInput where a side is no multiple of what a network needs."""
    frame, crop = embedding.size_multiple, network.size_multiple
    for option, side, multiple in (
        ("--height", config.height, frame),
        ("--width", config.width, frame),
        ("--crop", config.crop, crop),
    ):
        if side % multiple:
            raise BadInput(f"{option} {side}: this network needs a multiple of {multiple}")


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


def _sum_of_losses(samples: list[Sample], logits: Tensor) -> Tensor:
    """Over frames; `logits` are all their objects', one after the other. There may be none."""
    parts = logits.split([len(sample.crops.objects) for sample in samples])
    return sum((frame_loss(s, part) for s, part in zip(samples, parts, strict=True)), logits.sum() * 0)


def aggregate(crops: Crops, logits: Tensor) -> Tensor:
    """The torch twin of `shls.runtime.refinement.crops.put_back`, (K + 1, h, w)."""
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


def pixels_worth(sample: Sample, refiner: TorchRefiner) -> tuple[float, float]:
    """Mean J of a frame's objects on the grid, as they came in, and as the refiner has them."""
    crops = sample.crops
    both = crops.planes.argmax(2), put_back(crops, refiner.run(crops)).argmax(2)
    before, after = (np.mean([jaccard(one == k, sample.truth == k) for k in crops.objects]) for one in both)
    return float(before), float(after)


def _clip_jaccard(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the marked objects and the frames after the first."""
    ids = np.unique(truth[0][truth[0] > 0])
    return float(np.mean([jaccard(f == k, t == k) for f, t in zip(found[1:], truth[1:], strict=True) for k in ids]))
