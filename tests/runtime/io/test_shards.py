"""Index of whole and damaged tar shards."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from shls.runtime.io.shards import BLOCK, read_shard

COUNT = 10


def write_shard(path: Path, form: int = tarfile.GNU_FORMAT, **headers: str) -> list[tarfile.TarInfo]:
    """Write a shard of members of 1000 bytes, three blocks each with the header."""
    with tarfile.open(path, "w", format=form, pax_headers=headers) as tar:
        for number in range(COUNT):
            member = tarfile.TarInfo(f"few/{number}.jpg")
            member.size = 1000
            tar.addfile(member, io.BytesIO(bytes([65 + number]) * 1000))
    with tarfile.open(path) as tar:
        return tar.getmembers()


def names(path: Path) -> list[str]:
    return [Path(member.name).stem for member in read_shard(path)[0]]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_a_whole_shard(tmp_path: Path, form: int) -> None:
    written = write_shard(tmp_path / "a.tar", form)
    members, problem = read_shard(tmp_path / "a.tar")
    assert not problem
    assert [member.offset_data for member in members] == [member.offset_data for member in written]


def test_metadata_of_the_archive_and_of_members_is_not_lost(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", tarfile.PAX_FORMAT, comment="written by git archive")
    assert read_shard(tmp_path / "a.tar")[1] == ""
    with tarfile.open(tmp_path / "a.tar", "a") as tar:
        member = tarfile.TarInfo("n" * 300 + ".jpg")
        tar.addfile(member)
        tar.addfile(tarfile.TarInfo("notes.txt"))
    assert len(names(tmp_path / "a.tar")) == COUNT + 1
    assert read_shard(tmp_path / "a.tar")[1] == ""


@pytest.mark.parametrize("damaged", [0, 3, COUNT - 1])
def test_a_damaged_header_costs_its_member(tmp_path: Path, damaged: int) -> None:
    path = tmp_path / "a.tar"
    begin = write_shard(path)[damaged].offset
    content = bytearray(path.read_bytes())
    content[begin : begin + BLOCK] = b"?" * BLOCK
    path.write_bytes(content)
    assert names(path) == [str(number) for number in range(COUNT) if number != damaged]
    assert f"a damaged shard (got 9 images; {3 * BLOCK} of {len(content)} bytes are lost" in read_shard(path)[1]


def test_inserted_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    begin = write_shard(path)[3].offset
    content = path.read_bytes()
    path.write_bytes(content[:begin] + b"?" * (2 * BLOCK) + content[begin:])
    assert len(names(path)) == COUNT
    assert f"got 10 images; {2 * BLOCK} of" in read_shard(path)[1]


@pytest.mark.parametrize(
    ("blocks", "whole", "words"),
    [
        (3 * 4, 4, r"may be cut short (got 4 images and no end mark)"),
        (3 * 4 + 1, 4, f"a damaged shard (got 4 images; {BLOCK} of {13 * BLOCK} bytes are lost"),
        (3 * 4 + 2, 4, f"a damaged shard (got 4 images; {2 * BLOCK} of {14 * BLOCK} bytes are lost"),
    ],
)
def test_a_shard_cut_short(tmp_path: Path, blocks: int, whole: int, words: str) -> None:
    path = tmp_path / "a.tar"
    write_shard(path)
    path.write_bytes(path.read_bytes()[: blocks * BLOCK])
    assert len(names(path)) == whole
    assert words in read_shard(path)[1]


def test_other_files(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("0.cls", "0.json"):
            tar.addfile(tarfile.TarInfo(name))
    assert read_shard(tmp_path / "a.tar")[0] == []
    assert "a shard without images (got 2 other files)" in read_shard(tmp_path / "a.tar")[1]


def test_a_folder_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "a.tar").mkdir()
    assert "not a readable shard" in read_shard(tmp_path / "a.tar")[1]
