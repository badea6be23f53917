"""The folder in which numba keeps compiled kernels between runs.

numba recompiles a function when its own file changes, but not when a function that it calls changes in another file.
The folder's name is therefore a digest of all kernel sources, of numba's version and of the processor. An edited
kernel, another version of numba or another machine starts with an empty folder.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .folders import private_temporary_folder, user_cache

VARIABLE = "NUMBA_CACHE_DIR"
PREFIX = "shls-kernels-"
COMPLETE = "complete"
"""File in the folder that is there once all kernels are compiled, with a stamp of the sources.

numba also compiles again when sources were copied to another place or have another time.
"""
KEPT = 4
"""Number of earlier folders that stay, so that two installations side by side do not compile in turn."""

log = logging.getLogger("shls")


def use_cache(package: Path) -> Path:
    """Point numba to this version's folder of compiled kernels and return the folder.

    The folder lies below ``NUMBA_CACHE_DIR`` where that is set, else below the user's cache folder. Where neither can
    be written, as in a container without a home, the temporary folder is used and a warning is logged.

    Parameters
    ----------
    package : folder whose ``*.py`` files hold the kernels, searched recursively

    Examples
    --------
    >>> from pathlib import Path
    >>> import shls.runtime
    >>> folder = use_cache(Path(shls.runtime.__file__).parent)
    >>> folder == cache_folder()
    True
    """
    parent = _parent()
    global _stamp
    folder = parent / (PREFIX + kernel_digest(package))
    _stamp = _stamp_of(package)
    _drop_old(parent, folder)
    os.environ[VARIABLE] = str(folder)
    if "numba" in sys.modules:  # numba read the variable when it was imported
        numba: Any = sys.modules["numba"]
        numba.config.CACHE_DIR = str(folder)
    return folder


def kernel_digest(package: Path) -> str:
    """Return 16 hexadecimal digits that change with any kernel source, numba's version or the processor.

    Parameters
    ----------
    package : folder whose ``*.py`` files hold the kernels, searched recursively

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     before = kernel_digest(Path(folder))
    ...     _ = Path(folder, "kernel.py").write_text("from numba import njit")
    ...     len(before), before == kernel_digest(Path(folder))
    (16, False)
    """
    digest = hashlib.sha256(f"{version('numba')} {_processor()}".encode())
    for file, source in _kernel_files(package):
        digest.update(file.name.encode() + source)
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Return the folder that `use_cache` chose.

    Examples
    --------
    >>> import shls.runtime
    >>> cache_folder().name.startswith("shls-kernels-")
    True
    """
    return Path(os.environ[VARIABLE])


def is_compiled() -> bool:
    """Return whether `mark_compiled` was called for the folder.

    Examples
    --------
    >>> import tempfile
    >>> from unittest.mock import patch
    >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {VARIABLE: folder}):
    ...     before = is_compiled()
    ...     mark_compiled()
    ...     before, is_compiled()
    (False, True)
    """
    return (cache_folder() / f"{COMPLETE}-{_stamp}").exists()


def mark_compiled() -> None:
    """Note in the folder that it holds all kernels; a folder that cannot be written stays as it is.

    Examples
    --------
    See `is_compiled`.
    """
    with suppress(OSError):
        (cache_folder() / f"{COMPLETE}-{_stamp}").touch()


def _kernel_files(package: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the files that hold kernels, with their contents."""
    for file in sorted(package.rglob("*.py")):
        source = file.read_bytes()
        if b"njit" in source or b"llvmlite" in source:
            yield file, source


def _stamp_of(package: Path) -> str:
    """Return eight digits that change with the place and the time of any kernel source."""
    places = [f"{file.resolve()} {file.stat().st_mtime_ns}" for file, _ in _kernel_files(package)]
    return hashlib.sha256("\n".join(places).encode()).hexdigest()[:8]


_stamp = ""
"""Stamp of the sources that `use_cache` was called for."""


def _parent() -> Path:
    """Choose the folder that holds the folders of all versions."""
    if chosen := os.environ.get(VARIABLE):
        # A parent process of ours has set the variable to its own folder.
        return Path(chosen).parent if Path(chosen).name.startswith(PREFIX) else Path(chosen)
    if home := user_cache():
        return home
    temporary = private_temporary_folder()
    log.warning(
        "kernel cache: the user's cache folder is not writable, so compiled kernels are kept in %s. "
        "Set %s to a folder that lasts, or each restart compiles for a minute.",
        temporary,
        VARIABLE,
    )
    return temporary


def _processor() -> str:
    """Describe the processor by its model and its instruction sets."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    wanted = ("model name", "model", "flags", "Features", "CPU part")
    described = {line.split(":", 1)[0].strip(): line for line in lines}
    return " ".join([platform.machine(), *(described.get(name, "") for name in wanted)])


def _drop_old(parent: Path, folder: Path) -> None:
    """Remove the oldest folders of other versions; a folder that cannot be removed stays."""
    if folder.exists():
        with suppress(OSError):
            os.utime(folder)  # the folders that are in use are the newest
        return
    try:
        others = sorted(parent.glob(f"{PREFIX}*"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return
    for old in others[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
