"""Write files whole or not at all, and compute their digests."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from ..errors import BadInput

ADVICE = "Choose another place."


def write_whole(path: Path, data: bytes) -> None:
    """Write a file as `replace_file` does, after making its folder.

    Parameters
    ----------
    path : file to write
    data : content of the file

    Raises
    ------
    BadInput
        If the folder or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "new", "notes.txt")
    ...     write_whole(path, b"text")
    ...     [file.name for file in path.parent.iterdir()], path.read_bytes()
    (['notes.txt'], b'text')
    """
    _make_folder_of(path)
    replace_file(path, data)


def write_json(path: Path, content: object) -> None:
    """Write an object as indented JSON, in the way of `write_whole`.

    Parameters
    ----------
    path : file to write
    content : object that the `json` module can encode

    Raises
    ------
    BadInput
        If the folder or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_json(Path(folder, "scores.json"), {"J": 0.8})
    ...     Path(folder, "scores.json").read_text()
    '{\\n  "J": 0.8\\n}\\n'
    """
    write_whole(path, (json.dumps(content, indent=2) + "\n").encode())


def replace_file(path: Path, data: bytes, advice: str = ADVICE) -> None:
    """Write a file under a temporary name, then rename it.

    Parameters
    ----------
    path : file to write or replace; its folder exists
    data : content of the file
    advice : last sentence of the error message

    Raises
    ------
    BadInput
        If the file cannot be written. The old file is then unchanged.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "notes.txt")
    ...     replace_file(path, b"old")
    ...     replace_file(path, b"new")
    ...     path.read_bytes()
    b'new'
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error, advice) from error
    finally:
        with suppress(OSError):  # an error or Ctrl-C may have left the temporary file
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Check before long work that a file can be written; an existing file stays unchanged.

    Parameters
    ----------
    path : file that will be written; a missing folder is made

    Raises
    ------
    BadInput
        If the path is a folder, or its folder is not writable.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     check_writable(Path(folder, "scores.json"))
    ...     list(Path(folder).iterdir())
    []
    """
    if path.is_dir():
        raise BadInput(f"{path}: cannot be written (got a folder, expected the name of a file). {ADVICE}")
    _make_folder_of(path)
    probe = path.with_name(f".{path.name}.part")
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise _unwritable(path, error, ADVICE) from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 digest of a file in hexadecimal.

    Parameters
    ----------
    path : file to read

    Raises
    ------
    BadInput
        If the file cannot be read.

    Examples
    --------
    >>> import os
    >>> from pathlib import Path
    >>> sha256_of(Path(os.devnull))[:16]
    'e3b0c44298fc1c14'
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}). Check the name and the permissions.") from error


def _make_folder_of(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error, ADVICE) from error


def _unwritable(path: Path, error: OSError, advice: str) -> BadInput:
    return BadInput(f"{path}: cannot be written ({error.strerror}). {advice}")
