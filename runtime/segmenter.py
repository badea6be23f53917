"""Follows objects through a video, frame by frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ._support.stopwatch import Stopwatch
from ._support.threading_layer import in_turn
from .backends.base import Refiner, Session, open_refiner, open_session
from .backends.pretrained import ASSETS, EXACT, shipped_model, shipped_refiner
from .errors import BadInput, ContractMismatch, ShapeMismatch
from .features.encoder import EncodedFrame, FrameEncoder
from .geometry import fit, grid_of
from .memory.bank import MemoryBank
from .memory.manager import MemoryManager
from .memory.visibility import ObjectVisibility
from .models.contract import Contract, RefinerContract
from .refinement.crops import Scene, average
from .refinement.pixel_filter import decide, spread
from .refinement.reference_frames import ReferenceFrames, channels
from .refinement.refiner import refine_objects
from .types import Mask, Readout

SHIPPED_MODEL = ASSETS / EXACT
"""In fp32, the same everywhere; `open_segmenter` takes the fastest."""
MAX_OBJECTS = 254

LEARNED = 0.25
"""Weight of refined pixels' odds beside those that the memory read, in what it learns. As much of both, or their mean,
follows fast things better, but what leaks over an outline comes back with the next frame, and grows. Pixels tell
objects from the background; told to tell objects apart, too, they made the memory confuse those that are alike."""

UNLIKELY = np.float32(1e-4)
"""Least probability that counts in odds."""


def open_segmenter(
    model: Path | None = None,
    threads: int = 0,
    overlap: bool | None = None,
    device: str = "auto",
    refiner: Path | None = None,
    refined: bool = True,
) -> VideoSegmenter:
    """Load a model, by default the fastest shipped one, and make a segmenter of it.

    Parameters
    ----------
    model : path of an ONNX file written by `shls export`
    threads : CPU threads of the networks, 0 for all cores
    overlap : run superpixels and flow while the network runs; the masks are the same without. By default only
        beside a GPU: a network that has all cores gains nothing sure, and may lose (`benchmarks/overlap.py`
        prints both)
    device : what the networks run on, see `shls.runtime.backends.base.open_session`
    refiner : path of the second network; by default the shipped one, where it was trained with this embedding
    refined : whether to use a refiner at all
    """
    session = open_session(model or shipped_model(device), threads, device)
    found = (refiner or shipped_refiner(session.contract, device)) if refined else None
    return VideoSegmenter(session, None if found is None else open_refiner(found, threads, device), overlap)


class VideoSegmenter:
    """Objects in, masks out: `start` with the first mask, then `step` for each further frame.

    Between frames, `add` and `remove` change what is followed. It owns the session, the memories and nothing else.
    Not to be shared between threads.

    Attributes
    ----------
    session : the embedding network
    refiner : the network that decides pixels; without one, colours alone do
    stopwatch : time per stage of every frame so far
    """

    def __init__(self, session: Session, refiner: Refiner | None = None, overlap: bool | None = None) -> None:
        if refiner is not None:
            _check_pair(session.contract, refiner.contract)
        self.session, self.refiner = session, refiner
        self.stopwatch = Stopwatch()
        self._encoder = FrameEncoder(session, self.stopwatch, session.on_gpu if overlap is None else overlap)
        self._memory: MemoryManager | None = None
        self._references: ReferenceFrames | None = None
        self._size = (0, 0)

    @in_turn
    def start(self, image: np.ndarray, mask: np.ndarray) -> None:
        """Mark the objects to follow; what was followed before is forgotten.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB
        mask : (H, W) uint8
            Object id per pixel, 0 for the background; ids need not be consecutive.

        Raises
        ------
        ShapeMismatch
            If the image is not (H, W, 3), or the mask is of another size.
        BadInput
            If the mask marks no object, or more than 254, or the arrays are not uint8.
        """
        _check_image(image)
        ids = _ids_of(mask, image.shape[:2])
        self._size = image.shape[:2]
        self._encoder.restart()
        self._frame = self._encoder.encode(image, mask)
        self._memory, self._visibility = MemoryManager(), ObjectVisibility()
        refiner = self.refiner
        self._references = ReferenceFrames(refiner.contract) if refiner and refiner.contract.past else None
        self._take_in(self._memory, self._frame, mask, ids)
        self._mark(self._frame, mask, ids)
        self._last = Mask(mask, dict.fromkeys(ids.tolist(), 1.0))

    @in_turn
    def add(self, mask: np.ndarray) -> Mask:
        """Mark further objects in the last frame, or correct some of them.

        What is followed already goes on as it is. An object whose id is marked again is still known by its first mark;
        where it was thought to be lately is forgotten. To give its id to another thing, remove it first. Each call
        with new ids costs one more reading of a memory per frame, until its objects are removed.

        Parameters
        ----------
        mask : (H, W) uint8
            Object id per pixel of the last frame; 0 where nothing is said.

        Returns
        -------
        The last frame's mask with these objects in it.

        Raises
        ------
        ShapeMismatch, BadInput
            As `start`; and if there was no frame yet.
        """
        memories = self._started()
        ids = _ids_of(mask, self._size)
        if len(np.union1d(ids, memories.ids)) > MAX_OBJECTS + 1:
            raise BadInput(f"more than {MAX_OBJECTS} objects; remove some first")
        kept = np.where(np.isin(self._last.labels, ids), np.uint8(0), self._last.labels)
        labels = np.where(mask > 0, mask, kept)
        cut = self._encoder.cut(self._frame, labels)
        memories.correct(cut.features, cut.superpixels.centres, _shares(cut, labels, memories.ids[1:]), ids)
        new = np.setdiff1d(ids, memories.ids)
        if new.size:
            self._take_in(memories, cut, labels, new)
        self._mark(cut, labels, ids)
        scores = self._last.scores | dict.fromkeys(ids.tolist(), 1.0)
        self._last = Mask(labels, scores)
        return self._last

    def remove(self, object_id: int) -> Mask:
        """Follow an object no longer; give the last frame's mask without it. Raises BadInput if it is unknown."""
        memories = self._started()
        if object_id == 0 or object_id not in memories.ids:
            known = ", ".join(map(str, memories.ids[1:])) or "none"
            raise BadInput(f"object {object_id} is not followed; expected one of these: {known}")
        memories.remove(object_id)
        self._visibility.forget(object_id)
        if self._references:
            self._references.forget(object_id)
        labels = np.where(self._last.labels == object_id, np.uint8(0), self._last.labels)
        scores = {one: score for one, score in self._last.scores.items() if one != object_id}
        self._last = Mask(labels, scores)
        return self._last

    @in_turn
    def step(self, image: np.ndarray) -> Mask:
        """Find the objects in the next frame.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB, of the first frame's size

        Raises
        ------
        BadInput
            If no objects were marked, or the image is not uint8.
        ShapeMismatch
            If the image is of another size than the first.
        """
        _check_image(image)
        memories = self._started()
        if image.shape[:2] != self._size:
            raise ShapeMismatch(f"frame of {_size(image)} after frames of {self._size[1]}x{self._size[0]}; start again")
        self._frame = seen = self._encoder.encode(image)
        with self.stopwatch.time("memory"):
            centres = seen.superpixels.centres
            readout = memories.read(seen.features, self._encoder.trace(centres))
        with self.stopwatch.time("presence"):
            readout, last, doubt = self._visibility.judge(
                readout, seen.features, seen.superpixels, self._carried(seen, memories.ids), memories.ids
            )
        planes = self._decide_pixels(seen, readout, last)
        with self.stopwatch.time("remember"):
            learned = self._to_remember(seen, readout, planes) * (1 - doubt)[:, None]  # the rest votes for nobody
            memories.write(seen.features, centres, learned)
            if self._references:
                self._references.pass_on(seen.map)
        with self.stopwatch.time("decide"):
            mask = decide(planes, self._size)
        self._last = _renumbered(mask, memories.ids)
        return self._last

    def _carried(self, seen: EncodedFrame, ids: np.ndarray) -> np.ndarray:
        """The last mask where it is in this frame, on the grid: columns of `ids`."""
        columns = np.zeros(256, np.uint8)
        columns[ids] = np.arange(len(ids))
        return columns[self._encoder.carry(self._last.labels, seen)]

    def _decide_pixels(self, seen: EncodedFrame, readout: Readout, last: np.ndarray) -> np.ndarray:
        """Probabilities on the grid of half the resolution, (h, w, K + 1)."""
        with self.stopwatch.time("spread"):
            planes = spread(readout.probabilities, seen.superpixels, seen.image)
        if self.refiner is None:
            return planes
        with self.stopwatch.time("refine"):
            scene = Scene(seen.image, seen.superpixels, seen.map, *readout, planes, last)
            return refine_objects(scene, self._started().ids, self.refiner, self._references)

    def _to_remember(self, seen: EncodedFrame, readout: Readout, planes: np.ndarray) -> np.ndarray:
        """What the memory learns of a frame, (N, K + 1): also what came of its pixels, where a network decided them."""
        read = readout.probabilities
        if self.refiner is None:
            return read
        refined = average(planes, seen.superpixels, read)
        return _learned(read, refined[:, :1])

    def _started(self) -> MemoryManager:
        if self._memory is None:
            raise BadInput("step before start: mark the objects first, `segmenter.start(image, mask)`")
        return self._memory

    def _take_in(self, memories: MemoryManager, seen: EncodedFrame, mask: np.ndarray, ids: np.ndarray) -> None:
        """Follow what was marked in a frame from now on."""
        contract, nearest = self.session.contract, fit(mask, seen.image)
        memory = MemoryBank(contract.memory, (nearest.shape[0], nearest.shape[1]), contract.dim, len(ids))
        memory.write(seen.features, seen.superpixels.centres, _shares(seen, mask, ids))
        memories.add(memory, ids)
        if self._references:
            self._references.mark(seen.map, nearest, ids, grid_of(nearest.shape))

    def _mark(self, seen: EncodedFrame, mask: np.ndarray, ids: np.ndarray) -> None:
        """Keep what the objects that are marked in a frame look like."""
        self._visibility.mark(seen.features, seen.superpixels, _shares(seen, mask, ids), ids)


