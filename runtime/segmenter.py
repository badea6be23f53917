"""Follow objects through a video, frame by frame: the file to read first.

One step runs the stages in order: encoder (network, superpixels, optical flow, pooling), memory reading, visibility,
pixel filter and refiner, mask, memory writing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any

import cv2
import numpy as np

from ._arguments import checked_image, checked_mask, checked_path, checked_size
from ._guard import guarded
from ._support.stopwatch import Stopwatch
from .backends.base import Refiner, Session, open_refiner, open_session
from .backends.choice import choose_embedding, engine_or_onnx
from .backends.pretrained import shipped_refiner
from .compilation import compile_kernels
from .errors import BadInput
from .features.encoder import EncodedFrame, FrameEncoder
from .geometry import fit, grid_of
from .memory.bank import MemoryBank
from .memory.manager import MemoryManager
from .memory.update import stored_probabilities, vote_weights
from .memory.visibility import ObjectVisibility
from .models.settings import Settings
from .prompts.grab_cut import mask_from_prompt
from .prompts.network import open_solver
from .prompts.prompt import Prompt, Solver
from .refinement.crops import Scene, average
from .refinement.pixel_filter import decide, spread
from .refinement.reference_frames import ReferenceFrames
from .refinement.refiner import check_pair, refine_objects
from .types import MAX_OBJECTS, Mask, Readout


def open_segmenter(
    model: str | Path | None = None,
    threads: int = 0,
    overlap: bool | None = None,
    device: str = "auto",
    refiner: str | Path | None = None,
    refined: bool = True,
    settings: Settings | None = None,
    prompter: str | Path | None = None,
    size: tuple[int, int] | None = None,
) -> VideoSegmenter:
    """Load a model, by default the fastest shipped one, and make a segmenter of it.

    Parameters
    ----------
    model : str or Path, optional
        ONNX file or engine written by `shls export`.
    threads : int
        CPU threads of the networks, 0 for all cores.
    overlap : bool, optional
        Compute superpixels and flow while the network runs. The masks are the same. By default only where the network
        runs on a GPU: on a CPU both share the cores.
    device : {'auto', 'cpu', 'cuda', 'tensorrt'}
        Device of the networks. A device that is named never falls back to another. Engines that `shls run --build`
        built for this machine are used by themselves on auto and tensorrt.
    refiner : str or Path, optional
        Model of the second network; by default the shipped one that was trained with this embedding.
    refined : bool
        Whether to use a refiner at all.
    settings : Settings, optional
        Replace the model's own settings; see `shls.runtime.models.settings`.
    prompter : str or Path, optional
        Model of the network that finds what boxes and points mark; by default the shipped one that was trained with
        this embedding, or else GrabCut. It is opened when the first prompt comes.
    size : (H, W), optional
        Size of the frames, pixels. The shipped model is then adapted to portrait or square frames, once, in the user's
        cache; without it, frames are stretched to the shape of the model.

    Returns
    -------
    VideoSegmenter

    Raises
    ------
    ShlsError
        If a file cannot be opened, or the two networks do not belong together.

    Examples
    --------
    >>> with open_segmenter(device="cpu") as segmenter:
    ...     segmenter.session.contract.dim
    64
    """
    path, second = checked_path(model, "model"), checked_path(refiner, "refiner")
    third = checked_path(prompter, "prompter")
    session = open_session(choose_embedding(path, device, size), threads, device)
    found = (second or shipped_refiner(session.contract, device)) if refined else None
    opened = (
        None if found is None else open_refiner(engine_or_onnx(found, device, shipped=second is None), threads, device)
    )
    solver = partial(open_solver, session, third, threads, device)
    return VideoSegmenter(session, opened, overlap, settings, solver)


class VideoSegmenter:
    """Objects in, masks out: `start` with the first mask, then `step` for each further frame.

    Between frames, `add` and `remove` change the set of objects. Arrays are copied in and out. Calls from several
    threads are carried out one after the other. A segmenter is a context manager.

    Parameters
    ----------
    session : Session
        Embedding network.
    refiner : Refiner, optional
        Network that decides pixels; without one a colour filter does.
    overlap : bool, optional
        See `open_segmenter`.
    settings : Settings, optional
        Settings of all stages; by default those of the model's contract.
    solver : callable, optional
        Opens what finds the objects of prompts; see `shls.runtime.prompts.network.open_solver`. GrabCut by default.

    Attributes
    ----------
    session, refiner, settings : as given
    stopwatch : Stopwatch
        Time per stage of every frame so far.

    Raises
    ------
    ContractMismatch
        If the refiner was trained with another embedding.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.zeros((120, 160, 3), np.uint8)
    >>> image[40:80, 60:100] = 200, 80, 40
    >>> mask = (image[..., 0] > 0).astype(np.uint8)
    >>> with open_segmenter(device="cpu") as segmenter:
    ...     segmenter.start(image, mask)
    ...     found = segmenter.step(image)
    >>> found.labels.shape, sorted(found.scores)
    ((120, 160), [1])
    """

    def __init__(
        self,
        session: Session,
        refiner: Refiner | None = None,
        overlap: bool | None = None,
        settings: Settings | None = None,
        solver: Callable[[], Solver] | None = None,
    ) -> None:
        if refiner is not None:
            check_pair(session.contract, refiner.contract)
        self.session, self.refiner = session, refiner
        self.settings = settings or session.contract.settings
        self.stopwatch = Stopwatch()
        beside = session.on_gpu if overlap is None else overlap
        self._encoder = FrameEncoder(session, self.settings, self.stopwatch, beside)
        self._open_solver = solver or (lambda: mask_from_prompt)
        self._solver: Solver | None = None
        self._memory: MemoryManager | None = None
        self._references: ReferenceFrames | None = None
        self._size = (0, 0)
        self._lock, self._process, self._closed = RLock(), os.getpid(), False

    def __enter__(self) -> VideoSegmenter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the networks and threads; may be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._encoder.close()
            for network in (self.session, self.refiner, getattr(self._solver, "network", None)):
                close: Any = getattr(network, "close", None)
                if close is not None:
                    close()

    @guarded
    def start(self, image: np.ndarray, mask: np.ndarray) -> None:
        """Mark the objects to follow and forget earlier ones.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB
        mask : (H, W) uint8
            Object id per pixel, 0 for the background; ids need not be consecutive. A bool mask marks object 1.

        Raises
        ------
        ShapeMismatch
            If the image is not (H, W, 3), or the mask has another size.
        BadInput
            If an argument is not an array of uint8, or the mask marks no object or more than 254.
        """
        image = checked_image(image)
        mask, ids = checked_mask(mask, image.shape[:2])
        compile_kernels()
        self._size = image.shape[:2]
        self._encoder.restart()
        self._frame = self._encoder.encode(image, mask)
        self._memory, self._visibility = MemoryManager(), ObjectVisibility(self.settings.visibility)
        contract = self.refiner.contract if self.refiner else None
        self._references = ReferenceFrames(contract, self.settings.crops) if contract and contract.past else None
        self._add_bank(self._memory, self._frame, mask, ids)
        self._set_references(self._frame, mask, ids)
        self._last = Mask(mask, dict.fromkeys(ids.tolist(), 1.0))

    @guarded
    def add(self, mask: np.ndarray) -> Mask:
        """Mark further objects in the last frame, or correct the masks of followed ones.

        Objects that the mask does not contain go on unchanged. A corrected object keeps its first reference; the memory
        of its recent frames is replaced. Each call with new ids adds one memory to be read per frame.

        Parameters
        ----------
        mask : (H, W) uint8
            Object id per pixel of the last frame; 0 leaves a pixel as it is.

        Returns
        -------
        Mask
            The last frame's mask with these objects.

        Raises
        ------
        ShapeMismatch, BadInput
            As `start`; and if there was no frame yet.
        """
        memory = self._started()
        mask, ids = checked_mask(mask, self._size)
        if len(np.union1d(ids, memory.ids)) > MAX_OBJECTS + 1:
            raise BadInput(f"mask: too many objects (got more than {MAX_OBJECTS} in all). Remove some first")
        kept = np.where(np.isin(self._last.labels, ids), np.uint8(0), self._last.labels)
        labels = np.where(mask > 0, mask, kept)
        cut = self._encoder.cut(self._frame, labels)
        memory.correct(cut.features, cut.superpixels.centres, _shares(cut, labels, memory.ids[1:]), ids)
        new = np.setdiff1d(ids, memory.ids)
        if new.size:
            self._add_bank(memory, cut, labels, new)
        self._set_references(cut, labels, ids)
        self._last = Mask(labels, self._last.scores | dict.fromkeys(ids.tolist(), 1.0))
        return _copied(self._last)

    @guarded
    def solve(self, image: np.ndarray, prompt: Prompt) -> np.ndarray:
        """Find the object of a prompt without following it: a preview.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB
            Any frame.
        prompt : Prompt
            Boxes, points on the object, points that are not on it, or a mask to correct.

        Returns
        -------
        (H, W) bool

        Raises
        ------
        BadInput
            If the prompt does not say where the object is, or is outside the frame.
        """
        image = checked_image(image)
        if self._solver is None:
            self._solver = self._open_solver()
        return self._solver(image, prompt)

    @guarded
    def prompt(self, image: np.ndarray, prompt: Prompt, object_id: int | None = None) -> Mask:
        """Mark an object by boxes and points, or correct a followed object by points.

        Before `start`, the image becomes the first frame. A corrected mask is learned as by `add`.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB
            The last frame, at full size.
        prompt : Prompt
            See `solve`. Points correct the mask of a followed object; a box marks it anew.
        object_id : int, optional
            Object to correct, or id of a new object; by default the lowest free id.

        Returns
        -------
        Mask
            The last frame's mask with the object.

        Raises
        ------
        BadInput
            As `solve`; also if nothing is found or the id is not 1 to 254.
        ShapeMismatch
            If the image has another size than the last frame.

        Examples
        --------
        >>> image = np.full((120, 160, 3), 90, np.uint8)
        >>> image[40:80, 60:100] = 230, 200, 40
        >>> with open_segmenter(device="cpu") as segmenter:
        ...     mask = segmenter.prompt(image, Prompt(boxes=((58, 38, 44, 44),)))
        >>> sorted(mask.scores)
        [1]
        """
        image = checked_image(image)
        taken = set() if self._memory is None else {int(one) for one in self._memory.ids}
        object_id = min(set(range(1, MAX_OBJECTS + 2)) - taken) if object_id is None else object_id
        if not 1 <= object_id <= MAX_OBJECTS:
            raise BadInput(f"object {object_id}: wrong id (expected 1 to {MAX_OBJECTS}). Choose another id")
        if self._memory is None:
            found = self.solve(image, prompt)
        else:
            checked_size(image, self._size)
            found = self.solve(image, prompt.onto(self._last.labels == object_id))
        if not found.any():
            raise BadInput(f"{prompt.label}: nothing was found (got no pixel). Mark the object differently")
        labels = found.astype(np.uint8) * np.uint8(object_id)
        if self._memory is None:
            self.start(image, labels)
            return _copied(self._last)
        return self.add(labels)

    @guarded
    def remove(self, object_id: int) -> Mask:
        """Stop following an object.

        Returns
        -------
        Mask
            The last frame's mask without the object.

        Raises
        ------
        BadInput
            If no object has this id.
        """
        memory = self._started()
        if object_id == 0 or object_id not in memory.ids:
            known = ", ".join(map(str, memory.ids[1:])) or "none"
            raise BadInput(f"object {object_id}: is not followed (expected one of these ids: {known})")
        memory.remove(object_id)
        self._visibility.forget(object_id)
        if self._references:
            self._references.forget(object_id)
        labels = np.where(self._last.labels == object_id, np.uint8(0), self._last.labels)
        self._last = Mask(labels, {one: score for one, score in self._last.scores.items() if one != object_id})
        return _copied(self._last)

    @guarded
    def step(self, image: np.ndarray) -> Mask:
        """Find the objects in the next frame.

        Parameters
        ----------
        image : (H, W, 3) uint8 RGB
            Of the first frame's size.

        Returns
        -------
        Mask

        Raises
        ------
        BadInput
            If no objects were marked, or the image is not an array of uint8.
        ShapeMismatch
            If the image has another size than the first.
        """
        image = checked_image(image)
        memory = self._started()
        checked_size(image, self._size)
        self._frame = frame = self._encoder.encode(image)
        with self.stopwatch.time("memory"):
            centres = frame.superpixels.centres
            readout = memory.read(frame.features, self._encoder.trace(centres))
        with self.stopwatch.time("visibility"):
            warped, cut = self._warped_mask(frame, memory.ids), self._encoder.is_cut()
            readout, last, doubt = self._visibility.judge(
                readout, frame.features, frame.superpixels, warped, memory.ids, cut
            )
        planes = self._decide_pixels(frame, readout, last)
        with self.stopwatch.time("remember"):
            learned = self._to_remember(frame, readout, planes)
            weights = vote_weights(learned, doubt, self.settings.memory.certainty)
            memory.write(frame.features, centres, learned * weights)
            if self._references:
                self._references.pass_on(frame.map)
        with self.stopwatch.time("decide"):
            mask = decide(planes, self._size)
        self._last = _renumbered(mask, memory.ids)
        return _copied(self._last)

    def _warped_mask(self, frame: EncodedFrame, ids: np.ndarray) -> np.ndarray:
        """The last mask warped by optical flow to this frame, on the grid, as columns of `ids`."""
        columns = np.zeros(256, np.uint8)
        columns[ids] = np.arange(len(ids))
        return cv2.LUT(self._encoder.warp(self._last.labels, frame), columns)

    def _decide_pixels(self, frame: EncodedFrame, readout: Readout, last: np.ndarray) -> np.ndarray:
        """Probabilities on the half-resolution grid, (h, w, K + 1)."""
        with self.stopwatch.time("spread"):
            planes = spread(readout.probabilities, frame.superpixels, frame.image, self.settings.pixel_filter)
        if self.refiner is None:
            return planes
        with self.stopwatch.time("refine"):
            scene = Scene(frame.image, frame.superpixels, frame.map, *readout, planes, last)
            return refine_objects(scene, self._started().ids, self.refiner, self._references, self.settings.crops)

    def _to_remember(self, frame: EncodedFrame, readout: Readout, planes: np.ndarray) -> np.ndarray:
        """Return the probabilities that the memory stores, (N, K + 1)."""
        read = readout.probabilities
        if self.refiner is None:
            return read
        background = average(planes, frame.superpixels, read[:, :1])
        return stored_probabilities(read, background, self.settings.memory.refiner_weight)

    def _started(self) -> MemoryManager:
        if self._memory is None:
            raise BadInput("segmenter: no objects are marked yet. Call `segmenter.start(image, mask)` first")
        return self._memory

    def _add_bank(self, memory: MemoryManager, frame: EncodedFrame, mask: np.ndarray, ids: np.ndarray) -> None:
        """Open a memory bank for the objects that were marked in a frame."""
        nearest = fit(mask, frame.image)
        size = nearest.shape[0], nearest.shape[1]
        bank = MemoryBank(self.settings.memory, size, self.session.contract.dim, len(ids))
        bank.write(frame.features, frame.superpixels.centres, _shares(frame, mask, ids))
        memory.add(bank, ids)
        if self._references:
            self._references.mark(frame.map, nearest, ids, grid_of(nearest.shape))

    def _set_references(self, frame: EncodedFrame, mask: np.ndarray, ids: np.ndarray) -> None:
        """Keep the appearance of the objects that were marked in a frame."""
        self._visibility.mark(frame.features, frame.superpixels, _shares(frame, mask, ids), ids)


def _copied(mask: Mask) -> Mask:
    return Mask(mask.labels.copy(), dict(mask.scores))


def _renumbered(mask: Mask, ids: np.ndarray) -> Mask:
    """Replace consecutive numbers by the user's object ids."""
    table = np.zeros(256, np.uint8)
    table[: len(ids)] = ids
    return Mask(cv2.LUT(mask.labels, table), {int(ids[k]): score for k, score in mask.scores.items()})


def _shares(frame: EncodedFrame, mask: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """One-hot owner of each superpixel, which lies within one object, (N, K + 1) float32; column 0 the background."""
    column = np.zeros(256, np.intp)
    column[ids] = np.arange(1, len(ids) + 1)
    owner = np.zeros(len(frame.features), np.intp)
    owner[frame.superpixels.labels.ravel()] = column[fit(mask, frame.image).ravel()]
    return np.eye(len(ids) + 1, dtype=np.float32)[owner]
