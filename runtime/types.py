"""Values that pass from stage to stage.

Letters in shapes mean the same everywhere: H W frame, h w network map or half-resolution grid, C channels,
D superfeature length, N superpixels, K objects, M memory entries. Positions are x, y in frame pixels. Object id 0 is
the background.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import supervision

MAX_OBJECTS = 254
"""Largest number of objects; object ids are uint8 and 0 is the background."""

MIN_PROBABILITY = 1e-4
"""Probabilities are clipped to this value before they become odds, which would not be finite otherwise."""


class Frame(NamedTuple):
    """One picture of a video.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    index : int
        Position in the source, from 0.
    time : float
        Seconds since the first frame of the source.
    name : str
        File name without suffix for a source of image files; otherwise the index in five digits.

    Examples
    --------
    >>> Frame(np.zeros((2, 3, 3), np.uint8), 7, 0.28, "00007").name
    '00007'
    """

    image: np.ndarray
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    time: float
    name: str


class Superpixels(NamedTuple):
    """Partition of a frame into N connected regions.

    Parameters
    ----------
    labels : (H, W) int32
        0 to N - 1, all present, each 4-connected.
    centres : (N, 2) float32
        Mean x and y of each superpixel, pixels.
    areas : (N,) int32
        Pixels of each superpixel.

    Examples
    --------
    >>> whole = Superpixels(np.zeros((2, 2), np.int32), np.array([[0.5, 0.5]], np.float32), np.array([4], np.int32))
    >>> len(whole.areas)
    1
    """

    labels: np.ndarray
    centres: np.ndarray
    areas: np.ndarray


class Mask(NamedTuple):
    """Segmentation of one frame.

    Parameters
    ----------
    labels : (H, W) uint8
        Object id per pixel, 0 for the background.
    scores : dict of int to float
        Confidence by object id: mean probability over the object's pixels, 0 for an object that is not visible.

    Examples
    --------
    >>> mask = Mask(np.array([[0, 1]], np.uint8), {1: 0.9})
    >>> int((mask.labels == 1).sum())
    1
    """

    labels: np.ndarray
    scores: dict[int, float]

    def to_supervision(self) -> supervision.Detections:
        """Convert the visible objects to detections of the package `supervision`.

        Returns
        -------
        supervision.Detections
            One row per visible object, in the order of the ids: box, mask, confidence, and the object id as
            `tracker_id`. The object id is also `class_id`, by which annotators choose colours. The confidence of an
            object without a score is 1.

        Raises
        ------
        MissingDependency
            If `supervision` is not installed.

        Examples
        --------
        >>> found = Mask(np.array([[0, 2, 2]], np.uint8), {1: 0.0, 2: 0.9}).to_supervision()  # doctest: +SKIP
        >>> found.tracker_id.tolist(), found.xyxy.tolist()  # doctest: +SKIP
        ([2], [[1.0, 0.0, 2.0, 0.0]])
        """
        from ._support.extras import require

        require("supervision", "supervision")
        import supervision

        ids = np.unique(self.labels[self.labels > 0]).astype(int)
        inside = self.labels[None] == ids[:, None, None]  # (K, H, W)
        return supervision.Detections(
            xyxy=supervision.mask_to_xyxy(inside).astype(np.float32).reshape(-1, 4),
            mask=inside,
            confidence=np.array([self.scores.get(int(one), 1.0) for one in ids], np.float32),
            class_id=ids,
            tracker_id=ids.copy(),
        )


class Readout(NamedTuple):
    """Result of reading the memory for the superpixels of a frame.

    Parameters
    ----------
    probabilities : (N, K + 1) float32
        Rows sum to 1; column 0 is the background.
    attention : (N, K, 4) float32
        Cosine similarities, 0 to 1, for each object: its nearest voting entry, the nearest voting entry of anything
        else, its nearest prototype, the nearest prototype of anything else. 0 where there is none.
        Source: the published attention maps, with one neighbour instead of two.

    Examples
    --------
    >>> Readout(np.array([[0.25, 0.75]], np.float32), np.zeros((1, 1, 4), np.float32)).probabilities.tolist()
    [[0.25, 0.75]]
    """

    probabilities: np.ndarray
    attention: np.ndarray


class Crops(NamedTuple):
    """Crops of the V objects that are visible in a frame, as the refiner reads them.

    Parameters
    ----------
    planes : (h, w, K + 1) float32
        Probabilities on the grid that the crops were cut from.
    objects : (V,) int64
        Columns of `planes`.
    boxes : (V, 4) int64
        Left, top, right and bottom in cells of the grid, the last two exclusive.
    images : (V, C, S, S) float32
        See `shls.runtime.refinement.crops.CropChannel`.
    features : (V, D, S / stride, S / stride) float32
        The embedding's map, cut along the same boxes.
    """

    planes: np.ndarray
    objects: np.ndarray
    boxes: np.ndarray
    images: np.ndarray
    features: np.ndarray