def _learned(read: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Join what the memory read, (N, K + 1), with the background's probability, (N, 1), as pixels have it.

    Which of the objects it is, stays as read.
    """
    nothing, pixels = (np.clip(p, UNLIKELY, 1 - UNLIKELY) for p in (read[:, :1], background))
    odds = nothing / (1 - nothing) * (pixels / (1 - pixels)) ** np.float32(LEARNED)
    objects = np.maximum(read[:, 1:], UNLIKELY)
    objects /= objects.sum(axis=1, keepdims=True) * (1 + odds)
    return np.hstack([odds / (1 + odds), objects])


def _check_pair(embedding: Contract, refiner: RefinerContract) -> None:
    """Raise ContractMismatch if a refiner learned from another embedding; what is in training has no digest."""
    if refiner.channels != channels(refiner.past):
        raise ContractMismatch(
            f"the refiner reads crops of {refiner.channels} channels, this runtime cuts {channels(refiner.past)}; "
            "export it again with the version of shls that is installed"
        )
    theirs, ours = refiner.embedding_sha256, embedding.checkpoint_sha256
    if refiner.dim != embedding.channels or (theirs and ours and theirs != ours):
        raise ContractMismatch(
            f"the refiner was trained with the embedding {theirs[:12]} of {refiner.dim} channels, the model is "
            f"{ours[:12]} of {embedding.channels}; give the two that belong together, or go without a refiner"
        )


def _renumbered(mask: Mask, ids: np.ndarray) -> Mask:
    """From consecutive numbers to the user's object ids."""
    table = np.zeros(256, np.uint8)
    table[: len(ids)] = ids
    return Mask(cv2.LUT(mask.labels, table), {int(ids[k]): score for k, score in mask.scores.items()})


def _ids_of(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Check a mask for a frame of a size, and list its objects."""
    if mask.shape != size:
        frame = f"{size[1]}x{size[0]}"
        raise ShapeMismatch(f"mask of {_size(mask)} for a frame of {frame}; make it the frame's size")
    if mask.dtype != np.uint8:
        raise BadInput(f"mask of {mask.dtype}; expected uint8 object ids, 0 for the background")
    ids = np.unique(mask[mask > 0])
    if not 1 <= len(ids) <= MAX_OBJECTS:
        raise BadInput(f"the mask marks {len(ids)} objects; expected 1 to {MAX_OBJECTS}")
    return ids


def _shares(seen: EncodedFrame, mask: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """(N, K + 1) float32: which object each superpixel, which lies within one, belongs to; others are background."""
    column = np.zeros(256, np.intp)
    column[ids] = np.arange(1, len(ids) + 1)
    owner = np.zeros(len(seen.features), np.intp)
    owner[seen.superpixels.labels.ravel()] = column[fit(mask, seen.image).ravel()]
    return np.eye(len(ids) + 1, dtype=np.float32)[owner]


def _check_image(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ShapeMismatch(f"image of shape {image.shape}; expected (H, W, 3) RGB")
    if image.dtype != np.uint8:
        raise BadInput(f"image of {image.dtype}; expected uint8 RGB")


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
