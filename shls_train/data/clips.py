"""Synthetic clips from stills: things that move over a moving background, with labels and true correspondence.

Each still is a layer with a path of its own: place, size, turn, shear and perspective change smoothly from frame to
frame, and living things bend, turn and are lit from elsewhere. The camera's exposure and colours drift, what is fast is
blurred along its motion, and all frames of a clip are compressed alike. So a network that never saw a video sees what
videos do.
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
"""Frame pixels per point at which a layer's map is computed; it is smooth, so the rest is interpolated."""

MOST_OBJECTS = 4

MOST_BLUR = 25
"""Pixels; what is faster is blurred no more."""


@dataclass(frozen=True)
class ClipSize:
    """Frames per clip and their size in pixels."""

    frames: int = 8
    height: int = 288
    width: int = 512


class Cutout(NamedTuple):
    """What is pasted: a still, (H, W, 3) uint8 RGB, and its mask, (H, W) uint8, 255 where the thing is."""

    still: np.ndarray
    mask: np.ndarray


class Clip(NamedTuple):
    """T frames with labels.

    frames : (T, H, W, 3) uint8 RGB
    labels : (T, H, W) uint8; 0 is the background, k the k-th piece
    layers : the background's path and the pieces', in the order of the labels
    """

    frames: np.ndarray
    labels: np.ndarray
    layers: list[Trajectory]

    def correspondence(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
        """Where what a frame shows lies in another one.

        Returns
        -------
        places : (H, W, 2) float32, x and y in pixels of frame `target`
        seen : (H, W) bool, whether it is visible there
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
    """How one still moves through the frames.

    Parameters
    ----------
    matrices : (T, 3, 3) float64
        From frame pixels to pixels of the still, homogeneous.
    bends : (T, h, w, 2) float32
        Displacement in pixels of the still, over the whole still.
    still_size : (height, width) of the still
    """

    def __init__(self, matrices: np.ndarray, bends: np.ndarray, still_size: tuple[int, int]) -> None:
        self.matrices, self.bends, self._size = matrices, bends, still_size

    def to_still(self, frame: int, size: tuple[int, int]) -> np.ndarray:
        """Pixels of the still that a frame of a size (H, W) shows, (H, W, 2) float32."""
        height, width = (-(-side // CELL) + 2 for side in size)
        x, y = ((np.arange(cells) - 0.5) * CELL - 0.5 for cells in (width, height))
        points = np.stack(np.meshgrid(x, y), axis=-1)
        straight = cv2.perspectiveTransform(points, self.matrices[frame]).astype(np.float32)
        bent = straight + self._bend(frame, straight)
        fine = cv2.resize(bent, (width * CELL, height * CELL), interpolation=cv2.INTER_LINEAR)
        return fine[CELL : CELL + size[0], CELL : CELL + size[1]]

    def pace(self, frame: int) -> np.ndarray:
        """How far the middle of the still moved since the frame before, x and y in pixels of the frame."""
        if frame == 0:
            return np.zeros(2)
        middle = np.array([[np.array(self._size[::-1]) / 2]])
        before, now = (cv2.perspectiveTransform(middle, np.linalg.inv(self.matrices[t])) for t in (frame - 1, frame))
        return (now - before)[0, 0]  # type: ignore[no-any-return]

    def to_frame(self, frame: int, points: np.ndarray) -> np.ndarray:
        """Where points of the still, (h, w, 2), lie in a frame, (h, w, 2) float32; the inverse of `to_still`."""
        straight = points
        for _ in range(4):  # a fixed point: the bends are slight and smooth
            straight = points - self._bend(frame, straight)
        return cv2.perspectiveTransform(straight, np.linalg.inv(self.matrices[frame]))

    def _bend(self, frame: int, points: np.ndarray) -> np.ndarray:
        """Displacement at points of the still, (h, w, 2) float32."""
        field = self.bends[frame]
        scale = (np.array(field.shape[1::-1]) - 1) / np.maximum(np.array(self._size[::-1]) - 1, 1)
        at = (points * scale).astype(np.float32)
        return cv2.remap(field, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def make_clip(background: np.ndarray, pieces: Sequence[Cutout], rng: Rng, size: ClipSize) -> Clip:
    """Draw a clip: the pieces in front of the background, later ones over earlier ones.

    Parameters
    ----------
    background : (H, W, 3) uint8 RGB, of any size
    pieces : at most 4; none of them is empty in the first frame unless another covers it
    rng : numpy Generator
        The same state gives the same clip.
    size : ClipSize
    """
    shape = (size.height, size.width)
    layers = [_camera(background.shape[:2], rng, size)]
    layers += [_way(piece.mask, rng, size) for piece in pieces[:MOST_OBJECTS]]
    looks = [Appearance(*piece, rng, size.frames) for piece in pieces[:MOST_OBJECTS]]
    lens = _Lens(rng, size.frames)
    frames, labels = [], []
    for at in range(size.frames):
        image, label = _show(background, layers[0].to_still(at, shape)).astype(np.float32), np.zeros(shape, np.uint8)
        image = _blurred(image, lens.trace(layers[0].pace(at)))
        for index, (layer, encode) in enumerate(zip(layers[1:], looks, strict=True), 1):
            piece = Cutout(encode.still(at), encode.mask(at))
            _paint(image, label, index, piece, layer.to_still(at, shape), lens.trace(layer.pace(at)))
        frames.append(lens.shoot(image, at))
        labels.append(label)
    return Clip(np.stack(frames), np.stack(labels), layers)


def _paint(
    image: np.ndarray, label: np.ndarray, index: int, piece: Cutout, places: np.ndarray, trace: np.ndarray | None
) -> None:
    """Put a thing over what is there, in place."""
    cover = cv2.remap(piece.mask, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    share = (cv2.GaussianBlur(cover, (3, 3), 0) / np.float32(255))[..., None]
    colours = _blurred(_show(piece.still, places) * share, trace)
    share = _blurred(share, trace).reshape(share.shape)
    image *= 1 - share
    image += colours
    label[share[..., 0] > 0.5] = index


def _show(still: np.ndarray, places: np.ndarray) -> np.ndarray:
    """What a frame shows of a still, (H, W, 3) uint8."""
    return cv2.remap(still, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _blurred(image: np.ndarray, trace: np.ndarray | None) -> np.ndarray:
    return image if trace is None else cv2.filter2D(image, -1, trace)


def _camera(still: tuple[int, ...], rng: Rng, size: ClipSize) -> Trajectory:
    """The background fills the frame, whose view drifts over it."""
    fit = max(size.height / still[0], size.width / still[1]) * rng.uniform(1.05, 1.5)
    steps = _smooth(rng, size.frames, 2) * size.height * _tempo(rng, 0.02)
    centres = np.array([size.width, size.height]) / 2 + steps
    zooms = fit * np.exp(_smooth(rng, size.frames, 1)[:, 0] * 0.02)
    turns = np.deg2rad(rng.uniform(-10, 10) + _smooth(rng, size.frames, 1)[:, 0] * 1.0)
    middle = np.array(still[1::-1]) * rng.uniform(0.4, 0.6, 2)
    return _trajectory(still, middle, centres, zooms, turns, rng, size, bend=0.0)


def _way(mask: np.ndarray, rng: Rng, size: ClipSize) -> Trajectory:
    """A thing is placed in the frame, turned, sized and moved; fast ones leave it and may come back."""
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
    """Matrices that lead `centres` in the frames to `middle` of the still; zooms are frame pixels per still pixel."""
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
    """Displacement fields that swing between two shapes, (T, 9, 9, 2) float32, about `amount` pixels."""
    ends = rng.normal(0, amount, (2, 5, 5, 2)).astype(np.float32)
    one, two = (cv2.resize(end, (9, 9), interpolation=cv2.INTER_CUBIC) for end in ends)
    phases = rng.uniform(0, 2 * np.pi) + np.arange(frames) * rng.uniform(0.1, 0.7)
    return np.stack([np.cos(p) * one + np.sin(p) * two for p in phases]).astype(np.float32)


def _smooth(rng: Rng, frames: int, values: int) -> np.ndarray:
    """Paths without jumps, (T, values): a steady pace of about 1 per frame and a swing; 0 in the first frame."""
    t = np.arange(frames)[:, None]
    pace = rng.normal(0, 1, values)
    swing, tempo, phase = rng.normal(0, 1.5, values), rng.uniform(0.2, 0.9, values), rng.uniform(0, 6.3, values)
    return pace * t + swing * (np.sin(tempo * t + phase) - np.sin(phase))


def _tempo(rng: Rng, most: float) -> float:
    """Steps per frame: slow is as frequent as fast."""
    return most * 10 ** rng.uniform(-1.2, 0)


class _Lens:
    """One camera: exposure and colours drift, motion blurs, one focus, sharpening and quality of compression."""

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
        """Kernel of the blur of what moves by `pace` pixels, x and y, per frame; None where it does not show."""
        reach = np.minimum(self._shutter, MOST_BLUR / max(np.abs(pace).max(), 1e-6)) * pace / 2
        side = 2 * round(np.abs(reach).max()) + 1
        if side < 3:
            return None
        kernel = np.zeros((side, side), np.float32)
        ends = np.rint([side // 2 - reach, side // 2 + reach]).astype(int).tolist()
        cv2.line(kernel, ends[0], ends[1], 1.0)
        return kernel / kernel.sum()

    def shoot(self, image: np.ndarray, frame: int) -> np.ndarray:
        """(H, W, 3) float32 -> uint8."""
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
