"""Masks from prompts by the prompter network, and the choice between the network and GrabCut."""

from __future__ import annotations

from pathlib import Path
from threading import RLock

import cv2
import numpy as np

from ..backends.base import PromptNetwork, Session, open_prompter
from ..backends.pretrained import shipped_prompter
from ..errors import ContractMismatch
from ..features.preprocess import to_input
from .crop import Marks, Window, cut, probability, put_back, window_of
from .grab_cut import mask_from_prompt
from .outline import outlined
from .prompt import Prompt, Solver, clip_box, pixel_of

POINT_RADIUS = 0.015
"""Radius around a point that certainly is on the object, or is not, ratio of the window's longer side."""


def open_solver(session: Session, prompter: Path | None = None, threads: int = 0, device: str = "auto") -> Solver:
    """Choose how the objects of prompts are found: by the prompter network, or by GrabCut without one.

    Parameters
    ----------
    session : embedding network
    prompter : model of the prompter; by default the shipped one, if it was trained with this embedding
    threads, device : see `shls.runtime.backends.base.open_session`

    Returns
    -------
    Function of an image, (H, W, 3) uint8 RGB, and a `Prompt` to a mask, (H, W) bool.

    Raises
    ------
    ShlsError
        If the model cannot be opened, or was trained with another embedding.

    Examples
    --------
    >>> from shls.runtime.backends.base import open_session
    >>> from shls.runtime.backends.pretrained import SHIPPED_MODEL
    >>> solve = open_solver(open_session(SHIPPED_MODEL, threads=1, device="cpu"), device="cpu")
    >>> image = np.full((60, 80, 3), 90, np.uint8)
    >>> image[20:40, 30:60] = 220, 180, 30
    >>> solve(image, Prompt(boxes=((28, 18, 34, 24),))).shape
    (60, 80)
    """
    found = prompter or shipped_prompter(session.contract, device)
    return mask_from_prompt if found is None else NetworkSolver(session, open_prompter(found, threads, device))


class NetworkSolver:
    """Finds the object of a prompt with the prompter network; a `Solver`.

    The features of the last image are kept, so that further prompts for it cost one or two runs of the small network.
    Calls from several threads are carried out one after the other.

    Parameters
    ----------
    session : embedding network
    network : prompter that was trained with it

    Raises
    ------
    ContractMismatch
        If the prompter was trained with another embedding.

    Examples
    --------
    See `open_solver`.
    """

    def __init__(self, session: Session, network: PromptNetwork) -> None:
        theirs, ours = network.contract.embedding_sha256, session.contract.checkpoint_sha256
        if network.contract.dim != session.contract.channels or (theirs and ours and theirs != ours):
            raise ContractMismatch(
                f"prompter: was trained with another embedding (got {theirs[:12]} of {network.contract.dim} channels, "
                f"expected {ours[:12]} of {session.contract.channels}). Use the two that belong together"
            )
        self.session, self.network = session, network
        self._lock = RLock()
        self._known: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(self, image: np.ndarray, prompt: Prompt) -> np.ndarray:
        """Find the object that a prompt describes, (H, W) bool; see `mask_from_prompt` for meaning and errors."""
        size = image.shape[0], image.shape[1]
        prompt.check(size)
        if not prompt.points and not prompt.negative_points and prompt.mask is not None:
            return mask_from_prompt(image, prompt)
        marks, drawn = _resolve(prompt, size)
        parts = [marks] if marks.points or marks.negatives else [Marks([box], [], []) for box in marks.boxes]
        with self._lock:
            features = self._describe(image)
            found = np.zeros(size, bool)
            for part in parts:
                found |= _finish(self._solve(image, features, part, drawn), part)
        return found if found.any() else mask_from_prompt(image, prompt)

    def _solve(self, image: np.ndarray, features: np.ndarray, marks: Marks, last: np.ndarray | None) -> np.ndarray:
        """Return the mask of the object, (H, W) bool, which need not agree with the prompt yet."""
        size = image.shape[0], image.shape[1]
        for step in _steps(marks, last):
            window = window_of(size, step, last)
            logits = self.network.run(*cut(image, features, window, step, last, self.network.contract))
            last = probability(put_back(logits, window, size))
        assert last is not None
        return outlined(image, _agreeing(last, marks, window), window)

    def _describe(self, image: np.ndarray) -> np.ndarray:
        """Return the embedding's map of an image, which is computed once."""
        if self._known is None or not np.array_equal(self._known[0], image):
            self._known = image.copy(), self.session.run(to_input(image, self.session.contract))
        return self._known[1]


def _resolve(prompt: Prompt, size: tuple[int, int]) -> tuple[Marks, np.ndarray | None]:
    """Round and clip a prompt to the pixels of the frame; return also the given mask, (H, W) float32 or None."""
    boxes = [(x, y, x + width, y + height) for x, y, width, height in (clip_box(box, size) for box in prompt.boxes)]
    points, negatives = (
        [pixel_of(point, size) for point in given] for given in (prompt.points, prompt.negative_points)
    )
    drawn = prompt.drawn(size)
    return Marks(boxes, points, negatives), None if drawn is None else drawn.astype(np.float32)


def _steps(marks: Marks, last: np.ndarray | None) -> list[Marks]:
    """List the marks of each run: without a mask, first the boxes or the first point alone, then all marks.

    The network was trained on clicks that correct a mask.
    """
    if last is not None:
        return [marks]
    first = Marks(marks.boxes, [] if marks.boxes else marks.points[:1], [])
    return [first] if marks.boxes and first == marks else [first, marks]


def _agreeing(found: np.ndarray, marks: Marks, window: Window) -> np.ndarray:
    """Return probabilities, (H, W), that are certain near points, and 0 outside of boxes that contain all points."""
    found, radius = found.copy(), max(1, round(POINT_RADIUS * max(window[2] - window[0], window[3] - window[1])))
    inside = _inside(found.shape, marks)
    if marks.boxes and all(inside[y, x] for x, y in marks.points):
        found[~inside] = 0
    for points, value in ((marks.points, 1.0), (marks.negatives, 0.0)):
        for point in points:
            cv2.circle(found, point, radius, value, -1)
    return found


def _inside(size: tuple[int, ...], marks: Marks) -> np.ndarray:
    """Tell which pixels are in a box, (H, W) bool."""
    inside = np.zeros(size, bool)
    for left, top, right, bottom in marks.boxes:
        inside[top:bottom, left:right] = True
    return inside


def _finish(mask: np.ndarray, marks: Marks) -> np.ndarray:
    """Change a mask, (H, W) bool, in place so that it agrees with the prompt."""
    if marks.boxes:
        inside = _inside(mask.shape, marks)
        _, parts = cv2.connectedComponents((mask & ~inside).astype(np.uint8))
        beyond = {parts[y, x] for x, y in marks.points} - {0}
        mask &= inside | np.isin(parts, list(beyond))
    for x, y in marks.points:
        mask[y, x] = True
    for x, y in marks.negatives:
        mask[y, x] = False
    return mask
