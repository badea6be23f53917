"""Calibration frames: different, repeatable, from every kind of source."""

from __future__ import annotations

import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from shls.calib.samples import check_contrast, sample_frames
from shls.runtime.errors import BadInput
from tests.live_servers import files, free_port, mjpeg

BUNNY = Path(__file__).parents[2] / "runtime" / "assets" / "bunny.mp4"


def grey(level: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-3, 4, (24, 32, 3))
    return np.clip(noise + level, 0, 255).astype(np.uint8)


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    """Ten nearly equal dark images, one mid-grey, one white."""
    for index in range(10):
        cv2.imwrite(str(tmp_path / f"dark{index}.png"), grey(20, index))
    cv2.imwrite(str(tmp_path / "mid.png"), grey(128, 50))
    cv2.imwrite(str(tmp_path / "white.png"), grey(240, 51))
    return tmp_path


@pytest.mark.parametrize("seed", range(5))
def test_each_group_is_met(groups: Path, seed: int) -> None:
    samples = sample_frames(str(groups), 3, seed)
    levels = sorted(round(float(image.mean()) / 10) for image in samples.images)
    assert levels == [2, 13, 24]
    assert samples.candidates == 12


def test_the_seed_decides(groups: Path) -> None:
    assert sample_frames(str(groups), 4, 7).digest == sample_frames(str(groups), 4, 7).digest
    digests = {sample_frames(str(groups), 4, seed).digest for seed in range(6)}
    assert len(digests) > 1


def test_fewer_than_wanted_are_all_taken(groups: Path) -> None:
    assert len(sample_frames(str(groups), 99, 0).images) == 12


def test_copies_are_taken_once(tmp_path: Path) -> None:
    for index in range(5):
        cv2.imwrite(str(tmp_path / f"{index}.png"), grey(90, 0))
    assert len(sample_frames(str(tmp_path), 3, 0).images) == 1


def test_shards_and_images_of_different_sizes(groups: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(groups / "wide.png"), np.full((10, 90, 3), 200, np.uint8))
    shard = tmp_path / "shard.tar"
    with tarfile.open(shard, "w") as tar:
        for file in sorted(groups.glob("*.png")):
            tar.add(file, file.name)
    assert sample_frames(str(shard), 99, 0).candidates == 13
    assert {image.shape for image in sample_frames(str(shard), 99, 0).images} == {(24, 32, 3), (10, 90, 3)}


def test_a_video_and_a_pattern(groups: Path) -> None:
    samples = sample_frames(str(BUNNY), 3, 0)
    assert len(samples.images) == 3
    assert samples.candidates > 50
    assert sample_frames(str(groups / "dark*.png"), 99, 0).candidates == 10


def test_a_recording_by_url_and_a_live_stream() -> None:
    with files(BUNNY.parent) as address:
        assert sample_frames(f"{address}/{BUNNY.name}", 2, 0).candidates == 112
    port = free_port()
    with mjpeg(port), pytest.raises(BadInput, match="is live and has no end"):
        sample_frames(f"http://127.0.0.1:{port}/video", 2, 0)


@pytest.mark.parametrize("pattern", ["", "*.png"])
def test_unreadable_images_are_left_out(groups: Path, caplog: pytest.LogCaptureFixture, pattern: str) -> None:
    whole = sample_frames(str(groups / pattern), 99, 0).candidates
    (groups / "zzz.png").write_bytes(b"no image")
    assert sample_frames(str(groups / pattern), 99, 0).candidates == whole
    assert "zzz.png: not a readable image" in caplog.text
    assert "1 stills or parts of shards were unreadable and left out" in caplog.text
    for path in groups.glob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(BadInput, match="not a readable image"):
        sample_frames(str(groups / pattern), 99, 0)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no images found"):
        sample_frames(str(tmp_path), 3, 0)


def test_black_frames_are_refused() -> None:
    with pytest.raises(BadInput, match="between 0 and 0 of 255"):
        check_contrast([np.zeros((8, 8, 3), np.uint8)] * 2)
    check_contrast([np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 90, np.uint8)])
