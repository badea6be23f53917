"""Going back to a frame of a recording without reading the frames before it."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from shls.runtime.io.base import Source
from shls.runtime.io.sources import open_source
from shls.runtime.io.synthetic import SyntheticSource
from shls.runtime.types import Frame
from tests.conftest import scene


def encoded(path: Path, options: dict[str, str], count: int = 40, uneven: bool = False) -> Path:
    """A clip with key frames every 10 frames; `uneven` makes each third frame last longer."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9" if path.suffix == ".webm" else "libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(count):
            picture = av.VideoFrame.from_ndarray(np.roll(scene(index // 9, 96, 64), 3 * index, axis=1), format="rgb24")
            picture.pts, picture.time_base = 40 * index + 20 * (index // 3 if uneven else 0), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def taken(source: Source, count: int) -> list[Frame]:
    return list(islice(source, count))


@pytest.mark.parametrize(
    ("name", "options", "uneven"),
    [
        ("plain.mp4", {"g": "10", "bf": "0"}, False),
        ("bframes.mp4", {"g": "10", "bf": "3"}, False),
        ("open_gop.mkv", {"g": "10", "bf": "3", "x264-params": "open-gop=1"}, True),
        ("intra_refresh.mp4", {"g": "15", "x264-params": "intra-refresh=1"}, False),
        ("one_key.mkv", {"g": "999"}, True),
        ("a.webm", {"g": "10", "deadline": "realtime", "cpu-used": "8"}, False),
    ],
)
def test_frames_are_those_of_reading_from_the_beginning(
    tmp_path: Path, name: str, options: dict[str, str], uneven: bool
) -> None:
    path = encoded(tmp_path / name, options, uneven=uneven)
    with open_source(path) as source:
        frames = list(source)
        assert len(frames) == 40
        for index in (39, 31, 30, 29, 11, 1):
            found = source.reopened(index, frames[index].time)
            assert found is not None, index
            with found:
                for frame, known in zip(taken(found, 3), frames[index : index + 3], strict=True):
                    assert (frame.index, frame.name, frame.time) == (known.index, known.name, known.time)
                    assert np.array_equal(frame.image, known.image)


def test_what_cannot_be_found_is_read_from_the_beginning(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.mp4", {"g": "10"}, 12)
    with open_source(path) as source:
        assert source.reopened(5) is None, "the time is not known"
        assert source.reopened(5, 5 / 25 + 0.013) is None, "no frame is there"
        assert source.reopened(99, 99 / 25) is None
    assert SyntheticSource(3, (48, 64)).reopened(1, 0.04) is None


def test_images_are_opened_anywhere(frames_folder: Path) -> None:
    with open_source(frames_folder) as source:
        found = source.reopened(6)
        assert found is not None
        assert [frame.index for frame in found] == [6, 7]
        assert source.reopened(8) is None
