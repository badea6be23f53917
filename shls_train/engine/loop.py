"""Training loop of every stage: train a task by a recipe and write checkpoints.

Each step depends only on the seed and the step's number. On a CPU, an interrupted and resumed run is therefore
bit-equal to an uninterrupted run.
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
    """Training cannot continue: the loss or a weight is not finite, or all features are equal.

    Examples
    --------
    >>> raise TrainingFailed("step 6: loss is not finite (got nan).")
    Traceback (most recent call last):
        ...
    shls_train.engine.loop.TrainingFailed: step 6: loss is not finite (got nan).
    """


class Losses(NamedTuple):
    """Result of one training step in one process.

    Attributes
    ----------
    loss : Tensor
        Scalar to minimise.
    scalars : dict of str to float
        Further values for the log. The names must be the same at every step.
    images : int
        Images that the network has processed.

    Examples
    --------
    >>> Losses(torch.tensor(0.5), {"accuracy": 0.9}, images=24).images
    24
    """

    loss: Tensor
    scalars: dict[str, float]
    images: int


class Task(Protocol):
    """Protocol of a training stage.

    Attributes
    ----------
    network : nn.Module
        Network to train, on `training_device()`. Its class is in `shls_train.engine.checkpoint.NETWORKS`.
    inputs : dict
        Properties of the training data. A run is resumed only with equal inputs.

    Examples
    --------
    >>> class Slope:  # learns to answer 3 for an input of 1
    ...     network = nn.Linear(1, 1)
    ...     inputs: dict[str, Any] = {}
    ...     def batch(self, step: int) -> Tensor:
    ...         return torch.ones(1, 1)
    ...     def loss(self, batch: Tensor) -> Losses:
    ...         return Losses((self.network(batch) - 3).square().mean(), {}, images=1)
    >>> task: Task = Slope()
    >>> task.loss(task.batch(0)).images
    1
    """

    @property
    def network(self) -> nn.Module: ...

    @property
    def inputs(self) -> dict[str, Any]: ...

    def batch(self, step: int) -> Any:
        """Make the data of a step, on the CPU, from the seed and the step. A background thread calls this method."""

    def loss(self, batch: Any) -> Losses:
        """Run the network in training mode on a batch. The optimiser minimises the mean over all processes."""


@runtime_checkable
class Validated(Protocol):
    """Protocol of a task that validates its network on held-out data.

    Examples
    --------
    >>> class Constant:
    ...     def validate(self) -> dict[str, float]:
    ...         return {"J": 0.8}
    >>> isinstance(Constant(), Validated)
    True
    """

    def validate(self) -> dict[str, float]:
        """Measure the network, in evaluation mode; return scores by name."""


@runtime_checkable
class Illustrated(Protocol):
    """Protocol of a task that draws pictures of its network's results.

    Examples
    --------
    >>> class Empty:
    ...     def pictures(self, folder: Path, step: int) -> None:
    ...         (folder / f"step-{step:06d}.png").write_bytes(b"")
    >>> isinstance(Empty(), Illustrated)
    True
    """

    def pictures(self, folder: Path, step: int) -> None:
        """Write PNG files whose names contain the step. The network is in evaluation mode."""


def mixed_precision(device: torch.device) -> torch.autocast:
    """Autocast to bfloat16, which needs no loss scaling.

    Examples
    --------
    >>> with mixed_precision(torch.device("cpu")):
    ...     nn.Linear(2, 2)(torch.ones(1, 2)).dtype
    torch.bfloat16
    """
    return torch.autocast(device.type, torch.bfloat16)


def fit(task: Task, out: Path, recipe: Schedule, report: Callable[[Progress], None]) -> Path:
    """Start or resume a training run and train it to its last step.

    The folder receives ``log.csv`` with one row per step, TensorBoard event files and the newest two checkpoints.
    At each checkpoint the task may add a row to ``validation.csv`` and files to ``pictures/``.
    With several processes, process 0 writes all files. All processes must be able to read the folder.

    Parameters
    ----------
    task : Task
        Network, data and loss.
    out : Path
        Training folder. A run in it is resumed from its newest checkpoint.
    recipe : Schedule
        Recipe of the stage. All fields are stored in the checkpoints.
    report : callable
        Function that receives a `Progress` after each step.

    Returns
    -------
    Path
        The last checkpoint.

    Raises
    ------
    BadInput
        If `out` contains a run with another recipe or other inputs, or cannot be written.
    TrainingFailed
        If the loss or a weight is not finite, or all features are equal. The last good checkpoint remains.

    Examples
    --------
    >>> last = fit(task, Path("runs/edge"), TrainConfig(), print)  # doctest: +SKIP
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
                progress = progress._replace(validation=_validate_and_plot(task, out, progress.step))
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
    """Learning rate of a step: linear warm-up over the first tenth of the run, then a cosine decay to zero.

    Parameters
    ----------
    step : int
        Step, from 0 on.
    recipe : Schedule
        Number of steps and peak learning rate.

    Returns
    -------
    float
        Learning rate, 0 to ``recipe.lr``.

    Examples
    --------
    >>> recipe = Schedule(steps=100, lr=0.1)
    >>> [round(learning_rate(step, recipe), 3) for step in (0, 9, 55, 99)]
    [0.01, 0.1, 0.05, 0.0]
    """
    warm = max(1, recipe.steps // 10)
    if step < warm:
        return recipe.lr * (step + 1) / warm
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, recipe.steps - warm)))


