"""Folders outside the project in which this user's caches may be kept."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def user_cache() -> Path | None:
    """Return ``~/.cache/shls`` (below ``XDG_CACHE_HOME`` where set), or None if no file can be written there.

    Examples
    --------
    >>> import os, tempfile
    >>> from unittest.mock import patch
    >>> with tempfile.TemporaryDirectory() as home, patch.dict(os.environ, XDG_CACHE_HOME=home):
    ...     user_cache().name
    'shls'
    >>> with patch.dict(os.environ, XDG_CACHE_HOME=os.devnull):
    ...     print(user_cache())
    None
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "shls"
    return folder if _writable(folder) else None


def private_temporary_folder() -> Path:
    """Return one folder for all runs of this user, or a new one if another user could write to it.

    Files in the folder are executed or deserialised, so the folder must belong to the user alone.

    Examples
    --------
    >>> private_temporary_folder() == private_temporary_folder()
    True
    """
    user = os.getuid()
    folder = Path(tempfile.gettempdir()) / f"shls-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return folder
    return Path(tempfile.mkdtemp(prefix="shls-"))


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except (OSError, RuntimeError):  # RuntimeError: "~" without a home
        return False
