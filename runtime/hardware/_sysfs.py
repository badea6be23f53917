"""Read single values from /sys and /proc; a missing or unreadable file gives None."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path("/")


def paths(root: Path, pattern: str) -> list[Path]:
    """List paths below a root by a glob pattern, in the order of the numbers in their names."""
    return sorted(root.glob(pattern), key=lambda path: [int(n) for n in re.findall(r"\d+", str(path))])


def text(file: Path) -> str | None:
    """Return a file's text without surrounding blanks."""
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return None


def number(file: Path) -> float | None:
    """Return the number that a file holds."""
    try:
        return float(text(file) or "")
    except ValueError:
        return None
