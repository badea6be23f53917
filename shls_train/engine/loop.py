"""The training loop that every stage shares: from a task and a recipe to checkpoints.

Whatever a step does depends on the seed and the step's number alone, so a run that was killed and resumed is, bit for
bit on a CPU, the run that was not.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from shls.runtime.errors import BadInput, ShlsError

from ..config import Schedule
from .checkpoint import (
    load_checkpoint,
    load_optimizer,
    load_weights,
    newest_checkpoint,
    save_checkpoint,
)
from .distributed import average, average_gradients, processes, rank, synchronise_norms, wait
from .run_log import Progress, RunLog

CHECKPOINT_EVERY = 200
PREFETCHED = 16
WEIGHT_DECAY = 1e-2


class TrainingFailed(ShlsError):
    """The loss or the weights are no numbers any more, or the features say nothing."""


class Losses(NamedTuple):
    """What is minimised, what else a step tells (the same names at every step), and how many images it saw."""

    loss: Tensor
    scalars: dict[str, float]
    images: int


class Task(Protocol):
    """One stage of training.

    Attributes
    ----------
    network : what is trained, on the `training_device()`; its kind is in `shls_train.engine.checkpoint.NETWORKS`
    inputs : what the run depends on besides its recipe; it is resumed only with the same
    """

    @property
    def network(self) -> nn.Module: ...

    @property
    def inputs(self) -> dict[str, Any]: ...

    def batch(self, step: int) -> Any:
        """Make a step's data, on the CPU, of the recipe's seed and the step alone; called ahead from another thread."""

    def loss(self, batch: Any) -> Losses:
        """Run the network, in training mode, on a batch; of several processes the losses' mean is minimised."""


@runtime_checkable
class Validated(Protocol):
    """A task that can tell how good its network is on data that it does not train on."""

    def validate(self) -> dict[str, float]:
        """Measure the network, in evaluation mode."""


@runtime_checkable
class Illustrated(Protocol):
    """A task that can show what its network does."""

    def pictures(self, folder: Path, step: int) -> None:
        """Write PNG files named by the step, with the network in evaluation mode."""


def mixed_precision(device: torch.device) -> torch.autocast:
    """Convolutions in bfloat16, on CPUs and GPUs alike: it needs no scaling of the loss."""
    return torch.autocast(device.type, torch.bfloat16)


def fit(task: Task, out: Path, recipe: Schedule, report: Callable[[Progress], None]) -> Path:
    """Train, or go on with, the run that lives in `out`; returns its last checkpoint.

    Writes ``log.csv`` (a row per step), the same for TensorBoard, and the newest two checkpoints; with each of these
    a row of ``validation.csv`` and ``pictures/``, where the task has them. Of several processes the first does, in a
    folder that all can read.

    Parameters
    ----------
    task : what is trained on what
    out : folder of the run
    recipe : all its fields are kept in the checkpoints
    report : called after each step

    Raises
    ------
    BadInput
        If `out` holds a run with another recipe or other inputs, or cannot be written.
    TrainingFailed
        If loss or weights stop being finite, or features die; the last good checkpoint stays.
    """
    _make_folder(out)
    synchronise_norms(task.network)
    optimizer = torch.optim.AdamW(_parameter_groups(task.network), lr=recipe.lr)
    step = _resume(out, recipe, task, optimizer)
    begun = time.perf_counter()
    with RunLog(out, step) as log, _Batches(task, step, recipe.steps) as batches:
        for step, batch in batches:
            progress = _optimise(task, optimizer, batch, step, recipe, out)
            now = time.perf_counter()
            progress, begun = progress._replace(seconds=now - begun), now
            keep = progress.step % CHECKPOINT_EVERY == 0 or progress.step == recipe.steps
            if keep:
                progress = progress._replace(validation=_look(task, out, progress.step))
            if rank() == 0:
                log.write(progress)
                report(progress)
            if keep and rank() == 0:
                save_checkpoint(out, task.network, optimizer, _meta(progress.step, recipe, task))
            if keep:
                wait()
    last = newest_checkpoint(out)
    assert last is not None
    return last


