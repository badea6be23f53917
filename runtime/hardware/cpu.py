"""Features of the CPU: instruction sets that decide how INT8 runs, and the number of usable cores."""

from __future__ import annotations

import logging
import os
import platform
from pathlib import Path

from ..errors import BadInput

log = logging.getLogger("shls")


def is_x86(machine: str | None = None) -> bool:
    """Return True for 64-bit x86.

    Parameters
    ----------
    machine : name as `platform.machine` returns it; by default this machine's

    Examples
    --------
    >>> is_x86("AMD64"), is_x86("aarch64")
    (True, False)
    """
    return (machine or platform.machine()).lower() in ("x86_64", "amd64")


def has_vnni(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return True if the CPU adds products of 8-bit numbers into 32-bit sums (VNNI); False if unknown.

    Parameters
    ----------
    cpuinfo : file in the format of /proc/cpuinfo

    Examples
    --------
    >>> has_vnni(Path("/no/such/file"))
    False
    """
    try:
        return "vnni" in cpuinfo.read_text()
    except OSError:
        return False


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use.

    Examples
    --------
    >>> usable_cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def clamp_threads(threads: int) -> int:
    """Limit a number of threads to the usable cores; more threads than cores only wait for each other.

    Parameters
    ----------
    threads : number of threads, 0 for all cores

    Raises
    ------
    BadInput
        If it is negative or not a whole number.

    Examples
    --------
    >>> clamp_threads(1), clamp_threads(9999) == usable_cores()
    (1, True)
    """
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 0:
        raise BadInput(f"threads: not a number of threads (got {threads!r}, expected 0 or more). 0 uses all cores")
    cores = usable_cores()
    if threads > cores:
        log.info("threads: %d were asked for and this process may use %d cores, so %d run", threads, cores, cores)
    return min(threads, cores)
