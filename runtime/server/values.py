"""Values of a session that its parts pass to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..types import Frame, Mask
from .drafts import MarkRequest

State = Literal["starting", "playing", "paused", "ended"]
"""State of a session."""


@dataclass(frozen=True)
class Shown:
    """Picture that the viewers see.

    Attributes
    ----------
    number : int
        Number of the picture; grows with each change.
    frame : Frame
        Frame of the source.
    mask : Mask
        Objects of the frame.
    known : bool
        Whether the objects were followed in this frame.

    Examples
    --------
    >>> frame = Frame(np.zeros((2, 3, 3), np.uint8), 7, 0.28, "00007")
    >>> Shown(1, frame, Mask(np.zeros((2, 3), np.uint8), {}), known=False).frame.index
    7
    """

    number: int
    frame: Frame
    mask: Mask
    known: bool


@dataclass(frozen=True)
class Draft:
    """Mask of an object that a person has not accepted yet.

    Attributes
    ----------
    request : MarkRequest
        Prompt of the mask.
    frame : int
        Number of the frame.
    mask : ndarray
        (H, W) bool.
    fresh : bool
        Whether no earlier mask of the object was corrected.

    Examples
    --------
    >>> int(Draft(MarkRequest(), 7, np.ones((2, 3), bool), fresh=True).mask.sum())
    6
    """

    request: MarkRequest
    frame: int
    mask: np.ndarray
    fresh: bool
