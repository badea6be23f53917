"""Checks on output files and folders that come before the work, and the error of a failed write."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import av

from ..errors import BadInput

STANDARD_OUTPUT = Path("-")
"""File name that stands for standard output."""


def is_stdout(path: Path) -> bool:
    """Return whether a path names standard output: `-`, `/dev/stdout`, or the file that it is redirected to.

    Examples
    --------
    >>> is_stdout(Path("-")), is_stdout(Path("objects.jsonl"))
    (True, False)
    """
    if path == STANDARD_OUTPUT:
        return True
    try:
        return path.exists() and os.path.samestat(path.stat(), os.fstat(sys.__stdout__.fileno()))  # type: ignore[union-attr]
    except (OSError, AttributeError, ValueError):  # standard output is closed
        return False


def make_folder(folder: Path) -> None:
    """Make a folder and its parents; raises BadInput if that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritten(folder, error, "Give a folder, or a name for a new folder.") from error


def check_file(path: Path) -> None:
    """Raise BadInput if a file cannot be written. An earlier file of that name stays as it is."""
    make_folder(path.parent)
    known = path.exists()
    try:
        if known and not path.is_file() and not path.is_dir():  # opening a named pipe would wait for its reader
            return
        path.open("ab").close()
        if not known:
            path.unlink()
    except OSError as error:
        raise unwritten(path, error, "Give the name of a file that may be written.") from error


def refuse_overwriting(inputs: Iterable[Path], files: Iterable[Path], folders: Iterable[tuple[Path, str]]) -> None:
    """Raise BadInput if an output would overwrite an input or another output.

    Files are compared by device and inode, because links and relative paths name one file in many ways.

    Parameters
    ----------
    inputs : iterable of Path
        Files that the run reads.
    files : iterable of Path
        Files that the run writes.
    folders : iterable of (Path, str)
        Folders that the run writes to, each with the suffix of the files that it gets.
    """
    files, folders = list(files), list(folders)
    known = {(status.st_dev, status.st_ino) for status in (path.stat() for path in inputs if path.exists())}
    for file in files:
        if file.exists() and (file.stat().st_dev, file.stat().st_ino) in known:
            raise BadInput(f"{file}: is an input and would be overwritten. Choose another name for the output.")
    if len({file.resolve() for file in files}) < len(files):
        raise BadInput(f"{files[0]}: named for two outputs. Give each output its own name.")
    places = [(folder.resolve(), suffix) for folder, suffix in folders]
    if len(set(places)) < len(places):
        raise BadInput(f"{folders[0][0]}: named for two outputs. Give each output its own folder.")
    for folder, suffix in folders:
        # Every file of that suffix may be replaced, so no input may be among them.
        for file in sorted(folder.glob(f"*{suffix}")) if folder.is_dir() else ():
            if (file.stat().st_dev, file.stat().st_ino) in known:
                raise BadInput(
                    f"{folder}: holds the input {file.name}, which an output would overwrite. Choose another folder."
                )


def unwritten(path: Path | str, error: OSError | av.FFmpegError, rest: str) -> BadInput:
    """Return the error for a file that cannot be written; `rest` is a sentence on what was kept, or what to do."""
    return BadInput(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}). {rest}")
