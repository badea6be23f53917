"""Several processes as one: what each computes of a batch, and what they tell each other.

Started by ``torchrun``, every process takes its share of each batch. Batch normalisation counts over all shares, losses
compare with what the others have, gradients are averaged: the run is, up to rounding, the one of a single process with
the whole batch. Without ``torchrun`` nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from shls.runtime.errors import BadInput

Module = TypeVar("Module", bound=nn.Module)


def processes() -> int:
    """How many there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which one this is; the first writes all files."""
    return dist.get_rank() if dist.is_initialized() else 0


def training_device() -> torch.device:
    """Where this process trains: a GPU of its own, where there are any."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


@contextmanager
def joined() -> Iterator[None]:
    """Meet the other processes that ``torchrun`` started, if it did; nccl between GPUs, gloo between CPUs."""
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
    """This process's part of a step's `count` things; raises BadInput if they cannot be shared out evenly."""
    if count % processes():
        raise BadInput(f"{count} views or clips a step for {processes()} processes; choose a multiple")
    each = count // processes()
    return range(rank() * each, (rank() + 1) * each)


def gather(x: Tensor) -> Tensor:
    """What all processes have, one after the other along the first axis, with gradient; shapes must be equal."""
    return x if processes() == 1 else _Gather.apply(x)  # type: ignore[no-any-return,no-untyped-call]


def total(x: Tensor) -> Tensor:
    """The sum over all processes, with gradient."""
    return x if processes() == 1 else _Sum.apply(x)  # type: ignore[no-any-return,no-untyped-call]


def average_gradients(network: nn.Module) -> None:
    """Average what the processes found; all of it in one message, the networks are small."""
    if processes() == 1:
        return
    found = [p.grad for p in network.parameters() if p.grad is not None]
    message = torch.cat([g.flatten() for g in found])
    dist.all_reduce(message)
    message /= processes()
    for gradient, mean in zip(found, message.split([g.numel() for g in found]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def average(values: list[float]) -> list[float]:
    """Numbers to report, averaged over the processes."""
    if processes() == 1:
        return values
    message = torch.tensor(values, dtype=torch.float64, device=_message_device())
    dist.all_reduce(message)
    return (message / processes()).tolist()  # type: ignore[no-any-return]


def wait() -> None:
    """Until all processes are here."""
    if processes() > 1:
        dist.all_reduce(torch.zeros(1, device=_message_device()))


def synchronise_norms(module: Module) -> Module:
    """Let batch normalisation count over all processes, in place. Parameters and their names stay."""
    if processes() == 1:
        return module
    for name, child in module.named_children():
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
            setattr(module, name, _SharedNorm(child))
        else:
            synchronise_norms(child)
    return module


class _SharedNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over all processes, which may have different counts; torch's own needs GPUs."""

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
        self._remember(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        scale = (variance + self.eps).rsqrt() * self.weight
        return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        parts = [torch.empty_like(x) for _ in range(processes())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)  # every process has a loss that depends on this part
        return gradient.chunk(processes())[rank()]


class _Sum(torch.autograd.Function):
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
