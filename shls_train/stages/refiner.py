"""Stage 2: train the refiner on roll-outs of synthetic clips, with the embedding frozen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from shls.runtime.errors import BadInput
from shls.runtime.evaluation.metrics import jaccard
from shls.runtime.models.contract import Contract
from shls.runtime.models.settings import Settings, SuperpixelSettings
from shls.runtime.refinement.crops import PRIOR_SCALE, CropChannel, put_back

from ..config import RefinerConfig
from ..data.clips import Clip, ClipSize
from ..data.scene_stream import SceneStream
from ..engine.checkpoint import REFINER_OF, REFINERS, network_name
from ..engine.distributed import gather, process_group, processes, rank, share, training_device
from ..engine.loop import Losses, fit, mixed_precision
from ..engine.run_log import Progress
from ..losses.refinement import total_loss
from ..models.edge import Embedding
from ..models.edge_refiner import RefinerNetwork, contract_of
from ..models.folding import embedding_digest
from ..pseudo_labels.masks import PseudoMasks
from ..validation.rollout import Sample, TorchRefiner, follow, followed, mirrored, roll_out
from .embedding import normalise

ROUND = 200
"""Steps per round. Before each round, new clips are rolled out with the current refiner. The steps of the round train
on the frames of these clips. Each checkpoint is at the end of a round."""

VALIDATION_CLIPS = 16
"""Number of held-out clips."""

FORGOTTEN = 0.15
"""Probability that the previous mask is dropped, so that the refiner does not rely on it alone."""


class FeaturedClip(NamedTuple):
    """Clip and its feature maps.

    Attributes
    ----------
    clip : Clip
        Frames and labels.
    features : (T, D, h, w) float32 array
        Output of the embedding network for each frame.

    Examples
    --------
    >>> FeaturedClip(clip, features).clip.frames.shape  # doctest: +SKIP
    (8, 384, 688, 3)
    """

    clip: Clip
    features: np.ndarray


class Batch(NamedTuple):
    """Data of one step.

    Attributes
    ----------
    step : int
        Number of the step.
    clips : list of FeaturedClip
        Clips for the next round. Each step prepares a part of them.

    Examples
    --------
    >>> Batch(0, []).clips
    []
    """

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
    """Train a refiner or resume its run.

    Parameters
    ----------
    data : Path
        Folder of stills or shards. Unreadable stills and shards are left out, with a message in the log.
    embedding : Embedding
        Embedding network of stage 1, in evaluation mode. It remains unchanged.
    out : Path
        Training folder. A run in it is resumed.
    config : RefinerConfig
        Recipe.
    report : callable
        Function that receives a `Progress` after each step.
    masks : PseudoMasks or None
        Pseudo-masks of the stills. Without a mask, a random blob is cut out.

    Returns
    -------
    Path
        The last checkpoint.

    Raises
    ------
    BadInput
        If no still can be read, `masks` belongs to another collection, or `out` contains a run with other settings.
    TrainingFailed
        If the loss is not finite. The last good checkpoint remains.

    Examples
    --------
    >>> embedding = load_network(Path("runs/edge"), Embedding)  # doctest: +SKIP
    >>> train_refiner(Path("stills"), embedding, Path("runs/refiner"), RefinerConfig(), print, None)  # doctest: +SKIP
    PosixPath('runs/refiner/step-003000.safetensors')
    """
    with process_group():
        scenes = SceneStream(data, masks, ClipSize(config.frames, config.height, config.width))
        last = fit(RefinerTask(scenes, embedding, config), out, config, report)
        scenes.left_out.log_total()
        return last


class RefinerTask:
    """Task of the refiner stage; see `shls_train.engine.loop.Task`.

    Parameters
    ----------
    scenes : SceneStream
        Source of clips.
    embedding : Embedding
        Embedding network; a copy is used.
    config : RefinerConfig
        Recipe.

    Raises
    ------
    BadInput
        If a size of the recipe is not a multiple that the networks need.

    Examples
    --------
    >>> task = RefinerTask(SceneStream(Path("stills"), None, ClipSize()), EdgeNet(), RefinerConfig())  # doctest: +SKIP
    """

    def __init__(self, scenes: SceneStream, embedding: Embedding, config: RefinerConfig) -> None:
        self._config, self._scenes = config, scenes
        self._device = training_device()
        self._embedding = copy.deepcopy(embedding).to(self._device)  # a copy, because fold_head changes the network
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
        # One thread per kernel, because a background thread draws the next clips on another core.
        numba.set_num_threads(1)
        torch.manual_seed(config.seed)
        network = REFINERS[REFINER_OF[name]](self._contract.channels)  # type: ignore[call-arg]  # of each kind
        _check_sizes(config, self._embedding, network)
        self.network = network.to(self._device)
        self._refiner_contract = contract_of(network, REFINER_OF[name], config.crop)
        self._clips = share(config.clips)
        self._next_clips: list[FeaturedClip] = []

    def batch(self, step: int) -> Batch:
        """Draw this step's part of the clips that this process needs for the next round."""
        round_, at = divmod(step, ROUND)
        due = [i for i in self._clips if i * ROUND // self._config.clips == at]
        return Batch(step, [self._clip(round_ + 1, i) for i in due if (round_ + 1) * ROUND < self._config.steps])

    def loss(self, batch: Batch) -> Losses:
        """Compute the loss on frames of the round's roll-outs."""
        if batch.step % ROUND == 0:
            self._begin_round(batch.step // ROUND)
        self._next_clips += batch.clips
        samples = self._pick(batch.step)
        self.network.train()
        shapes = self._refiner_contract.inputs.values()
        images, features = (
            self._join([getattr(sample.crops, name) for sample in samples], shape)
            for name, shape in zip(("images", "features"), shapes, strict=True)
        )
        frames, crops = self._counts(len(samples), len(images))
        if not frames.sum():  # no process has a visible object: zero gradients
            return Losses(sum(p.sum() for p in self.network.parameters()) * torch.zeros(()), {"unrefined": 0.0}, 0)
        images[:, CropChannel.LAST] *= self._keep_last_mask(batch.step, crops)
        with mixed_precision(self._device):
            logits = self.network(images, features).float()
        # Processes have different numbers of frames; the weight gives each frame the same influence.
        weight = processes() / frames.sum()
        unrefined = total_loss(samples, images[:, CropChannel.PRIOR] * PRIOR_SCALE) * weight
        return Losses(total_loss(samples, logits) * weight, {"unrefined": unrefined.item()}, len(images))

    def validate(self) -> dict[str, float]:
        """Measure the mean J on held-out clips.

        Returns
        -------
        dict of str to float
            "J memory" and "J refined": whole roll-outs without and with the refiner. Lost or swapped objects
            dominate these scores. "J before" and "J after": masks before and after refinement in the same frames,
            without lost objects. These scores measure the refiner alone.
        """
        refiner = TorchRefiner(self.network, self._refiner_contract)
        frames = [score_refinement(sample, refiner) for sample in self._samples(self._held_out, refiner)]
        before, after = np.mean(frames or [(0.0, 0.0)], axis=0)
        refined = self._held_out_jaccard(refiner)
        return {
            "J memory": self._memory_score,
            "J refined": refined,
            "J before": float(before),
            "J after": float(after),
        }

    @cached_property
    def _held_out(self) -> list[FeaturedClip]:
        return [self._draw([self._config.seed, 2, i], held_out=True) for i in range(VALIDATION_CLIPS)]

    @cached_property
    def _memory_score(self) -> float:
        return self._held_out_jaccard(None)

    def _held_out_jaccard(self, refiner: TorchRefiner | None) -> float:
        scores = [
            _clip_jaccard(follow(clip.frames, clip.labels, features, self._contract, refiner), clip.labels)
            for clip, features in self._held_out
        ]
        return float(np.mean(scores))

    def _begin_round(self, number: int) -> None:
        """Roll out the clips of a round. At the start or resumption of a run, the clips are drawn first."""
        clips = self._next_clips or [self._clip(number, i) for i in self._clips]
        self._next_clips = []
        self._frames = self._samples(clips, TorchRefiner(self.network, self._refiner_contract))
        self._frame_counts = self._counts(len(self._frames), 0)[0]

    def _clip(self, round_: int, i: int) -> FeaturedClip:
        return self._draw([self._config.seed, 1, round_, i], held_out=False)

    def _samples(self, clips: list[FeaturedClip], refiner: TorchRefiner) -> list[Sample]:
        """Roll out clips and keep the frames that contain a followed object."""
        rolled = (roll_out(clip.frames, clip.labels, features, self._contract, refiner) for clip, features in clips)
        kept = (followed(sample) for samples in rolled for sample in samples)
        return [sample for sample in kept if len(sample.crops.objects)]

    def _pick(self, step: int) -> list[Sample]:
        """Pick random frames of the round and return this process's part; half of the frames are mirrored."""
        rng = np.random.default_rng([self._config.seed, 3, step])
        total, begin = int(self._frame_counts.sum()), int(self._frame_counts[: rank()].sum())
        chosen = np.sort(rng.choice(total, min(self._config.batch, total), replace=False)) - begin
        flips = rng.random(len(chosen)) < 0.5
        own = [(self._frames[i], flip) for i, flip in zip(chosen, flips, strict=True) if 0 <= i < len(self._frames)]
        return [mirrored(sample) if flip else sample for sample, flip in own]

    def _join(self, parts: list[np.ndarray], shape: tuple[int, ...]) -> Tensor:
        """Concatenate arrays of each frame to one tensor on the device; an empty tensor without frames."""
        return torch.from_numpy(np.concatenate([np.zeros((0, *shape), np.float32), *parts])).to(self._device)

    def _counts(self, frames: int, crops: int) -> Tensor:
        """Gather the numbers of frames and crops of all P processes, (2, P)."""
        return gather(torch.tensor([[frames, crops]], device=self._device)).T

    def _keep_last_mask(self, step: int, crops: Tensor) -> Tensor:
        """Draw which of this process's crops keep their previous mask, (V, 1, 1) bool."""
        chance = torch.rand(int(crops.sum()), 1, 1, generator=torch.Generator().manual_seed(step))
        return (chance >= FORGOTTEN).split(crops.tolist())[rank()].to(self._device)

    def _draw(self, seed: list[int], held_out: bool) -> FeaturedClip:
        clip = self._scenes.draw(np.random.default_rng(seed), held_out)
        return FeaturedClip(clip, self._describe(clip.frames))

    def _describe(self, frames: np.ndarray) -> np.ndarray:
        """Compute the feature maps of frames, (T, D, h, w) float32."""
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16):
            images = normalise(torch.from_numpy(frames)).to(self._device, memory_format=torch.channels_last)
            features: Tensor = self._embedding(images)
        return features.float().cpu().contiguous().numpy()


def _check_sizes(config: RefinerConfig, embedding: Embedding, network: RefinerNetwork) -> None:
    """Raise BadInput if a size is not a multiple that the networks need."""
    frame, crop = embedding.size_multiple, network.size_multiple
    for option, side, multiple in (
        ("--height", config.height, frame),
        ("--width", config.width, frame),
        ("--crop", config.crop, crop),
    ):
        if side % multiple:
            raise BadInput(f"{option}: invalid size (got {side}, expected a multiple of {multiple}). Change {option}.")


def score_refinement(sample: Sample, refiner: TorchRefiner) -> tuple[float, float]:
    """Measure the mean J of a frame's objects before and after refinement, on the grid.

    Parameters
    ----------
    sample : Sample
        Frame with its ground truth.
    refiner : TorchRefiner
        Refiner to measure.

    Returns
    -------
    before, after : float
        Mean J over the objects, 0 to 1.

    Examples
    --------
    >>> before, after = score_refinement(sample, refiner)  # doctest: +SKIP
    """
    crops = sample.crops
    masks = crops.planes.argmax(2), put_back(crops, refiner.run(crops)).argmax(2)
    before, after = (np.mean([jaccard(mask == k, sample.truth == k) for k in crops.objects]) for mask in masks)
    return float(before), float(after)


def _clip_jaccard(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean J over the first frame's objects and all frames after the first."""
    ids = np.unique(truth[0][truth[0] > 0])
    return float(np.mean([jaccard(f == k, t == k) for f, t in zip(found[1:], truth[1:], strict=True) for k in ids]))
