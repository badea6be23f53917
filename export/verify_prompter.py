"""Compare two prompters: logits on the same crops, and the masks that prompts lead to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from shls.calib.prompts import PromptRecorder, user_prompts
from shls.runtime.backends.base import PromptNetwork, Session, contract_of, open_prompter
from shls.runtime.errors import BadInput, ShapeMismatch
from shls.runtime.evaluation.metrics import jaccard
from shls.runtime.models.contract import PrompterContract
from shls.runtime.prompts.network import NetworkSolver

from .verdict import Difference, Tolerance, Verdict
from .verify import is_checkpoint
from .worst_frames import draw_worst


def is_prompter(model: Path) -> bool:
    """Return True if a checkpoint or an exported model is a prompter, False if it is another network.

    Raises
    ------
    BadInput, ContractMismatch
        If the file cannot be read.

    Examples
    --------
    >>> from shls.runtime.backends.pretrained import ASSETS, EXACT_PROMPTER
    >>> is_prompter(ASSETS / EXACT_PROMPTER)
    True
    """
    if not is_checkpoint(model):
        return isinstance(contract_of(model), PrompterContract)
    from .refiner_to_onnx import is_prompter as is_prompters_checkpoint

    return is_prompters_checkpoint(model)


def open_prompters(a: Path, b: Path, threads: int = 0) -> tuple[PromptNetwork, PromptNetwork]:
    """Open two prompters, each an exported model or a checkpoint.

    Parameters
    ----------
    a, b
        Model files, checkpoint files or training folders.
    threads
        CPU threads of exported models; 0 uses all cores.

    Raises
    ------
    ContractMismatch, BadInput
        If a prompter cannot be opened.
    ShapeMismatch
        If the crops of the two prompters differ in size.

    Examples
    --------
    >>> a, b = open_prompters(Path("runs/prompter"), Path("prompter.onnx"))  # doctest: +SKIP
    """
    first, second = (_open(path, threads) for path in (a, b))
    if first.contract.inputs != second.contract.inputs:
        raise ShapeMismatch(
            f"{a} and {b}: inputs differ (got {first.contract.inputs} and {second.contract.inputs}). "
            "Give two prompters of the same crops"
        )
    return first, second


def compare_prompters(
    a: PromptNetwork,
    b: PromptNetwork,
    embedding: Session,
    images: Sequence[np.ndarray],
    mask: np.ndarray | None,
    tolerance: Tolerance,
    pictures: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Mark the objects of a first frame by boxes and clicks with each of two prompters and measure the differences.

    Parameters
    ----------
    a, b
        Two prompters that take the same crops.
    embedding
        The embedding that both prompters were trained with.
    images, mask, tolerance, pictures, progress
        See `shls.export.verify.compare`; only the first frame is used. A row of the verdict is a prompt.

    Raises
    ------
    BadInput
        If there is no mask.

    Examples
    --------
    >>> compare_prompters(a, b, embedding, images, mask, Tolerance(0.99, 0.95)).broken()  # doctest: +SKIP
    []
    """
    if mask is None:
        raise BadInput("mask: missing; prompters are compared on objects. Give --mask with the objects of the frame")
    recorder, image = PromptRecorder(a), images[0]
    solvers = NetworkSolver(embedding, recorder), NetworkSolver(embedding, b)
    differences: list[Difference] = []
    labels: list[list[np.ndarray]] = []
    for k in np.unique(mask[mask > 0]):
        for prompt in user_prompts(image, mask == k, solvers[0]):
            recorder.seen.clear()
            masks = [solver(image, prompt) for solver in solvers]
            pairs = [(a.run(*inputs), b.run(*inputs)) for inputs in recorder.seen]
            differences.append(_difference(len(differences), pairs, jaccard(masks[0], masks[1])))
            labels.append([found.astype(np.uint8) * k for found in masks])
    if progress:
        progress(len(images))
    verdict = Verdict(differences, tolerance, "logits", "crops")
    draw_worst(verdict, [image] * len(differences), labels, pictures)
    return verdict


def _difference(number: int, pairs: list[tuple[np.ndarray, np.ndarray]], iou: float) -> Difference:
    """Compare the logits of all runs for one prompt."""
    apart = np.concatenate([np.abs(a - b).ravel() for a, b in pairs])
    lengths = [max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12) for a, b in pairs]
    cosines = np.array([float((a * b).sum()) / length for (a, b), length in zip(pairs, lengths, strict=True)])
    return Difference(number, float(apart.max()), float(apart.mean()), float(cosines.mean()), cosines, iou)


def _open(path: Path, threads: int) -> PromptNetwork:
    if not is_checkpoint(path):
        return open_prompter(path, threads)
    from .torch_session import TorchPrompter  # imported late: exported models are compared without torch

    return TorchPrompter(path)
