"""Stage 1: the embedding network learns from unlabelled stills what belongs together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shls.runtime.errors import BadInput
from shls.runtime.models.contract import PIXEL_MEAN, PIXEL_STD

from ..config import TrainConfig
from ..data.clips import MOST_OBJECTS, Clip, ClipSize, make_clip
from ..data.cutouts import cut_out
from ..data.image_stream import StillStream
from ..data.objects import Cut, Objects, cut_frames, join
from ..data.views import Pair, make_pair
from ..engine.checkpoint import EMBEDDINGS
from ..engine.distributed import gather, process_group, processes, share, total, training_device
from ..engine.loop import Losses, TrainingFailed, fit, mixed_precision
from ..engine.run_log import Progress
from ..losses.dense import Matching, dense_correspondence
from ..losses.nt_xent import nt_xent
from ..models.edge import Embedding
from ..pseudo_labels.masks import PseudoMasks
from ..validation.plots import draw_clusters, draw_matches, write_picture
from ..validation.synthetic import follow_clips, held_out_clips

DEAD = 1e-5
"""Least spread of features, 1 minus the squared length of their mean; fresh weights give more than 1e-2."""

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


def train(
    data: Path, out: Path, config: TrainConfig, report: Callable[[Progress], None], masks: Path | None = None
) -> Path:
    """Train, or go on with, the embedding network whose run lives in `out`; returns its last checkpoint.

    Parameters
    ----------
    data : stills
    masks : folder that `shls pseudo` wrote of them; without, blobs are cut out of stills

    Raises
    ------
    BadInput
        If stills or masks cannot be read or are too few, or if `out` holds a run with another recipe.
    TrainingFailed
        If the loss stops being finite; the last checkpoint stays.
    """
    with process_group():
        task = EmbeddingTask(StillStream(data, config.seed), config, PseudoMasks(masks) if masks else None)
        return fit(task, out, config, report)


class EmbeddingTask:
    """See `shls_train.engine.loop.Task`; raises BadInput where recipe or stills do not fit."""

    def __init__(self, stills: StillStream, config: TrainConfig, masks: PseudoMasks | None = None) -> None:
        if config.network == "shls-r18" and config.loss != "nt-xent":
            raise BadInput("shls-r18 describes superpixels, not points; train it with --loss nt-xent")
        multiple = EMBEDDINGS[config.network].size_multiple
        if config.crop % multiple:
            raise BadInput(f"--crop {config.crop}: {config.network} needs a multiple of {multiple}")
        stills.require(stills_per_step(config))
        self._views = Views(stills, masks, config)
        self._held_out = held_out_clips(kept, masks, config.seed) if (kept := stills.held_out()) else []
        self._config, self._device = config, training_device()
        torch.manual_seed(config.seed)
        network = EMBEDDINGS[config.network]().to(self._device)
        self.network: Embedding = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.inputs = stills.inputs | {"masks": 0 if masks is None else len(masks)}

    def batch(self, step: int) -> Batch:
        """Draw the views and clips of a step."""
        return self._views.batch(step)

    def loss(self, batch: Batch) -> Losses:
        """One pass over all images, then the losses that are on."""
        images = batch.images.to(self._device, memory_format=torch.channels_last)
        with mixed_precision(self._device):
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
        return Losses(sum(losses[1:], losses[0]), scalars, len(images))

    def validate(self) -> dict[str, float]:
        """J&F on synthetic clips of stills that are not trained on."""
        return follow_clips(self.network, self._held_out) if self._held_out else {}

    def pictures(self, folder: Path, step: int) -> None:
        """Draw matches and clusters in the first of these clips."""
        for name, draw in (("matches", draw_matches), ("clusters", draw_clusters)):
            for clip in self._held_out[:1]:
                write_picture(folder / f"step-{step:06d}-{name}.png", draw(self.network, clip))

    def _match_points(self, features: Tensor, points: Tensor) -> Matching:
        config = self._config
        sampled = sample_points(features, points, config.crop)
        check_alive(sampled.flatten(0, 1))
        first, second = (gather(part) for part in sampled.chunk(2))
        places = gather(points.chunk(2)[1])
        return dense_correspondence(first, second, places, config.temperature, config.margin)

    def _match_objects(self, features: Tensor, objects: Objects) -> Matching:
        superfeatures = self.network.superfeatures(features, objects.labels.to(self._device), objects.number)
        check_alive(superfeatures.flatten(0, 1))
        triplets = objects.triplets.to(self._device)
        matching = nt_xent(superfeatures.flatten(0, 1), triplets, self._config.temperature)
        # Processes have more or fewer triplets; each of those counts the same.
        weight = len(triplets) * processes() / total(torch.tensor(float(len(triplets)), device=self._device)).clamp(1)
        return Matching(matching.loss * weight, matching.accuracy * weight)


class Views:
    """Makes batches, of which each process has its share; a step's depend on seed and step alone.

    Parameters
    ----------
    stills : shown, each as often as the others
    masks : of the things on them, where there are any
    """

    def __init__(self, stills: StillStream, masks: PseudoMasks | None, config: TrainConfig) -> None:
        self._stills, self._masks, self._config = stills, masks, config
        self._pairs = share(0 if config.loss == "nt-xent" else config.batch)
        self._clips = share(0 if config.loss == "dense" else config.clips)

    def batch(self, step: int) -> Batch:
        """This process's part of a step."""
        images, points, objects = [], None, None
        if self._pairs:
            pairs = [self._pair(step, i) for i in self._pairs]
            images += [p.first for p in pairs] + [p.second for p in pairs]
            points = torch.from_numpy(np.stack([p.points_first for p in pairs] + [p.points_second for p in pairs]))
        if self._clips:
            cuts = []
            for i in self._clips:
                clip, cut = self._clip(step, i)
                images += list(clip.frames)
                cuts += cut
            objects = join(cuts)
        return Batch(normalise(torch.from_numpy(np.stack(images))), points, objects)

    def _pair(self, step: int, i: int) -> Pair:
        config = self._config
        still, other = self._stills.draw(step * config.batch + i, 2)
        rng = np.random.default_rng([config.seed, step, i])
        return make_pair(still.image, other.image, rng, config.crop, config.points)

    def _clip(self, step: int, i: int) -> tuple[Clip, list[Cut]]:
        config = self._config
        rng = np.random.default_rng([config.seed, step, i, CLIPS])
        background, *others = self._stills.draw(step * config.clips + i, 2 + int(rng.integers(MOST_OBJECTS)))
        pieces = [cut_out(other, self._masks, rng) for other in others]
        clip = make_clip(background.image, pieces, rng, ClipSize(config.frames, config.crop, config.crop))
        return clip, cut_frames(clip, config.superpixels, config.triplets, rng)


