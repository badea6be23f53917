"""Photographs from folders and shards, and what is wrong with them."""

from __future__ import annotations

import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.image_collection import Stills


def draw(path: Path, red: int) -> None:
    cv2.imwrite(str(path), np.full((8, 12, 3), (0, 0, red), np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(3):
        draw(tmp_path / f"{i}.png", 50 * i)
    return tmp_path


def shard(folder: Path) -> Path:
    with tarfile.open(folder / "shard.tar", "w") as tar:
        for image in sorted(folder.glob("*.png")):
            tar.add(image, image.name)
            image.unlink()
    return folder / "shard.tar"


def test_folder_and_shard_hold_the_same(folder: Path) -> None:
    from_folder = [still.copy() for still in (Stills(folder)[i] for i in range(3))]
    shard(folder)
    stills = Stills(folder)
    assert len(stills) == 3
    for i, expected in enumerate(from_folder):
        np.testing.assert_array_equal(stills[i], expected)
    assert stills[2][0, 0].tolist() == [100, 0, 0], "RGB"


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        Stills(tmp_path / "nothing")


def test_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(BadInput, match="no images found"):
        Stills(tmp_path)


def test_corrupt_image(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no jpeg")
    with pytest.raises(BadInput, match=r"bad\.jpg.*not a readable image"):
        Stills(tmp_path)[0]


def test_shard_cut_short(folder: Path) -> None:
    path = shard(folder)
    path.write_bytes(path.read_bytes()[: 512 + 512 + 512 + 20])
    with pytest.raises(BadInput, match=r"shard\.tar.*copy it again"):
        Stills(folder)


def test_names_are_paths_without_suffixes(folder: Path) -> None:
    (folder / "more").mkdir()
    draw(folder / "more" / "a.b.png", 10)
    assert Stills(folder).names == ["0", "1", "2", "more/a.b"]
    assert Stills(folder / "1.png").names == ["1"]


def test_names_in_a_shard_begin_with_it_wherever_it_lies(folder: Path) -> None:
    path = shard(folder)
    assert Stills(folder).names == Stills(path).names == ["shard/0", "shard/1", "shard/2"]


def test_a_name_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    draw(tmp_path / "0.png", 0)
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        tar.add(tmp_path / "0.png", "../../etc/0.png")
        tar.add(tmp_path / "0.png", "/1.png")
    assert Stills(tmp_path / "shard.tar").names == ["shard/etc/0", "shard/1"]


def test_two_stills_of_one_name(folder: Path) -> None:
    draw(folder / "1.jpg", 0)
    with pytest.raises(BadInput, match="2 stills are called 1"):
        _ = Stills(folder).names
