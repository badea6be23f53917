"""Scores of a sequence by the semi-supervised protocol: J and F per object, and errors about its presence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..errors import BadInput
from .metrics import Score, boundary_f, jaccard, object_ids

PRESENT = 16
"""Area from which an object counts as present, pixels of the annotation; an object without a pixel is absent."""


class Rate(NamedTuple):
    """Number of frames with an error, and number of frames in which the error was possible.

    Examples
    --------
    >>> Rate(3, 12).share
    0.25
    """

    frames: int
    of: int

    @property
    def share(self) -> float:
        """Share of the frames with the error, 0 to 1; 0 where the error was impossible."""
        return self.frames / self.of if self.of else 0.0


class Presence(NamedTuple):
    """Errors about the presence of objects; each object counts separately in each annotated frame after its first.

    Attributes
    ----------
    lost, present : int
        Frames in which a present object has no pixel in the result, and all frames with a present object. An object
        is present if its annotation has at least `PRESENT` pixels.
    alarms, absent : int
        Frames in which an absent object has pixels in the result, and all frames with an absent object.

    Examples
    --------
    >>> Presence(1, 8, 2, 4) + Presence(0, 2, 0, 0)
    Presence(lost=1, present=10, alarms=2, absent=4)
    """

    lost: int = 0
    present: int = 0
    alarms: int = 0
    absent: int = 0

    def __add__(self, other: Presence) -> Presence:  # type: ignore[override]  # of counts, not of tuples
        return Presence(*map(sum, zip(self, other, strict=True)))

    @property
    def false_loss(self) -> Rate:
        """Frames with a present object that is not drawn."""
        return Rate(self.lost, self.present)

    @property
    def false_alarm(self) -> Rate:
        """Frames with an absent object that is drawn."""
        return Rate(self.alarms, self.absent)


class SequenceScorer:
    """Compare the masks of a sequence with its annotations, one frame at a time.

    An object is scored in the annotated frames after its first annotation, which is given to the segmenter. J and F
    leave out the last annotated frame of the sequence, as the published evaluation of DAVIS does.

    Parameters
    ----------
    late : bool
        Score objects that are first annotated in a later frame, too. They must have been marked there.

    Attributes
    ----------
    presence : dict of int to Presence
        Object id -> errors about its presence.

    Examples
    --------
    >>> truth = np.zeros((20, 20), np.uint8)
    >>> truth[5:10, 5:10] = 1
    >>> scorer = SequenceScorer()
    >>> for prediction in (truth, truth, truth * 0, truth):
    ...     scorer.add(prediction, truth)
    >>> scorer.scores(), scorer.presence
    ({1: Score(j=0.5, f=0.5)}, {1: Presence(lost=1, present=3, alarms=0, absent=0)})
    """

    def __init__(self, late: bool = True) -> None:
        self._late = late
        self.presence: dict[int, Presence] = {}
        self._frames: dict[int, list[Score]] = {}
        self._waiting: tuple[np.ndarray, np.ndarray, list[int]] | None = None
        self._count = 0
        self._repeats = False

    @property
    def scorable(self) -> bool:
        """True if the sequence has scores: at least 3 annotations, of which not each is for new objects only."""
        return self._count >= 3 and self._repeats

    @property
    def unscored(self) -> list[int]:
        """Ids of the objects without a score, because they are first annotated in the last two frames."""
        return [k for k, frames in sorted(self._frames.items()) if not frames]

    def add(self, prediction: np.ndarray, truth: np.ndarray) -> None:
        """Add the next annotated frame.

        Parameters
        ----------
        prediction, truth : ndarray
            (H, W) uint8, object id per pixel. Void pixels (255) of the annotation count as background.

        Raises
        ------
        BadInput
            If the first annotation has no object.
        ShapeMismatch
            If the two differ in size.
        """
        if self._waiting is not None:
            self._score(*self._waiting)
        known = list(self._frames)
        self._waiting = (prediction, truth, known) if self._count else None
        for k in known:
            self.presence[k] += _presence(prediction == k, truth == k)
        ids = object_ids(truth)
        new = [k for k in ids if k not in self._frames]
        self._repeats |= self._count > 0 and (not new or len(new) < len(ids))
        for k in new if self._late or not self._count else []:
            self._frames[k], self.presence[k] = [], Presence()
        if not self._frames:
            raise BadInput("first annotation: has no object (got background only). Mark an object in it")
        self._count += 1

    def scores(self) -> dict[int, Score]:
        """Return object id -> mean J and F, without the objects in `unscored`.

        Raises
        ------
        BadInput
            If fewer than 3 frames were added.
        """
        if self._count < 3:
            raise BadInput(
                f"annotations: too few (got {self._count}, expected at least 3). The first and the last do not count"
            )
        return {k: Score(*map(float, np.mean(frames, axis=0))) for k, frames in sorted(self._frames.items()) if frames}

    def _score(self, prediction: np.ndarray, truth: np.ndarray, objects: list[int]) -> None:
        for k in objects:
            found, true = prediction == k, truth == k
            self._frames[k].append(Score(jaccard(found, true), boundary_f(found, true)))


def sequence_scores(predictions: Iterable[np.ndarray], truths: Iterable[np.ndarray]) -> dict[int, Score]:
    """Score a sequence as `SequenceScorer` does, but only the objects of its first annotation.

    Parameters
    ----------
    predictions, truths : iterable of ndarray
        (H, W) uint8, object id per pixel, one of each per annotated frame; read one by one.

    Returns
    -------
    dict of int to Score
        Object id -> mean J and F.

    Raises
    ------
    BadInput
        If there are fewer than three frames, or the first annotation has no object.
    ShapeMismatch
        If a prediction and its annotation differ in size.

    Examples
    --------
    >>> truth = np.zeros((20, 20), np.uint8)
    >>> truth[5:10, 5:10] = 1
    >>> sequence_scores([truth] * 3, [truth] * 3)
    {1: Score(j=1.0, f=1.0)}
    """
    scorer = SequenceScorer(late=False)
    for prediction, truth in zip(predictions, truths, strict=True):
        scorer.add(prediction, truth)
    return scorer.scores()


def _presence(found: np.ndarray, true: np.ndarray) -> Presence:
    """Return the counts of one object in one frame."""
    area, drawn = np.count_nonzero(true), bool(found.any())
    if area >= PRESENT:
        return Presence(lost=int(not drawn), present=1)
    return Presence(alarms=int(drawn), absent=1) if area == 0 else Presence()