def check_alive(vectors: Tensor) -> None:
    """Raise TrainingFailed if features, (M, D) of unit length or zero, are all alike."""
    spread = 1 - F.normalize(vectors.detach(), dim=1).mean(0).square().sum().item()
    if spread < DEAD:
        raise TrainingFailed(f"the features are dead: all are alike (spread {spread:.1e})")


def stills_per_step(config: TrainConfig) -> int:
    """Different stills that the views and clips of one step may show."""
    pairs = 0 if config.loss == "nt-xent" else config.batch
    clips = 0 if config.loss == "dense" else config.clips
    return max(2 * pairs, (1 + MOST_OBJECTS) * clips)


def normalise(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 RGB -> (B, 3, H, W) float32, as the runtime's preprocessing does it."""
    mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
    return images.float().sub_(mean).div_(std).permute(0, 3, 1, 2)


def sample_points(features: Tensor, points: Tensor, crop: int) -> Tensor:
    """Read a feature map at points of the view: (B, D, h, w), (B, P, 2) -> (B, P, D), unit length."""
    grid = (points + 0.5) / crop * 2 - 1
    sampled = F.grid_sample(features, grid[:, :, None], padding_mode="border", align_corners=False)  # (B, D, P, 1)
    return F.normalize(sampled[..., 0].transpose(1, 2), dim=2)
