"""Frames with masks for the tests of sinks, videos with sound, and a disk that is full."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from shls.runtime.io.base import Sink
from shls.runtime.types import Frame, Mask

SECOND_OF_SOUND = 48_000
"""Samples a second of the sound that `video_with_sound` writes."""


def result(index: int, size: tuple[int, int] = (48, 64), noise: bool = False) -> tuple[Frame, Mask]:
    """A frame that gets brighter, and a square, object 2, that moves right by a pixel a frame."""
    image = np.full((*size, 3), 4 * index % 256, np.uint8)
    if noise:
        image = np.random.default_rng(index).integers(0, 256, (*size, 3), np.uint8)
    labels = np.zeros(size, np.uint8)
    labels[10:20, 5 + index % 20 : 15 + index % 20] = 2
    return Frame(image, index, index / 25, f"{index:05d}"), Mask(labels, {2: 0.75})


def write_many(sink: Sink) -> None:
    """Write a thousand frames of noise."""
    for index in range(1000):
        sink.write(*result(index, noise=True))


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let writing past a size fail as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def video_with_sound(path: Path, codec: str = "aac", seconds: int = 2, sound_seconds: float = 2) -> None:
    """Encode grey frames, 25 a second, with a tone that is silent in its first second."""
    with av.open(str(path), "w") as container:
        video, sound = container.add_stream("mpeg4", rate=25), container.add_stream(codec, rate=SECOND_OF_SOUND)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound.layout = "mono"
        for _ in range(25 * seconds):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 100, np.uint8), format="rgb24")
            container.mux(video.encode(picture))
        wave = np.sin(np.arange(int(SECOND_OF_SOUND * sound_seconds)) / 20).astype(np.float32)
        wave[:SECOND_OF_SOUND] = 0
        samples = wave if codec != "pcm_s16le" else (wave * 30_000).astype(np.int16)
        kind = "s16" if codec == "pcm_s16le" else "flt"
        for begin in range(0, samples.size, 960):
            part = av.AudioFrame.from_ndarray(samples[None, begin : begin + 960], format=kind, layout="mono")
            part.sample_rate, part.pts, part.time_base = SECOND_OF_SOUND, begin, Fraction(1, SECOND_OF_SOUND)
            container.mux(sound.encode(part))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
