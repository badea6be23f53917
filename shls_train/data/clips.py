"""Synthetic clips from stills: objects that move over a moving background, with labels and true correspondence.

Each still is a layer with its own trajectory. Position, size, rotation, shear and perspective change smoothly from
frame to frame. Objects also deform and change their appearance. The camera's exposure and colours drift, fast layers
have motion blur, and all frames of a clip have the same compression. The clips give a network the effects of video
although it trains on stills only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from .appearance import Appearance
from .views import Rng, streak

CELL = 4
"""Spacing of the points at which a layer's coordinate map is computed, in frame pixels; the rest is interpolated."""

MOST_OBJECTS = 4

MOST_BLUR = 25
"""Longest motion blur, in pixels."""


@dataclass(frozen=True)
class ClipSize:
    """Number of frames per clip, and their size in pixels.

    Examples
    --------
    >>> ClipSize(frames=3)
    ClipSize(frames=3, height=288, width=512)
    """

    frames: int = 8
    height: int = 288
    width: int = 512


class Cutout(NamedTuple):
    """Object to paste into a clip.

    Attributes
    ----------
    still : (H, W, 3) uint8 array
        RGB image that shows the object.
    mask : (H, W) uint8 array
        255 where the object is.

    Examples
    --------
    >>> Cutout(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)).mask.shape
    (8, 8)
    """

    still: np.ndarray
    mask: np.ndarray


