"""The folder in which numba keeps compiled kernels between runs.

numba recompiles a function when its own file changes, but not when a function that it calls changes in another file.
The folder's name is therefore a digest of all kernel sources, of numba's version and of the processor: an edited
kernel, another numba or another machine starts with an empty folder.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

VARIABLE = "NUMBA_CACHE_DIR"
PREFIX = "shls-kernels-"
KEPT = 4
"""Folders of earlier versions that stay, so that two installs side by side do not compile in turn."""


def use_cache(package: Path) -> Path:
    """Point numba to this version's folder of compiled kernels and return it.

    The folder lies below ``NUMBA_CACHE_DIR`` where that is set, else below the user's cache folder, else among the
    temporary files: a container may have a read-only install and no home.

    Parameters
    ----------
    package : folder whose ``*.py`` files hold the kernels, searched recursively
    """
    name = PREFIX + kernel_digest(package)
    chosen = os.environ.get(VARIABLE)
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "shls"
    if chosen:
        parent = Path(chosen).parent if Path(chosen).name.startswith(PREFIX) else Path(chosen)
    else:
        parent = home if _writable(home) else _private_folder()
    folder = parent / name
    _drop_old(parent, folder)
    os.environ[VARIABLE] = str(folder)
    if "numba" in sys.modules:  # it read the variable when it was imported
        numba: Any = sys.modules["numba"]
        numba.config.CACHE_DIR = str(folder)
    return folder


def kernel_digest(package: Path) -> str:
    """Return 16 hexadecimal digits that change with any kernel source, numba's version or the processor."""
    digest = hashlib.sha256(f"{version('numba')} {_processor()}".encode())
    for file in sorted(package.rglob("*.py")):
        source = file.read_bytes()
        if b"numba" in source or b"llvmlite" in source:
            digest.update(file.name.encode() + source)
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Return the folder that `use_cache` chose."""
    return Path(os.environ[VARIABLE])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    wanted = ("model name", "model", "flags", "Features", "CPU part")
    described = {line.split(":", 1)[0].strip(): line for line in lines}
    return " ".join([platform.machine(), *(described.get(name, "") for name in wanted)])


def _drop_old(parent: Path, folder: Path) -> None:
    """Remove the oldest folders of other versions; what cannot be removed stays."""
    if folder.exists():
        return
    try:
        others = sorted(parent.glob(f"{PREFIX}*"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return
    for old in others[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _private_folder() -> Path:
    """Return one folder for all runs of this user, or a new one if another user could write to it.

    Files in this folder are executed, so it must belong to the user alone.
    """
    user = os.getuid()
    folder = Path(tempfile.gettempdir()) / f"shls-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return folder
    return Path(tempfile.mkdtemp(prefix="shls-"))
