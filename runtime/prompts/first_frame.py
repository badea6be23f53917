"""First mask of a run: from a mask file, or from one prompt per object."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import BadInput
from ..io.masks import read_objects
from ..io.objects import NamedMask
from ..types import MAX_OBJECTS
from .grab_cut import mask_from_prompt
from .prompt import Prompt
from .prompt import Solver as Solver  # for the callers of `first_mask`

NEARLY_ALL = 0.9
"""Ratio of the frame above which a mask is probably inverted."""

log = logging.getLogger("shls")


def first_mask(
    image: np.ndarray,
    mask: Path | NamedMask | None = None,
    prompts: Sequence[Prompt] = (),
    *,
    frame: int | None = None,
    solve: Solver = mask_from_prompt,
) -> NamedMask:
    """Make the mask to start from. A warning is logged if the mask covers more than 90 % of the frame.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB, the first frame
    mask : objects, or the file or folder of them, see `read_objects`; not together with prompts
    prompts : one prompt per object: ids 1, 2, ...; where objects overlap the smaller is on top
    frame : number of the first frame, by which JSON lines are chosen
    solve : finds the object of a prompt

    Returns
    -------
    NamedMask

    Raises
    ------
    BadInput
        If there is no object or more than 254, if a prompt is outside the frame, or if the mask is bad.

    Examples
    --------
    >>> image = np.full((40, 60, 3), 90, np.uint8)
    >>> found = first_mask(image, prompts=[Prompt("dog", boxes=((10, 10, 20, 15),))])
    >>> found.names, int(found.labels.sum())
    ({1: 'dog'}, 300)
    """
    if mask is not None and prompts:
        raise BadInput("objects: a mask together with prompts (got both, expected one of them). Leave one out")
    if isinstance(mask, Path):
        mask = read_objects(mask, (image.shape[0], image.shape[1]), frame)
    found = _from_prompts(image, prompts, solve) if mask is None else mask
    warn_if_nearly_all(found.labels, "objects")
    return found


def warn_if_nearly_all(labels: np.ndarray, what: str) -> None:
    """Log a warning if (H, W) labels cover more than 90 % of the frame.

    Examples
    --------
    >>> warn_if_nearly_all(np.zeros((4, 5), np.uint8), "mask.png")
    """
    covered = np.count_nonzero(labels) / labels.size
    if covered > NEARLY_ALL:
        log.warning(
            "%s: the mask covers %.0f %% of the frame. If the object is the other part, invert the mask.",
            what,
            np.floor(100 * covered),
        )


def _from_prompts(image: np.ndarray, prompts: Sequence[Prompt], solve: Solver) -> NamedMask:
    if not 0 < len(prompts) <= MAX_OBJECTS:
        raise BadInput(
            f"objects: wrong number (got {len(prompts)}, expected 1 to {MAX_OBJECTS}). "
            "Give a mask, or a box or a point on each object"
        )
    for prompt in prompts:
        prompt.check((image.shape[0], image.shape[1]))
        prompt.warn_if_outside((image.shape[0], image.shape[1]))
    parts = [solve(image, prompt) for prompt in prompts]
    for at, (prompt, part) in enumerate(zip(prompts, parts, strict=True), 1):
        if not part.any():
            raise BadInput(
                f"object {at} ({prompt.label}): nothing was found (got no pixel). Mark the object differently"
            )
    labels = np.zeros(image.shape[:2], np.uint8)
    for at in sorted(range(len(parts)), key=lambda at: np.count_nonzero(parts[at]), reverse=True):
        labels[parts[at]] = at + 1
    hidden = set(range(1, len(parts) + 1)) - set(np.unique(labels).tolist())
    if hidden:
        prompt = prompts[min(hidden) - 1]
        raise BadInput(
            f"object {min(hidden)} ({prompt.label}): smaller objects hide the object wholly (got no pixel of its own). "
            "Give each box or point on its own object"
        )
    return NamedMask(labels, {at: prompt.name for at, prompt in enumerate(prompts, 1) if prompt.name})
