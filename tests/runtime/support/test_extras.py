"""Extras: the table in the code is pyproject.toml's, and what is missing is said with a command that works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import shls
from shls.runtime._support.extras import EXTRAS, IMPORTED, install_hint, missing, require
from shls.runtime.errors import MissingDependency

ROOT = Path(__file__).parents[3]


def extras_of_the_project() -> dict[str, set[str]]:
    """Read the extras out of pyproject.toml, those that they name resolved; Python 3.10 has no reader for it."""
    table = (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1].split("\n[")[0]
    found: dict[str, set[str]] = {}
    for name, content in re.findall(r"^(\w+) = \[(.*?)\]\s*(?:#.*)?$", table, re.M):
        for entry in re.findall(r'"([^"]+)"', content):
            inner = re.fullmatch(r"shls\[(.*)\]", entry)
            parts = set().union(*(found[part] for part in inner[1].split(","))) if inner else {entry}
            found.setdefault(name, set()).update(parts)
    return found


def test_the_table_is_that_of_the_project() -> None:
    project = extras_of_the_project()
    assert {name: set(packages) for name, packages in EXTRAS.items()} == {name: project[name] for name in EXTRAS}


def test_hints_name_packages_of_the_index() -> None:
    for extra in EXTRAS:
        assert "shls[" not in install_hint(extra)
    assert install_hint("cpu").endswith("`pip install 'onnxruntime>=1.18' 'opencv-python>=4.7'`")


def test_a_missing_module() -> None:
    with pytest.raises(MissingDependency, match=r"nowhere: not installed\. Install the extra 'cpu' of shls: `pip"):
        require("nowhere", "cpu")
    for name in IMPORTED:
        assert str(missing(ModuleNotFoundError(name=f"{name}.inner"))).startswith(f"{name}: not installed")
    assert missing(ModuleNotFoundError(name="shls.nowhere")) is None


NO_OPENCV = """
import sys
sys.modules["cv2"] = None
"""


@pytest.mark.parametrize(
    "code",
    [
        "from shls.runtime.cli.main import main; sys.argv = ['shls', 'run', 'x.mp4', '--box', '1,1,2,2']; main()",
        "import shls; shls.open_segmenter()",
    ],
)
def test_without_opencv_the_hint_is_shown(code: str) -> None:
    run = subprocess.run([sys.executable, "-c", NO_OPENCV + code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode != 0
    assert "cv2: not installed. Install the extra 'cpu' of shls" in run.stderr
    assert "apt install python3-opencv" in run.stderr
    if "main()" in code:
        assert run.returncode == 2
        assert "Traceback" not in run.stderr


def test_names_that_need_no_opencv_work_without() -> None:
    code = NO_OPENCV + "import shls; print(shls.__version__, shls.BadInput.__name__)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.split() == [shls.__version__, "BadInput"]
