"""Calibration inputs of a prompter: crops that it receives while simulated users mark the objects of some frames."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from shls.runtime.backends.base import PromptNetwork, Session
from shls.runtime.errors import BadInput
from shls.runtime.evaluation.clicks import next_click
from shls.runtime.prompts.network import NetworkSolver
from shls.runtime.prompts.prompt import Prompt

from .crops import CropSamples, Marked, choose

CLICKS = 3
"""Clicks on each object."""


def record_prompts(clips: Iterable[Marked], embedding: Session, network: PromptNetwork, count: int) -> CropSamples:
    """Mark the objects of the first frames of some clips by a box and by clicks, and keep the network's inputs.

    Parameters
    ----------
    clips
        Clips with first masks; their sizes may differ.
    embedding, network
        Two networks that were trained together.
    count
        Number of crops to keep, spread evenly over all crops. All crops are kept if there are fewer.

    Raises
    ------
    BadInput
        If there is no object.

    Examples
    --------
    >>> crops = record_prompts([clip], open_session(embedding), open_prompter(prompter), 32)  # doctest: +SKIP
    """
    recorder = PromptRecorder(network)
    solver = NetworkSolver(embedding, recorder)
    for clip in clips:
        for k in np.unique(clip.mask[clip.mask > 0]):
            for prompt in user_prompts(clip.frames[0], clip.mask == k, solver):
                solver(clip.frames[0], prompt)
    if not recorder.seen:
        raise BadInput("calibration frames: there is no object in any of them. Give another mask")
    images, features = (np.stack(parts) for parts in zip(*recorder.seen, strict=True))
    return choose(images, features, count)


def user_prompts(image: np.ndarray, truth: np.ndarray, solver: NetworkSolver) -> list[Prompt]:
    """Simulate how a user marks an object: by its box, and by clicks into the largest error.

    Parameters
    ----------
    image
        (H, W, 3) uint8 RGB.
    truth
        (H, W) bool, the object.
    solver
        Gives the masks that the clicks correct.

    Examples
    --------
    >>> prompts = user_prompts(image, truth, solver)  # doctest: +SKIP
    """
    x, y, w, h = cv2.boundingRect(truth.astype(np.uint8))
    prompts, prompt, found = [Prompt(boxes=((x, y, w, h),))], Prompt(), np.zeros_like(truth)
    for _ in range(CLICKS):
        click = next_click(truth, found)
        if click is None:
            break
        point, positive = click
        on, off = ((*prompt.points, point), ()) if positive else (prompt.points, (point,))
        prompt = Prompt(points=on, negative_points=(*prompt.negative_points, *off))
        prompts.append(prompt)
        found = solver(image, prompt)
    return prompts


class PromptRecorder:
    """A prompter that records its inputs; implements `shls.runtime.backends.base.PromptNetwork`.

    Attributes
    ----------
    seen
        Crop and features of each run.

    Parameters
    ----------
    network
        The prompter that computes the logits.

    Examples
    --------
    >>> recorder = PromptRecorder(open_prompter(Path("prompter.onnx")))  # doctest: +SKIP
    """

    def __init__(self, network: PromptNetwork) -> None:
        self.contract, self.backend = network.contract, network.backend
        self.seen: list[tuple[np.ndarray, np.ndarray]] = []
        self._network = network

    def run(self, crop: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Record the inputs and return the prompter's logits, (S / 2, S / 2) float32."""
        self.seen.append((crop, features))
        return self._network.run(crop, features)
