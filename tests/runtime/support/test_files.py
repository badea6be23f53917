"""Files appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shls.runtime._support.files import check_writable, replace_file, sha256_of, write_json, write_whole
from shls.runtime._support.folders import user_cache
from shls.runtime.errors import BadInput


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scores.json"
    write_json(path, {"J": 0.8})
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BadInput, match=r"scores\.json: cannot be written \(No space left on device\)\. Go on\."):
        replace_file(path, b"new", "Go on.")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["scores.json"]


def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "scores.json", b"new")
    assert not list(tmp_path.iterdir())


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_whole(tmp_path / "a/b/c.txt", b"text")
    assert (tmp_path / "a/b/c.txt").read_bytes() == b"text"
    with pytest.raises(BadInput, match="cannot be written"):
        write_whole(tmp_path / "a/b/c.txt/d.txt", b"text")


def test_the_check_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_bytes(b"old")
    check_writable(tmp_path / "old.txt")
    check_writable(tmp_path / "new.txt")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("old.txt", b"old")]
    with pytest.raises(BadInput, match="got a folder, expected the name of a file"):
        check_writable(tmp_path)


def test_the_digest_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        sha256_of(tmp_path / "absent")


def test_the_user_s_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert user_cache() == tmp_path / "cache/shls"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache/shls"
    monkeypatch.setenv("HOME", os.devnull)
    assert user_cache() is None
