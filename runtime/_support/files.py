"""Files that appear whole or not at all, and how they are known again."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from ..errors import BadInput

ADVICE = "choose another place"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file as `replace_file` does, and make its folder where there is none."""
    _make_folder_of(path)
    replace_file(path, data)


def write_json(path: Path, content: object) -> None:
    """Write what JSON can hold, for people too, as `write_whole` does."""
    write_whole(path, (json.dumps(content, indent=2) + "\n").encode())


def replace_file(path: Path, data: bytes, advice: str = ADVICE) -> None:
    """Write a file under a temporary name, then rename it; raises BadInput, with advice, where that is not possible."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error, advice) from error
    finally:
        with suppress(OSError):  # an error or Ctrl-C came between
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise BadInput, before the work, if a file cannot be written there; what lies there stays as it is.

    Its folder is made where there is none.
    """
    if path.is_dir():
        raise BadInput(f"{path}: is a folder; expected the name of a file")
    _make_folder_of(path)
    probe = path.with_name(f".{path.name}.part")
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise _unwritable(path, error, ADVICE) from error


def _make_folder_of(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error, ADVICE) from error


def _unwritable(path: Path, error: OSError, advice: str) -> BadInput:
    return BadInput(f"{path}: cannot be written ({error.strerror}); {advice}")


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes, in hexadecimal; raises BadInput if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
