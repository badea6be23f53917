"""Stage 1: train the embedding network on unlabelled stills."""

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
"""Least spread of features: 1 minus the squared length of their mean. Random weights give more than 1e-2."""

CLIPS = 1
"""Seed component that separates the random numbers of clips from those of pairs."""


class Batch(NamedTuple):
    """Data of one step.

    Attributes
    ----------
    images : (2B + F, 3, S, S) float32 Tensor
        Normalised images: B first views, B second views, F frames of clips.
    points : (2B, P, 2) float32 Tensor or None
        Corresponding points of the views, x and y in pixels; None without the dense loss.
    objects : Objects or None
        Superpixels and triplets of the frames; None without NT-Xent.

    Examples
    --------
    >>> Batch(torch.zeros(2, 3, 8, 8), torch.zeros(2, 5, 2), None).objects is None
    True
    """

    images: Tensor
    points: Tensor | None
    objects: Objects | None


def train(
    data: Path, out: Path, config: TrainConfig, report: Callable[[Progress], None], masks: Path | None = None
) -> Path:
    """Train an embedding network or resume its run.

    Parameters
    ----------
    data : Path
        Folder of stills or shards. Unreadable stills and shards are left out, with a message in the log.
    out : Path
        Training folder. A run in it is resumed.
    config : TrainConfig
        Recipe.
    report : callable
        Function that receives a `Progress` after each step.
    masks : Path, optional
        Folder of pseudo-masks of `shls pseudo`; without masks, random blobs are cut out of stills.

    Returns
    -------
    Path
        The last checkpoint.

    Raises
    ------
    BadInput
        If stills or masks cannot be read or are too few, or `out` contains a run with other settings.
    TrainingFailed
        If the loss is not finite, or all features are equal. The last good checkpoint remains.

    Examples
    --------
    >>> train(Path("stills"), Path("runs/edge"), TrainConfig(steps=4500), print)  # doctest: +SKIP
    PosixPath('runs/edge/step-004500.safetensors')
    """
    with process_group():
        stills = StillStream(data, config.seed)
        task = EmbeddingTask(stills, config, PseudoMasks(masks) if masks else None)
        last = fit(task, out, config, report)
        stills.left_out.log_total()
        return last


class EmbeddingTask:
    """Task of the embedding stage; see `shls_train.engine.loop.Task`.

    Parameters
    ----------
    stills : StillStream
        Source of stills.
    config : TrainConfig
        Recipe.
    masks : PseudoMasks, optional
        Pseudo-masks of the stills.

    Raises
    ------
    BadInput
        If the network does not support the loss or the crop size, or there are too few stills.

    Examples
    --------
    >>> task = EmbeddingTask(StillStream(Path("stills"), seed=0), TrainConfig())  # doctest: +SKIP
    """

    def __init__(self, stills: StillStream, config: TrainConfig, masks: PseudoMasks | None = None) -> None:
        if config.network == "shls-r18" and config.loss != "nt-xent":
            raise BadInput(
                f"--loss: not supported by shls-r18 (got {config.loss}, expected nt-xent). Use --loss nt-xent."
            )
        multiple = EMBEDDINGS[config.network].size_multiple
        if config.crop % multiple:
            raise BadInput(
                f"--crop: invalid size (got {config.crop}, expected a multiple of {multiple}). Change --crop."
            )
        stills.require(stills_per_step(config))
        self._views = Views(stills, masks, config)
        self._held_out = held_out_clips(kept, masks, config.seed) if (kept := stills.held_out()) else []
        self._config, self._device = config, training_device()
        torch.manual_seed(config.seed)
        network = EMBEDDINGS[config.network]().to(self._device)
        self.network: Embedding = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.inputs = stills.inputs | {"masks": 0 if masks is None else len(masks)}

    def batch(self, step: int) -> Batch:
        """Draw this process's views and clips of a step."""
        return self._views.batch(step)

    def loss(self, batch: Batch) -> Losses:
        """Run the network on all images and compute the losses of the recipe."""
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
        """Measure J, F and J&F on synthetic clips of held-out stills."""
        return follow_clips(self.network, self._held_out) if self._held_out else {}

    def pictures(self, folder: Path, step: int) -> None:
        """Draw matches and clusters of the first validation clip."""
        for name, draw in (("matches", draw_matches), ("clusters", draw_clusters)):
            for clip in self._held_out[:1]:
                write_picture(folder / f"step-{step:06d}-{name}.png", draw(self.network, clip))

    def _match_points(self, features: Tensor, points: Tensor) -> Matching:
        """Compute the dense loss over the views of all processes."""
        config = self._config
        sampled = sample_points(features, points, config.crop)
        check_alive(sampled.flatten(0, 1))
        first, second = (gather(part) for part in sampled.chunk(2))
        places = gather(points.chunk(2)[1])
        return dense_correspondence(first, second, places, config.temperature, config.margin)

    def _match_objects(self, features: Tensor, objects: Objects) -> Matching:
        """Compute NT-Xent over this process's triplets."""
        superfeatures = self.network.superfeatures(features, objects.labels.to(self._device), objects.number)
        check_alive(superfeatures.flatten(0, 1))
        triplets = objects.triplets.to(self._device)
        matching = nt_xent(superfeatures.flatten(0, 1), triplets, self._config.temperature)
        # Processes have different numbers of triplets; the weight gives each triplet the same influence.
        weight = len(triplets) * processes() / total(torch.tensor(float(len(triplets)), device=self._device)).clamp(1)
        return Matching(matching.loss * weight, matching.accuracy * weight)


