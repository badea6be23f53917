"""Type checkers follow an installed `shls` to its definitions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_type_checker_follows_the_public_names(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import shls\nreveal_type(shls.open_segmenter)\nreveal_type(shls.Mask)\nshls.nothing_of_ours\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(program)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "shls.runtime.segmenter.VideoSegmenter" in done.stdout
    assert "shls.runtime.types.Mask" in done.stdout
    assert 'Module has no attribute "nothing_of_ours"' in done.stdout, "a name that does not exist is an error"