def _optimise(
    task: Task, optimizer: torch.optim.Optimizer, batch: Any, step: int, recipe: Schedule, out: Path
) -> Progress:
    """Do one optimiser step; raise TrainingFailed if the loss is not finite."""
    lr = learning_rate(step, recipe)
    for group in optimizer.param_groups:
        group["lr"] = lr
    torch.manual_seed(_seed_of(recipe.seed, step))
    try:
        losses = task.loss(batch)
    except TrainingFailed as failed:
        raise TrainingFailed(f"step {step + 1}: {failed}. {_advice(out)}") from failed
    loss, *values = average([losses.loss.item(), *losses.scalars.values()])
    if not math.isfinite(loss):
        raise TrainingFailed(f"step {step + 1}: loss is not finite (got {loss}). {_advice(out)}")
    optimizer.zero_grad(set_to_none=True)
    losses.loss.backward()
    average_gradients(task.network)
    optimizer.step()
    scalars = dict(zip(losses.scalars, values, strict=True))
    return Progress(step + 1, loss, scalars, lr, losses.images * processes(), 0.0, {})


def _validate_and_plot(task: Task, out: Path, step: int) -> dict[str, float]:
    """Check that all weights are finite; in process 0 also validate the network and draw pictures."""
    if not all(bool(tensor.isfinite().all()) for tensor in task.network.state_dict().values()):
        raise TrainingFailed(f"step {step}: a weight is not finite. {_advice(out)}")
    if rank() > 0:
        return {}
    task.network.eval()
    found = task.validate() if isinstance(task, Validated) else {}
    if isinstance(task, Illustrated):
        task.pictures(out / "pictures", step)
    task.network.train()
    return found


def _advice(out: Path) -> str:
    """Tell the user which checkpoint is left and what to do."""
    last = newest_checkpoint(out)
    return f"The last good checkpoint is {last or 'none'}. Start a new run with a smaller --lr."


def _seed_of(seed: int, step: int) -> int:
    """Seed of torch's random numbers, different for each step and process."""
    return int(np.random.SeedSequence([seed, step, rank()]).generate_state(1)[0])


def _parameter_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Split parameters: weight decay for convolutions, none for biases and batch normalisation."""
    convolutions = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": convolutions, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{out}: training folder cannot be created ({error.strerror}). Choose another --out.") from error


def _resume(out: Path, recipe: Schedule, task: Task, optimizer: torch.optim.Optimizer) -> int:
    """Load the newest checkpoint and return its step; 0 without a checkpoint."""
    if newest_checkpoint(out) is None:
        return 0
    checkpoint = load_checkpoint(out)
    meta = checkpoint.meta
    stored, given = meta["config"] | meta.get("inputs", {}), asdict(recipe) | task.inputs
    different = [name for name in stored | given if stored.get(name) != given.get(name)]
    if different:
        got = ", ".join(f"{name} {given.get(name)}" for name in different)
        expected = ", ".join(f"{name} {stored.get(name)}" for name in different)
        raise BadInput(f"{out}: settings differ from the run's (got {got}, expected {expected}). Choose another --out.")
    load_weights(task.network, checkpoint)
    load_optimizer(optimizer, checkpoint)
    return int(checkpoint.meta["step"])


def _meta(step: int, recipe: Schedule, task: Task) -> dict[str, Any]:
    """Metadata of a checkpoint."""
    return {"step": step, "config": asdict(recipe), "inputs": task.inputs, "torch": torch.__version__}


class _Batches:
    """Batches that one background thread prepares (OpenCV and the numba kernels release the GIL)."""

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
