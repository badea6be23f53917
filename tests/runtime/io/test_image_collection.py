"""Photographs from folders and shards, and what is wrong with them."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from shls.runtime.errors import BadInput
from shls.runtime.io.image_collection import SHOWN, LeftOut, Stills


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


def test_unreadable_stills_and_shards_are_left_out_and_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "bad.jpg").write_bytes(b"no jpeg")
    (folder / "bad.tar").write_bytes(b"no tar" * 1000)
    (folder / "more.tar.gz").touch()
    stills = Stills(folder)
    assert stills.names == ["0", "1", "2", "bad"]
    assert [stills.read(i) is None for i in range(4)] == [False, False, False, True]
    assert stills.read(3) is None
    stills.left_out.log_total()
    expected = ["bad.tar: not a readable shard", "more.tar.gz: a compressed shard", "bad.jpg: not a readable image"]
    assert [text in message for text, message in zip(expected, stills.left_out.messages, strict=True)] == [True] * 3
    assert len(caplog.records) == 4
    assert caplog.messages[-1] == "3 stills or parts of shards were unreadable and left out"


def test_only_the_first_messages_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    left_out = LeftOut()
    left_out.log_total()
    assert not caplog.records
    for number in range(SHOWN + 3):
        left_out.add(f"{number}.png: not a readable image")
    left_out.log_total()
    assert len(caplog.records) == SHOWN + 1
    assert caplog.messages[-1].startswith(f"{SHOWN + 3} stills")


def test_hidden_files_are_no_stills(folder: Path) -> None:
    (folder / "._0.png").write_bytes(b"no png")
    (folder / "._a.tar").write_bytes(b"no tar")
    (folder / ".cache").mkdir()
    draw(folder / ".cache" / "9.png", 0)
    assert Stills(folder).names == ["0", "1", "2"]
    with tarfile.open(folder / "shard.tar", "w") as tar:
        tar.add(folder / "0.png", "0.png")
        tar.add(folder / "._0.png", "few/._0.png")
    stills = Stills(folder / "shard.tar")
    assert stills.names == ["shard/0"]
    assert not stills.left_out.messages


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.tar", b"", "an empty shard"),
        ("a.tar", bytes(10240), "a shard without images"),
        ("a.tar", b"no tar" * 1000, "not a readable shard"),
        ("a.tar", gzip.compress(bytes(10240)), "not a readable shard"),
        ("a.tar.gz", gzip.compress(bytes(10240)), "a compressed shard"),
        ("a.tgz", b"", "a compressed shard"),
    ],
)
def test_a_shard_alone_that_has_no_still(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    for place in (tmp_path, tmp_path / name):
        with pytest.raises(BadInput, match=rf"{name}: {words}"):
            Stills(place)


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
    with pytest.raises(BadInput, match="got 2 of the name 1"):
        _ = Stills(folder).names
