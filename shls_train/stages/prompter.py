"""Stage 3: train the prompter on simulated prompts, with the embedding frozen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shls.runtime.errors import BadInput
from shls.runtime.evaluation.metrics import jaccard
from shls.runtime.prompts.crop import MARGIN, REACH, Marks, Window, cut, probability, put_back, window_of

from ..config import PrompterConfig
from ..data.clips import ClipSize
from ..data.prompted import add_click, first_prompt, objects_of, pose_still, random_reach
from ..data.scene_stream import SceneStream
from ..data.views import Rng
from ..engine.distributed import process_group, share, training_device
from ..engine.loop import Losses, fit, mixed_precision
from ..engine.run_log import Progress
from ..models.edge import Embedding
from ..models.folding import embedding_digest
from ..models.prompter import PrompterNetwork, contract_of
from ..pseudo_labels.masks import PseudoMasks
from .embedding import normalise

STILLS = 0.8
"""Probability that a frame is a still with its pseudo-mask; otherwise the frame is a pasted scene."""

POOL = 96
"""Number of past frames from which the prompts of a step are drawn. Each step adds a frame."""

FIRST_FRAMES = 16
"""Number of frames before the first step."""

ROUNDS = (0.35, 0.35, 0.3)
"""Probability that a prompt is corrected never, once or twice."""

ZOOM = 0.5
"""Probability that the second round only zooms to the first mask, without a further click."""

VALIDATION_FRAMES = 24
"""Number of held-out frames."""


class PromptedFrame(NamedTuple):
    """Frame with its objects.

    Attributes
    ----------
    image : (H, W, 3) uint8 array
        RGB image.
    features : (D, h, w) float32 array
        Map of the embedding.
    labels : (H, W) uint8 array
        Objects, 0 for the background.

    Examples
    --------
    >>> PromptedFrame(image, features, labels).labels.shape  # doctest: +SKIP
    (288, 512)
    """

    image: np.ndarray
    features: np.ndarray
    labels: np.ndarray


@dataclass
class Target:
    """Object of a frame and its prompt so far.

    Attributes
    ----------
    image : (H, W, 3) uint8
    features : (D, h, w) float32
    truth : (H, W) bool
    marks : Marks
    rounds : int
        Number of corrections that follow.
    rng : numpy.random.Generator
    last : (H, W) float32 or None
        Probability of the last mask.

    Examples
    --------
    >>> Target(image, features, truth, Marks([], [(3, 4)], []), 0, rng).last is None  # doctest: +SKIP
    True
    """

    image: np.ndarray
    features: np.ndarray
    truth: np.ndarray
    marks: Marks
    rounds: int
    rng: Rng
    last: np.ndarray | None = None


def train_prompter(
    data: Path,
    embedding: Embedding,
    out: Path,
    config: PrompterConfig,
    report: Callable[[Progress], None],
    masks: PseudoMasks | None,
) -> Path:
    """Train a prompter or resume its run.

    Parameters
    ----------
    data : Path
        Folder of stills or shards. Unreadable stills and shards are left out, with a message in the log.
    embedding : Embedding
        Embedding network of stage 1, in evaluation mode. It remains unchanged.
    out : Path
        Training folder. A run in it is resumed.
    config : PrompterConfig
        Recipe.
    report : callable
        Function that receives a `Progress` after each step.
    masks : PseudoMasks or None
        Pseudo-masks of the stills. Without masks, the network learns from pasted blobs alone.

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
    >>> out = Path("runs/prompter")
    >>> train_prompter(Path("stills"), embedding, out, PrompterConfig(), print, None)  # doctest: +SKIP
    PosixPath('runs/prompter/step-012000.safetensors')
    """
    with process_group():
        scenes = SceneStream(data, masks, ClipSize(1, config.height, config.width), blobs=False)
        last = fit(PrompterTask(scenes, embedding, config), out, config, report)
        scenes.left_out.log_total()
        return last


class PrompterTask:
    """Task of the prompter stage; see `shls_train.engine.loop.Task`.

    Parameters
    ----------
    scenes : SceneStream
        Source of scenes of one frame.
    embedding : Embedding
        Embedding network; a copy is used.
    config : PrompterConfig
        Recipe.

    Raises
    ------
    BadInput
        If a size of the recipe is not a multiple that the networks need.

    Examples
    --------
    >>> scenes = SceneStream(Path("stills"), None, ClipSize(1))  # doctest: +SKIP
    >>> task = PrompterTask(scenes, EdgeNet(), PrompterConfig())  # doctest: +SKIP
    """

    def __init__(self, scenes: SceneStream, embedding: Embedding, config: PrompterConfig) -> None:
        _check_sizes(config, embedding)
        self._config, self._scenes = config, scenes
        self._device = training_device()
        self._embedding = copy.deepcopy(embedding).to(self._device)
        self.inputs = scenes.inputs | {"embedding": embedding_digest(embedding)}
        # One thread per kernel, because a background thread draws the next frames on another core.
        numba.set_num_threads(1)
        torch.manual_seed(config.seed)
        network = PrompterNetwork(embedding.dim)
        self.network: PrompterNetwork = network.to(self._device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._contract = contract_of(network, config.crop)
        self._prompts = share(config.batch)
        self._frame = lru_cache(POOL + FIRST_FRAMES + 1)(lambda number: self._draw_frame([1, number]))

    def batch(self, step: int) -> list[Target]:
        """Draw this process's prompts of a step, on frames of the pool."""
        first, end = max(0, step - POOL), step + FIRST_FRAMES
        targets = []
        for i in self._prompts:
            rng = np.random.default_rng([self._config.seed, 3, step, i])
            targets.append(self._target(self._frame(int(rng.integers(first, end))), rng))
        return targets

    def loss(self, batch: list[Target]) -> Losses:
        """Compute the loss on every mask that a user sees while prompts are corrected."""
        self.network.train()
        losses, ious, active = [], [], batch
        while active:
            windows = [_any_window(target) for target in active]
            logits = self._run(active, windows)
            truth = self._truth(active, windows, logits.shape[1])
            losses.append(prompt_losses(logits, truth))
            ious.append(_mean_iou(logits, truth))
            self._keep(active, windows, logits)
            active = [target for target in active if target.rounds]
            for target in active:
                _correct(target)
        loss = torch.cat(losses)
        return Losses(loss.mean(), {"iou": ious[0], "corrected": ious[-1]}, len(loss))

    def validate(self) -> dict[str, float]:
        """Measure the mean IoU on held-out frames.

        Returns
        -------
        dict of str to float
            "box", "click", "zoom" and "3 clicks": mean IoU of the whole frame from a box, from a click in the middle,
            after a second run on the mask of the first, and after two further clicks.
        """
        targets = self._held_out
        scores: dict[str, list[float]] = {"box": [], "click": [], "zoom": [], "3 clicks": []}
        for target in targets:
            self._score(target, scores)
        return {name: float(np.mean(values)) for name, values in scores.items()}

    def _score(self, target: Target, scores: dict[str, list[float]]) -> None:
        truth = target.truth
        x, y, w, h = cv2.boundingRect(truth.astype(np.uint8))
        target.marks, target.last = Marks([(x, y, x + w, y + h)], [], []), None
        self._find([target])
        scores["box"].append(_iou(target))
        target.marks, target.last = Marks([], [], []), None
        for name in ("click", "zoom", "", "3 clicks"):
            if name != "zoom":
                found = target.last > 0.5 if target.last is not None else np.zeros_like(truth)
                target.marks = add_click(target.marks, truth, found)
            self._find([target])
            if name:
                scores[name].append(_iou(target))

    @cached_property
    def _held_out(self) -> list[Target]:
        rng = np.random.default_rng(self._config.seed)
        return [self._target(self._draw_frame([2, i], held_out=True), rng) for i in range(VALIDATION_FRAMES)]

    def _draw_frame(self, seed: list[int], held_out: bool = False) -> PromptedFrame:
        """Draw a frame with at least one object."""
        rng = np.random.default_rng([self._config.seed, *seed])
        pixels = self._config.height * self._config.width
        while True:
            piece = self._scenes.draw_object(rng, held_out) if rng.random() < STILLS else None
            clip = self._scenes.draw(rng, held_out) if piece is None else pose_still(piece, rng, pixels)
            image, labels = clip.frames[0], clip.labels[0]
            if objects_of(labels):
                return PromptedFrame(image, self._describe(image), labels)

    def _target(self, frame: PromptedFrame, rng: Rng) -> Target:
        """Draw a prompt for an object of a frame."""
        truth = frame.labels == rng.choice(objects_of(frame.labels))
        rounds = int(rng.choice(len(ROUNDS), p=ROUNDS))
        return Target(frame.image, frame.features, truth, first_prompt(truth, rng), rounds, rng)

    def _find(self, targets: list[Target]) -> None:
        """Run the network as the runtime does, and keep each prompt's mask as its last."""
        windows = [_window(target) for target in targets]
        with torch.inference_mode():
            self._keep(targets, windows, self._run(targets, windows))

    def _keep(self, targets: list[Target], windows: list[Window], logits: Tensor) -> None:
        for target, window, found in zip(targets, windows, logits.detach().cpu().numpy(), strict=True):
            target.last = probability(put_back(found, window, target.truth.shape))

    def _run(self, targets: list[Target], windows: list[Window]) -> Tensor:
        """Compute the logits of prompts, (V, S/2, S/2) float32."""
        inputs = [
            cut(target.image, target.features, window, target.marks, target.last, self._contract)
            for target, window in zip(targets, windows, strict=True)
        ]
        crops, features = (
            torch.from_numpy(np.stack(parts)).to(self._device, memory_format=torch.channels_last)
            for parts in zip(*inputs, strict=True)
        )
        with mixed_precision(self._device):
            logits: Tensor = self.network(crops, features)
        return logits.float()

    def _truth(self, targets: list[Target], windows: list[Window], side: int) -> Tensor:
        """Cut the true masks, (V, side, side) float32, 0 to 1."""
        masks = [
            cv2.resize(
                target.truth[top:bottom, left:right].astype(np.float32), (side, side), interpolation=cv2.INTER_AREA
            )
            for target, (left, top, right, bottom) in zip(targets, windows, strict=True)
        ]
        return torch.from_numpy(np.stack(masks)).to(self._device)

    def _describe(self, image: np.ndarray) -> np.ndarray:
        """Compute the feature map of a frame, (D, h, w) float32."""
        with torch.inference_mode(), mixed_precision(self._device):
            frame = normalise(torch.from_numpy(image[None])).to(self._device, memory_format=torch.channels_last)
            features: Tensor = self._embedding(frame)
        return features[0].float().cpu().contiguous().numpy()


