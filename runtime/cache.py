"""Where compiled kernels are kept between runs, when neither the install nor the home may be written to."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def choose(package: Path) -> None:
    """Point numba to a folder of this user's among the temporary files, if its own choices would fail.

    numba takes NUMBA_CACHE_DIR, else `__pycache__` beside the source, else the user's cache folder, and gives up
    with an exception when none can be written to: in a container with a read-only install and no home, say.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "numba"
    if not (_writable(package / "__pycache__") or _writable(home)):
        os.environ["NUMBA_CACHE_DIR"] = str(_private_folder())


def elsewhere() -> str:
    """For a message: where compiled kernels are kept, if not beside the source; loads numba."""
    from shls.runtime import pooling

    kept = Path(str(pooling._unit_rows.stats.cache_path))
    return "" if Path(__file__).parent in kept.parents else f"; compiled kernels are kept in {kept.parent}"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _private_folder() -> Path:
    """The same one in every run; a new one if somebody else could write to that, for what lies there is executed."""
    user = os.getuid()
    folder = Path(tempfile.gettempdir()) / f"shls-kernels-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return folder
    return Path(tempfile.mkdtemp(prefix="shls-kernels-"))