def learning_rate(step: int, recipe: Schedule) -> float:
    """One cycle: linear warm-up over a tenth of the run, then a cosine down to nothing."""
    warm = max(1, recipe.steps // 10)
    if step < warm:
        return recipe.lr * (step + 1) / warm
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, recipe.steps - warm)))


def _optimise(
    task: Task, optimizer: torch.optim.Optimizer, batch: Any, step: int, recipe: Schedule, out: Path
) -> Progress:
    lr = learning_rate(step, recipe)
    for group in optimizer.param_groups:
        group["lr"] = lr
    torch.manual_seed(_seed_of(recipe.seed, step))
    try:
        losses = task.loss(batch)
    except TrainingFailed as failed:
        raise TrainingFailed(f"step {step + 1}: {failed}; {_advice(out)}") from failed
    loss, *values = average([losses.loss.item(), *losses.scalars.values()])
    if not math.isfinite(loss):
        raise TrainingFailed(f"step {step + 1}: the loss is {loss}; {_advice(out)}")
    optimizer.zero_grad(set_to_none=True)
    losses.loss.backward()
    average_gradients(task.network)
    optimizer.step()
    scalars = dict(zip(losses.scalars, values, strict=True))
    return Progress(step + 1, loss, scalars, lr, losses.images * processes(), 0.0, {})


def _look(task: Task, out: Path, step: int) -> dict[str, float]:
    """Validate, and draw, in the first process; in all, see whether the weights are good: the loss is older."""
    if not all(bool(tensor.isfinite().all()) for tensor in task.network.state_dict().values()):
        raise TrainingFailed(f"step {step}: weights are no numbers any more; {_advice(out)}")
    if rank() > 0:
        return {}
    task.network.eval()
    found = task.validate() if isinstance(task, Validated) else {}
    if isinstance(task, Illustrated):
        task.pictures(out / "pictures", step)
    task.network.train()
    return found


def _advice(out: Path) -> str:
    last = newest_checkpoint(out)
    return f"the last good checkpoint is {last or 'none'}; begin another run with a smaller --lr"


def _seed_of(seed: int, step: int) -> int:
    """For what a task draws with torch: another one each step, in each process."""
    return int(np.random.SeedSequence([seed, step, rank()]).generate_state(1)[0])


def _parameter_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Weight decay on convolutions only; biases and batch normalisation go free."""
    convolutions = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": convolutions, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{out}: cannot be a training folder ({error.strerror}); choose another --out") from error


def _resume(out: Path, recipe: Schedule, task: Task, optimizer: torch.optim.Optimizer) -> int:
    if newest_checkpoint(out) is None:
        return 0
    checkpoint = load_checkpoint(out)
    meta = checkpoint.meta
    theirs, ours = meta["config"] | meta.get("inputs", {}), asdict(recipe) | task.inputs
    other = [name for name in theirs | ours if theirs.get(name) != ours.get(name)]
    if other:
        differing = ", ".join(f"{name} {theirs.get(name)}, not {ours.get(name)}" for name in other)
        raise BadInput(f"{out}: holds a run with {differing}; choose another --out")
    load_weights(task.network, checkpoint)
    load_optimizer(optimizer, checkpoint)
    return int(checkpoint.meta["step"])


def _meta(step: int, recipe: Schedule, task: Task) -> dict[str, Any]:
    return {"step": step, "config": asdict(recipe), "inputs": task.inputs, "torch": torch.__version__}


class _Batches:
    """Batches made ahead of the optimiser by one thread (OpenCV and our kernels release the interpreter)."""

    def __init__(self, task: Task, step: int, steps: int) -> None:
        self._make = task.batch
        self._steps = range(step, steps)
        self._pool = ThreadPoolExecutor(1, "batches")

    def __enter__(self) -> Iterator[tuple[int, Any]]:
        return self._iterate()

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _iterate(self) -> Iterator[tuple[int, Any]]:
        waiting: deque[tuple[int, Future[Any]]] = deque()
        for step in self._steps:
            waiting.append((step, self._pool.submit(self._make, step)))
            if len(waiting) > PREFETCHED:
                yield waiting[0][0], waiting.popleft()[1].result()
        for step, future in waiting:
            yield step, future.result()