def prompt_losses(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy plus soft IoU loss of each prompt, (V,).

    Parameters
    ----------
    logits : (V, s, s) Tensor
    truth : (V, s, s) Tensor, 0 to 1

    Examples
    --------
    >>> truth = torch.ones(1, 4, 4)
    >>> bool(prompt_losses(9 * truth, truth) < prompt_losses(-9 * truth, truth))
    True
    """
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((1, 2))
    found = logits.sigmoid()
    both = (found * truth).sum((1, 2))
    either = (found + truth).sum((1, 2)) - both
    return entropy + 1 - (both + 1) / (either + 1)


def _correct(target: Target) -> None:
    """Correct the last mask by a click, as a user does; after a first click often only zoom to the mask."""
    assert target.last is not None
    target.rounds -= 1
    marks = target.marks
    zooms = not marks.boxes and len(marks.points) == 1 and not marks.negatives
    if not zooms or target.rng.random() >= ZOOM:
        target.marks = add_click(marks, target.truth, target.last > 0.5, target.rng)


def _mean_iou(logits: Tensor, truth: Tensor) -> float:
    found, wanted = logits.detach() > 0, truth > 0.5
    both, either = (found & wanted).sum((1, 2)), (found | wanted).sum((1, 2))
    return float((both / either.clamp(min=1)).mean())


def _iou(target: Target) -> float:
    assert target.last is not None
    return jaccard(target.last > 0.5, target.truth)


def _window(target: Target, margin: float = MARGIN, reach: float = REACH) -> Window:
    """Choose a window as the runtime does."""
    size = target.truth.shape[0], target.truth.shape[1]
    return window_of(size, target.marks, target.last, margin, reach)


def _any_window(target: Target) -> Window:
    """Choose a window for training: the runtime's, of random size."""
    margin = MARGIN * float(np.exp(target.rng.uniform(-0.7, 0.7)))
    return _window(target, margin, random_reach(target.truth, target.rng))


def _check_sizes(config: PrompterConfig, embedding: Embedding) -> None:
    """Raise BadInput if a size is not a multiple that the networks need."""
    for option, side, multiple in (
        ("--height", config.height, embedding.size_multiple),
        ("--width", config.width, embedding.size_multiple),
        ("--crop", config.crop, PrompterNetwork.size_multiple),
    ):
        if side % multiple:
            raise BadInput(f"{option}: invalid size (got {side}, expected a multiple of {multiple}). Change {option}.")
