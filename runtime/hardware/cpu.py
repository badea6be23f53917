"""What the CPU can do that decides how INT8 runs on it."""

from __future__ import annotations

import platform
from pathlib import Path


def is_x86(machine: str | None = None) -> bool:
    return (machine or platform.machine()).lower() in ("x86_64", "amd64")


def has_vnni(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Tell whether the CPU multiplies 8-bit numbers into 32-bit sums; no where that cannot be found out."""
    try:
        return "vnni" in cpuinfo.read_text()
    except OSError:
        return False