class Views:
    """Source of batches. A batch depends only on the seed and the step; each process draws its share.

    Parameters
    ----------
    stills : StillStream
        Source of stills.
    masks : PseudoMasks or None
        Pseudo-masks of the stills.
    config : TrainConfig
        Recipe.

    Examples
    --------
    >>> Views(StillStream(Path("stills"), seed=0), None, TrainConfig()).batch(0).images.shape  # doctest: +SKIP
    torch.Size([24, 3, 192, 192])
    """

    def __init__(self, stills: StillStream, masks: PseudoMasks | None, config: TrainConfig) -> None:
        self._stills, self._masks, self._config = stills, masks, config
        self._pairs = share(0 if config.loss == "nt-xent" else config.batch)
        self._clips = share(0 if config.loss == "dense" else config.clips)

    def batch(self, step: int) -> Batch:
        """Draw this process's part of a step."""
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
    """Check that features are not all equal.

    Parameters
    ----------
    vectors : (M, D) Tensor
        Features of unit length or zero.

    Raises
    ------
    TrainingFailed
        If the spread of the features is below `DEAD`.

    Examples
    --------
    >>> check_alive(torch.eye(4))
    """
    spread = 1 - F.normalize(vectors.detach(), dim=1).mean(0).square().sum().item()
    if spread < DEAD:
        raise TrainingFailed(f"features: all are equal (got spread {spread:.1e}, expected at least {DEAD:.0e})")


def stills_per_step(config: TrainConfig) -> int:
    """Number of different stills that one step needs.

    Examples
    --------
    >>> stills_per_step(TrainConfig(batch=12))
    24
    """
    pairs = 0 if config.loss == "nt-xent" else config.batch
    clips = 0 if config.loss == "dense" else config.clips
    return max(2 * pairs, (1 + MOST_OBJECTS) * clips)


def normalise(images: Tensor) -> Tensor:
    """Normalise RGB images as the runtime's preprocessing does.

    Parameters
    ----------
    images : (B, H, W, 3) uint8 Tensor
        RGB images.

    Returns
    -------
    (B, 3, H, W) float32 Tensor
        Network input.

    Examples
    --------
    >>> normalise(torch.zeros(2, 8, 16, 3, dtype=torch.uint8)).shape
    torch.Size([2, 3, 8, 16])
    """
    mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
    return images.float().sub_(mean).div_(std).permute(0, 3, 1, 2)


def sample_points(features: Tensor, points: Tensor, crop: int) -> Tensor:
    """Sample feature maps at points of a view by bilinear interpolation.

    Parameters
    ----------
    features : (B, D, h, w) Tensor
        Feature maps.
    points : (B, P, 2) Tensor
        Positions in the view, x and y in pixels.
    crop : int
        Side of the view in pixels.

    Returns
    -------
    (B, P, D) Tensor
        Features of unit length.

    Examples
    --------
    >>> sample_points(torch.ones(1, 4, 2, 2), torch.tensor([[[3.0, 5.0]]]), crop=8)
    tensor([[[0.5000, 0.5000, 0.5000, 0.5000]]])
    """
    grid = (points + 0.5) / crop * 2 - 1
    sampled = F.grid_sample(features, grid[:, :, None], padding_mode="border", align_corners=False)  # (B, D, P, 1)
    return F.normalize(sampled[..., 0].transpose(1, 2), dim=2)
