"""Files that appear whole or not at all, and how they are known again."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from shls.runtime.errors import BadInput


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename it; raises BadInput where that is not possible."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); choose another place") from error
    finally:
        if temporary.exists():  # an error or Ctrl-C came between
            temporary.unlink()


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes, in hexadecimal; raises BadInput if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
