"""Stage 1: the embedding network learns dense correspondence from unlabelled stills."""

from __future__ import annotations

import csv
import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shls.runtime.contract import PIXEL_MEAN, PIXEL_STD
from shls.runtime.errors import BadInput, ShlsError
from shls.runtime.stills import Stills
from shls_train.augment import make_pair
from shls_train.checkpoint import (
    load_checkpoint,
    load_optimizer,
    load_weights,
    newest_checkpoint,
    save_checkpoint,
)
from shls_train.config import TrainConfig
from shls_train.losses import Matching, dense_correspondence
from shls_train.network import EdgeNet

CHECKPOINT_EVERY = 200
PREFETCHED = 4


class TrainingFailed(ShlsError):
    """The loss is no number any more."""


class Batch(NamedTuple):
    """B pairs of views: images (2B, 3, S, S) float32 normalised, first views first; points (2B, P, 2) pixels."""

    images: Tensor
    points: Tensor


class Progress(NamedTuple):
    """One optimiser step, as told to the progress bar and written to the log."""

    step: int
    loss: float
    accuracy: float
    lr: float


def train(data: Path, out: Path, config: TrainConfig, report: Callable[[Progress], None]) -> Path:
    """Train, or go on with, the run that lives in `out`; returns its last checkpoint.

    A batch depends on the seed and the step alone, so a run that was killed and resumed is the run that was not.

    Raises
    ------
    BadInput
        If the stills cannot be read or are too few, or if `out` holds a run with another recipe.
    TrainingFailed
        If the loss stops being finite; the last checkpoint stays.
    """
    stills = Stills(data)
    if len(stills) < 2 * config.batch:
        raise BadInput(
            f"{data}: {len(stills)} stills, at least {2 * config.batch} needed for a batch of {config.batch} pairs"
        )
    out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(config.seed)
    model = EdgeNet().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(_parameter_groups(model), lr=config.lr)
    step = _resume(out, config, model, optimizer)
    log = _open_log(out / "log.csv", step)
    with log, _Batches(stills, config, step) as batches:
        writer = csv.writer(log)
        for step, batch in batches:
            progress = _optimise(model, optimizer, batch, step, config, device)
            writer.writerow([progress.step, f"{progress.loss:.5f}", f"{progress.accuracy:.5f}", f"{progress.lr:.3e}"])
            report(progress)
            if progress.step % CHECKPOINT_EVERY == 0 or progress.step == config.steps:
                log.flush()
                save_checkpoint(out, model, optimizer, _meta(progress.step, config, len(stills)))
    last = newest_checkpoint(out)
    assert last is not None
    return last


def learning_rate(step: int, config: TrainConfig) -> float:
    """One cycle: linear warm-up over a tenth of the run, then a cosine down to nothing."""
    warm = max(1, config.steps // 10)
    if step < warm:
        return config.lr * (step + 1) / warm
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, config.steps - warm)))


def make_batch(stills: Stills, config: TrainConfig, step: int) -> Batch:
    """The batch of one step."""
    order = _epoch_order(len(stills), config, step)
    pairs = []
    for i, (still, other) in enumerate(order):
        rng = np.random.default_rng([config.seed, step, i])
        pairs.append(make_pair(stills[still], stills[other], rng, config.crop, config.points))
    images = np.stack([p.first for p in pairs] + [p.second for p in pairs])  # (2B, S, S, 3)
    points = np.stack([p.points_first for p in pairs] + [p.points_second for p in pairs])  # (2B, P, 2)
    return Batch(normalise(torch.from_numpy(images)), torch.from_numpy(points))


def normalise(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 RGB -> (B, 3, H, W) float32, as the runtime's preprocessing does it."""
    mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
    return images.float().sub_(mean).div_(std).permute(0, 3, 1, 2)


def sample_points(features: Tensor, points: Tensor, crop: int) -> Tensor:
    """Read a feature map at points of the view: (B, D, h, w), (B, P, 2) -> (B, P, D), unit length."""
    grid = (points + 0.5) / crop * 2 - 1
    sampled = F.grid_sample(features, grid[:, :, None], padding_mode="border", align_corners=False)  # (B, D, P, 1)
    return F.normalize(sampled[..., 0].transpose(1, 2), dim=2)


def _optimise(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    step: int,
    config: TrainConfig,
    device: torch.device,
) -> Progress:
    lr = learning_rate(step, config)
    for group in optimizer.param_groups:
        group["lr"] = lr
    matching = _forward(model, batch, config, device)
    loss = matching.loss.item()
    if not math.isfinite(loss):
        raise TrainingFailed(f"step {step}: the loss is {loss}; resume from the last checkpoint with a smaller --lr")
    optimizer.zero_grad(set_to_none=True)
    matching.loss.backward()
    optimizer.step()
    return Progress(step + 1, loss, matching.accuracy.item(), lr)


def _forward(model: nn.Module, batch: Batch, config: TrainConfig, device: torch.device) -> Matching:
    images = batch.images.to(device, memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16):
        features = model(images)
    points = batch.points.to(device)
    first, second = sample_points(features.float(), points, config.crop).chunk(2)
    return dense_correspondence(first, second, points.chunk(2)[1], config.temperature, config.margin)


def _parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Weight decay on convolutions only; biases and batch normalisation go free."""
    convolutions = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": convolutions, "weight_decay": 1e-2}, {"params": others, "weight_decay": 0.0}]


def _resume(out: Path, config: TrainConfig, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    if newest_checkpoint(out) is None:
        return 0
    checkpoint = load_checkpoint(out)
    if checkpoint.meta["config"] != asdict(config):
        raise BadInput(
            f"{out}: holds a run with {checkpoint.meta['config']}, this one has {asdict(config)}; choose another --out"
        )
    load_weights(model, checkpoint)
    load_optimizer(optimizer, checkpoint)
    return int(checkpoint.meta["step"])


def _meta(step: int, config: TrainConfig, stills: int) -> dict[str, Any]:
    return {"step": step, "config": asdict(config), "stills": stills, "torch": torch.__version__}


def _open_log(path: Path, step: int) -> Any:
    """The log, cut back to the step that the run resumes from."""
    rows = path.read_text().splitlines()[: step + 1] if path.exists() else ["step,loss,accuracy,lr"]
    path.write_text("\n".join(rows) + "\n")
    return path.open("a", newline="")


def _epoch_order(count: int, config: TrainConfig, step: int) -> list[tuple[int, int]]:
    """The stills of one step: each epoch visits every still once, as the subject, in its own order."""
    chosen = []
    for position in range(step * config.batch, (step + 1) * config.batch):
        epoch, index = divmod(position, count)
        order = np.random.default_rng([config.seed, epoch]).permutation(count)
        chosen.append((int(order[index]), int(order[index - 1])))
    return chosen


class _Batches:
    """Batches drawn ahead of the optimiser by one thread (OpenCV releases the interpreter)."""

    def __init__(self, stills: Stills, config: TrainConfig, step: int) -> None:
        self._make = lambda at: make_batch(stills, config, at)
        self._steps = range(step, config.steps)
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Iterator[tuple[int, Batch]]:
        return self._iterate()

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _iterate(self) -> Iterator[tuple[int, Batch]]:
        waiting: deque[tuple[int, Future[Batch]]] = deque()
        for step in self._steps:
            waiting.append((step, self._pool.submit(self._make, step)))
            if len(waiting) > PREFETCHED:
                yield waiting[0][0], waiting.popleft()[1].result()
        for step, future in waiting:
            yield step, future.result()
