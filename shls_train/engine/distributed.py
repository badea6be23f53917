"""Data-parallel training: shares of a batch per process, and communication between the processes.

Under ``torchrun`` every process computes its share of each batch. Batch statistics, negatives of the losses and
gradients cover all shares. The result equals training in one process with the whole batch, up to rounding.
Without ``torchrun`` every function of this module has no effect.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # before a group exists, see `process_group`
from torch import Tensor, nn

from shls.runtime.errors import BadInput

Module = TypeVar("Module", bound=nn.Module)


def processes() -> int:
    """Count the training processes (the world size).

    Examples
    --------
    >>> processes()
    1
    """
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Index of this process, from 0 on. Process 0 writes all files.

    Examples
    --------
    >>> rank()
    0
    """
    return dist.get_rank() if dist.is_initialized() else 0


def training_device() -> torch.device:
    """Device of this process: its own GPU if CUDA is available, else the CPU.

    Examples
    --------
    >>> training_device().type in ("cpu", "cuda")
    True
    """
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


@contextmanager
def process_group() -> Iterator[None]:
    """Join the process group of ``torchrun`` (NCCL between GPUs, Gloo between CPUs) and leave it at the end.

    Leaving the group stops its threads only if nothing else refers to the group. The functions of
    ``torch.distributed.nn.functional`` keep the group that exists when that module is imported, and optimisers import
    it. This module therefore imports it first. Otherwise a Gloo thread may still run when Python ends, which aborts
    the process.

    Examples
    --------
    >>> with process_group():
    ...     print(processes())
    1
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    device = training_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def share(count: int) -> range:
    """Indices of a step's samples that this process computes.

    Parameters
    ----------
    count : int
        Samples (pairs of views or clips) per step, over all processes.

    Returns
    -------
    range
        This process's indices, ``count / processes()`` of them.

    Raises
    ------
    BadInput
        If `count` is not a multiple of the number of processes.

    Examples
    --------
    >>> share(6)
    range(0, 6)
    """
    if count % processes():
        raise BadInput(
            f"batch: samples cannot be split evenly (got {count} pairs or clips per step, expected a multiple of "
            f"{processes()} processes). Change --batch or --clips."
        )
    each = count // processes()
    return range(rank() * each, (rank() + 1) * each)


def gather(x: Tensor) -> Tensor:
    """Concatenate a tensor of all processes along the first axis, with gradient.

    Parameters
    ----------
    x : Tensor
        This process's part. The shape must be the same in all processes.

    Returns
    -------
    Tensor
        The parts in the order of the ranks; `x` itself with a single process.

    Examples
    --------
    >>> gather(torch.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    return x if processes() == 1 else _GatherWithGradient.apply(x)  # type: ignore[no-any-return,no-untyped-call]


def total(x: Tensor) -> Tensor:
    """Sum a tensor over all processes, with gradient.

    Examples
    --------
    >>> total(torch.tensor(3.0))
    tensor(3.)
    """
    return x if processes() == 1 else _SumWithGradient.apply(x)  # type: ignore[no-any-return,no-untyped-call]


def average_gradients(network: nn.Module) -> None:
    """Average the gradients of a network over all processes, in place and in one message.

    Examples
    --------
    >>> network = nn.Linear(1, 1)
    >>> network(torch.ones(1, 1)).sum().backward()
    >>> average_gradients(network)
    >>> network.bias.grad
    tensor([1.])
    """
    if processes() == 1:
        return
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    message = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(message)
    message /= processes()
    for gradient, mean in zip(gradients, message.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def average(values: list[float]) -> list[float]:
    """Average scalars for the log over all processes.

    Examples
    --------
    >>> average([0.5, 2.0])
    [0.5, 2.0]
    """
    if processes() == 1:
        return values
    message = torch.tensor(values, dtype=torch.float64, device=_message_device())
    dist.all_reduce(message)
    return (message / processes()).tolist()  # type: ignore[no-any-return]


def wait() -> None:
    """Wait until all processes have reached this call (a barrier).

    Examples
    --------
    >>> wait()
    """
    if processes() > 1:
        dist.all_reduce(torch.zeros(1, device=_message_device()))


def synchronise_norms(module: Module) -> Module:
    """Make batch normalisation use the statistics of all processes, in place.

    Parameters
    ----------
    module : nn.Module
        Network whose BatchNorm1d and BatchNorm2d layers are replaced. Names and values of parameters remain.

    Returns
    -------
    nn.Module
        `module`; unchanged with a single process.

    Examples
    --------
    >>> type(synchronise_norms(nn.Sequential(nn.BatchNorm2d(3)))[0]).__name__
    'BatchNorm2d'
    """
    if processes() == 1:
        return module
    for name, child in module.named_children():
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
            setattr(module, name, _SyncedBatchNorm(child))
        else:
            synchronise_norms(child)
    return module


class _SyncedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over all processes, on CPUs and with unequal batches; torch.nn.SyncBatchNorm needs GPUs."""

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.load_state_dict(norm.state_dict())
        self.to(norm.weight.device)

    def _check_input_dim(self, _: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        axes, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
        y = x.float()
        count = total(torch.tensor(float(y.numel() // y.shape[1]), device=y.device))
        mean = total(y.sum(axes)) / count
        centred = y - mean.view(shape)
        variance = total((centred**2).sum(axes)) / count
        self._update_running_statistics(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        scale = (variance + self.eps).rsqrt() * self.weight
        return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)

    def _update_running_statistics(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


class _GatherWithGradient(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        parts = [torch.empty_like(x) for _ in range(processes())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)  # the loss of every process depends on this part
        return gradient.chunk(processes())[rank()]


class _SumWithGradient(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient


def _message_device() -> torch.device:
    return training_device() if dist.get_backend() == "nccl" else torch.device("cpu")