class Clip(NamedTuple):
    """Clip of T frames with labels.

    Attributes
    ----------
    frames : (T, H, W, 3) uint8 array
        RGB frames.
    labels : (T, H, W) uint8 array
        0 for the background, k for the k-th object.
    layers : list of Trajectory
        Trajectories of the background and of the objects, in the order of the labels.

    Examples
    --------
    >>> clip = make_clip(np.zeros((48, 64, 3), np.uint8), [], np.random.default_rng(0), ClipSize(2, 48, 64))
    >>> positions, visible = clip.correspondence(0, 1)
    >>> positions.shape, visible.shape
    ((48, 64, 2), (48, 64))
    """

    frames: np.ndarray
    labels: np.ndarray
    layers: list[Trajectory]

    def correspondence(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
        """Compute where each pixel of frame `source` appears in frame `target`.

        Returns
        -------
        places : (H, W, 2) float32 array
            Positions in frame `target`, x and y in pixels.
        seen : (H, W) bool array
            True where the point is visible in frame `target`.
        """
        height, width = self.labels.shape[1:]
        places = np.zeros((height, width, 2), np.float32)
        for label, layer in enumerate(self.layers):
            moved = layer.to_frame(target, layer.to_still(source, (height, width)))
            places = np.where((self.labels[source] == label)[..., None], moved, places)
        nearest = np.rint(places).astype(int)
        inside = np.all((nearest >= 0) & (nearest < [width, height]), axis=2)
        x, y = np.where(inside[..., None], nearest, 0).transpose(2, 0, 1)
        return places, inside & (self.labels[target][y, x] == self.labels[source])


class Trajectory:
    """Motion of one still through the frames of a clip.

    Parameters
    ----------
    matrices : (T, 3, 3) float64
        Homogeneous matrices from frame pixels to pixels of the still.
    bends : (T, h, w, 2) float32
        Displacement fields over the whole still, in pixels of the still.
    still_size : tuple of int
        Height and width of the still.

    Examples
    --------
    >>> trajectory = Trajectory(np.eye(3)[None], np.zeros((1, 2, 2, 2), np.float32), (48, 64))
    >>> trajectory.to_still(0, (48, 64))[10, 20].round(3).tolist()
    [20.0, 10.0]
    """

    def __init__(self, matrices: np.ndarray, bends: np.ndarray, still_size: tuple[int, int]) -> None:
        self.matrices, self.bends, self._size = matrices, bends, still_size

    def to_still(self, frame: int, size: tuple[int, int]) -> np.ndarray:
        """Map the pixels of a frame of `size` (H, W) to positions in the still, (H, W, 2) float32."""
        height, width = (-(-side // CELL) + 2 for side in size)
        x, y = ((np.arange(cells) - 0.5) * CELL - 0.5 for cells in (width, height))
        points = np.stack(np.meshgrid(x, y), axis=-1)
        straight = cv2.perspectiveTransform(points, self.matrices[frame]).astype(np.float32)
        bent = straight + self._bend(frame, straight)
        fine = cv2.resize(bent, (width * CELL, height * CELL), interpolation=cv2.INTER_LINEAR)
        return fine[CELL : CELL + size[0], CELL : CELL + size[1]]

    def pace(self, frame: int) -> np.ndarray:
        """Displacement of the still's centre since the previous frame, x and y in frame pixels."""
        if frame == 0:
            return np.zeros(2)
        middle = np.array([[np.array(self._size[::-1]) / 2]])
        before, now = (cv2.perspectiveTransform(middle, np.linalg.inv(self.matrices[t])) for t in (frame - 1, frame))
        return (now - before)[0, 0]  # type: ignore[no-any-return]

    def to_frame(self, frame: int, points: np.ndarray) -> np.ndarray:
        """Map points of the still, (h, w, 2), to positions in a frame, (h, w, 2) float32; the inverse of `to_still`."""
        straight = points
        for _ in range(4):  # fixed-point iteration; it converges because displacements are small and smooth
            straight = points - self._bend(frame, straight)
        return cv2.perspectiveTransform(straight, np.linalg.inv(self.matrices[frame]))

    def _bend(self, frame: int, points: np.ndarray) -> np.ndarray:
        """Interpolate the displacement at points of the still, (h, w, 2) float32."""
        field = self.bends[frame]
        scale = (np.array(field.shape[1::-1]) - 1) / np.maximum(np.array(self._size[::-1]) - 1, 1)
        at = (points * scale).astype(np.float32)
        return cv2.remap(field, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def make_clip(background: np.ndarray, pieces: Sequence[Cutout], rng: Rng, size: ClipSize) -> Clip:
    """Draw a clip of objects in front of a background. Later objects occlude earlier objects.

    Parameters
    ----------
    background : (H, W, 3) uint8
        RGB image of any size.
    pieces : sequence of Cutout
        Objects to paste, at most 4.
    rng : numpy.random.Generator
        Source of random numbers. Equal states give equal clips.
    size : ClipSize
        Number of frames and their size.

    Returns
    -------
    Clip
        Frames, labels and trajectories. An object may be occluded in the first frame.

    Examples
    --------
    >>> still, mask = np.full((48, 64, 3), 200, np.uint8), np.zeros((48, 64), np.uint8)
    >>> mask[12:36, 16:48] = 255
    >>> clip = make_clip(np.zeros_like(still), [Cutout(still, mask)], np.random.default_rng(0), ClipSize(3, 48, 64))
    >>> clip.frames.shape, np.unique(clip.labels[0]).tolist()
    ((3, 48, 64, 3), [0, 1])
    """
    shape = (size.height, size.width)
    layers = [_camera(background.shape[:2], rng, size)]
    layers += [_object_path(piece.mask, rng, size) for piece in pieces[:MOST_OBJECTS]]
    appearances = [Appearance(*piece, rng, size.frames) for piece in pieces[:MOST_OBJECTS]]
    lens = _Lens(rng, size.frames)
    frames, labels = [], []
    for at in range(size.frames):
        image, label = _show(background, layers[0].to_still(at, shape)).astype(np.float32), np.zeros(shape, np.uint8)
        image = _blurred(image, lens.trace(layers[0].pace(at)))
        for index, (layer, appearance) in enumerate(zip(layers[1:], appearances, strict=True), 1):
            piece = Cutout(appearance.still(at), appearance.mask(at))
            _paint(image, label, index, piece, layer.to_still(at, shape), lens.trace(layer.pace(at)))
        frames.append(lens.shoot(image, at))
        labels.append(label)
    return Clip(np.stack(frames), np.stack(labels), layers)


def _paint(
    image: np.ndarray, label: np.ndarray, index: int, piece: Cutout, places: np.ndarray, trace: np.ndarray | None
) -> None:
    """Paste an object over a frame and its labels, in place."""
    cover = cv2.remap(piece.mask, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    share = (cv2.GaussianBlur(cover, (3, 3), 0) / np.float32(255))[..., None]
    colours = _blurred(_show(piece.still, places) * share, trace)
    share = _blurred(share, trace).reshape(share.shape)
    image *= 1 - share
    image += colours
    label[share[..., 0] > 0.5] = index


def _show(still: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Sample a still at positions of a frame's pixels, (H, W, 3) uint8."""
    return cv2.remap(still, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _blurred(image: np.ndarray, trace: np.ndarray | None) -> np.ndarray:
    return image if trace is None else cv2.filter2D(image, -1, trace)


def _camera(still: tuple[int, ...], rng: Rng, size: ClipSize) -> Trajectory:
    """Draw the background's trajectory: the background fills the frame and drifts slowly."""
    fit = max(size.height / still[0], size.width / still[1]) * rng.uniform(1.05, 1.5)
    steps = _smooth(rng, size.frames, 2) * size.height * _tempo(rng, 0.02)
    centres = np.array([size.width, size.height]) / 2 + steps
    zooms = fit * np.exp(_smooth(rng, size.frames, 1)[:, 0] * 0.02)
    turns = np.deg2rad(rng.uniform(-10, 10) + _smooth(rng, size.frames, 1)[:, 0] * 1.0)
    middle = np.array(still[1::-1]) * rng.uniform(0.4, 0.6, 2)
    return _trajectory(still, middle, centres, zooms, turns, rng, size, bend=0.0)


def _object_path(mask: np.ndarray, rng: Rng, size: ClipSize) -> Trajectory:
    """Draw an object's trajectory: position, rotation, size and motion. A fast object may leave the frame."""
    x, y, w, h = cv2.boundingRect((mask > 127).astype(np.uint8))
    middle = np.array([x + w / 2, y + h / 2])
    side = size.height * np.exp(rng.uniform(np.log(0.2), np.log(1.2)))
    steps = _smooth(rng, size.frames, 2) * size.height * _tempo(rng, 0.05)
    centres = np.array([size.width, size.height]) * rng.uniform(0.2, 0.8, 2) + steps
    zooms = side / max(w, h, 1) * np.exp(_smooth(rng, size.frames, 1)[:, 0] * rng.uniform(0, 0.06))
    turns = np.deg2rad(rng.uniform(-25, 25) + _smooth(rng, size.frames, 1)[:, 0] * rng.uniform(0, 5))
    return _trajectory(mask.shape, middle, centres, zooms, turns, rng, size, bend=rng.uniform(0.0, 0.05) * max(w, h))


def _trajectory(
    still: tuple[int, ...],
    middle: np.ndarray,
    centres: np.ndarray,
    zooms: np.ndarray,
    turns: np.ndarray,
    rng: Rng,
    size: ClipSize,
    bend: float,
) -> Trajectory:
    """Build a trajectory that maps `centres` in the frames to `middle` in the still; zooms are frame / still pixels."""
    mirror = rng.choice([-1.0, 1.0])
    shear, stretch = rng.uniform(-0.15, 0.15), np.exp(rng.uniform(-0.15, 0.15))
    tilts = (rng.uniform(-0.1, 0.1, 2) + _smooth(rng, size.frames, 2) * 0.02) / size.width
    matrices = []
    for centre, zoom, turn, tilt in zip(centres, zooms, turns, tilts, strict=True):
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        linear = rotation @ np.array([[mirror * stretch, shear], [0, 1 / stretch]]) / zoom
        from_centre, back, warp = np.eye(3), np.eye(3), np.eye(3)
        from_centre[:2, 2], back[:2, 2] = -centre, middle
        warp[:2, :2], warp[2, :2] = linear, tilt
        matrices.append(back @ warp @ from_centre)
    return Trajectory(np.stack(matrices), _bends(rng, size.frames, bend), (still[0], still[1]))


def _bends(rng: Rng, frames: int, amount: float) -> np.ndarray:
    """Draw displacement fields that oscillate between two shapes, (T, 9, 9, 2) float32, about `amount` pixels."""
    ends = rng.normal(0, amount, (2, 5, 5, 2)).astype(np.float32)
    one, two = (cv2.resize(end, (9, 9), interpolation=cv2.INTER_CUBIC) for end in ends)
    phases = rng.uniform(0, 2 * np.pi) + np.arange(frames) * rng.uniform(0.1, 0.7)
    return np.stack([np.cos(p) * one + np.sin(p) * two for p in phases]).astype(np.float32)


def _smooth(rng: Rng, frames: int, values: int) -> np.ndarray:
    """Draw smooth paths, (T, values): constant velocity of about 1 per frame plus an oscillation, from 0 on."""
    t = np.arange(frames)[:, None]
    pace = rng.normal(0, 1, values)
    swing, tempo, phase = rng.normal(0, 1.5, values), rng.uniform(0.2, 0.9, values), rng.uniform(0, 6.3, values)
    return pace * t + swing * (np.sin(tempo * t + phase) - np.sin(phase))


def _tempo(rng: Rng, most: float) -> float:
    """Draw a velocity per frame from a log-uniform distribution up to `most`."""
    return most * 10 ** rng.uniform(-1.2, 0)


class _Lens:
    """Camera of a clip: drifting exposure and colours, motion blur, and constant focus, sharpening and compression."""

    def __init__(self, rng: Rng, frames: int) -> None:
        drift = np.cumsum(rng.normal(0, 0.01, (frames, 3)), axis=0)
        self._gains = rng.uniform(0.8, 1.25) * rng.uniform(0.93, 1.07, 3) * np.exp(drift)
        self._lifts = rng.uniform(-20, 20) + np.cumsum(rng.normal(0, 1.5, frames))
        self._saturation = rng.uniform(0.6, 1.4)
        self._kernel = streak(rng) if rng.random() < 0.3 else None
        self._shutter = max(0.0, rng.uniform(-0.5, 0.7))
        self._sharpening = rng.uniform(0.3, 1.5) if rng.random() < 0.4 else 0.0
        self._softness = rng.uniform(0.5, 1.4) if rng.random() < 0.3 else 0.0
        self._quality = int(rng.integers(35, 95)) if rng.random() < 0.6 else None
        self._noise = rng.uniform(0, 4)
        self._rng = np.random.default_rng(rng.integers(1 << 32))

    def trace(self, pace: np.ndarray) -> np.ndarray | None:
        """Kernel of the motion blur at a velocity of `pace` pixels (x, y) per frame; None for an invisible blur."""
        reach = np.minimum(self._shutter, MOST_BLUR / max(np.abs(pace).max(), 1e-6)) * pace / 2
        side = 2 * round(np.abs(reach).max()) + 1
        if side < 3:
            return None
        kernel = np.zeros((side, side), np.float32)
        ends = np.rint([side // 2 - reach, side // 2 + reach]).astype(int).tolist()
        cv2.line(kernel, ends[0], ends[1], 1.0)
        return kernel / kernel.sum()

    def shoot(self, image: np.ndarray, frame: int) -> np.ndarray:
        """Apply the camera to a rendered frame, (H, W, 3) float32, and return uint8."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
        image = (grey + (image - grey) * np.float32(self._saturation) - 127) * self._gains[frame].astype(np.float32)
        image += np.float32(127 + self._lifts[frame])
        if self._kernel is not None:
            image = cv2.filter2D(image, -1, self._kernel)
        if self._softness:
            image = cv2.GaussianBlur(image, (0, 0), self._softness)
        if self._sharpening:
            image += self._sharpening * (image - cv2.GaussianBlur(image, (0, 0), 1.0))
        image += self._noise * self._rng.standard_normal(image.shape, np.float32)
        shot = np.clip(image, 0, 255).astype(np.uint8)
        if self._quality is not None:
            encoded = cv2.imencode(".jpg", shot, [cv2.IMWRITE_JPEG_QUALITY, self._quality])[1]
            shot = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        return shot
